"""A server for engine pages: built assets, display records and frames, with the product's content policy. Port 0."""

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm", ".json": "application/json"}


def build_page(out_dir: Path, main: Path) -> dict[str, str]:
    """Bundles ``main`` with the worker, the codec and the styles into ``out_dir``; gives the manifest."""
    command = ["node", "build.mjs", "--out", str(out_dir), "--main", str(main)]
    subprocess.run([shutil.which("node") or "node", *command[1:]], cwd=ROOT / "viewer" / "frontend", check=True)
    manifest: dict[str, str] = json.loads((out_dir / "manifest.json").read_text("utf-8"))
    return manifest


@dataclass
class Frontend:
    """What is served; ``bytes_per_s`` makes frames slow."""

    dist: Path
    manifest: dict[str, str]
    url: str = ""
    documents: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, bytes] = field(default_factory=dict)
    bytes_per_s: float | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)

    def page(self) -> bytes:
        return (
            f'<!doctype html><html lang="zh" data-theme="dark"><meta charset="utf-8"><title>engine</title>'
            f'<link rel="stylesheet" href="/dist/{self.manifest["css"]}">'
            f'<link rel="stylesheet" href="/page.css">'
            f'<body><div id="viewport"></div><div id="sheet"></div>'
            f'<script type="module" src="/dist/{self.manifest["main"]}"></script>'
        ).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Frontend

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.served.requests.append((path, self.headers.get("Range", "")))
        if path in self.served.frames:
            return self.frame(self.served.frames[path])
        file = self.served.dist / path.removeprefix("/dist/")
        if path.startswith("/dist/") and file.is_file():
            return self.answer(200, file.read_bytes(), TYPES[file.suffix])
        return self.answer(*self.document(path))

    def document(self, path: str) -> tuple[int, bytes, str]:
        if path == "/":
            return 200, self.served.page(), "text/html; charset=utf-8"
        if path == "/page.css":
            return 200, b"body{margin:0}#viewport{width:100vw;height:100vh}", "text/css"
        if path in self.served.documents:
            return 200, json.dumps(self.served.documents[path]).encode(), "application/json"
        return 404, b"", "text/plain"

    def frame(self, data: bytes) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match:
            return self.answer(200, data, "image/jphc")
        start, end = int(match[1]), int(match[2] or len(data) - 1)
        extra = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        return self.answer(206, data[start : end + 1], "image/jphc", extra)

    def answer(self, status: int, body: bytes, kind: str, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": POLICY}
        for name, value in {**headers, **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.send_body(body, kind)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send_body(self, body: bytes, kind: str) -> None:
        rate = self.served.bytes_per_s if kind == "image/jphc" else None
        step = len(body) if rate is None else max(1, int(rate / 50))
        for start in range(0, len(body), step or 1):
            self.wfile.write(body[start : start + step])
            if rate is not None:
                time.sleep(0.02)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests look at ``requests``."""


@contextmanager
def serving(dist: Path, manifest: dict[str, str]) -> Iterator[Frontend]:
    served = Frontend(dist, manifest)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"served": served}))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
