"""People, their passwords, and the attempt to log in. [service]

A login has three steps, so that the slow hash never holds a transaction open: ``look_up`` reads,
``password_matches`` computes, ``log_in`` decides and writes. A refused login is a value, not an
exception: its count and its audit row must be committed.
"""

import hashlib
import math
import re
import threading
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import argon2
from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.access import KINDS, ROLES, Act, Actor, Refused, check
from worklist.account_tables import Account
from worklist.base import audit
from worklist.session_service import OpenedSession, end_all, open_session
from worklist.tables import Site

TRIES = 5
LOCKED_FOR = timedelta(minutes=15)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 256
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
# Each hash takes 64 MiB and all lanes of a core; more at once would only starve the images.
_HASHING = threading.BoundedSemaphore(2)
_HASHER = argon2.PasswordHasher()


class AccountError(Exception):
    """An account cannot be made or changed so; each function names its codes."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


@dataclass(frozen=True)
class Attempt:
    """A user name that wants to log in, and the hash to compare with. ``account_id`` None: nobody's name."""

    username: str
    account_id: int | None
    password_hash: str | None


@dataclass(frozen=True)
class LoginRefused:
    """``invalid_credentials`` with the tries that remain, or ``locked`` with the seconds until it opens."""

    code: str
    params: dict[str, Any]


def normal_username(text: str) -> str:
    """The one spelling of a user name: trimmed, lower case, compatibility forms folded."""
    return unicodedata.normalize("NFKC", text).strip().lower()


def check_password(password: str, username: str) -> None:
    """Raises AccountError: password_short, password_long, password_plain (one character, or the user name)."""
    if len(password) < SHORTEST_PASSWORD:
        raise AccountError("password_short", min_len=SHORTEST_PASSWORD)
    if len(password) > LONGEST_PASSWORD:
        raise AccountError("password_long", max_len=LONGEST_PASSWORD)
    if len(set(password)) < 4 or username.lower() in password.lower():
        raise AccountError("password_plain")


def hash_password(password: str) -> str:
    """argon2id of the password, with its salt; about 50 ms, so call it outside a transaction."""
    with _HASHING:
        return _HASHER.hash(password)


@cache
def _nobodys_hash() -> str:
    return hash_password("nobody has this password")


def look_up(session: Session, username: str) -> Attempt:
    """What to compare a password with; an unknown or closed account gives an attempt that cannot succeed."""
    name = normal_username(username)[:64]
    account = session.scalar(select(Account).where(Account.username == name, Account.enabled))
    return Attempt(name, account.id if account else None, account.password_hash if account else None)


def password_matches(attempt: Attempt, password: str) -> bool:
    """Whether the password is right; takes equally long for names nobody has."""
    known = attempt.password_hash
    try:
        with _HASHING:
            _HASHER.verify(known or _nobodys_hash(), password[:LONGEST_PASSWORD])
    except argon2.exceptions.VerificationError:
        return False
    return known is not None and len(password) <= LONGEST_PASSWORD


def log_in(
    session: Session, attempt: Attempt, matches: bool, *, kind: str, now: datetime, source: str
) -> OpenedSession | LoginRefused:
    """Open a login of ``kind`` browser or token, or count the failure; both leave an audit row."""
    account = None
    if attempt.account_id is not None:
        account = session.get(Account, attempt.account_id, with_for_update=True, populate_existing=True)
    if account is None or not account.enabled:
        return _refuse_nobody(session, attempt.username, now, source)
    if account.locked_until is not None and now < account.locked_until:
        return _refuse(session, account, _locked(account.locked_until, now), now, source)
    # The hash was compared outside this transaction: a password changed since then does not count.
    if not matches or account.password_hash != attempt.password_hash:
        return _count_failure(session, account, now, source)
    account.failed_logins, account.locked_until = 0, None
    opened = open_session(session, account, kind=kind, now=now, source=source)
    _record(session, opened.actor, "account.login", account.username, now, details={"kind": kind, "source": source})
    return opened


def confirm(session: Session, attempt: Attempt, matches: bool, *, now: datetime, source: str) -> LoginRefused | None:
    """Whether someone who is logged in knew their password; a wrong one is counted as at the login."""
    account = session.get(Account, attempt.account_id or 0, with_for_update=True, populate_existing=True)
    if account is None or not account.enabled:
        return _refuse_nobody(session, attempt.username, now, source)
    if account.locked_until is not None and now < account.locked_until:
        return _refuse(session, account, _locked(account.locked_until, now), now, source)
    if not matches or account.password_hash != attempt.password_hash:
        return _count_failure(session, account, now, source)
    account.failed_logins, account.locked_until = 0, None
    return None


def _count_failure(session: Session, account: Account, now: datetime, source: str) -> LoginRefused:
    if account.locked_until is not None:  # the lock has run out: counting starts again
        account.failed_logins, account.locked_until = 0, None
    account.failed_logins += 1
    if account.failed_logins >= TRIES:
        account.locked_until = now + LOCKED_FOR
    refusal = LoginRefused("invalid_credentials", {"remaining": max(0, TRIES - account.failed_logins)})
    return _refuse(session, account, refusal, now, source)


def _refuse(session: Session, account: Account, refusal: LoginRefused, now: datetime, source: str) -> LoginRefused:
    site = session.get_one(Site, account.site_id)
    audit.record(
        session,
        now=now,
        actor=account.username,
        role=account.role,
        site=site.code,
        act="account.login",
        object_type="account",
        object_uid=account.username,
        result=refusal.code,
        details={"source": source},
    )
    return refusal


