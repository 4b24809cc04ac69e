"""A web server process for tests: ``python -m tests.worklist.small_web DATABASE_URL PORT FOLDER [CERT KEY]``.

The real server and streams around a few plain views. A bearer token is the number of the site a
technician belongs to; it stops being valid when FOLDER/revoked exists.
"""

import hashlib
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flask import Flask, Response, request, stream_with_context
from sqlalchemy.orm import Session

from worklist.access import Actor, can_see_study
from worklist.asgi import build_asgi
from worklist.base.audit import WorkflowEvent
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.event_hub import EventItem
from worklist.events import EventsApp
from worklist.serve import serve
from worklist.web_files import send_stored


def actor_of(token: str) -> Actor:
    role = "manager" if token == "manager" else "technician"
    site_id = 0 if role == "manager" else int(token)
    return Actor(1, "u", "U", role, site_id, "S", frozenset({"image"}), "sitting", "zh")


def describe(session: Session, events: Sequence[WorkflowEvent]) -> list[EventItem]:
    if any(event.kind == "poison" for event in events):
        raise RuntimeError("张三")
    return [
        EventItem(event.id, event.kind, event.details["site"], "image", None, {"名": "张三\n"} | event.details)
        for event in events
    ]


def visible(actor: Actor, item: EventItem) -> bool:
    return item.study_site_id is not None and can_see_study(actor, item.study_site_id, item.study_kind or "")


def pages(folder: Path) -> Flask:
    app = Flask(__name__)
    busy, most = 0, 0
    lock = threading.Lock()

    @app.get("/file/<name>")
    def file(name: str) -> Response:
        return send_stored(folder / name, "image/jphc", etag="v1", max_age_s=60)

    @app.get("/outside")
    def outside() -> Response:
        return send_stored(folder.parent / "outside.txt", "text/plain", etag="x")

    @app.get("/cookies")
    def cookies() -> dict[str, str]:
        return dict(request.cookies)

    @app.post("/sum")
    def digest() -> str:
        return hashlib.sha256(request.get_data()).hexdigest()

    @app.get("/slow")
    def slow() -> dict[str, int]:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(float(request.args.get("s", "0.2")))
        with lock:
            busy -= 1
        return {"most": most}

    @app.get("/long")
    def long() -> Response:
        """Parts made while they leave, each by the request's own context; ``fails_at``: the part that is none."""

        def parts() -> Iterator[bytes]:
            try:
                for number in range(int(request.args["n"])):
                    if str(number) == request.args.get("fails_at"):
                        raise RuntimeError("no part")
                    yield f"{number} ".encode().ljust(50_000)
            finally:
                (folder / "given back").touch()

        return Response(stream_with_context(parts()), mimetype="text/plain")

    @app.get("/protocol")
    def protocol() -> dict[str, str]:
        return {"protocol": request.environ["SERVER_PROTOCOL"], "scheme": request.scheme}

    return app


def main(url: str, port: str, folder: Path, cert: str = "", key: str = "") -> None:
    logging.basicConfig(level=logging.WARNING)

    def authenticate(headers: Mapping[str, str]) -> Actor | None:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        return actor_of(token) if token and not (folder / "revoked").exists() else None

    events = EventsApp(Database(url), authenticate, describe, visible, heartbeat_s=1.0)
    app = build_asgi(pages(folder), events, file_root=folder)
    serve(app, Settings(http_port=port, tls_cert=cert, tls_key=key), on_ready=lambda: print("ready", flush=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
