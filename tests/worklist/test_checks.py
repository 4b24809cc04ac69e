"""``teleread check``: each thing broken on purpose is found and named in both languages; orphans end with a row."""

import os
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select, text

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.spool import part10_preamble
from reports.certificate import open_authority
from tests.conftest import Clock
from tests.peers.data import shared_data
from tests.peers.dcmtk import storescp
from tests.peers.ports import free_port
from tests.worklist.roofs import make_roof
from worklist import checks, store
from worklist.base import audit, outbox
from worklist.base.db import Database
from worklist.base.i18n import catalog
from worklist.base.seal import seal
from worklist.import_files import Importer, files_below
from worklist.roof import Roof, clock
from worklist.tables import Device, Instance, Quarantine, Site
from worklist.tls import make_tls

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def roof(database: Database, tmp_path: Path) -> Roof:
    """On the real clock: certificates and file times are judged by it."""
    ports = {"http_port": str(free_port()), "dicom_port": str(free_port()), "dicom_host": "127.0.0.1"}
    made = make_roof(tmp_path, database, Clock(clock()), **ports)
    for path in (made.settings.data_path, made.keys_dir):
        path.chmod(0o700)
    with database.write() as session:
        site = Site(code="QINGSHAN", name_zh="青山", name_en="Qingshan", accession_prefix="QS")
        session.add(site)
        session.flush()
        session.add(
            Device(
                ae_title="QS_CT", site_id=site.id, modality="CT", services=["echo", "store"], quiet_time_s=0,
                address_range="127.0.0.0/8", fallback_character_set="GB18030",
            )
        )  # fmt: skip
    return made


@pytest.fixture
def check(roof: Roof, capsys: pytest.CaptureFixture[str]) -> Check:
    def run(*, show: bool = False, audit_chain: bool = False, deep: bool = False) -> tuple[int, str]:
        capsys.readouterr()
        status = checks.check_command(roof.settings, show=show, audit_chain=audit_chain, deep=deep)
        return status, capsys.readouterr().out

    return run


def told(output: str, code: str, **params: object) -> bool:
    """Whether both sentences of a finding stand in the output."""
    return all(sentence.format(**params) in output for sentence in catalog()[f"check.{code}"].values())


def take(roof: Roof, path: Path) -> None:
    with roof.db.read() as session:
        site = store.site_by_code(session, "QINGSHAN")
    assert site is not None
    with closing(Importer(roof, site)) as importer:
        list(importer.take(files_below(path)))


def ct() -> Path:
    return shared_data("dicom", "ct", "CT_small.dcm")


def first_instance(roof: Roof) -> Instance:
    with roof.db.read() as session:
        return session.scalars(select(Instance)).one()


def test_all_is_well(roof: Roof, check: Check) -> None:
    take(roof, ct())
    status, said = check(audit_chain=True, deep=True)
    assert (status, "✗" in said) == (0, False), said
    assert "all is well" in said


def test_every_finding_has_its_sentences() -> None:
    for module in ("checks", "check_machine", "check_storage"):
        source = (Path(checks.__file__).parent / f"{module}.py").read_text("utf-8")
        for part in source.split('Finding("')[1:]:
            assert f"check.{part.partition(chr(34))[0]}" in catalog()
    for code in ("kept", "removed", "equal", "young"):
        assert f"check.orphans_{code}" in catalog()
    for code in ("edited", "deleted", "inserted", "seal_edited", "seal_missing"):
        assert f"check.audit_{code}" in catalog()


