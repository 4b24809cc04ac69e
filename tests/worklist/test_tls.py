"""The local authority and its server certificates, judged by OpenSSL and by a real TLS handshake."""

import socket
import ssl
import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.peers.dcmtk import require
from worklist.base.i18n import catalog
from worklist.tls import TlsError, TlsFiles, make_tls

HOSTS = ["reader.county.example", "阅片.example", "127.0.0.1", "::1"]


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return make_tls(tmp_path / "tls", HOSTS, datetime.now(UTC))


def handshake(files: TlsFiles, host: str) -> str:
    """The TLS version that a client trusting the authority agrees on with a server using the files."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=str(files.authority))
    near, far = socket.socketpair()

    def serve() -> None:
        with far:
            try:
                server.wrap_socket(far, server_side=True).close()
            except (ssl.SSLError, ConnectionError):
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with near, client.wrap_socket(near, server_hostname=host) as connection:
            return connection.version() or ""
    finally:
        thread.join()


@pytest.mark.parametrize("host", ["reader.county.example", "阅片.example", "127.0.0.1", "::1"])
def test_a_browser_that_trusts_the_authority_connects(files: TlsFiles, host: str) -> None:
    assert handshake(files, host) == "TLSv1.3"


def test_another_name_is_not_vouched_for(files: TlsFiles) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, "other.county.example")


def test_openssl_verifies_the_chain_and_reads_the_names(files: TlsFiles) -> None:
    openssl = require("openssl")
    verify = [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(files.authority)]
    assert (
        subprocess.run([*verify, str(files.certificate)], capture_output=True, check=True)
        .stdout.strip()
        .endswith(b"OK")
    )
    text = subprocess.run(
        [openssl, "x509", "-in", str(files.certificate), "-noout", "-ext", "subjectAltName", "-enddate"],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    assert "DNS:reader.county.example" in text
    assert "DNS:xn--" in text
    assert "IP Address:127.0.0.1" in text


def test_files_are_for_their_owner_alone(files: TlsFiles) -> None:
    folder = files.key.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert {path.name for path in folder.iterdir()} == {"authority.pem", "authority.key", "server.pem", "server.key"}


def test_the_authority_stays_and_servers_change(files: TlsFiles) -> None:
    before = files.authority.read_bytes(), files.certificate.read_bytes()
    again = make_tls(files.key.parent, ["10.0.0.5"], datetime.now(UTC))
    assert again.authority.read_bytes() == before[0]
    assert again.certificate.read_bytes() != before[1]
    assert handshake(again, "10.0.0.5") == "TLSv1.3"


@pytest.mark.parametrize("host", ["", "a b", "x/y", "..", "ex_ample.org", "a" * 70 + ".example"])
def test_hosts_that_are_none(tmp_path: Path, host: str) -> None:
    with pytest.raises(TlsError) as error:
        make_tls(tmp_path / "tls", [host], datetime.now(UTC))
    assert error.value.code == "host_invalid"
    assert not (tmp_path / "tls").exists()


def test_an_authority_that_cannot_be_used_is_told_not_replaced(files: TlsFiles) -> None:
    folder, now = files.key.parent, datetime.now(UTC)
    with pytest.raises(TlsError, match="no_hosts"):
        make_tls(folder, [], now)
    with pytest.raises(TlsError, match="authority_expires"):
        make_tls(folder, HOSTS, now + timedelta(days=3650 - 396))
    (folder / "authority.key").write_bytes(b"cut off")
    with pytest.raises(TlsError, match="authority_broken"):
        make_tls(folder, HOSTS, now)
    assert (folder / "authority.key").read_bytes() == b"cut off"
    for code in ("no_hosts", "host_invalid", "authority_broken", "authority_expires"):
        assert f"tls.{code}" in catalog()
