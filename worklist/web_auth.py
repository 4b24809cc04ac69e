"""Who is asking, and whether the request is really theirs. [web]

A browser carries the cookie ``teleread_session``; a program carries ``Authorization: Bearer``, or HTTP Basic
below ``/dicom-web`` (``worklist.web_attempt``). Unsafe
requests that come with the cookie also carry the login's CSRF token (header ``X-CSRF-Token`` or form
field ``csrf_token``).
"""

import hmac

from flask import current_app, g, request
from sqlalchemy.exc import OperationalError
from werkzeug.wrappers import Response as AnyResponse

from worklist.access import Refused
from worklist.session_service import FoundSession, find_session, is_worth_touching, touch
from worklist.web_attempt import basic_logins, basic_secret
from worklist.web_context import login_or_none, now, read, services, write
from worklist.web_errors import WebError
from worklist.web_json import LARGEST_INTEGER
from worklist.web_routes import ANY_PARAMETER, Declaration, declaration_of

SESSION_COOKIE = "teleread_session"
BASIC_PREFIX = "/dicom-web"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def before_request() -> None:
    """The door: size, parameters, login, CSRF, act, in this order. Raises WebError or Refused."""
    declaration = declaration_of(current_app, request.endpoint)
    if declaration is None:
        return  # no such route: 404 or 405 follows
    _check_size(declaration)
    _check_path()
    g.login = None
    found = _presented()
    if found is not None and found.ended is None:
        g.login, g.actor = found, found.actor
    _check_query(declaration)
    if not declaration.is_public and login_or_none() is None:
        raise WebError(401, _why_no_login(found))
    _check_origin(declaration)
    if found is not None and declaration.touches and is_worth_touching(found, now()):
        _touch(found)
    if not declaration.is_public and not declaration.allows(g.actor.role):
        raise Refused("forbidden", act=str(declaration.needs[0]))


def _touch(found: FoundSession) -> None:
    try:
        with write() as session:
            touch(session, found.secret_hash, now())
    except OperationalError:
        pass  # a locked database must not stop someone from reading; the next request tries again


def _check_size(declaration: Declaration) -> None:
    request.max_content_length = declaration.limit_bytes
    request.max_form_memory_size = min(declaration.limit_bytes, 1_000_000)
    if (request.content_length or 0) > declaration.limit_bytes:
        raise WebError(413, "too_large", limit_bytes=declaration.limit_bytes)


def _check_path() -> None:
    """What no column holds names nothing: NUL in text, a number beyond INTEGER."""
    for value in (request.view_args or {}).values():
        if (isinstance(value, str) and "\0" in value) or (isinstance(value, int) and value > LARGEST_INTEGER):
            raise WebError(404, "not_found")


def _check_query(declaration: Declaration) -> None:
    for name, values in request.args.lists():
        is_own = ANY_PARAMETER not in declaration.query  # DICOMweb names attributes as parameters: the view judges
        if is_own and name not in declaration.query:
            raise WebError(400, "parameter_unknown", parameter=name[:64])
        if is_own and len(values) > 1:
            raise WebError(400, "parameter_repeated", parameter=name)
        if any("\0" in value for value in values):
            raise WebError(400, "field_character", field=name)


def _presented() -> FoundSession | None:
    """The login that the request presents, valid or ended."""
    basic = basic_secret() if request.path.startswith(BASIC_PREFIX) else None
    secret = bearer_secret() or basic or request.cookies.get(SESSION_COOKIE)
    if not secret:
        return None
    with read() as session:
        found = find_session(session, secret, now())
    if basic and (found is None or found.ended is not None):
        basic_logins().forget(basic)  # ended by an administrator: the password has to prove itself again
    # A stolen cookie value is no API token, nor the other way round.
    expected = "token" if bearer_secret() else "basic" if basic else "browser"
    return found if found is not None and found.kind == expected else None


def bearer_secret() -> str | None:
    """The secret of ``Authorization: Bearer``, or None."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def presented_cookie_login() -> FoundSession | None:
    """The cookie's login even where it has ended: whose re-login overlay this is."""
    secret = request.cookies.get(SESSION_COOKIE)
    if not secret:
        return None
    with read() as session:
        return find_session(session, secret, now())


def _why_no_login(found: FoundSession | None) -> str:
    if found is not None:
        return "session_expired" if found.ended in ("idle", "expired") else "session_ended"
    return "session_ended" if request.cookies.get(SESSION_COOKIE) or bearer_secret() else "not_logged_in"


def _check_origin(declaration: Declaration) -> None:
    """Refuse an unsafe request that another site made the browser send."""
    if request.method in SAFE_METHODS or bearer_secret():
        return
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise WebError(403, "cross_origin")
    # "null" is what our own forms send under Referrer-Policy: no-referrer; Sec-Fetch-Site judges those.
    origin = request.headers.get("Origin", "null")
    if origin != "null" and origin.rpartition("//")[2] != request.host:
        raise WebError(403, "cross_origin")
    login = login_or_none()
    if login is not None and login.kind == "basic":
        return
    if declaration.csrf and not _has_csrf_token():
        raise WebError(403, "csrf_failed")


def _has_csrf_token() -> bool:
    login = login_or_none()
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    return login is not None and hmac.compare_digest(given.encode(), login.csrf_token.encode())


def is_secure() -> bool:
    """Whether browsers reach us over TLS, ours or the proxy's."""
    settings = services().settings
    return settings.has_tls or settings.is_behind_proxy


def set_session_cookie(answer: AnyResponse, secret: str) -> None:
    """Give the browser its secret: until it closes, unreadable to scripts, not sent along by other sites."""
    answer.set_cookie(SESSION_COOKIE, secret, httponly=True, secure=is_secure(), samesite="Lax", path="/")


def clear_session_cookie(answer: AnyResponse) -> None:
    answer.delete_cookie(SESSION_COOKIE, path="/", httponly=True, secure=is_secure(), samesite="Lax")
