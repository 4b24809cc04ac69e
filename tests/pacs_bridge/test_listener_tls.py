"""DICOM over TLS against DCMTK: who has the right certificate is served, everybody else refused and noted."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.listener import Limits, Listener, Sockets, bind
from pacs_bridge.tls_context import ServerTls, TlsFiles
from tests.pacs_bridge.conftest import wait_for
from tests.pacs_bridge.inbox import MemoryInbox
from tests.peers import dcmtk
from tests.peers.raw_modality import RawModality

Make = Callable[..., "tuple[Path, Path]"]


def openssl(*arguments: str) -> str:
    return subprocess.run([dcmtk.require("openssl"), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities made by openssl: ours and another; certificates of each, one of them expired."""
    made = tmp_path_factory.mktemp("tls")
    for authority in ("ours", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                f"/CN={authority}", "-keyout", str(made / f"{authority}.key"), "-out", str(made / f"{authority}.pem"))  # fmt: skip
    for name, authority, days in (
        ("server", "ours", "30"), ("server2", "ours", "30"), ("device", "ours", "30"), ("second", "ours", "30"),
        ("stranger", "other", "30"), ("expired", "ours", "-1"),
    ):  # fmt: skip
        key, request, certificate = made / f"{name}.key", made / f"{name}.csr", made / f"{name}.pem"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", str(key), "-out", str(request))  # fmt: skip
        validity = ["-days", days] if days != "-1" else ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"]
        if days == "-1":
            _expired(made, request, certificate)
        else:
            openssl("x509", "-req", "-in", str(request), "-CA", str(made / f"{authority}.pem"), "-CAkey",
                    str(made / f"{authority}.key"), "-CAcreateserial", *validity, "-out", str(certificate))  # fmt: skip
    return made


