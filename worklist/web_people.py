"""People on /admin, and a doctor's own signing key. [web]"""

from datetime import date, datetime
from typing import Any

from flask import Blueprint
from sqlalchemy.orm import Session

from worklist import people_service, store
from worklist.access import KINDS, ROLES, Act, Refused
from worklist.account_service import (
    LONGEST_PASSWORD,
    LoginRefused,
    check_password,
    confirm,
    create_account,
    hash_password,
    look_up,
    normal_username,
    password_matches,
    set_password,
    update_account,
)
from worklist.people_service import LONGEST_PIN, REVOCATION_REASONS, Person
from worklist.web import (
    Field,
    WebError,
    actor,
    adapter,
    now,
    read,
    read_json,
    register_codes,
    route_needs,
    source,
    today,
    write,
)
from worklist.web_errors import status_of

people = Blueprint("people", __name__)

register_codes(
    {"signing_key_exists": 409, "signing_key_changed": 409, "licence_missing": 403, "licence_expired": 403}
)  # fmt: skip

PERSON = {
    "name": Field(str, False, 64, min_len=1), "name_en": Field(str, False, 64),
    "role": Field(str, False, choices=ROLES), "site": Field(str, False, 32),
    "kinds": Field(list, False, 2, items=Field(str, choices=KINDS)),
    "enabled": Field(bool, False), "licence_number": Field(str, False, 32),
    "licence_valid_until": Field(str, False, 10, nullable=True),
}  # fmt: skip
PASSWORD = Field(str, max_len=LONGEST_PASSWORD, min_len=1)
NEW_PERSON = {
    **{name: field for name, field in PERSON.items() if name != "enabled"},
    "username": Field(str, max_len=64, min_len=1), "name": Field(str, True, 64, min_len=1),
    "role": Field(str, choices=ROLES), "site": Field(str, max_len=32), "password": PASSWORD,
}  # fmt: skip
NEW_PASSWORD = {"password": PASSWORD}
REVOKE = {"reason": Field(str, False, choices=REVOCATION_REASONS)}
SIGNING_KEY = {"password": PASSWORD, "pin": Field(str, max_len=LONGEST_PIN)}


@people.get("/api/admin/users")
@route_needs(Act.ADMIN_ACCOUNTS, summary="All people with roles and signing keys", touches=False)
def users() -> dict[str, Any]:
    with read() as session:
        return {"users": [person_json(person) for person in people_service.people(session, actor())]}


def person_json(person: Person) -> dict[str, Any]:
    """A person as administration sees them."""
    account = person.account
    return {
        "username": account.username, "name": account.name, "name_en": account.name_en, "role": account.role,
        "site": person.site.code, "kinds": account.kinds, "licence_number": account.licence_number,
        "licence_valid_until": _text(account.licence_valid_until), "enabled": account.enabled,
        "locked_until": _lock(account.locked_until), "signing_key": key_json(person),
    }  # fmt: skip


def key_json(person: Person) -> dict[str, Any]:
    """What may be known of a signing key."""
    key = person.key
    return {
        "state": people_service.key_state(key, now()), "serial": key.serial if key else None,
        "valid_until": _text(key.valid_until) if key else None,
    }  # fmt: skip


def _lock(until: datetime | None) -> str | None:
    """A lock that has run out is none."""
    return until.isoformat() if until is not None and now() < until else None


@people.post("/api/admin/users")
@route_needs(Act.ADMIN_ACCOUNTS, summary="A new person", body=NEW_PERSON, answers={201: "made", 409: "name taken"})
def add_user() -> tuple[dict[str, Any], int]:
    body = read_json(NEW_PERSON)
    username = normal_username(body["username"])
    check_password(body["password"], username)
    valid_until = _day(body.get("licence_valid_until"))
    password_hash = hash_password(body["password"])
    with write() as session:
        account = create_account(
            session, actor(), username=username, password_hash=password_hash, name=body["name"], role=body["role"],
            site_id=_site_id(session, body["site"]), kinds=body.get("kinds", ()), name_en=body.get("name_en", ""),
            now=now(),
        )  # fmt: skip
        if body.get("licence_number") or valid_until:
            people_service.change_licence(
                session, actor(), account, now(), licence_number=body.get("licence_number"),
                licence_valid_until=valid_until,
            )  # fmt: skip
        session.flush()
        return person_json(people_service.person_by_username(session, username)), 201


