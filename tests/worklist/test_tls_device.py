"""``teleread tls device AE_TITLE``: DCMTK's echoscu comes with the certificate and is believed, without it is not."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from pacs_bridge.listener import Listener, Sockets, bind
from pacs_bridge.tls_context import ServerTls, TlsFiles
from tests.peers import dcmtk
from tests.peers.township import Township
from worklist.administration import device_tls_command
from worklist.base.config import ConfigError, Settings
from worklist.listen import make_inbox
from worklist.tables import Device
from worklist.tls import make_tls


def settings_of(county: Township) -> Settings:
    """As the command reads them: with the address of the township's database."""
    return replace(county.roof.settings, database_url=county.roof.db.url.render_as_string(hide_password=False))


def echo(port: int, ae_title: str, *options: str) -> int:
    command = [dcmtk.require("echoscu"), *options, "-aet", ae_title, "-aec", "TELEREAD", "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode


def test_a_device_comes_with_the_certificate_that_was_made_for_it(
    county: Township, capsys: pytest.CaptureFixture[str]
) -> None:
    roof = county.roof
    settings, folder = settings_of(county), roof.settings.data_path / "tls"
    server = make_tls(folder, ["127.0.0.1"], roof.now())
    device_tls_command(settings, "QS_CT")
    said = capsys.readouterr().out
    certificate, key, authority = (Path(line.strip()) for line in said.splitlines()[-3:])
    assert "设备证书已登记" in said and "device certificate registered: QS_CT" in said
    assert {path.stat().st_mode & 0o777 for path in (certificate, key, authority)} == {0o600}
    fingerprint = subprocess.run(
        [dcmtk.require("openssl"), "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256", "-enddate"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    verify = [dcmtk.require("openssl"), "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", str(authority)]
    assert subprocess.run([*verify, str(certificate)], capture_output=True, check=False).stdout.strip().endswith(b"OK")
    with roof.db.read() as session:
        device = session.scalars(select(Device).where(Device.ae_title == "QS_CT")).one()
    assert device.certificate_sha256 == re.sub(r".*=|:", "", fingerprint.splitlines()[0]).lower()
    assert device.certificate_valid_until is not None
    assert f"{device.certificate_valid_until:%b}" in fingerprint.splitlines()[1]

    inbox, tls_socket = make_inbox(roof, "listener:here:1"), bind("127.0.0.1", 0)
    listener = Listener(
        inbox, roof.blobs, "TELEREAD", "127.0.0.1", 0, sockets=Sockets(bind("127.0.0.1", 0), tls_socket),
        tls=ServerTls(TlsFiles(server.certificate, server.key, authority)),
    )  # fmt: skip
    listener.start()
    port = tls_socket.getsockname()[1]
    own = ["+tls", str(key), str(certificate), "+cf", str(authority)]
    try:
        assert echo(port, "QS_CT", *own) == 0
        assert echo(port, "QS_DR", *own) != 0  # nobody comes with another's
        assert echo(port, "QS_CT", "+tla", "+cf", str(authority)) != 0  # TLS without a certificate
        assert echo(listener.port, "QS_CT") != 0  # its title alone is not enough any more
    finally:
        assert listener.stop(8)
        inbox.close()


def test_an_unknown_device_gets_none(county: Township) -> None:
    with pytest.raises(ConfigError):
        device_tls_command(settings_of(county), "NOBODY")
    assert not list(county.roof.settings.data_path.glob("tls/device-*"))
