"""The web framework under every page and endpoint: one application, one door, one shape of error. [web]

How to add an endpoint::

    from flask import Blueprint, render_template
    from worklist.access import Act
    from worklist.web import (
        Field, actor, adapter, now, read, read_json, register_codes, route_needs, write,
    )

    orders = Blueprint("orders", __name__)          # hand it to WebServices(blueprints=[...])
    register_codes({"order_exists": 409})           # statuses of your errors' codes; default 422

    NEW_ORDER = {
        "modality": Field(str, choices={"CT", "DR", "ECG"}),
        "complaint": (str, False, 2000),            # (type, required, max_len)
        "patient": Field(dict, nested={"name": Field(str, max_len=64, min_len=1)}),
    }

    @orders.post("/api/orders")
    @route_needs(Act.ORDER_CREATE, summary="Request an examination", body=NEW_ORDER,
                 answers={201: "made", 409: "such an order exists"})
    def create_order():                             # actor and act are checked before this line
        body = read_json(NEW_ORDER)                 # 415/400/422 with details.field
        with write() as session:                    # commits at the end, rolls back on any error
            order = order_service.create(session, actor(), body, now=now())
        return {"order_uid": order.order_uid}, 201

    @orders.get("/orders")
    @route_needs(Act.ORDER_READ, query=["q"])       # any other query parameter is 400
    def orders_page():
        with read() as session: ...
        return render_template("orders.html")       # has t(), lang, asset(), csrf_token, actor

Errors with ``.code`` and ``.params`` become ``{"error": {code, message, details}}`` under /api and
``error.html`` elsewhere; the sentence is ``errors.<code>`` or ``<area>.<code>`` of any catalog. A
``Refused`` also gets its audit row. ``route_needs(..., touches=False)`` marks calls that a page
makes by itself (they do not keep a login alive), ``limit_bytes=UPLOAD_LIMIT_BYTES`` an upload.
``adapter("render_pdf")`` is the callable handed to ``WebServices(adapters={...})``. A route without
a declaration makes ``create_web`` fail. Public endpoints say ``@route_public()``.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, request, send_from_directory
from jinja2 import ChoiceLoader, FileSystemLoader
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from worklist import openapi, store, web_auth, web_errors, web_login
from worklist.base.config import Settings
from worklist.web_context import (
    WebServices,
    actor,
    actor_or_none,
    adapter,
    language,
    login_or_none,
    now,
    read,
    services,
    source,
    t,
    today,
    write,
    write_together,
)
from worklist.web_errors import WebError, register_codes
from worklist.web_json import Field, read_json
from worklist.web_routes import (
    JSON_LIMIT_BYTES,
    UPLOAD_LIMIT_BYTES,
    Route,
    route_needs,
    route_public,
    route_table,
)

__all__ = [
    "JSON_LIMIT_BYTES", "UPLOAD_LIMIT_BYTES", "Field", "Route", "WebError", "WebServices", "actor", "actor_or_none",
    "adapter", "create_web", "language", "login_or_none", "now", "read", "read_json", "register_codes", "route_needs",
    "route_public", "route_table", "services", "source", "t", "today", "write",
    "write_together",
]  # fmt: skip

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self'", "style-src 'self'",
        "img-src 'self' data: blob:", "connect-src 'self'", "font-src 'self'", "frame-src 'self' blob:",
        "object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'self'",
    )
)  # fmt: skip
_HASHED_NAME = re.compile(r"[.-][0-9A-Za-z_]{8,}\.[0-9a-z.]+$")
_TYPES = {".wasm": "application/wasm", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

static_files = Blueprint("static_files", __name__)


def create_web(web_services: WebServices) -> Flask:
    """The WSGI application. Raises RuntimeError naming every route that declares no act."""
    app = Flask("teleread", static_folder=None, template_folder=None)
    app.extensions["teleread"] = web_services
    app.config.update(MAX_CONTENT_LENGTH=UPLOAD_LIMIT_BYTES, PROPAGATE_EXCEPTIONS=False, TRAP_HTTP_EXCEPTIONS=False)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    if web_services.settings.is_behind_proxy:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    app.before_request(web_auth.before_request)
    app.after_request(_headers)
    app.register_error_handler(Exception, web_errors.handle)
    _prepare_templates(app, web_services)
    for blueprint in (static_files, web_login.login, openapi.description, *web_services.blueprints):
        app.register_blueprint(blueprint)
    route_table(app)
    return app


def _prepare_templates(app: Flask, web_services: WebServices) -> None:
    app.jinja_loader = ChoiceLoader([FileSystemLoader(folder) for folder in web_services.template_dirs])
    app.jinja_env.globals.update(t=t, asset=asset)
    app.context_processor(_template_values)


def _template_values() -> dict[str, Any]:
    login = login_or_none()
    return {
        "lang": language(), "actor": actor_or_none(), "csrf_token": login.csrf_token if login else "",
        "site_name": _site_name(), "timezone": services().settings.timezone,
    }  # fmt: skip


def _site_name() -> str:
    """The name of the actor's site in the request's language; empty where nobody is logged in."""
    person = actor_or_none()
    if person is None:
        return ""
    try:
        with read() as session:
            site = store.site_by_code(session, person.site_code)
    except SQLAlchemyError:
        return ""  # an error page must not need the database that failed
    if site is None:
        return ""
    return site.name_en if language() == "en" and site.name_en else site.name_zh


def asset(name: str) -> str:
    """The address of a built file by its plain name (``main``, ``css``), from the bundle's manifest.json.

    Pages work without scripts before the bundle is built. Raises KeyError for a name that a built bundle has not.
    """
    path = services().bundle_dir / "manifest.json"
    if not path.is_file():
        return f"/static/dist/{name}.not-built"
    return "/static/dist/" + _manifest(path, path.stat().st_mtime_ns)[name]


@lru_cache(maxsize=4)
def _manifest(path: Path, mtime_ns: int) -> dict[str, str]:
    names: dict[str, str] = json.loads(path.read_text("utf-8"))
    return names


@static_files.get("/static/dist/<path:name>")
@route_public(summary="A built file of the pages")
def built_file(name: str) -> AnyResponse:
    answer = send_from_directory(services().bundle_dir, name, mimetype=_TYPES.get(Path(name).suffix))
    if _HASHED_NAME.search(name):
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


def _headers(answer: AnyResponse) -> AnyResponse:
    """What every answer carries; patient data is kept by no cache."""
    if not (request.endpoint == "static_files.built_file" and "immutable" in answer.headers.get("Cache-Control", "")):
        answer.headers["Cache-Control"] = "no-store"
    for name, value in common_headers(services().settings).items():
        if name not in answer.headers or name != "Content-Security-Policy":
            answer.headers[name] = value
    return answer


def common_headers(settings: Settings) -> dict[str, str]:
    """What tells a browser how far to trust an answer of ours."""
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if settings.has_tls or settings.is_behind_proxy:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers
