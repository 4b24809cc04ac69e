"""The door of the web server: logins, CSRF, refusals, sizes, parameters, bodies, errors, headers."""

import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import Clock
from tests.worklist.county import PASSWORD, PEOPLE, make_county
from tests.worklist.route_walk import Walker, undeclared, walk
from worklist.access import Act, Refused
from worklist.account_tables import Account, LoginSession
from worklist.base.audit import AuditEvent
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.base.i18n import LANGUAGES, catalog, translate
from worklist.openapi import openapi
from worklist.session_service import open_session
from worklist.web import (
    Field,
    WebServices,
    create_web,
    read_json,
    register_codes,
    route_needs,
    route_table,
)

SITE_ROUTES = {
    "GET /static/dist/<path:name>", "GET /login", "POST /login", "POST /logout", "POST /language",
    "POST /api/login", "POST /api/logout", "GET /api/session", "POST /api/session/relogin", "POST /api/language",
    "GET /api/tokens", "DELETE /api/tokens/<sitting>", "GET /api/openapi.json",
}  # fmt: skip
BODY = {
    "name": Field(str, max_len=5, min_len=1),
    "age": Field(int, required=False),
    "urgency": Field(str, required=False, choices={"routine", "stat"}),
    "weight": Field(float, required=False, nullable=True),
    "patient": Field(dict, required=False, nested={"sex": (str, True, 1)}),
    "leads": Field(list, required=False, max_len=2, items=Field(str, max_len=3)),
}


class FolderError(Exception):
    """A stand-in for any area's coded error."""

    def __init__(self, code: str, **params: object) -> None:
        self.code = code
        self.params = params


def sample_pages() -> Blueprint:
    """A blueprint as other areas write theirs."""
    pages = Blueprint("sample", __name__)

    @pages.get("/api/sample/<uid>")
    @route_needs(Act.STUDY_READ, query=["q"], summary="sample")
    def get_sample(uid: str) -> Any:
        if uid == "foreign":
            raise Refused("not_found")
        if uid == "taken":
            raise FolderError("username_taken", username="王")
        if uid == "no-sentence":
            raise FolderError("a_code_without_sentence", secret_object=object())
        if uid == "fault":
            raise RuntimeError("张伟 is in this message")
        return {"uid": uid}

    @pages.post("/api/sample")
    @route_needs(Act.ORDER_CREATE, body=BODY, answers={200: "ok"})
    def post_sample() -> Any:
        return read_json(BODY)

    @pages.get("/sample")
    @route_needs(Act.WORKLIST_READ)
    def page() -> str:
        return "page"

    @pages.get("/sample/poll")
    @route_needs(Act.WORKLIST_READ, touches=False)
    def poll() -> str:
        return "poll"

    return pages


@pytest.fixture
def app(database: Database, clock: Clock, tmp_path: Path) -> Iterator[Flask]:
    yield _app(database, clock, tmp_path)


def _app(database: Database, clock: Clock, tmp_path: Path, **settings: str) -> Flask:
    make_county(database, clock())
    bundle = tmp_path / "dist"
    bundle.mkdir()
    (tmp_path / "secret-3f9a1c02.js").write_text("outside")
    (bundle / "main-3f9a1c02.js").write_text("export {}")
    (bundle / "manifest.json").write_text(json.dumps({"main": "main-3f9a1c02.js", "css": "app-77aa11bb.css"}))
    return create_web(WebServices(database, Settings(**settings), clock, [sample_pages()], bundle_dir=bundle))


def bearer(app: Flask, username: str) -> dict[str, str]:
    answer = app.test_client().post("/api/login", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 200, answer.json
    return {"Authorization": f"Bearer {answer.json['token']}"}


def browser(app: Flask, username: str) -> tuple[FlaskClient, str]:
    """A browser that has logged in by the form, and its CSRF token."""
    client = app.test_client()
    answer = client.post("/login", data={"username": username, "password": PASSWORD, "next": "/sample"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sample")
    return client, client.get("/api/session").json["csrf_token"]


def audit_rows(database: Database) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).order_by(AuditEvent.id)))