@people.patch("/api/admin/users/<username>")
@route_needs(Act.ADMIN_ACCOUNTS, summary="Change a person; a certificate no longer true is revoked", body=PERSON)
def change_user(username: str) -> dict[str, Any]:
    body = read_json(PERSON)
    valid_until = _day(body.get("licence_valid_until"))
    with read() as session:
        before = people_service.person_by_username(session, username)
    untrue = before.key if people_service.is_certificate_untrue(before, body) else None
    with write() as session:
        account = before.account
        update_account(
            session, actor(), account.id, now=now(), role=body.get("role"), kinds=body.get("kinds"),
            site_id=_site_id(session, body["site"]) if "site" in body else None, name=body.get("name"),
            enabled=body.get("enabled"),
        )  # fmt: skip
        if {"name_en", "licence_number", "licence_valid_until"} & set(body):
            person = people_service.person_by_username(session, username)
            people_service.change_licence(
                session, actor(), person.account, now(), name_en=body.get("name_en"),
                licence_number=body.get("licence_number"), licence_valid_until=valid_until,
                ends_licence="licence_valid_until" in body and valid_until is None,
            )  # fmt: skip
        if untrue is not None:
            # The list first: were it written after the row, a fault between the two would leave a key that signs.
            adapter("revoke_certificate")(untrue.serial, "affiliation_changed", now())
            people_service.note_revoked(
                session, actor(), username, now(), serial=untrue.serial, reason="affiliation_changed"
            )
        session.flush()
        return person_json(people_service.person_by_username(session, username))


@people.post("/api/admin/users/<username>/password")
@route_needs(Act.ADMIN_ACCOUNTS, summary="Give a new password; every login of the person ends", body=NEW_PASSWORD)
def give_password(username: str) -> dict[str, Any]:
    password = read_json(NEW_PASSWORD)["password"]
    check_password(password, username)
    password_hash = hash_password(password)
    with write() as session:
        person = people_service.person_by_username(session, username)
        set_password(session, actor(), person.account.id, password_hash, now())
        return person_json(person)


@people.post("/api/admin/users/<username>/unlock")
@route_needs(Act.ADMIN_ACCOUNTS, summary="Open the lock of wrong passwords")
def unlock_user(username: str) -> dict[str, Any]:
    with write() as session:
        return person_json(people_service.unlock(session, actor(), username, now()))


@people.post("/api/admin/users/<username>/signing-key/revoke")
@route_needs(Act.ADMIN_ACCOUNTS, summary="Revoke the signing key; the person makes a new one", body=REVOKE)
def revoke_key(username: str) -> dict[str, Any]:
    """``key_compromise`` takes earlier signatures along; the default (superseded: PIN forgotten or locked) does not."""
    reason = read_json(REVOKE).get("reason", "superseded")
    with read() as session:
        key = people_service.person_by_username(session, username).key
    if key is None:
        raise Refused("not_found")
    adapter("revoke_certificate")(key.serial, reason, now())
    with write() as session:
        people_service.note_revoked(session, actor(), username, now(), serial=key.serial, reason=reason)
        return person_json(people_service.person_by_username(session, username))


@people.get("/api/session/signing-key")
@route_needs(Act.REPORT_SIGN, summary="My signing key", touches=False)
def own_key() -> dict[str, Any]:
    with read() as session:
        return key_json(people_service.person_by_username(session, actor().username))


@people.post("/api/session/signing-key")
@route_needs(
    Act.REPORT_SIGN, summary="Make my signing key under a PIN of my own", body=SIGNING_KEY,
    answers={201: "made", 401: "wrong password", 409: "a key that signs exists", 423: "locked"},
)  # fmt: skip
def make_own_key() -> tuple[dict[str, Any], int]:
    """The PIN goes into the new key and nowhere else; the key leaves the maker encrypted."""
    body = read_json(SIGNING_KEY)
    people_service.check_pin(body["pin"], body["password"])
    _confirm_password(body["password"])
    with read() as session:
        person = people_service.person_by_username(session, actor().username)
    people_service.check_may_have_key(person, now(), today())
    account = person.account
    made = adapter("new_doctor_key")(
        account.name, account.licence_number, people_service.may_review(account.role), body["pin"], now()
    )
    with write() as session:
        fresh = people_service.person_by_username(session, account.username)
        if _facts(fresh) != _facts(person):  # the new certificate says what is no longer true
            raise Refused("signing_key_changed")
        key = people_service.keep_key(session, actor(), fresh, made, now(), today())
        return key_json(Person(fresh.account, fresh.site, key)), 201


def _facts(person: Person) -> tuple[str, str, bool]:
    """What a certificate says of its holder."""
    account = person.account
    return account.name, account.licence_number, people_service.may_review(account.role)


def _confirm_password(password: str) -> None:
    """Raises WebError 401 or 423; the failure is counted and recorded."""
    with read() as session:
        attempt = look_up(session, actor().username)
    matches = password_matches(attempt, password)
    with write() as session:
        refused = confirm(session, attempt, matches, now=now(), source=source())
    if isinstance(refused, LoginRefused):
        # 422, not 401, for a wrong one: the login itself still stands.
        status = 422 if refused.code == "invalid_credentials" else status_of(refused.code)
        raise WebError(status, refused.code, **refused.params)


def _site_id(session: Session, code: str) -> int:
    """Raises Refused("site_unknown")."""
    site = store.site_by_code(session, code)
    if site is None:
        raise Refused("site_unknown")
    return site.id


def _day(text: str | None) -> date | None:
    """Raises WebError 422 for anything but YYYY-MM-DD."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise WebError(422, "field_type", field="licence_valid_until", type="YYYY-MM-DD") from None


def _text(moment: date | datetime | None) -> str | None:
    return moment.isoformat() if moment else None
