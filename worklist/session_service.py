"""Logins that last: browser sessions and API tokens, of which only a hash is kept. [service]"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist.access import Act, Actor, Refused, check
from worklist.account_tables import Account, LoginSession
from worklist.base import audit
from worklist.base.db import columns
from worklist.tables import Site

BROWSER_IDLE = timedelta(minutes=30)
LONGEST_LOGIN = timedelta(hours=12)
BASIC_LASTS = timedelta(minutes=5)  # how long a password sent by HTTP Basic is believed without comparing
SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class OpenedSession:
    """A new login. ``secret`` goes to the person and is kept nowhere."""

    secret: str
    actor: Actor
    kind: str
    csrf_token: str
    expires_at: datetime


@dataclass(frozen=True)
class FoundSession:
    """A login that a secret belongs to. ``ended`` is None while it is valid, else why: idle, expired, logout, …"""

    secret_hash: str
    actor: Actor
    kind: str
    csrf_token: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ended: str | None


def hash_of(secret: str) -> str:
    """SHA-256, hex. The secret has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def actor_of(account: Account, site: Site, sitting: str) -> Actor:
    return Actor(
        account_id=account.id,
        username=account.username,
        name=account.name,
        role=account.role,
        site_id=account.site_id,
        site_code=site.code,
        kinds=frozenset(account.kinds),
        sitting=sitting,
        language=account.language or "",
    )


def open_session(session: Session, account: Account, *, kind: str, now: datetime, source: str) -> OpenedSession:
    """Write a new login of ``kind`` browser or token, at most LONGEST_LOGIN long; basic: BASIC_LASTS."""
    secret, sitting, csrf_token = secrets.token_urlsafe(32), secrets.token_hex(12), secrets.token_urlsafe(24)
    site = session.get_one(Site, account.site_id)
    row = LoginSession(
        secret_hash=hash_of(secret),
        sitting=sitting,
        account_id=account.id,
        kind=kind,
        csrf_token=csrf_token,
        created_at=now,
        last_seen_at=now,
        expires_at=now + (BASIC_LASTS if kind == "basic" else LONGEST_LOGIN),
        source=source[:64],
    )
    session.add(row)
    return OpenedSession(secret, actor_of(account, site, sitting), kind, csrf_token, row.expires_at)


# What every request asks first: the login's columns and those of ``actor_of``.
_LOGIN = (
    select(
        LoginSession.secret_hash, LoginSession.sitting, LoginSession.kind, LoginSession.csrf_token,
        LoginSession.created_at, LoginSession.last_seen_at, LoginSession.expires_at, LoginSession.ended_at,
        LoginSession.end_reason, Account.id, Account.username, Account.name, Account.role, Account.site_id,
        Account.kinds, Account.language, Site.code,
    )
    .join(Account, Account.id == LoginSession.account_id).join(Site, Site.id == Account.site_id)
    .where(LoginSession.secret_hash == bindparam("secret_hash"), Account.enabled)
)  # fmt: skip


def find_session(session: Session, secret: str, now: datetime) -> FoundSession | None:
    """The login of ``secret``, valid or ended; None where no login ever had it or its account is closed."""
    login: Any = columns(session, _LOGIN, {"secret_hash": hash_of(secret)}).one_or_none()
    if login is None:
        return None
    return FoundSession(
        secret_hash=login.secret_hash,
        actor=actor_of(login, login, login.sitting),
        kind=login.kind,
        csrf_token=login.csrf_token,
        created_at=login.created_at,
        last_seen_at=login.last_seen_at,
        expires_at=expires_at(login.kind, login.last_seen_at, login.expires_at),
        ended=_why_ended(login, now),
    )


def expires_at(kind: str, last_seen_at: datetime, latest: datetime) -> datetime:
    """When a login ends if nothing more is heard of it."""
    return min(last_seen_at + BROWSER_IDLE, latest) if kind == "browser" else latest


def _why_ended(login: LoginSession, now: datetime) -> str | None:
    if login.ended_at is not None:
        return login.end_reason or "ended"
    if now >= login.expires_at:
        return "expired"
    return "idle" if now >= expires_at(login.kind, login.last_seen_at, login.expires_at) else None


def is_worth_touching(found: FoundSession, now: datetime) -> bool:
    """Whether ``last_seen_at`` is old enough to be written again: at most once a minute."""
    return found.ended is None and now - found.last_seen_at >= SEEN_EVERY


def touch(session: Session, secret_hash: str, now: datetime) -> None:
    """The person was just here: the idle clock starts again."""
    row = session.get(LoginSession, secret_hash)
    if row is not None and row.ended_at is None and row.last_seen_at < now:
        row.last_seen_at = now


def log_out(session: Session, actor: Actor, now: datetime) -> None:
    """End the actor's own login."""
    _end(session, actor.sitting, "logout", now)
    _record(session, actor, "account.logout", actor.sitting, now)


def end_replaced(session: Session, sitting: str, now: datetime) -> None:
    """End the login that a re-login of the same person took the place of."""
    _end(session, sitting, "idle", now)


def revoke(session: Session, actor: Actor, sitting: str, now: datetime) -> None:
    """End someone's login or token. Raises Refused: forbidden, not_found (no open login of that name)."""
    check(actor, Act.ADMIN_ACCOUNTS)
    if not _end(session, sitting, "revoked", now):
        raise Refused("not_found")
    _record(session, actor, "account.revoke", sitting, now)


def end_all(session: Session, account_id: int, now: datetime, reason: str = "revoked") -> int:
    """End every open login of an account (password changed, account closed); how many there were."""
    rows = session.scalars(
        select(LoginSession).where(LoginSession.account_id == account_id, LoginSession.ended_at.is_(None))
    ).all()
    for row in rows:
        row.ended_at, row.end_reason = now, reason
    return len(rows)


def open_logins(session: Session, actor: Actor, now: datetime) -> list[tuple[LoginSession, str]]:
    """Open browser sessions and tokens with their user names, newest first. Raises Refused("forbidden")."""
    check(actor, Act.ADMIN_ACCOUNTS)
    query = (
        select(LoginSession, Account.username)
        .join(Account, Account.id == LoginSession.account_id)
        .where(LoginSession.ended_at.is_(None), LoginSession.expires_at > now)
        .order_by(LoginSession.created_at.desc())
    )
    return [(login, username) for login, username in session.execute(query) if _why_ended(login, now) is None]


def _end(session: Session, sitting: str, reason: str, now: datetime) -> bool:
    row = session.scalar(
        select(LoginSession).where(LoginSession.sitting == sitting, LoginSession.ended_at.is_(None)).with_for_update()
    )
    if row is None:
        return False
    row.ended_at, row.end_reason = now, reason
    return True


def _record(session: Session, actor: Actor, act: str, sitting: str, now: datetime) -> None:
    audit.record(
        session,
        now=now,
        actor=actor.username,
        role=actor.role,
        site=actor.site_code,
        act=act,
        object_type="login",
        object_uid=sitting,
    )
