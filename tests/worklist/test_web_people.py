"""People on /admin and a doctor's own signing key, with the real authority, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from flask import Flask
from sqlalchemy import select

from reports.pin import WrongPinError, decrypt_key
from tests.conftest import Clock
from tests.worklist.county import PASSWORD
from tests.worklist.roofs import Caller, make_pages
from worklist.account_tables import Account, SigningKey
from worklist.base.audit import AuditEvent
from worklist.roof import Roof
from worklist.web_people import people

LICENCE = {"licence_number": "110130000000999", "licence_valid_until": "2030-01-01"}
PIN = "opensesame"


@pytest.fixture
def app(roof: Roof) -> Flask:
    return make_pages(roof, [people])


def make_key(call: Caller, pin: str = PIN, password: str = PASSWORD) -> tuple[int, Any]:
    return call("POST", "/api/session/signing-key", {"password": password, "pin": pin})


def license_reader(admin: Caller, username: str = "reader-qingshan") -> None:
    status, _ = admin("PATCH", f"/api/admin/users/{username}", LICENCE)
    assert status == 200


def revoked_serials(roof: Roof) -> dict[str, str]:
    crl = x509.load_pem_x509_crl((roof.keys_dir / "ca.crl").read_bytes())
    reason = x509.CRLReason
    return {f"{row.serial_number:X}": row.extensions.get_extension_for_class(reason).value.reason.name for row in crl}


def test_a_new_person_can_log_in_and_stands_in_the_list(admin: Caller, app: Flask) -> None:
    body = {
        "username": "NewDoc", "name": "新医生", "name_en": "New", "role": "reader", "site": "COUNTY", "kinds": ["ecg"],
        "password": "abcd-1234x", **LICENCE,
    }  # fmt: skip
    status, made = admin("POST", "/api/admin/users", body)
    assert status == 201
    listed = {row["username"]: row for row in admin("GET", "/api/admin/users")[1]["users"]}
    assert listed["newdoc"] == made
    assert made == {
        "username": "newdoc", "name": "新医生", "name_en": "New", "role": "reader", "site": "COUNTY", "kinds": ["ecg"],
        "enabled": True, "locked_until": None, **LICENCE,
        "signing_key": {"state": "none", "serial": None, "valid_until": None},
    }  # fmt: skip
    Caller(app, "newdoc", "abcd-1234x")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"username": "reader-qingshan"}, 409, "username_taken"), ({"password": "short"}, 422, "password_short"),
        ({"site": "NOWHERE"}, 422, "site_unknown"), ({"role": "emperor"}, 422, "field_choice"),
        ({"kinds": ["tea"]}, 422, "field_choice"), ({"licence_valid_until": "soon"}, 422, "field_type"),
    ],
)  # fmt: skip
def test_a_bad_person_is_refused_and_not_made(admin: Caller, changes: dict[str, Any], status: int, code: str) -> None:
    body = {"username": "x1", "name": "X", "role": "reader", "site": "COUNTY", "password": "abcd-1234x"} | changes
    found, said = admin("POST", "/api/admin/users", body)
    assert (found, said["error"]["code"]) == (status, code)
    assert not any(row["username"] == "x1" for row in admin("GET", "/api/admin/users")[1]["users"])


def test_a_doctor_makes_a_key_that_opens_with_the_pin_alone(app: Flask, admin: Caller, roof: Roof) -> None:
    license_reader(admin)
    reader = Caller(app, "reader-qingshan")
    status, said = make_key(reader)
    assert (status, said["state"]) == (201, "valid")
    with roof.db.read() as session:
        key = session.scalars(select(SigningKey)).one()
        rows = [f"{row.act} {row.details}" for row in session.scalars(select(AuditEvent))]
    assert decrypt_key(key.encrypted_pkcs8, PIN.encode())
    with pytest.raises(WrongPinError):
        decrypt_key(key.encrypted_pkcs8, b"opensesam3")
    subject = x509.load_pem_x509_certificate(key.certificate_pem.encode()).subject.rfc4514_string()
    assert LICENCE["licence_number"] in subject
    assert "signing_key.make" in " ".join(rows)
    assert PIN not in " ".join(rows)
    assert make_key(reader)[1]["error"]["code"] == "signing_key_exists"


@pytest.mark.parametrize(
    ("pin", "code"),
    [("12345", "pin_short"), ("777777", "pin_plain"), (PASSWORD, "pin_is_password"), ("x1" * 40, "field_too_long")],
)
def test_a_bad_pin_makes_no_key(app: Flask, admin: Caller, pin: str, code: str) -> None:
    license_reader(admin)
    status, said = make_key(Caller(app, "reader-qingshan"), pin)
    assert (status, said["error"]["code"]) == (422, code)


def test_wrong_passwords_are_counted_until_the_account_locks(app: Flask, admin: Caller) -> None:
    license_reader(admin)
    reader = Caller(app, "reader-qingshan")
    assert [make_key(reader, password="wrong")[0] for _ in range(6)] == [422] * 5 + [423]
    assert make_key(reader)[0] == 423
    assert admin("POST", "/api/admin/users/reader-qingshan/unlock", {})[1]["locked_until"] is None
    assert make_key(reader)[0] == 201


@pytest.mark.parametrize(
    ("licence", "code"), [({}, "licence_missing"), (LICENCE | {"licence_valid_until": "2026-03-01"}, "licence_expired")]
)
def test_no_key_without_a_valid_licence(app: Flask, admin: Caller, licence: dict[str, str], code: str) -> None:
    if licence:
        admin("PATCH", "/api/admin/users/reader-qingshan", licence)
    status, said = make_key(Caller(app, "reader-qingshan"))
    assert (status, said["error"]["code"]) == (403, code)


def test_what_was_typed_by_mistake_can_be_emptied(app: Flask, admin: Caller) -> None:
    at = "/api/admin/users/reader-qingshan"
    admin("PATCH", at, LICENCE)
    assert admin("PATCH", at, {"name_en": "Reader"})[1]["licence_valid_until"] == LICENCE["licence_valid_until"]
    assert admin("PATCH", at, {"licence_number": "", "licence_valid_until": None})[1]["licence_valid_until"] is None
    assert make_key(Caller(app, "reader-qingshan"))[1]["error"]["code"] == "licence_missing"


def test_a_licence_ends_with_the_day_of_the_place(app: Flask, admin: Caller, clock: Clock) -> None:
    """On the last day it still counts when UTC has gone on (or not yet begun the next)."""
    admin("PATCH", "/api/admin/users/reader-qingshan", LICENCE | {"licence_valid_until": "2026-03-02"})
    clock.at = datetime(2026, 3, 2, 16, 30, tzinfo=UTC)  # 00:30 of the 3rd in Asia/Shanghai
    status, said = make_key(Caller(app, "reader-qingshan"))
    assert (status, said["error"]["code"]) == (403, "licence_expired")
    clock.at = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
    assert make_key(Caller(app, "reader-qingshan"))[0] == 201


def test_who_signs_nothing_makes_no_key(app: Flask) -> None:
    for username in ("technician-qingshan", "trainee-qingshan", "admin-qingshan"):
        assert make_key(Caller(app, username))[0] == 403


def test_a_revoked_key_stands_on_the_list_and_a_new_one_follows(app: Flask, admin: Caller, roof: Roof) -> None:
    license_reader(admin)
    reader = Caller(app, "reader-qingshan")
    serial = make_key(reader)[1]["serial"]
    path = "/api/admin/users/reader-qingshan/signing-key/revoke"
    status, said = admin("POST", path, {"reason": "key_compromise"})
    assert (status, said["signing_key"]["state"]) == (200, "revoked")
    assert revoked_serials(roof) == {serial: "key_compromise"}
    assert admin("POST", path, {})[0] == 200  # twice changes nothing
    assert revoked_serials(roof) == {serial: "key_compromise"}
    status, said = make_key(reader, "another-pin")
    assert (status, said["state"]) == (201, "valid")
    assert said["serial"] != serial


def test_a_locked_key_needs_revocation_first(app: Flask, admin: Caller, roof: Roof, clock: Clock) -> None:
    license_reader(admin)
    reader = Caller(app, "reader-qingshan")
    make_key(reader)
    with roof.db.write() as session:
        session.scalars(select(SigningKey)).one().locked_at = clock()
    assert make_key(reader)[1]["error"]["details"] == {"state": "locked"}


def test_an_expired_key_is_followed_by_a_new_one(app: Flask, admin: Caller, roof: Roof, clock: Clock) -> None:
    license_reader(admin)
    make_key(Caller(app, "reader-qingshan"))
    clock.forward(timedelta(days=731).total_seconds())
    reader = Caller(app, "reader-qingshan")
    assert reader("GET", "/api/session/signing-key")[1]["state"] == "expired"
    assert make_key(reader)[0] == 201


@pytest.mark.parametrize(
    ("change", "state"),
    [({"name": "新名"}, "revoked"), ({"role": "reviewer"}, "revoked"), ({"role": "technician"}, "revoked"),
     ({"licence_number": "1"}, "revoked"), ({"site": "BAISHUI"}, "valid"), ({"name_en": "X"}, "valid")],
)  # fmt: skip
def test_a_certificate_that_is_no_longer_true_is_revoked(
    app: Flask, admin: Caller, roof: Roof, change: dict[str, str], state: str
) -> None:
    license_reader(admin)
    serial = make_key(Caller(app, "reader-qingshan"))[1]["serial"]
    status, said = admin("PATCH", "/api/admin/users/reader-qingshan", change)
    assert (status, said["signing_key"]["state"]) == (200, state)
    assert revoked_serials(roof) == ({serial: "affiliation_changed"} if state == "revoked" else {})


def test_a_new_password_ends_every_login(app: Flask, admin: Caller) -> None:
    reader = Caller(app, "reader-qingshan")
    assert admin("POST", "/api/admin/users/reader-qingshan/password", {"password": "short"})[0] == 422
    assert admin("POST", "/api/admin/users/reader-qingshan/password", {"password": "brand-new-1"})[0] == 200
    assert reader("GET", "/api/session/signing-key")[0] == 401
    Caller(app, "reader-qingshan", "brand-new-1")


def test_a_closed_account_is_logged_out_and_admins_cannot_close_themselves(app: Flask, admin: Caller) -> None:
    reader = Caller(app, "reader-qingshan")
    assert admin("PATCH", "/api/admin/users/reader-qingshan", {"enabled": False})[1]["enabled"] is False
    assert reader("GET", "/api/session/signing-key")[0] == 401
    assert admin("PATCH", "/api/admin/users/admin-qingshan", {"enabled": False})[1]["error"]["code"] == "account_own"


def test_a_refused_change_revokes_nothing(app: Flask, admin: Caller, roof: Roof) -> None:
    license_reader(admin)
    make_key(Caller(app, "reader-qingshan"))
    status, _ = admin("PATCH", "/api/admin/users/reader-qingshan", {"name": "新名", "site": "NOWHERE"})
    assert status == 422
    assert revoked_serials(roof) == {}
    with roof.db.read() as session:
        assert session.scalars(select(Account).where(Account.username == "reader-qingshan")).one().name == "张reader"


def test_nobody_else_administers_people(app: Flask) -> None:
    for username in ("reader-qingshan", "manager-qingshan", "technician-qingshan", "clinician-qingshan"):
        call = Caller(app, username)
        assert call("GET", "/api/admin/users")[0] == 403
        assert call("POST", "/api/admin/users/reader-baishui/password", {"password": "x"})[0] == 403
        assert call("POST", "/api/admin/users/reader-baishui/signing-key/revoke", {})[0] == 403
    admin = Caller(app, "admin-qingshan")
    assert admin("PATCH", "/api/admin/users/nobody", {"name": "x"})[0] == 404
    assert admin("POST", "/api/admin/users/reader-qingshan/signing-key/revoke", {})[0] == 404