# --- routes -----------------------------------------------------------------------------------


def test_a_route_without_declaration_stops_the_start(database: Database, clock: Clock) -> None:
    pages = Blueprint("forgotten", __name__)
    pages.add_url_rule("/api/forgotten", view_func=lambda: "", endpoint="page")
    with pytest.raises(RuntimeError, match=r"/api/forgotten \(forgotten.page\)"):
        create_web(WebServices(database, Settings(), clock, [pages]))


def test_every_route_for_every_role_at_every_site(app: Flask, database: Database, clock: Clock) -> None:
    walkers = []
    with database.write() as session:
        for person in PEOPLE:
            account = session.scalars(select(Account).where(Account.username == person.username)).one()
            opened = open_session(session, account, kind="token", now=clock(), source="")
            walkers.append(Walker(person.username, person.role, opened.secret))
    assert len(walkers) == 14
    assert walk(app, walkers) == []


def test_the_walk_finds_a_door_left_open(database: Database, clock: Clock) -> None:
    """The walker itself: a route that forgets its login is found."""
    make_county(database, clock())
    pages = Blueprint("open", __name__)

    @pages.get("/open")
    @route_needs(Act.ADMIN_SETTINGS)
    def page() -> str:
        return "for admins"

    app = create_web(WebServices(database, Settings(), clock, [pages]))
    app.before_request_funcs[None].clear()
    assert any("GET /open without login: 200" in line for line in walk(app, []))


def test_the_route_table_is_the_one_written_by_hand(app: Flask) -> None:
    sample = {"GET /api/sample/<uid>", "POST /api/sample", "GET /sample", "GET /sample/poll"}
    assert undeclared(app, dict.fromkeys(SITE_ROUTES | sample)) == []


