"""The command ``teleread``. [app]

Each command's code is imported when it is called: the supervisor stays small, and `teleread check`
works on a machine where something else is broken.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from worklist.base.config import ConfigError, Settings, load


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(load(), options) or 0)
    except ConfigError as error:
        print(f"teleread: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    text = "Tele-reading for county medical consortia 基层检查、上级诊断"
    parser = argparse.ArgumentParser(prog="teleread", description=text)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Callable[[Settings, argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    run = add("run", _run, "listener, web and worker under one supervisor")
    run.add_argument("--demo", action="store_true", help="make the demo county on first start")
    add("serve", _serve, "the web role alone").add_argument("--demo", action="store_true")
    add("listen", _listen, "the DICOM listener alone")
    add("work", _work, "the worker alone")
    add("migrate", _migrate, "bring the database schema up to date")
    check = add("check", _check, "settings, storage, keys, peers: what is wrong and how to mend it")
    check.add_argument("--show", action="store_true", help="every setting, its value and default")
    check.add_argument("--audit", action="store_true", help="verify the audit trail's hash chain")
    check.add_argument("--deep", action="store_true", help="read every stored object again and compare its digest")
    tls = add("tls", _tls, "make a local CA and a server certificate; with `device AE_TITLE`, one for that device")
    tls.add_argument(
        "host", nargs="*", default=["localhost", "127.0.0.1"],
        help="names and addresses of this server, or: device AE_TITLE",
    )  # fmt: skip
    demo = add("demo", _demo, "make the demo county; with `send`, send what its modalities would")
    demo.add_argument("what", nargs="?", choices=["send"])
    send = add("send", _send, "send DICOM files by C-STORE")
    send.add_argument("files", nargs="+", type=Path)
    send.add_argument("--to", required=True, metavar="AE@HOST:PORT")
    send.add_argument("--from", dest="sender", default="TELEREAD", metavar="AE")
    send.add_argument("--commit", action="store_true", help="have the peer confirm that it keeps them safe")
    send.add_argument("--commit-wait-s", type=float, default=30.0, help="how long its answer is waited for")
    _add_questions(add)
    take = add("import", _import, "file DICOM and ECG files or folders")
    take.add_argument("path", type=Path)
    take.add_argument("--site", required=True, help="code of the site they come from")
    take.add_argument("--patient-name", default="", help="whose WFDB records these are: they do not say it themselves")
    take.add_argument("--patient-id", default="")
    check = add("verify", _verify, "re-hash every stored file against the index, and repair what is lost")
    check.add_argument("--repair-from", default="", metavar="AE@HOST:PORT", help="a PACS asked by C-GET, or `archive`")
    check.add_argument("--json", action="store_true")
    ohif = add("ohif", _ohif, "the advanced viewer OHIF: `install` fetches its files from npm")
    ohif.add_argument("what", choices=["install"])
    ohif.add_argument("--from", dest="source", type=Path, metavar="TGZ", help="a file of it, where there is no network")
    verify = add("verify-report", _verify_report, "check every signature of a report PDF")
    verify.add_argument("file", type=Path)
    verify.add_argument("--json", action="store_true")
    verify.add_argument("--ca", type=Path, help="CA certificate (default: the one in the data dir)")
    _add_administration(add)
    return parser


def _add_questions(add: Callable[..., argparse.ArgumentParser]) -> None:
    """``teleread echo`` and ``find``."""
    echo = add("echo", _echo, "whether a DICOM peer answers (C-ECHO)")
    find = add("find", _find, "what a DICOM peer has (C-FIND)")
    for command in (echo, find):
        command.add_argument("peer", metavar="AE@HOST:PORT")
        command.add_argument("--from", dest="sender", default="TELEREAD", metavar="AE")
    find.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="DICOM keywords, e.g. PatientID=0001")
    find.add_argument("--level", default="STUDY", choices=["PATIENT", "STUDY", "SERIES", "IMAGE"])
    find.add_argument("--json", action="store_true", help="one JSON object a line")
    find.add_argument("--most", type=int, default=0, help="cancel after so many matches")


def _add_administration(add: Callable[..., argparse.ArgumentParser]) -> None:
    """``teleread site|device|user add …``."""
    site = add("site", _site, "administration of sites").add_subparsers(required=True).add_parser("add")
    site.add_argument("code")
    site.add_argument("name")
    site.add_argument("--name-en", default="")
    site.add_argument("--prefix", required=True, help="two to four capital letters before accession numbers")
    site.add_argument("--reads", action="store_true", help="this site reads for the others")
    site.add_argument("--signatures", default="*=1", help="CT=2,*=1")
    site.add_argument("--return-to", metavar="AE@HOST:PORT")
    device = add("device", _device, "administration of devices").add_subparsers(required=True).add_parser("add")
    device.add_argument("ae_title")
    device.add_argument("--site", required=True)
    device.add_argument("--modality", required=True, help="DR CT ECG MR US MG XA, or WS: a workstation or PACS")
    device.add_argument("--address", required=True, help="address or range, e.g. 10.21.3.11/32")
    device.add_argument("--quiet-time-s", type=int)
    device.add_argument("--name", default="")
    device.add_argument("--services", default="", help="echo,store,find,move,get,worklist,mpps,commitment,ups")
    device.add_argument("--certificate", type=Path, help="PEM of its TLS client certificate")
    device.add_argument("--reached-at", metavar="HOST:PORT", help="where its own DICOM service listens")
    device.add_argument("--character-set", default="", help="what it can show, e.g. GB18030")
    device.add_argument("--exception", default="", help="why it may query without a certificate")
    user = add("user", _user, "administration of people").add_subparsers(required=True).add_parser("add")
    user.add_argument("username")
    user.add_argument("name")
    user.add_argument("--site", required=True)
    user.add_argument("--role", required=True)
    user.add_argument("--kinds", default="", help="image,ecg")
    user.add_argument("--licence", default="")
    user.add_argument("--licence-until", default="")


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _run(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.start import run  # noqa: PLC0415

    return run(settings, demo=options.demo)


def _serve(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.start import serve_role  # noqa: PLC0415

    serve_role(settings, demo=options.demo)


def _listen(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.listen import listen  # noqa: PLC0415

    listen(settings, _stop_on_signal())


def _work(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.roof import open_roof  # noqa: PLC0415
    from worklist.work import work  # noqa: PLC0415

    roof = open_roof(settings)
    work(roof, _stop_on_signal())
    roof.close()


def _migrate(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.start import migrate_all  # noqa: PLC0415

    migrate_all(settings)
    print("数据库已是最新 / the schema is up to date")


def _check(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.checks import check_command  # noqa: PLC0415

    return check_command(settings, show=options.show, audit_chain=options.audit, deep=options.deep)


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.verify_command import verify_command  # noqa: PLC0415

    return verify_command(settings, repair_from=options.repair_from, as_json=options.json)


def _tls(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.administration import device_tls_command, tls_command  # noqa: PLC0415

    if len(options.host) == 2 and options.host[0] == "device":
        device_tls_command(settings, options.host[1])
    else:
        tls_command(settings, options.host)


def _demo(settings: Settings, options: argparse.Namespace) -> int:
    from worklist import demo  # noqa: PLC0415

    return demo.send(settings) if options.what == "send" else demo.command(settings)


def _send(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.transfer import send_command  # noqa: PLC0415

    if not options.commit:
        return send_command(options.files, options.to, options.sender)
    from worklist.commit_sent import commit_sent  # noqa: PLC0415

    after = commit_sent(settings, options.to, options.sender, options.commit_wait_s)
    return send_command(options.files, options.to, options.sender, after)


def _echo(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.ask_peer import echo_command  # noqa: PLC0415

    return echo_command(options.peer, options.sender)


def _find(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.ask_peer import find_command  # noqa: PLC0415

    peer, sender, level = options.peer, options.sender, options.level
    return find_command(peer, sender, level, options.keys, as_json=options.json, most=options.most)


def _import(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.transfer import import_command  # noqa: PLC0415

    return import_command(settings, options.path, options.site, options.patient_name, options.patient_id)


def _ohif(settings: Settings, options: argparse.Namespace) -> int:
    from worklist.ohif_install import main as install_ohif  # noqa: PLC0415

    return install_ohif(settings, options.source)


def _verify_report(settings: Settings, options: argparse.Namespace) -> int:
    from reports.verify_command import verify_command  # noqa: PLC0415

    ca_path = options.ca or settings.data_path / "keys" / "ca.crt"
    return int(verify_command(options.file, options.json, ca_path))


def _site(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.administration import add_site_command  # noqa: PLC0415

    add_site_command(settings, options)


def _device(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.administration import add_device_command  # noqa: PLC0415

    add_device_command(settings, options)


def _user(settings: Settings, options: argparse.Namespace) -> None:
    from worklist.administration import add_user_command  # noqa: PLC0415

    add_user_command(settings, options)


if __name__ == "__main__":
    sys.exit(main())
