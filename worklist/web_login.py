"""Coming in, going out, and who I am. [web]"""

from typing import Any

from flask import Blueprint, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from worklist.access import ACTS_BY_ROLE, Act
from worklist.account_service import LONGEST_PASSWORD, LoginRefused, set_language
from worklist.base.i18n import LANGUAGES
from worklist.session_service import OpenedSession, end_replaced, log_out, open_logins, revoke
from worklist.web_attempt import try_login
from worklist.web_auth import (
    clear_session_cookie,
    is_secure,
    presented_cookie_login,
    set_session_cookie,
)
from worklist.web_context import (
    LANGUAGE_COOKIE,
    actor,
    actor_or_none,
    language,
    login_or_none,
    now,
    read,
    write,
)
from worklist.web_errors import WebError, register_codes, sentence, status_of
from worklist.web_json import Field, read_json
from worklist.web_routes import route_needs, route_public

login = Blueprint("login", __name__)
register_codes({"username_invalid": 422, "username_taken": 409, "account_own": 409})

CREDENTIALS = {
    "username": Field(str, max_len=64, min_len=1),
    "password": Field(str, max_len=LONGEST_PASSWORD, min_len=1),
}
PASSWORD = {"password": CREDENTIALS["password"]}
LANGUAGE = {"language": Field(str, choices=LANGUAGES)}
_YEAR_S = 365 * 24 * 3600
# "cache" also drops the pages that the Back button would show again.
_EMPTY_THE_PAGE = '"cache", "storage"'


def _opened(outcome: OpenedSession | LoginRefused) -> OpenedSession:
    if isinstance(outcome, LoginRefused):
        raise WebError(status_of(outcome.code), outcome.code, **outcome.params)
    return outcome


@login.get("/login")
@route_public(summary="The login page", query=["next", "language"])
def login_page() -> AnyResponse:
    """The form; a chosen language is remembered by this browser."""
    next_path = safe_next(request.args.get("next", ""))
    if "language" in request.args:
        answer = redirect(url_for("login.login_page", next=request.args.get("next")), 303)
        return _remember_language(answer, request.args["language"])
    if login_or_none() is not None:
        return redirect(next_path, 303)
    return _form({}, "", next_path, 200)


@login.post("/login")
@route_public(summary="Log in with the form")
def login_form() -> AnyResponse:
    """A browser session, or the form again with what is wrong; works without scripts."""
    username, password = request.form.get("username", "")[:256], request.form.get("password", "")
    next_path = safe_next(request.form.get("next", ""))
    try:
        outcome = try_login(username, password, "browser")
    except WebError as error:
        return _form({"code": error.code, **error.params}, username, next_path, error.status)
    if isinstance(outcome, LoginRefused):
        return _form({"code": outcome.code, **outcome.params}, username, next_path, status_of(outcome.code))
    _end_presented()
    answer = redirect(next_path, 303)
    set_session_cookie(answer, outcome.secret)
    return answer


def _form(error: dict[str, Any], username: str, next_path: str, status: int) -> AnyResponse:
    code = error.pop("code", None)
    answer = make_response(
        render_template(
            "login.html",
            error=sentence(code, error, language(), status) if code else None,
            error_code=code,
            username=username,
            next=next_path,
            remaining=error.get("remaining"),
        ),
        status,
    )
    if "retry_after_s" in error:
        answer.headers["Retry-After"] = str(error["retry_after_s"])
    return answer


def safe_next(path: str) -> str:
    """Where to go after login: a path of ours, never another site."""
    is_ours = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_ours and not path.startswith(("/login", "/logout", "/api/")) else "/"


def _end_presented() -> None:
    """Whoever logs in anew leaves the login that this browser had."""
    before = login_or_none()
    if before is not None and before.kind == "browser":
        with write() as session:
            log_out(session, before.actor, now())


@login.post("/logout")
@route_needs(Act.SESSION_OWN, summary="Log out and empty the page")
def logout_form() -> AnyResponse:
    return _leave(redirect(url_for("login.login_page"), 303))


@login.post("/api/logout")
@route_needs(Act.SESSION_OWN, summary="End this login or token", answers={200: "ended"})
def api_logout() -> AnyResponse:
    return _leave(jsonify({}))