def test_openapi_has_every_api_route_and_nothing_else(app: Flask) -> None:
    described = app.test_client().get("/api/openapi.json").json
    exist = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    assert {(path, method) for path, entry in described["paths"].items() for method in entry} == exist
    post = described["paths"]["/api/sample"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name"]
    assert schema["properties"]["patient"]["properties"]["sex"] == {"type": "string", "maxLength": 1}
    assert post["x-needs"] == ["order.create"]
    assert described == json.loads(json.dumps(openapi(app)))
    assert {route.rule for route in route_table(app)} >= {"/api/login"}


# --- logging in -------------------------------------------------------------------------------


def test_token_login_and_who_am_i(app: Flask, clock: Clock) -> None:
    client = app.test_client()
    answer = client.post("/api/login", json={"username": "reader-qingshan", "password": PASSWORD})
    assert set(answer.json) == {"token", "expires_at"}
    assert answer.json["expires_at"] == (clock() + timedelta(hours=12)).isoformat()
    assert "Set-Cookie" not in answer.headers
    me = client.get("/api/session", headers={"Authorization": f"Bearer {answer.json['token']}"}).json
    assert (me["username"], me["role"], me["site"], me["csrf_token"]) == ("reader-qingshan", "reader", "QINGSHAN", None)


def test_wrong_401_then_locked_423_in_both_languages(app: Flask) -> None:
    client = app.test_client()
    for remaining in (4, 3, 2, 1, 0):
        answer = client.post("/api/login", json={"username": "admin-baishui", "password": "wrong"})
        assert (answer.status_code, answer.json["error"]["code"]) == (401, "invalid_credentials")
        assert answer.json["error"]["details"] == {"remaining": remaining}
        assert f"还可尝试 {remaining} 次" in answer.json["error"]["message"]
    body = {"username": "admin-baishui", "password": PASSWORD}
    answer = client.post("/api/login", json=body, headers={"Accept-Language": "en-GB,en;q=0.8"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (423, "900")
    assert answer.json["error"]["message"] == "Locked after too many wrong passwords. Try again in 15 min"


def test_an_address_that_fails_30_times_a_minute_waits(app: Flask, clock: Clock) -> None:
    client = app.test_client()
    for number in range(30):
        answer = client.post("/api/login", json={"username": f"guess{number}", "password": "x"})
        assert answer.status_code == 401
    good = {"username": "reader-qingshan", "password": PASSWORD}
    refused = client.post("/api/login", json=good)
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "too_many_requests")
    assert client.post("/api/login", json=good, environ_base={"REMOTE_ADDR": "192.0.2.9"}).status_code == 200
    clock.forward(61)
    assert client.post("/api/login", json=good).status_code == 200


def test_form_login_cookie_and_its_flags(database: Database, clock: Clock, tmp_path: Path) -> None:
    app = _app(database, clock, tmp_path, behind_proxy="1")
    answer = app.test_client().post("/login", data={"username": "clinician-baishui", "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("teleread_session=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Expires" not in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_form_with_wrong_password_shows_the_form_again(app: Flask) -> None:
    answer = app.test_client().post("/login", data={"username": "<script>x", "password": "wrong", "next": "/sample"})
    assert answer.status_code == 401
    assert "还可尝试 4 次" in answer.text
    assert "&lt;script&gt;x" in answer.text
    assert "<script>x" not in answer.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\tx", ""]
)
def test_after_login_only_to_ourselves(app: Flask, target: str) -> None:
    form = {"username": "clinician-baishui", "password": PASSWORD, "next": target}
    assert app.test_client().post("/login", data=form).headers["Location"] == "/"


def test_logout_ends_the_session_and_empties_the_browser(app: Flask) -> None:
    client, csrf = browser(app, "reader-qingshan")
    secret = client.get_cookie("teleread_session").value
    answer = client.post("/logout", data={"csrf_token": csrf})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get_cookie("teleread_session") is None
    client.set_cookie("teleread_session", secret)
    again = client.get("/api/session")
    assert (again.status_code, again.json["error"]["code"]) == (401, "session_ended")


def test_a_second_login_in_one_browser_ends_the_first(app: Flask, database: Database) -> None:
    client, _ = browser(app, "reader-qingshan")
    client.post("/login", data={"username": "clinician-baishui", "password": PASSWORD})
    with database.read() as session:
        ends = [row.end_reason for row in session.scalars(select(LoginSession).order_by(LoginSession.created_at))]
    assert sorted(ends, key=str) == [None, "logout"]


def test_idle_session_api_and_page(app: Flask, clock: Clock) -> None:
    client, _ = browser(app, "reader-qingshan")
    clock.forward(29 * 60)
    assert client.get("/sample").status_code == 200  # keeps it alive
    clock.forward(29 * 60)
    assert client.get("/sample/poll").status_code == 200  # does not
    clock.forward(61)
    answer = client.get("/api/session")
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "session_expired")
    page = client.get("/sample?q=1")
    assert page.status_code == 400  # a parameter that the page does not know
    page = client.get("/sample")
    assert (page.status_code, page.headers["Location"]) == (303, "/login?next=/sample")


def test_relogin_over_the_page_same_person_only(app: Flask, clock: Clock) -> None:
    client, old_csrf = browser(app, "reader-qingshan")
    clock.forward(31 * 60)
    wrong = client.post("/api/session/relogin", json={"password": "wrong"})
    assert (wrong.status_code, wrong.json["error"]["code"]) == (401, "invalid_credentials")
    other = client.post("/api/session/relogin", json={"password": PASSWORD, "username": "admin-baishui"})
    assert (other.status_code, other.json["error"]["details"]) == (422, {"field": "username"})
    answer = client.post("/api/session/relogin", json={"password": PASSWORD})
    assert answer.json["username"] == "reader-qingshan"
    assert answer.json["csrf_token"] != old_csrf
    assert client.get("/api/session").json["username"] == "reader-qingshan"


def test_relogin_is_refused_after_logout_and_without_cookie(app: Flask) -> None:
    client, csrf = browser(app, "reader-qingshan")
    secret = client.get_cookie("teleread_session").value
    client.post("/api/logout", headers={"X-CSRF-Token": csrf})
    for cookie in (None, secret):
        if cookie:
            client.set_cookie("teleread_session", cookie)
        answer = client.post("/api/session/relogin", json={"password": PASSWORD})
        assert (answer.status_code, answer.json["error"]["code"]) == (401, "session_ended")


def test_a_cookie_secret_is_no_token_and_a_token_no_cookie(app: Flask) -> None:
    client, _ = browser(app, "reader-qingshan")
    secret = client.get_cookie("teleread_session").value
    assert app.test_client().get("/api/session", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    token = bearer(app, "reader-qingshan")["Authorization"].removeprefix("Bearer ")
    other = app.test_client()
    other.set_cookie("teleread_session", token)
    assert other.get("/api/session").status_code == 401


def test_admin_lists_and_revokes_tokens(app: Flask) -> None:
    reader, admin = bearer(app, "reader-qingshan"), bearer(app, "admin-qingshan")
    client = app.test_client()
    items = client.get("/api/tokens", headers=admin).json["items"]
    assert sorted((item["username"], item["kind"]) for item in items) == [
        ("admin-qingshan", "token"),
        ("reader-qingshan", "token"),
    ]
    assert reader["Authorization"].removeprefix("Bearer ") not in json.dumps(items)
    sitting = next(item["sitting"] for item in items if item["username"] == "reader-qingshan")
    assert client.delete(f"/api/tokens/{sitting}", headers=reader).status_code == 403
    assert client.delete(f"/api/tokens/{sitting}", headers=admin).status_code == 200
    assert client.get("/api/session", headers=reader).json["error"]["code"] == "session_ended"
    assert client.delete(f"/api/tokens/{sitting}", headers=admin).status_code == 404


# --- CSRF and refusals ------------------------------------------------------------------------


def test_unsafe_requests_with_the_cookie_need_the_csrf_token(app: Flask) -> None:
    client, csrf = browser(app, "technician-qingshan")
    for headers in ({}, {"X-CSRF-Token": "guess"}, {"X-CSRF-Token": "é"}):
        answer = client.post("/api/sample", json={"name": "a"}, headers=headers)
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "csrf_failed")
    assert client.post("/api/sample", json={"name": "a"}, headers={"X-CSRF-Token": csrf}).json == {"name": "a"}
    other_csrf = browser(app, "technician-baishui")[1]
    assert client.post("/api/sample", json={"name": "a"}, headers={"X-CSRF-Token": other_csrf}).status_code == 403
    assert client.post("/api/sample", json={"name": "a"}, headers=bearer(app, "technician-qingshan")).status_code == 200


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_another_site_cannot_log_a_browser_in(app: Flask, headers: dict[str, str]) -> None:
    answer = app.test_client().post("/login", data={"username": "a", "password": "b"}, headers=headers)
    assert answer.status_code == 403


def test_our_own_origin_is_welcome(app: Flask) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = app.test_client().post("/login", data={"username": "a", "password": "b"}, headers=headers)
    assert answer.status_code == 401


def test_refusals_are_audited_with_their_object(app: Flask, database: Database) -> None:
    client = app.test_client()
    technician, manager = bearer(app, "technician-qingshan"), bearer(app, "manager-baishui")
    assert client.get("/api/sample/1.2.3", headers=manager).json["error"] == {
        "code": "forbidden",
        "message": translate("errors.forbidden", "zh"),
        "details": {"act": "study.read"},
    }
    assert client.get("/api/sample/foreign", headers=technician).status_code == 404
    refused = [row for row in audit_rows(database) if row.act == "study.read"]
    assert [(row.actor, row.role, row.site, row.object_uid, row.result) for row in refused] == [
        ("manager-baishui", "manager", "BAISHUI", "1.2.3", "forbidden"),
        ("technician-qingshan", "technician", "QINGSHAN", "foreign", "not_found"),
    ]


# --- bodies, parameters, sizes ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "field_missing", "name"),
        ({"name": "a", "nmae": 1}, 422, "field_unknown", "nmae"),
        ({"name": 7}, 422, "field_type", "name"),
        ({"name": None}, 422, "field_type", "name"),
        ({"name": "a", "age": True}, 422, "field_type", "age"),
        ({"name": "a", "age": 2**53}, 422, "field_type", "age"),
        ({"name": "abcdef"}, 422, "field_too_long", "name"),
        ({"name": "  "}, 422, "field_too_short", "name"),
        ({"name": "a\0"}, 422, "field_character", "name"),
        ({"name": "a\ud800"}, 422, "field_character", "name"),
        ({"name": "a", "urgency": "now"}, 422, "field_choice", "urgency"),
        ({"name": "a", "patient": {}}, 422, "field_missing", "patient.sex"),
        ({"name": "a", "patient": {"sex": "MM"}}, 422, "field_too_long", "patient.sex"),
        ({"name": "a", "leads": ["I", "II", "III"]}, 422, "field_too_long", "leads"),
        ({"name": "a", "leads": ["I", 2]}, 422, "field_type", "leads[1]"),
    ],
)
def test_what_is_wrong_in_a_body_is_named(app: Flask, body: dict[str, Any], status: int, code: str, field: str) -> None:
    data = json.dumps(body).encode("ascii")
    headers = bearer(app, "technician-qingshan")
    answer = app.test_client().post("/api/sample", data=data, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.json["error"]["details"]["field"] == field
    assert field in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"\xff\xfe{", "application/json", 400, "invalid_json"),
        (b'{"name": "a", "weight": NaN}', "application/json", 400, "invalid_json"),
        (b'{"a":' * 100_000, "application/json", 400, "invalid_json"),
        (b'{"name": "a"}', "text/plain", 415, "not_json"),
        (b"x" * 1_000_001, "application/json", 413, "too_large"),
    ],
)
def test_bodies_that_are_no_json(app: Flask, data: bytes, content_type: str, status: int, code: str) -> None:
    headers = bearer(app, "technician-qingshan")
    answer = app.test_client().post("/api/sample", data=data, content_type=content_type, headers=headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)


