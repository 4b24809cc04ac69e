"""``teleread tls`` and ``site|device|user add``: what they write, and how they refuse; on both databases."""

import argparse
import io
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from reports.pin import decrypt_key
from tests.conftest import Clock
from tests.worklist.roofs import make_roof
from worklist import store
from worklist.__main__ import _parser
from worklist.account_service import look_up, password_matches
from worklist.account_tables import Account, SigningKey
from worklist.administration import (
    add_device_command,
    add_site_command,
    add_user_command,
    parse_peer,
    parse_signatures,
    tls_command,
)
from worklist.base.audit import AuditEvent
from worklist.base.config import ConfigError
from worklist.base.db import Database
from worklist.roof import Roof


@pytest.fixture
def roof(database: Database, clock: Clock, tmp_path: Path) -> Roof:
    return make_roof(tmp_path, database, clock)


def parsed(line: str) -> argparse.Namespace:
    return _parser().parse_args(line.split())


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def add_county(roof: Roof) -> None:
    line = "site add QINGSHAN 青山镇卫生院 --prefix QS --signatures CT=2 --return-to P@h.x:104"
    add_site_command(roof.settings, parsed(line))


def test_a_site_and_its_device_and_what_the_audit_says(roof: Roof) -> None:
    add_county(roof)
    add_device_command(roof.settings, parsed("device add QS_CT --site QINGSHAN --modality CT --address 10.1.2.3"))
    with roof.db.read() as session:
        site, device = store.site_by_code(session, "QINGSHAN"), store.device_by_ae_title(session, "QS_CT")
        acts = session.execute(select(AuditEvent.act, AuditEvent.actor, AuditEvent.object_uid)).all()
    assert site is not None
    assert device is not None
    assert (site.return_ae_title, site.return_host, site.return_port) == ("P", "h.x", 104)
    assert site.signatures_by_modality == {"*": 1, "CT": 2}
    assert (device.address_range, device.quiet_time_s, device.services) == ("10.1.2.3/32", 20, ["echo", "mpps", "store", "worklist"])
    assert [tuple(row) for row in acts] == [
        ("site.add", "system", "QINGSHAN"), ("device.add", "system", "QS_CT"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("site add QINGSHAN X --prefix QS", "QINGSHAN"), ("site add qs X --prefix QS", "qs"),
        ("site add NEW X --prefix q", "q is no accession prefix"), ("site add NEW X --prefix QS --signatures CT=3", "CT=3"),
        ("site add NEW X --prefix QS --return-to nowhere", "AE@HOST:PORT"),
    ],
)  # fmt: skip
def test_a_bad_site_is_refused_in_both_languages(roof: Roof, line: str, said: str) -> None:
    add_county(roof)
    with pytest.raises(ConfigError, match=said) as refusal:
        add_site_command(roof.settings, parsed(line))
    assert " / " in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    [
        "device add QS_CT --site NOWHERE --modality CT --address 10.1.2.3",
        "device add QS_CT --site QINGSHAN --modality CT --address here",
        "device add A\\B --site QINGSHAN --modality CT --address 10.1.2.3",
        "device add QS_CT --site QINGSHAN --modality CT --address 10.1.2.3 --quiet-time-s -1",
    ],
)
def test_a_bad_device_is_refused(roof: Roof, line: str) -> None:
    add_county(roof)
    with pytest.raises(ConfigError):
        add_device_command(roof.settings, parsed(line))


def test_a_doctor_gets_password_licence_and_key(roof: Roof, monkeypatch: pytest.MonkeyPatch) -> None:
    add_county(roof)
    typed(monkeypatch, "a-password-1\na-pin-12\n")
    line = "user add Doc 王医生 --site QINGSHAN --role reader --kinds image,ecg"
    add_user_command(roof.settings, parsed(line + " --licence 4477 --licence-until 2030-01-01"))
    with roof.db.read() as session:
        account, key = session.scalars(select(Account)).one(), session.scalars(select(SigningKey)).one()
        assert password_matches(look_up(session, "doc"), "a-password-1")
    assert (account.username, account.kinds, account.licence_number) == ("doc", ["ecg", "image"], "4477")
    assert str(account.licence_valid_until) == "2030-01-01"
    assert decrypt_key(key.encrypted_pkcs8, b"a-pin-12")


def test_someone_without_licence_gets_no_key(roof: Roof, monkeypatch: pytest.MonkeyPatch) -> None:
    add_county(roof)
    typed(monkeypatch, "a-password-1\n")
    add_user_command(roof.settings, parsed("user add tech 李 --site QINGSHAN --role technician"))
    with roof.db.read() as session:
        assert session.scalars(select(SigningKey)).all() == []


@pytest.mark.parametrize(
    ("typed_text", "extra"),
    [
        ("", ""), ("short\n", ""), ("a-password-1\n", " --licence 1 --licence-until 2030-01-01"),
        ("a-password-1\nx\n", " --licence 1 --licence-until 2030-01-01"),
        ("a-password-1\na-password-1\n", " --licence 1 --licence-until 2030-01-01"),
        ("a-password-1\na-pin-12\n", " --licence 1 --licence-until soon"),
        ("a-password-1\na-pin-12\n", " --licence 1 --licence-until 2001-01-01"),
    ],
)  # fmt: skip
def test_what_is_missing_or_weak_makes_nobody(
    roof: Roof, monkeypatch: pytest.MonkeyPatch, typed_text: str, extra: str
) -> None:
    add_county(roof)
    typed(monkeypatch, typed_text)
    with pytest.raises(ConfigError):
        add_user_command(roof.settings, parsed("user add doc 王 --site QINGSHAN --role reader" + extra))
    with roof.db.read() as session:
        assert session.scalars(select(Account)).all() == []


def test_an_old_schema_is_named(tmp_path: Path, empty_database_url: str, clock: Clock) -> None:
    roof = make_roof(tmp_path, Database(empty_database_url), clock)
    with pytest.raises(ConfigError, match="teleread migrate"):
        add_county(roof)
    roof.db.dispose()


def test_tls_files_are_believed_by_openssl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = make_settings_without_database(tmp_path)
    tls_command(settings, ["localhost", "127.0.0.1"])
    folder = settings.data_path / "tls"
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", str(folder / "authority.pem"), str(folder / "server.pem")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    assert f"TELEREAD_TLS_CERT={folder / 'server.pem'}" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="bad host"):
        tls_command(settings, ["bad host"])


def make_settings_without_database(tmp_path: Path) -> Any:
    from tests.worklist.roofs import make_settings

    return make_settings(tmp_path, "")


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("A@h:1", ("A", "h", 1)), ("MY PACS@10.0.0.1:65535", ("MY PACS", "10.0.0.1", 65535)),
        ("A@[::1]:104", ("A", "::1", 104)),
    ],
)  # fmt: skip
def test_peers_are_read(text: str, peer: tuple[str, str, int]) -> None:
    assert parse_peer(text) == peer


@pytest.mark.parametrize("text", ["", "A", "A@h", "@h:1", "A@h:0", "A@h:65536", "A@:1", "A@::1:104", "A" * 17 + "@h:1"])
def test_what_is_no_peer_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="AE@"):
        parse_peer(text)


def test_signature_rules_are_read() -> None:
    assert parse_signatures("CT=2,*=1") == {"*": 1, "CT": 2}
    assert parse_signatures("*=2") == {"*": 2}
    for text in ("CT", "CT=0", "=2", "CT=2;DR=1"):
        with pytest.raises(ConfigError):
            parse_signatures(text)