def _expired(made: Path, request: Path, certificate: Path) -> None:
    """``openssl ca`` alone can date back (the x509 command of 3.0 cannot)."""
    (made / "index.txt").write_text("")
    (made / "serial").write_text("1000")
    (made / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndir={made}\ndatabase={made}/index.txt\nserial={made}/serial\nnew_certs_dir={made}\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    openssl("ca", "-batch", "-config", str(made / "ca.cnf"), "-cert", str(made / "ours.pem"), "-keyfile",
            str(made / "ours.key"), "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-in", str(request),
            "-out", str(certificate), "-notext")  # fmt: skip


def fingerprint_of(certificate: Path) -> str:
    """As openssl says it."""
    line = openssl("x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256")
    return line.partition("=")[2].strip().replace(":", "").lower()


class TlsListener:
    def __init__(self, folder: Path, inbox: MemoryInbox, blobs: FileBlobs, work: Path, **limits: int) -> None:
        self.files = TlsFiles(work / "server.pem", work / "server.key", folder / "ours.pem")
        self.install(folder, "server")
        self.tls_socket = bind("127.0.0.1", 0)
        self.listener = Listener(
            inbox, blobs, "TELEREAD", "127.0.0.1", 0, Limits(**limits),
            sockets=Sockets(bind("127.0.0.1", 0), self.tls_socket), tls=ServerTls(self.files),
        )  # fmt: skip
        self.port = self.tls_socket.getsockname()[1]
        self.listener.start()

    def install(self, folder: Path, name: str) -> None:
        self.files.certificate.write_bytes((folder / f"{name}.pem").read_bytes())
        self.files.key.write_bytes((folder / f"{name}.key").read_bytes())


@pytest.fixture
def secure(folder: Path, inbox: MemoryInbox, blobs: FileBlobs, tmp_path: Path) -> Iterator[TlsListener]:
    inbox.certificates = {"QS_CT": fingerprint_of(folder / "device.pem"), "QS_DR": fingerprint_of(folder / "second.pem")}
    made = TlsListener(folder, inbox, blobs, tmp_path)
    yield made
    assert made.listener.stop(8)


def echo(port: int, folder: Path, name: str | None, calling_ae: str = "QS_CT") -> bool:
    own = ["--enable-tls", str(folder / f"{name}.key"), str(folder / f"{name}.pem")] if name else ["--anonymous-tls"]
    result = dcmtk.run(
        "echoscu", *own, "--add-cert-file", str(folder / "ours.pem"), "-aet", calling_ae, "-aec", "TELEREAD",
        "127.0.0.1", str(port), timeout_s=20,
    )  # fmt: skip
    return result.returncode == 0


def test_a_device_comes_with_its_certificate_and_with_no_other(
    secure: TlsListener, folder: Path, inbox: MemoryInbox
) -> None:
    assert echo(secure.port, folder, "device")
    assert not echo(secure.port, folder, "second")  # a good certificate, of another device
    assert inbox.refused == [("QS_CT", "TELEREAD", "127.0.0.1", "certificate_not_of_calling_ae")]
    assert not echo(secure.listener.port, folder, "device")  # TLS is not spoken on the plain port
    assert dcmtk.echoscu(secure.listener.port, "QS_CT").returncode != 0  # and who has a certificate must show it


@pytest.mark.parametrize(("name", "reason"), [
    (None, "certificate_missing"), ("stranger", "certificate_untrusted"), ("expired", "certificate_expired"),
])  # fmt: skip
def test_without_a_good_certificate_there_is_no_association(
    secure: TlsListener, folder: Path, inbox: MemoryInbox, name: str | None, reason: str
) -> None:
    assert not echo(secure.port, folder, name)
    assert wait_for(lambda: bool(inbox.refused))
    assert inbox.refused[0] == ("", "TELEREAD", "127.0.0.1", reason)
    assert not inbox.opened


def test_new_files_are_used_without_a_restart(secure: TlsListener, folder: Path) -> None:
    def served() -> str:
        shown = subprocess.run(
            [dcmtk.require("openssl"), "s_client", "-connect", f"127.0.0.1:{secure.port}", "-cert",
             str(folder / "device.pem"), "-key", str(folder / "device.key")],
            input="", capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        return next(line for line in shown.stdout.splitlines() if line.startswith("subject="))

    assert served().endswith("CN = server") or served().endswith("CN=server")
    secure.files.certificate.write_bytes((folder / "server2.pem").read_bytes())
    assert "server2" not in served()  # the key does not fit yet: the old pair still serves
    secure.install(folder, "server2")
    assert "server2" in served()
    assert echo(secure.port, folder, "device")


def test_old_tls_is_not_spoken(secure: TlsListener, folder: Path) -> None:
    result = subprocess.run(
        [dcmtk.require("openssl"), "s_client", "-connect", f"127.0.0.1:{secure.port}", "-tls1_1", "-cipher",
         "DEFAULT:@SECLEVEL=0"], input="", capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert "Cipher is (NONE)" in result.stdout or result.returncode != 0


def test_nothing_is_said_in_the_clear_to_a_tls_caller_without_a_place(
    folder: Path, inbox: MemoryInbox, blobs: FileBlobs, tmp_path: Path
) -> None:
    secure = TlsListener(folder, inbox, blobs, tmp_path, max_connections_per_source=1)
    with (
        RawModality(secure.listener.port),
        socket.create_connection(("127.0.0.1", secure.port), 5) as sock,
        suppress(ConnectionError),
    ):
        began_s = time.monotonic()
        sock.sendall(b"\x01")  # not even to what would be answered on the other port
        assert sock.recv(10) == b""
    assert time.monotonic() - began_s < 0.5
    assert wait_for(lambda: inbox.refused == [("", "TELEREAD", "127.0.0.1", "busy")])
    assert secure.listener.stop(8)


def test_half_handshakes_hold_nobody_up(secure: TlsListener, folder: Path) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", secure.port), 5))
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        began_s = time.monotonic()
        assert echo(secure.port, folder, "device")
        assert time.monotonic() - began_s < 1