def test_good_bodies_pass_unchanged(app: Flask) -> None:
    body = {"name": "𠮷龍", "age": 0, "weight": None, "patient": {"sex": "F"}, "leads": ["aVF"]}
    headers = bearer(app, "technician-qingshan")
    assert app.test_client().post("/api/sample", json=body, headers=headers).json == body


def test_parameters(app: Flask) -> None:
    client, headers = app.test_client(), bearer(app, "technician-qingshan")
    assert client.get("/api/sample/1?q=x", headers=headers).status_code == 200
    for query, code in (("Q=x", "parameter_unknown"), ("q=1&q=2", "parameter_repeated")):
        answer = client.get(f"/api/sample/1?{query}", headers=headers)
        assert (answer.status_code, answer.json["error"]["code"]) == (400, code)


# --- errors -----------------------------------------------------------------------------------


def test_coded_errors_of_other_areas(app: Flask) -> None:
    client, headers = app.test_client(), bearer(app, "reader-qingshan")
    answer = client.get("/api/sample/taken", headers=headers | {"Accept-Language": "en"})
    assert (answer.status_code, answer.json["error"]) == (
        409,
        {"code": "username_taken", "message": "User name 王 exists already", "details": {"username": "王"}},
    )
    answer = client.get("/api/sample/no-sentence", headers=headers)
    assert (answer.status_code, answer.json["error"]["message"]) == (422, "请求无法处理")
    assert answer.json["error"]["details"] == {}


