"""From a code to a status and a sentence: the one place where an error becomes an answer. [web]

Domain and service errors carry ``.code`` and ``.params``; ``register_codes`` gives a code its status.
API paths answer ``{"error": {"code", "message", "details"}}``, pages answer ``error.html``.
"""

import errno
import logging
import traceback
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

from flask import Response, current_app, jsonify, redirect, render_template, request, url_for
from markupsafe import escape
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from worklist.access import Refused
from worklist.base import audit
from worklist.base.i18n import catalog, translate
from worklist.web_context import actor_or_none, language, now, services
from worklist.web_routes import declaration_of

log = logging.getLogger("teleread.web")

API_PREFIXES = ("/api/", "/dicom-web", "/fhir", "/healthz", "/metrics")
RETRY_AFTER_S = 2
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_REFUSALS = (403, 404, 409, 423)  # what is said no to, by whatever rule; each leaves its audit row
DEFAULT_STATUS = 422  # a refusal whose code nobody gave a status

_STATUS_BY_CODE: dict[str, int] = {
    "invalid_credentials": 401, "not_logged_in": 401, "session_expired": 401, "session_ended": 401,
    "forbidden": 403, "csrf_failed": 403, "cross_origin": 403,
    "not_found": 404, "method_not_allowed": 405,
    "conflict": 409, "username_taken": 409,
    "too_large": 413, "locked": 423, "too_many_requests": 429,
    "database_busy": 503, "storage_full": 507, "internal": 500, "bad_request": 400,
    "archive_unreachable": 503, "archive_refused": 503, "archive_missing": 503, "archive_differs": 503,
}  # fmt: skip
_CODE_BY_STATUS = {
    400: "bad_request", 401: "not_logged_in", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 413: "too_large", 415: "not_json", 429: "too_many_requests", 503: "database_busy",
}  # fmt: skip


class WebError(Exception):
    """An error of the request itself, with its status."""

    def __init__(self, status: int, code: str, **params: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.params = params


def register_codes(statuses: Mapping[str, int]) -> None:
    """Say which HTTP status the codes of an area's errors have; at import of its web module.

    Raises ValueError where a code already has another status.
    """
    for code, status in statuses.items():
        if _STATUS_BY_CODE.setdefault(code, status) != status:
            raise ValueError(f"{code} already has status {_STATUS_BY_CODE[code]}")


def status_of(code: str) -> int:
    """The HTTP status of a refusal's code."""
    return _STATUS_BY_CODE.get(code, DEFAULT_STATUS)


@cache
def _keys_by_code() -> Mapping[str, str]:
    """Catalog key by bare code: ``errors.<code>`` first, else the area that has it."""
    keys: dict[str, str] = {}
    for key in catalog():
        keys.setdefault(key.partition(".")[2], key)
    return keys | {key.removeprefix("errors."): key for key in catalog() if key.startswith("errors.")}


def sentence(code: str, params: Mapping[str, Any], tongue: str, status: int = DEFAULT_STATUS) -> str:
    """What to tell the person; for a code without a sentence, what its status means."""
    place = f"paper.place.{params.get('field')}"
    if place in catalog():
        params = {**params, "field": translate(place, tongue)}
    key = code if code in catalog() else _keys_by_code().get(code)
    try:
        return translate(key, tongue, **params) if key else translate(f"errors.status_{status // 100}", tongue)
    except (KeyError, IndexError):  # the sentence asks for a value that the error does not carry
        return translate(f"errors.status_{status // 100}", tongue)


def wants_json() -> bool:
    """Whether the caller is a program: by path, else by what it accepts."""
    return request.path.startswith(API_PREFIXES)


def answer_error(status: int, code: str, params: Mapping[str, Any] | None = None) -> AnyResponse:
    """The one shape of an error, for programs and for people."""
    params = params or {}
    message = sentence(code, params, language(), status)
    if wants_json():
        details = {name: value for name, value in params.items() if _is_plain(value)}
        answer: AnyResponse = jsonify({"error": {"code": code, "message": message, "details": details}})
    elif status == 401:
        return redirect(url_for("login.login_page", next=_here()), 303)
    else:
        answer = Response(_page(status, code, message), mimetype="text/html")
    answer.status_code = status
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
        # A browser would answer a Basic challenge with its own window, and send the password along from then on.
        if request.path.startswith("/dicom-web") and "Sec-Fetch-Mode" not in request.headers:
            answer.headers.add("WWW-Authenticate", 'Basic realm="teleread", charset="UTF-8"')
    if status in (423, 429) and "retry_after_s" in params:
        answer.headers["Retry-After"] = str(params["retry_after_s"])
    return answer


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | list | dict | tuple) or value is None