def _refuse_nobody(session: Session, username: str, now: datetime, source: str) -> LoginRefused:
    """Answer for a name nobody has exactly as for a real one, lock included.

    The failures are counted in the audit trail, where the name stands only as a hash: people type
    their password into the wrong field.
    """
    key = "name:" + hashlib.sha256(username.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    failures = session.scalars(
        select(audit.AuditEvent.at)
        .where(
            audit.AuditEvent.object_uid == key,
            audit.AuditEvent.result == "invalid_credentials",
            audit.AuditEvent.at > now - timedelta(days=1),
        )
        .order_by(audit.AuditEvent.id)
    ).all()
    refusal = after_failures([*failures], now)
    audit.record(
        session,
        now=now,
        actor="unknown",
        role="",
        site="",
        act="account.login",
        object_type="account",
        object_uid=key,
        result=refusal.code,
        details={"source": source},
    )
    return refusal


def after_failures(failures: Sequence[datetime], now: datetime) -> LoginRefused:
    """What one more failure at ``now`` is answered with, given the counted failures before it, oldest first."""
    count = len(failures) % TRIES
    if failures and count == 0 and now < failures[-1] + LOCKED_FOR:
        return _locked(failures[-1] + LOCKED_FOR, now)
    return LoginRefused("invalid_credentials", {"remaining": TRIES - count - 1})


def _locked(until: datetime, now: datetime) -> LoginRefused:
    seconds = math.ceil((until - now).total_seconds())
    return LoginRefused("locked", {"retry_after_s": seconds, "minutes": (seconds + 59) // 60})


def create_account(
    session: Session,
    actor: Actor | None,
    *,
    username: str,
    password_hash: str,
    name: str,
    role: str,
    site_id: int,
    now: datetime,
    kinds: Collection[str] = (),
    name_en: str = "",
    language: str | None = None,
) -> Account:
    """A new person. ``actor`` None: set-up on the server's own command line.

    Raises Refused("forbidden"); AccountError: username_invalid, username_taken, role_unknown, kind_unknown,
    site_unknown. The password was checked (``check_password``) and hashed (``hash_password``) by the caller.
    """
    _check_admin(actor)
    username = normal_username(username)
    if not _USERNAME.fullmatch(username):
        raise AccountError("username_invalid")
    if session.scalar(select(Account.id).where(Account.username == username)) is not None:
        raise AccountError("username_taken", username=username)
    _check_place(session, role, kinds, site_id)
    account = Account(
        username=username,
        name=name,
        name_en=name_en,
        site_id=site_id,
        role=role,
        kinds=sorted(kinds),
        password_hash=password_hash,
        language=language,
        created_at=now,
    )
    session.add(account)
    session.flush()
    _record(session, actor, "account.create", username, now, details={"role": role, "site_id": site_id})
    return account


def update_account(
    session: Session,
    actor: Actor | None,
    account_id: int,
    *,
    now: datetime,
    role: str | None = None,
    site_id: int | None = None,
    kinds: Collection[str] | None = None,
    name: str | None = None,
    enabled: bool | None = None,
) -> Account:
    """Change what is not None. A closed account is logged out everywhere; nobody closes or demotes themselves.

    Raises Refused: forbidden, not_found; AccountError: role_unknown, kind_unknown, site_unknown, account_own.
    """
    _check_admin(actor)
    account = session.get(Account, account_id, with_for_update=True)
    if account is None:
        raise Refused("not_found")
    if actor is not None and actor.account_id == account_id and (enabled is False or role not in (None, account.role)):
        raise AccountError("account_own")
    wanted_kinds = account.kinds if kinds is None else kinds
    _check_place(session, role or account.role, wanted_kinds, site_id or account.site_id)
    account.role, account.site_id = role or account.role, site_id or account.site_id
    account.kinds, account.name = sorted(wanted_kinds), account.name if name is None else name
    account.enabled = account.enabled if enabled is None else enabled
    if not account.enabled:
        end_all(session, account.id, now)
    details = {"role": account.role, "site_id": account.site_id, "kinds": account.kinds, "enabled": account.enabled}
    _record(session, actor, "account.update", account.username, now, details=details)
    return account


def set_password(session: Session, actor: Actor | None, account_id: int, password_hash: str, now: datetime) -> None:
    """Give a new password, end every login of the account, open its lock. Raises Refused: forbidden, not_found."""
    _check_admin(actor)
    account = session.get(Account, account_id, with_for_update=True)
    if account is None:
        raise Refused("not_found")
    account.password_hash, account.failed_logins, account.locked_until = password_hash, 0, None
    end_all(session, account.id, now)
    _record(session, actor, "account.set_password", account.username, now)


def set_language(session: Session, actor: Actor, language: str) -> None:
    """Remember the person's language, zh or en."""
    session.get_one(Account, actor.account_id).language = language


def _check_admin(actor: Actor | None) -> None:
    if actor is not None:
        check(actor, Act.ADMIN_ACCOUNTS)


def _check_place(session: Session, role: str, kinds: Collection[str], site_id: int) -> None:
    if role not in ROLES:
        raise AccountError("role_unknown", role=role)
    if not set(kinds) <= set(KINDS):
        raise AccountError("kind_unknown")
    if session.get(Site, site_id) is None:
        raise AccountError("site_unknown")


def _record(
    session: Session,
    actor: Actor | None,
    act: str,
    username: str,
    now: datetime,
    *,
    details: dict[str, Any] | None = None,
) -> None:
    audit.record(
        session,
        now=now,
        actor=actor.username if actor else "system",
        role=actor.role if actor else "",
        site=actor.site_code if actor else "",
        act=act,
        object_type="account",
        object_uid=username,
        details=details,
    )