def test_a_code_has_one_status() -> None:
    register_codes({"username_taken": 409})
    with pytest.raises(ValueError, match="username_taken"):
        register_codes({"username_taken": 422})


def test_a_fault_tells_a_number_and_no_names(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    answer = app.test_client().get("/api/sample/fault", headers=bearer(app, "reader-qingshan"))
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal")
    assert answer.json["error"]["details"]["fault"] in caplog.text
    assert "RuntimeError" in caplog.text
    assert "张伟" not in caplog.text + answer.text


def test_unknown_paths_and_methods(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/api/none").json["error"]["code"] == "not_found"
    assert client.get("/none").status_code == 404
    assert client.get("/none").mimetype == "text/html"
    answer = client.put("/api/login", json={})
    assert (answer.status_code, answer.json["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_locked_database_is_503_and_nothing_changed(
    clock: Clock, tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worklist.base.db.SQLITE_BUSY_TIMEOUT_MS", 100)
    path = tmp_path / "locked.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())
    db = Database(f"sqlite:///{path}")
    app = _app(db, clock, tmp_path)
    headers = bearer(app, "technician-qingshan")
    clock.forward(90)  # last_seen_at is due to be written: that must not stop a reader
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        answer = app.test_client().post("/api/login", json={"username": "reader-qingshan", "password": PASSWORD})
        assert (answer.status_code, answer.json["error"]["code"]) == (503, "database_busy")
        assert int(answer.headers["Retry-After"]) > 0
        assert app.test_client().get("/api/sample/1", headers=headers).status_code == 200
    finally:
        other.close()
    assert bearer(app, "reader-qingshan")
    db.dispose()


# --- headers, language, assets ----------------------------------------------------------------


def test_headers_on_every_answer(app: Flask) -> None:
    client = app.test_client()
    for path in ("/login", "/api/session", "/none", "/api/openapi.json"):
        headers = client.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["object-src"] == policy["base-uri"] == "'none'"
        assert "unsafe-inline" not in str(policy)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" not in headers  # plain HTTP on loopback


def test_only_hashed_assets_may_be_kept(app: Flask) -> None:
    client = app.test_client()
    hashed = client.get("/static/dist/main-3f9a1c02.js", buffered=True)
    assert hashed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert hashed.mimetype == "text/javascript"
    assert client.get("/static/dist/manifest.json", buffered=True).headers["Cache-Control"] == "no-store"
    for outside in ("../secret-3f9a1c02.js", "%2e%2e/secret-3f9a1c02.js", "none-3f9a1c02.js"):
        answer = client.get(f"/static/dist/{outside}")
        assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")
    assert "/static/dist/main-3f9a1c02.js" in client.get("/login").text


def test_language_by_person_then_browser_then_header(app: Flask) -> None:
    def message(client: FlaskClient, **headers: str) -> str:
        return client.get("/api/none", headers=headers).json["error"]["message"]

    zh, en = (translate("errors.not_found", tongue) for tongue in LANGUAGES)
    client = app.test_client()
    assert message(client) == zh
    assert message(client, **{"Accept-Language": "fr, en;q=0.9"}) == en
    assert message(client, **{"Accept-Language": "de"}) == zh
    assert client.post("/api/language", json={"language": "en"}).json == {"language": "en"}
    assert message(client) == en
    assert client.post("/api/language", json={"language": "fr"}).status_code == 422
    token = bearer(app, "reader-qingshan")
    app.test_client().post("/api/language", json={"language": "en"}, headers=token)
    assert app.test_client().get("/api/session", headers=token).json["language"] == "en"
    answer = app.test_client().get("/login?language=en&next=/sample")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/sample")


def test_every_code_of_the_framework_has_its_sentence() -> None:
    """Codes are read from the source; a code without a sentence would be told as 'cannot be processed'."""
    folder = Path(__file__).parents[2] / "worklist"
    modules = "web web_auth web_errors web_json web_login account_service session_service access access_store"
    sources = [folder / f"{module}.py" for module in modules.split()]
    raised = r'(?:Refused|AccountError|LoginRefused|WebError)\((?:\d{3}, )?"([a-z_]+)"'
    codes = {code for path in sources for code in re.findall(raised, path.read_text("utf-8"))}
    assert len(codes) > 15
    assert {code for code in codes if f"errors.{code}" not in catalog()} == set()