def _here() -> str | None:
    """Where to return after login: only what a GET can show again."""
    if request.method not in ("GET", "HEAD"):
        return None
    return request.full_path.rstrip("?") if request.query_string else request.path


def _page(status: int, code: str, message: str) -> str:
    try:
        return render_template("error.html", status=status, code=code, message=message)
    except Exception as fault:  # the page of an error must not fail itself, whatever the template lacks
        log.warning("error.html could not be drawn: %s", type(fault).__name__)
        title = translate("app.name", language())
        return f"<!doctype html><title>{title}</title><main><h1>{status}</h1><p>{escape(message)}</p></main>"


def handle(error: Exception) -> AnyResponse:
    """Flask's handler for everything that is raised in a request."""
    if isinstance(error, WebError):
        if error.status == 403:
            _record_refusal(error.code)
        return answer_error(error.status, error.code, error.params)
    if isinstance(error, HTTPException):
        return _handle_http(error)
    if (machine := _code_of_machine(error)) is not None:
        log.warning("%s: %s", machine, type(getattr(error, "orig", error)).__name__)
        return answer_error(status_of(machine), machine)
    code, params = getattr(error, "code", None), getattr(error, "params", None)
    # A library's error may have a ``code`` too; ours are the ones that also carry params.
    if isinstance(code, str) and isinstance(params, Mapping):
        if isinstance(error, Refused) or status_of(code) in _REFUSALS:
            _record_refusal(code)
        return answer_error(status_of(code), code, params)
    return _handle_fault(error)


def _code_of_machine(error: Exception) -> str | None:
    """What database or disk say; None where that is a fault of ours."""
    if isinstance(error, OperationalError):
        return "storage_full" if _is_full(error) else "database_busy"
    if isinstance(error, NoConnectionFree):  # all of the pool are in use, and stayed so
        return "database_busy"
    if isinstance(error, DataError):  # a value that no column holds, past every check of ours
        return "bad_request"
    if isinstance(error, IntegrityError) and _is_taken(error):
        return "conflict"
    return "storage_full" if isinstance(error, OSError) and error.errno in _NO_SPACE else None


def _is_full(error: OperationalError) -> bool:
    """Whether the database's own disk is full."""
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    return name == "SQLITE_FULL" or getattr(error.orig, "sqlstate", None) == "53100"  # disk_full


def _is_taken(error: IntegrityError) -> bool:
    """Whether two made the same thing at once: a unique key, not a fault of ours."""
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    return name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY") or (
        getattr(error.orig, "sqlstate", None) == "23505"
    )


def _handle_http(error: HTTPException) -> AnyResponse:
    status = error.code or 500
    if status < 400:  # a redirect that routing raised, such as a missing slash
        return error.get_response()
    answer = answer_error(status, _CODE_BY_STATUS.get(status, "bad_request" if status < 500 else "internal"))
    allow = error.get_response().headers.get("Allow")
    if allow:
        answer.headers["Allow"] = allow
    return answer


def _handle_fault(error: Exception) -> AnyResponse:
    """A fault of ours, told by a number that the log has too. Only places are logged: a message may hold names."""
    fault = uuid.uuid4().hex[:12]
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-8:]))
    log.error("fault %s %s %s at %s", fault, request.endpoint, type(error).__name__, places)
    return answer_error(500, "internal", {"fault": fault})


def _record_refusal(code: str) -> None:
    """One audit row for a refused act, in its own transaction: the act's own was rolled back."""
    person = actor_or_none()
    declaration = declaration_of(current_app, request.endpoint)
    if person is None or declaration is None:
        return
    arguments = list((request.view_args or {}).values())
    try:
        with services().db.write() as session:
            audit.record(
                session,
                now=now(),
                actor=person.username,
                role=person.role,
                site=person.site_code,
                act=" ".join(declaration.needs)[:64] or "public",
                object_type=(request.endpoint or "")[:32],
                object_uid=str(arguments[0]) if arguments else "",
                result=code[:64],
            )
    except SQLAlchemyError:
        log.warning("a refusal could not be recorded: database busy or away")