def _leave(answer: AnyResponse) -> AnyResponse:
    with write() as session:
        log_out(session, actor(), now())
    clear_session_cookie(answer)
    answer.headers["Clear-Site-Data"] = _EMPTY_THE_PAGE
    return answer


@login.post("/api/login")
@route_public(
    summary="A token for programs, valid ≤ 12 h",
    body=CREDENTIALS,
    answers={200: "token and expires_at", 401: "wrong", 423: "locked", 429: "too many failures from this address"},
)
def api_login() -> AnyResponse:
    body = read_json(CREDENTIALS)
    opened = _opened(try_login(body["username"], body["password"], "token"))
    return jsonify({"token": opened.secret, "expires_at": opened.expires_at.isoformat()})


@login.get("/api/session")
@route_needs(Act.SESSION_OWN, summary="Who I am and until when", touches=False)
def api_session() -> AnyResponse:
    person, found = actor(), login_or_none()
    assert found is not None  # noqa: S101  route_needs let us in
    return jsonify(
        {
            "username": person.username,
            "name": person.name,
            "role": person.role,
            "site": person.site_code,
            "kinds": sorted(person.kinds),
            "acts": sorted(ACTS_BY_ROLE[person.role]),
            "language": language(),
            "sitting": person.sitting,
            "csrf_token": found.csrf_token if found.kind == "browser" else None,
            "expires_at": found.expires_at.isoformat(),
            "now": now().isoformat(),
        }
    )


@login.post("/api/session/relogin")
@route_public(
    summary="Log in again over an open page: same person, also when the session has run out",
    body=PASSWORD,
    answers={200: "csrf_token and expires_at", 401: "wrong, or logged out or revoked", 423: "locked"},
)
def api_relogin() -> AnyResponse:
    body = read_json(PASSWORD)
    before = presented_cookie_login()
    if before is None or before.kind != "browser" or before.ended not in (None, "idle", "expired"):
        raise WebError(401, "session_ended")
    opened = _opened(try_login(before.actor.username, body["password"], "browser"))
    with write() as session:
        end_replaced(session, before.actor.sitting, now())
    answer = jsonify(
        {
            "username": opened.actor.username,
            "csrf_token": opened.csrf_token,
            "expires_at": opened.expires_at.isoformat(),
        }
    )
    set_session_cookie(answer, opened.secret)
    return answer


@login.post("/api/language")
@route_public(summary="Choose the language of this browser and person", body=LANGUAGE)
def api_language() -> AnyResponse:
    chosen = read_json(LANGUAGE)["language"]
    return _remember_language(jsonify({"language": chosen}), chosen)


@login.post("/language")
@route_public(summary="Choose the language with a form")
def language_form() -> AnyResponse:
    answer = redirect(safe_next(request.form.get("next", "")), 303)
    return _remember_language(answer, request.form.get("language", ""))


def _remember_language(answer: AnyResponse, chosen: str) -> AnyResponse:
    if chosen not in LANGUAGES:
        raise WebError(422, "field_choice", field="language", choices=list(LANGUAGES))
    person = actor_or_none()
    if person is not None:
        with write() as session:
            set_language(session, person, chosen)
    answer.set_cookie(LANGUAGE_COOKIE, chosen, max_age=_YEAR_S, secure=is_secure(), httponly=True, samesite="Lax")
    return answer


@login.get("/api/tokens")
@route_needs(Act.ADMIN_ACCOUNTS, summary="Open browser sessions and tokens", touches=False)
def api_tokens() -> AnyResponse:
    with read() as session:
        items = [
            {
                "sitting": row.sitting,
                "kind": row.kind,
                "username": username,
                "source": row.source,
                "created_at": row.created_at.isoformat(),
                "last_seen_at": row.last_seen_at.isoformat(),
                "expires_at": row.expires_at.isoformat(),
            }
            for row, username in open_logins(session, actor(), now())
        ]
    return jsonify({"items": items})


@login.delete("/api/tokens/<sitting>")
@route_needs(Act.ADMIN_ACCOUNTS, summary="Revoke a login or token", answers={200: "revoked", 404: "no such login"})
def api_revoke(sitting: str) -> AnyResponse:
    with write() as session:
        revoke(session, actor(), sitting, now())
    return jsonify({})