def test_show_names_every_setting_and_masks_secrets(roof: Roof, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(roof.settings, demo_password="not-to-be-seen")
    checks.check_command(settings, show=True, audit_chain=False, deep=False)
    said = capsys.readouterr().out
    assert all(entry.metadata["name"] + "=" in said for entry in fields(settings))
    assert "not-to-be-seen" not in said
    password = roof.db.url.password
    assert password is None or f":{password}@" not in said


@pytest.mark.parametrize(
    ("change", "code", "params"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone", {"value": "Mars/Olympus"}),
        ({"ae_title": "A\\B"}, "ae_title", {"value": "A\\B"}),
        ({"behind_proxy": "yes"}, "behind_proxy", {"value": "yes"}),
        ({"tls_cert": "x.pem"}, "tls_half", {}),
        ({"blob_url": "s3://x"}, "blob_url", {"value": "s3://x"}),
    ],
)
def test_a_bad_setting_is_named(
    roof: Roof, capsys: pytest.CaptureFixture[str], change: dict[str, str], code: str, params: dict[str, str]
) -> None:
    assert checks.check_command(replace(roof.settings, **change), show=False, audit_chain=False, deep=False) == 1
    assert told(capsys.readouterr().out, code, **params)


def test_bad_ports_and_an_open_bind_are_named(roof: Roof, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(roof.settings, http_port="many", http_host="192.0.2.1")
    assert checks.check_command(settings, show=False, audit_chain=False, deep=False) == 1
    said = capsys.readouterr().out
    assert "TELEREAD_HTTP_PORT='many'" in said
    assert "refusing to start" in said


def test_what_others_could_read_is_named(roof: Roof, check: Check) -> None:
    roof.settings.data_path.chmod(0o755)
    key = roof.keys_dir / "ca.key"
    key.chmod(0o644)
    status, said = check()
    assert status == 1
    assert told(said, "folder_open", path=str(roof.settings.data_path))
    assert told(said, "file_open", path=str(key))


def test_a_missing_data_directory_is_named_and_not_made(
    roof: Roof, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(roof.settings, data_dir=str(tmp_path / "gone"))
    assert checks.check_command(settings, show=False, audit_chain=False, deep=False) == 1
    assert told(capsys.readouterr().out, "data_dir_missing", path=str(tmp_path / "gone"))
    assert not (tmp_path / "gone").exists()


def test_an_old_schema_and_an_absent_database_are_named(
    tmp_path: Path, empty_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    roof = make_roof(tmp_path, Database(empty_database_url), Clock(clock()))
    assert checks.check_command(roof.settings, show=False, audit_chain=False, deep=False) == 1
    assert told(capsys.readouterr().out, "schema")
    away = replace(roof.settings, database_url=f"postgresql+psycopg://nobody:secret@127.0.0.1:{free_port()}/x")
    assert checks.check_command(away, show=False, audit_chain=False, deep=False) == 1
    said = capsys.readouterr().out
    assert "TELEREAD_DATABASE_URL" in said
    assert "secret" not in said
    roof.db.dispose()


def test_a_row_without_its_file_is_named(roof: Roof, check: Check) -> None:
    take(roof, ct())
    instance = first_instance(roof)
    roof.blobs.path(instance.blob_key).unlink()
    status, said = check()
    assert status == 1
    assert told(said, "row_without_file", kind="instance", uid=instance.sop_instance_uid, key=instance.blob_key)


def test_a_flipped_bit_is_found_by_deep_alone_and_a_short_file_at_once(roof: Roof, check: Check) -> None:
    take(roof, ct())
    path = roof.blobs.path(first_instance(roof).blob_key)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert check()[0] == 0
    status, said = check(deep=True)
    assert status == 1
    assert told(said, "file_damaged", path=str(path))
    path.write_bytes(content[:-3])
    assert check()[0] == 1


def orphaned(roof: Roof, content: bytes) -> str:
    key = roof.blobs.put(content)
    roof.blobs.close()
    return key


def test_an_orphan_object_ends_in_quarantine_with_its_sender(roof: Roof, check: Check) -> None:
    """As the listener leaves it when it is killed between rename and commit."""
    data = ct().read_bytes()
    head = part10_preamble("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5", "1.2.840.10008.1.2.1", "QS_CT")
    key = orphaned(roof, head + data[400:])
    status, said = check()
    assert (status, told(said, "orphans_kept", n=1)) == (0, True), said
    with roof.db.read() as session:
        row = session.scalars(select(Quarantine)).one()
        site = session.get_one(Site, row.site_id)
    assert (row.reason, row.blob_key, row.source, row.sop_instance_uid) == ("orphan", key, "QS_CT", "1.2.3.4.5")
    assert site.code == "QINGSHAN"
    assert "quarantine.orphan" in catalog()
    assert roof.blobs.exists(key)
    status, said = check(deep=True)  # and that is the end of it
    assert (status, told(said, "orphans_kept", n=1)) == (0, False)


def test_an_orphan_that_nobody_can_read_is_kept_too(roof: Roof, check: Check) -> None:
    key = orphaned(roof, b"half a header")
    assert check()[0] == 0
    with roof.db.read() as session:
        row = session.scalars(select(Quarantine)).one()
    assert (row.blob_key, row.source, row.site_id, row.sop_instance_uid) == (key, "?", None, None)


def test_the_second_copy_of_a_filed_object_is_removed(roof: Roof, check: Check) -> None:
    """The same object, its preamble filled differently: filed as a duplicate, and its bytes are nobody's."""
    take(roof, ct())
    key = orphaned(roof, b"x" * 128 + ct().read_bytes()[128:])
    status, said = check()
    assert (status, told(said, "orphans_equal", n=1), roof.blobs.exists(key)) == (0, True, False)
    assert roof.blobs.exists(first_instance(roof).blob_key)


def test_the_pdf_of_no_report_is_removed(roof: Roof, check: Check) -> None:
    key = orphaned(roof, b"%PDF-1.7 nothing was signed")
    status, said = check()
    assert (status, told(said, "orphans_removed", n=1), roof.blobs.exists(key)) == (0, True, False)


def test_what_may_still_be_arriving_is_left_alone(roof: Roof, check: Check) -> None:
    """Another process has the store open: only what is older than ten minutes counts."""
    listener = FileBlobs(roof.blobs.root)
    key = listener.put(b"not yet committed")
    assert told(check()[1], "orphans_young", n=1)
    with roof.db.read() as session:
        assert session.scalars(select(Quarantine)).all() == []
    old = (clock() - timedelta(minutes=11)).timestamp()
    os.utime(listener.path(key), (old, old))
    assert told(check()[1], "orphans_kept", n=1)
    listener.close()


def test_display_data_of_nobody_is_removed_and_of_an_instance_kept(roof: Roof, check: Check) -> None:
    take(roof, ct())
    kept = roof.blobs.put_derived(first_instance(roof).blob_key, "manifest.json", b"{}")
    gone = roof.blobs.put_derived("ab" * 32, "manifest.json", b"{}")
    roof.blobs.close()
    assert told(check()[1], "derived_removed", n=1)
    assert (kept.exists(), gone.exists()) == (True, False)


def test_half_received_files_of_dead_processes_go(roof: Roof, check: Check) -> None:
    dead = roof.blobs.root / "spool" / ("0" * 32)
    dead.mkdir(parents=True)
    (dead / "tmp123").write_bytes(b"half")
    assert told(check()[1], "spool_swept", n=1)
    assert not dead.exists()


def test_certificates_are_judged(roof: Roof, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long_ago = clock() - timedelta(days=380)  # of 397
    files = make_tls(tmp_path / "tls", ["localhost"], long_ago)
    other = make_tls(tmp_path / "other", ["localhost"], clock())

    def said(cert: Path, key: Path) -> str:
        settings = replace(roof.settings, tls_cert=str(cert), tls_key=str(key))
        assert checks.check_command(settings, show=False, audit_chain=False, deep=False) == 1
        return capsys.readouterr().out

    assert "is valid from" in said(files.certificate, files.key)
    assert told(said(other.certificate, files.key), "tls_mismatch", cert=str(other.certificate), key=str(files.key))
    assert "cannot be read" in said(tmp_path / "gone", files.key)
    settings = replace(roof.settings, tls_cert=str(other.certificate), tls_key=str(other.key))
    assert checks.check_command(settings, show=False, audit_chain=False, deep=False) == 0


def test_the_authority_is_judged(roof: Roof, check: Check) -> None:
    open_authority(roof.keys_dir, clock()).renew_crl(clock() - timedelta(days=400))
    assert told(check()[1], "crl_old", path=str(roof.keys_dir / "ca.crl"))
    (roof.keys_dir / "ca.crl").write_bytes(b"nothing")
    assert told(check()[1], "authority_unreadable", path=str(roof.keys_dir), cause="ValueError")
    (roof.keys_dir / "ca.key").unlink()
    status, said = check()
    assert status == 1
    assert told(said, "authority_missing", path=str(roof.keys_dir), files="ca.key")


def test_a_return_peer_answers_or_is_named(roof: Roof, check: Check, tmp_path: Path) -> None:
    with storescp(tmp_path / "pacs", "QS_PACS") as pacs:
        with roof.db.write() as session:
            site = session.scalars(select(Site)).one()
            site.return_ae_title, site.return_host, site.return_port = "QS_PACS", "127.0.0.1", pacs.port
        assert check()[0] == 0
    status, said = check()
    assert status == 1
    assert told(said, "peer", site="QINGSHAN", peer=f"QS_PACS@127.0.0.1:{pacs.port}", outcome="unreachable")


@pytest.mark.parametrize(("answer", "status"), [(200, 0), (503, 1)])
def test_a_running_web_server_is_asked(roof: Roof, check: Check, answer: int, status: int) -> None:
    class Healthz(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"failing": ["listener"]}'
            self.send_response(answer)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", int(roof.settings.http_port)), Healthz)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        found, said = check()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert found == status
    assert told(said, "web_failing", address=f"127.0.0.1:{roof.settings.http_port}", what="listener") == (status == 1)


def test_given_up_work_is_named(roof: Roof, check: Check) -> None:
    with roof.db.write() as session:
        outbox.promise(session, "deliver", "deliver:1", {}, now=roof.now())
    job = outbox.claim(roof.db, "worker", roof.now(), 60, ["deliver"])
    assert job is not None
    with roof.db.write() as session:
        outbox.fail(session, job, "no_context", roof.now(), None)
    status, said = check()
    assert (status, told(said, "dead_jobs", kind="deliver", n=1)) == (1, True)


def test_a_changed_audit_row_is_found_when_asked(roof: Roof, check: Check) -> None:
    with roof.db.write() as session:
        for number in range(3):
            audit.record(
                session, now=roof.now(), actor="admin", role="admin", site="X", act="site.add", object_type="site",
                object_uid=str(number),
            )  # fmt: skip
    seal(roof.db, roof.now())
    assert check(audit_chain=True)[0] == 0
    with roof.db.engine.begin() as connection:  # someone with the database's own tools
        if roof.db.is_sqlite:
            triggers = connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event'")
            ).scalars()
            for name in list(triggers):
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("ALTER TABLE audit_event DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE audit_event SET actor = 'nobody' WHERE object_uid = '1'"))
    assert check()[0] == 0
    status, said = check(audit_chain=True)
    assert status == 1
    assert "was changed after seal" in said


def test_a_quarantined_object_needs_its_file_too(roof: Roof, check: Check) -> None:
    truncated = shared_data("dicom", "malformed", "MR_truncated.dcm")
    take(roof, truncated)
    assert check()[0] == 0
    with roof.db.read() as session:
        row = session.scalars(select(Quarantine)).one()
    roof.blobs.path(row.blob_key).unlink()
    assert told(check()[1], "row_without_file", kind="quarantine", uid=str(row.id), key=row.blob_key)

