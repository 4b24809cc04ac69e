"""A password as it is presented, by form, API or HTTP Basic: tried, and limited per source. [web]

HTTP Basic sends the password with every request. It is compared once, then remembered as long as its login lasts
under a keyed hash of the header (the key lives and dies with the process); behind it stands an ordinary login that
an administrator sees and can end.
"""

import base64
import binascii
import hashlib
import hmac
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flask import current_app, request

from worklist.account_service import LoginRefused, log_in, look_up, password_matches
from worklist.session_service import OpenedSession
from worklist.web_context import now, read, source, write
from worklist.web_errors import WebError, status_of

FAILURES_PER_MINUTE = 30
COMPARED_BEFORE = timedelta(seconds=10)  # a remembered login must not end between the look here and its use
_SOURCES_REMEMBERED = 10_000
_BASIC_REMEMBERED = 2_000
_LONGEST_HEADER = 2_000


@dataclass
class FailureLimit:
    """How often one address may fail to log in: FAILURES_PER_MINUTE, in this process."""

    failures: dict[str, deque[datetime]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, address: str, moment: datetime) -> None:
        """Raises WebError(429) while the address has used up its failures."""
        with self.lock:
            recent = self.failures.get(address, deque())
            while recent and recent[0] <= moment - timedelta(minutes=1):
                recent.popleft()
            if len(recent) >= FAILURES_PER_MINUTE:
                wait_s = int((recent[0] + timedelta(minutes=1) - moment).total_seconds()) + 1
                raise WebError(429, "too_many_requests", retry_after_s=wait_s)

    def count(self, address: str, moment: datetime) -> None:
        with self.lock:
            while len(self.failures) >= _SOURCES_REMEMBERED:
                del self.failures[next(iter(self.failures))]
            self.failures.setdefault(address, deque(maxlen=FAILURES_PER_MINUTE)).append(moment)


def _limit() -> FailureLimit:
    limit: FailureLimit = current_app.extensions.setdefault("teleread_login_limit", FailureLimit())
    return limit


def try_login(username: str, password: str, kind: str) -> OpenedSession | LoginRefused:
    """The three steps of a login. Raises WebError(429) for an address that failed too often."""
    _limit().check(source(), now())
    with read() as session:
        attempt = look_up(session, username)
    matches = password_matches(attempt, password)
    with write() as session:
        outcome = log_in(session, attempt, matches, kind=kind, now=now(), source=source())
    if isinstance(outcome, LoginRefused):
        _limit().count(source(), now())
    return outcome


@dataclass
class BasicLogins:
    """Which login stands behind a Basic header, by its keyed hash."""

    key: bytes = field(default_factory=lambda: uuid.uuid4().bytes + uuid.uuid4().bytes)
    secrets: dict[bytes, tuple[str, datetime]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: dict[bytes, threading.Lock] = field(default_factory=dict)  # one comparison at a time per header

    def hash_of(self, header: str, address: str) -> bytes:
        return hmac.digest(self.key, f"{address} {header}".encode("utf-8", "surrogatepass"), hashlib.sha256)

    def find(self, hashed: bytes, moment: datetime) -> str | None:
        with self.lock:
            secret, until = self.secrets.get(hashed, ("", moment))
            return secret if moment < until else None

    def remember(self, hashed: bytes, secret: str, until: datetime) -> None:
        with self.lock:
            while len(self.secrets) >= _BASIC_REMEMBERED:
                del self.secrets[next(iter(self.secrets))]
            self.secrets.pop(hashed, None)
            self.secrets[hashed] = (secret, until)

    def forget(self, secret: str) -> None:
        with self.lock:
            self.secrets = {hashed: known for hashed, known in self.secrets.items() if known[0] != secret}

    def lock_of(self, hashed: bytes) -> threading.Lock:
        with self.lock:
            if len(self.busy) >= _BASIC_REMEMBERED:
                self.busy = {key: lock for key, lock in self.busy.items() if lock.locked()}
            return self.busy.setdefault(hashed, threading.Lock())


def basic_logins() -> BasicLogins:
    """This application's memory of Basic logins."""
    found: BasicLogins = current_app.extensions.setdefault("teleread_basic", BasicLogins())
    return found


def basic_secret() -> str | None:
    """The secret of the login behind ``Authorization: Basic``; None without that header.

    Raises WebError: 401 for wrong credentials, 423 for a locked account, 429 for an address that failed too often.
    """
    header = request.headers.get("Authorization", "")
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    if len(header) > _LONGEST_HEADER:
        raise WebError(401, "invalid_credentials", remaining=0)
    logins = basic_logins()
    hashed = logins.hash_of(header, source())
    if (known := logins.find(hashed, now())) is not None:
        return known
    with logins.lock_of(hashed):
        if (known := logins.find(hashed, now())) is not None:  # another request of this client was first
            return known
        username, password = _credentials(encoded.strip())
        outcome = try_login(username, password, "basic")
        if isinstance(outcome, LoginRefused):
            raise WebError(status_of(outcome.code), outcome.code, **outcome.params)
        logins.remember(hashed, outcome.secret, outcome.expires_at - COMPARED_BEFORE)
        return outcome.secret


def _credentials(encoded: str) -> tuple[str, str]:
    """User name and password (RFC 7617, charset UTF-8). Raises WebError(401) for what is neither."""
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        raise WebError(401, "invalid_credentials", remaining=0) from None
    if not colon or not username or not password:
        raise WebError(401, "invalid_credentials", remaining=0)
    return username[:64], password
