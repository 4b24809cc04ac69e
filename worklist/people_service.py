"""Licences and signing keys of people: given, changed, revoked; every change is an audit row. [service]

The keys themselves are made by an adapter (``reports.certificate``) before the transaction; here stands
who may have one, and what makes one untrue. A certificate says name, licence number and report roles of
its holder: when one of these changes it is revoked, and the person makes a new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.access import ACTS_BY_ROLE, Act, Actor, Refused, check
from worklist.account_tables import Account, SigningKey
from worklist.base import audit
from worklist.tables import Site

SHORTEST_PIN, LONGEST_PIN = 6, 64
# Why a certificate is revoked (RFC 5280 5.3.1). Only the first takes earlier signatures along.
REVOCATION_REASONS = ("key_compromise", "superseded", "affiliation_changed", "cessation_of_operation")


@dataclass(frozen=True)
class Person:
    """An account with its site and signing key, as administration sees it."""

    account: Account
    site: Site
    key: SigningKey | None


def people(session: Session, actor: Actor) -> Sequence[Person]:
    """Everyone, by user name. Raises Refused("forbidden")."""
    check(actor, Act.ADMIN_ACCOUNTS)
    rows = session.execute(_people().order_by(Account.username))
    return [Person(account, site, key) for account, site, key in rows]


def person_by_username(session: Session, username: str) -> Person:
    """Raises Refused("not_found")."""
    row = session.execute(_people().where(Account.username == username)).first()
    if row is None:
        raise Refused("not_found")
    return Person(*row)


def _people() -> Any:
    return (
        select(Account, Site, SigningKey)
        .join(Site, Site.id == Account.site_id)
        .outerjoin(SigningKey, SigningKey.account_id == Account.id)
    )


def key_state(key: SigningKey | None, now: datetime) -> str:
    """none, revoked, expired, locked or valid."""
    if key is None:
        return "none"
    if key.revoked_at is not None:
        return "revoked"
    if now >= key.valid_until:
        return "expired"
    return "locked" if key.locked_at is not None else "valid"


def check_pin(pin: str, password: str | None = None) -> None:
    """Raises Refused: pin_short, pin_long, pin_plain (one character over and over), pin_is_password."""
    if len(pin) < SHORTEST_PIN:
        raise Refused("pin_short", min_len=SHORTEST_PIN)
    if len(pin) > LONGEST_PIN:
        raise Refused("pin_long", max_len=LONGEST_PIN)
    if len(set(pin)) < 3:
        raise Refused("pin_plain")
    if password is not None and pin == password:
        raise Refused("pin_is_password")


def may_review(role: str) -> bool:
    """Whether certificates of this role say that their holder may sign second."""
    return Act.REPORT_VERIFY in ACTS_BY_ROLE.get(role, frozenset())


def check_may_have_key(person: Person, now: datetime, today: date) -> None:
    """``today``: the day where the key is made.

    Raises Refused: forbidden (the role signs nothing), licence_missing, licence_expired, signing_key_exists.
    """
    account = person.account
    if Act.REPORT_SIGN not in ACTS_BY_ROLE.get(account.role, frozenset()) or not account.enabled:
        raise Refused("forbidden", act=str(Act.REPORT_SIGN))
    if not account.licence_number or account.licence_valid_until is None:
        raise Refused("licence_missing")
    if account.licence_valid_until < today:
        raise Refused("licence_expired")
    state = key_state(person.key, now)
    if state in ("valid", "locked"):
        raise Refused("signing_key_exists", state=state)


def keep_key(
    session: Session, actor: Actor | None, person: Person, made: Any, now: datetime, today: date
) -> SigningKey:
    """Keep a new key in the place of none, a revoked or an expired one. ``made``: encrypted_pkcs8, certificate_pem,
    serial, valid_until. ``actor`` None: the server's own command line.

    Raises what ``check_may_have_key`` raises: asked again here, on the locked row.
    """
    key = session.get(SigningKey, person.account.id, with_for_update=True, populate_existing=True)
    check_may_have_key(Person(person.account, person.site, key), now, today)
    if key is None:
        key = SigningKey(account_id=person.account.id)
        session.add(key)
    key.encrypted_pkcs8, key.certificate_pem = made.encrypted_pkcs8, made.certificate_pem
    key.serial, key.valid_until, key.created_at = made.serial, made.valid_until, now
    key.failed_pins, key.locked_at, key.revoked_at = 0, None, None
    session.flush()
    _audit(session, actor, "signing_key.make", person.account.username, now, serial=made.serial)
    return key


def note_revoked(
    session: Session, actor: Actor, username: str, now: datetime, *, serial: str, reason: str
) -> SigningKey:
    """The certificate stands on the revocation list already: its key signs no more.

    Raises Refused: forbidden, not_found (no key), signing_key_changed (another one came meanwhile).
    """
    check(actor, Act.ADMIN_ACCOUNTS)
    person = person_by_username(session, username)
    key = session.get(SigningKey, person.account.id, with_for_update=True, populate_existing=True)
    if key is None:
        raise Refused("not_found")
    if key.serial != serial:
        raise Refused("signing_key_changed")
    if key.revoked_at is None:
        key.revoked_at = now
        _audit(session, actor, "signing_key.revoke", username, now, serial=serial, reason=reason)
    return key


def is_certificate_untrue(person: Person, changes: Mapping[str, Any]) -> bool:
    """Whether ``changes`` (name, role, licence_number) take the truth from a key that could still sign."""
    account, key = person.account, person.key
    if key is None or key.revoked_at is not None:
        return False
    role = changes.get("role", account.role)
    return (
        changes.get("name", account.name) != account.name
        or changes.get("licence_number", account.licence_number) != account.licence_number
        or may_review(role) != may_review(account.role)
        or Act.REPORT_SIGN not in ACTS_BY_ROLE.get(role, frozenset())
    )


def change_licence(
    session: Session, actor: Actor | None, account: Account, now: datetime, *,
    name_en: str | None = None, licence_number: str | None = None, licence_valid_until: date | None = None,
    ends_licence: bool = False,
) -> None:  # fmt: skip
    """Change what is not None; ``ends_licence``: no date stands, and nothing is signed. Raises Refused("forbidden")."""
    if actor is not None:
        check(actor, Act.ADMIN_ACCOUNTS)
    account.name_en = account.name_en if name_en is None else name_en
    account.licence_number = account.licence_number if licence_number is None else licence_number
    if licence_valid_until is not None or ends_licence:
        account.licence_valid_until = licence_valid_until
    until = account.licence_valid_until
    details = {"licence_number": account.licence_number, "valid_until": until.isoformat() if until else None}
    _audit(session, actor, "account.licence", account.username, now, **details)


def unlock(session: Session, actor: Actor, username: str, now: datetime) -> Person:
    """Open the lock of wrong passwords. Raises Refused: forbidden, not_found."""
    check(actor, Act.ADMIN_ACCOUNTS)
    person = person_by_username(session, username)
    person.account.failed_logins, person.account.locked_until = 0, None
    _audit(session, actor, "account.unlock", username, now)
    return person


def _audit(session: Session, actor: Actor | None, act: str, username: str, now: datetime, **details: Any) -> None:
    audit.record(
        session, now=now, actor=actor.username if actor else "system", role=actor.role if actor else "",
        site=actor.site_code if actor else "", act=act, object_type="account", object_uid=username, details=details,
    )  # fmt: skip
