"""OHIF, unmodified, as an advanced viewer on a port of its own: its files, and DICOMweb to read from. [app]

A browser keeps origins apart by port, cookies only by host: OHIF's scripts cannot touch our pages, yet DICOMweb
knows whose browser this is by the HttpOnly cookie that it has anyway. No token stands in an address. Only reading is
let through here.
"""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worklist.asgi import Receive, Scope, Send, WebApp
from worklist.base.config import ConfigError, Settings
from worklist.roof import Roof
from worklist.webserver import authenticate

VERSION = "3.13.2"
SERVED = ("GET", "HEAD")
_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm",
    ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}  # fmt: skip
_HASHED = re.compile(r"(^|[./])[0-9a-f]{16}\.")
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
DATA_SOURCE = {
    "friendlyName": "teleread", "qidoRoot": "/dicom-web", "wadoRoot": "/dicom-web", "wadoUriRoot": "/dicom-web",
    "qidoSupportsIncludeField": True, "imageRendering": "wadors", "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True, "supportsFuzzyMatching": True, "supportsWildcard": True,
    "singlepart": "bulkdata,video,pdf", "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
    "omitQuotationForMultipartRequest": True,
}  # fmt: skip
CONFIG = {
    "routerBasename": None, "extensions": [], "modes": [], "customizationService": {}, "showStudyList": True,
    "maxNumberOfWebWorkers": 2, "showWarningMessageForCrossOrigin": False, "showCPUFallbackMessage": True,
    "showLoadingIndicator": True, "strictZSpacingForVolumeViewport": True, "groupEnabledModesFirst": True,
    "investigationalUseDialog": {"option": "never"}, "showErrorDetails": "production",
    # A township's line is slow: what is looked at goes first.
    "maxNumRequests": {"interaction": 20, "thumbnail": 4, "prefetch": 8},
    "defaultDataSourceName": "teleread",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb", "sourceName": "teleread",
            "configuration": DATA_SOURCE,
        }
    ],
}  # fmt: skip


def folder_of(settings: Settings) -> Path:
    """Where ``teleread ohif install`` puts it."""
    return settings.data_path / "ohif" / VERSION


def is_installed(settings: Settings) -> bool:
    return (folder_of(settings) / "index.html").is_file()


def ohif_beside(roof: Roof, web: WebApp) -> list[tuple["OhifApp", int]]:
    """The viewer and its port, where it is switched on. Raises ConfigError where its files are missing."""
    port = roof.settings.ohif_port_number
    if port is None:
        return []
    if not is_installed(roof.settings):
        raise ConfigError("TELEREAD_OHIF_PORT: 先运行 teleread ohif install / run teleread ohif install first")
    return [(OhifApp(web, roof.settings, lambda headers: authenticate(roof, headers) is not None), port)]


class OhifApp:
    """The ASGI application of that port. ``knows``: whether these headers carry a valid login."""

    def __init__(self, web: WebApp, settings: Settings, knows: Callable[[Mapping[str, str]], bool]) -> None:
        self._web, self._settings, self._knows = web, settings, knows
        self._folder = folder_of(settings).resolve()
        page = (self._folder / "index.html").read_text("utf-8")
        self._headers = _headers(settings, page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["method"] not in SERVED:
            await self._send(send, 405, [(b"allow", b"GET, HEAD")], b"")
        elif scope["path"] == "/dicom-web" or scope["path"].startswith("/dicom-web/"):
            await self._web(scope, receive, send)
        else:
            await self._file(scope, send)

    async def _file(self, scope: Scope, send: Send) -> None:
        path = scope["path"].lstrip("/")
        if "\0" in path:  # the name of no file
            return await self._send(send, 404, [], b"")
        if path == "app-config.js":
            body = f"window.config = {json.dumps(CONFIG)};".encode()
            return await self._send(send, 200, [(b"content-type", b"text/javascript")], body)
        file = (self._folder / path).resolve()
        is_page = not file.suffix or not path
        if is_page:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            known = await asyncio.to_thread(self._knows, headers)
            if not known:
                return await self._send(send, 303, [(b"location", self._login_page(headers).encode())], b"")
            file = self._folder / "index.html"
        if not file.is_relative_to(self._folder) or not file.is_file():
            return await self._send(send, 404, [], b"")
        return await self._send_file(scope, send, file, keep=bool(_HASHED.search(file.name)))

    async def _send_file(self, scope: Scope, send: Send, file: Path, *, keep: bool) -> None:
        headers = [(b"content-type", _TYPES.get(file.suffix, "application/octet-stream").encode())]
        accepted = next((value for name, value in scope["headers"] if name == b"accept-encoding"), b"")
        zipped = file.with_name(file.name + ".gz")
        if b"gzip" in accepted and zipped.is_file():
            file = zipped
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        headers.append((b"cache-control", b"public, max-age=31536000, immutable" if keep else b"no-cache"))
        body = await asyncio.to_thread(file.read_bytes)
        await self._send(send, 200, headers, b"" if scope["method"] == "HEAD" else body, len(body))

    def _login_page(self, headers: Mapping[str, str]) -> str:
        """The list of our own pages: whoever logs in there may come back here."""
        if self._settings.public_url:
            return self._settings.base_url + "/"
        host = re.sub(r":\d+$", "", headers.get("host", "")) or self._settings.http_host
        return f"{'https' if self._settings.has_tls else 'http'}://{host}:{self._settings.http_port}/"

    async def _send(
        self, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, length: int | None = None
    ) -> None:
        size = str(len(body) if length is None else length).encode()
        every = [*self._headers, *headers, (b"content-length", size)]
        await send({"type": "http.response.start", "status": status, "headers": every})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _headers(settings: Settings, page: str) -> list[tuple[bytes, bytes]]:
    """Nothing from elsewhere, nothing to elsewhere; what OHIF brings inline is named by its hash."""
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in _INLINE_SCRIPT.findall(page))
    policy = (
        f"default-src 'self'; script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval' {hashes}; worker-src 'self' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' blob: data:; object-src 'self' blob:; frame-src 'self' blob:; base-uri 'self'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    found = {
        "content-security-policy": policy, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
    }  # fmt: skip
    if settings.has_tls or settings.is_behind_proxy:
        found["strict-transport-security"] = "max-age=31536000"
    return [(name.encode(), value.encode()) for name, value in found.items()]


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Any = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            return await send({"type": "lifespan.shutdown.complete"})
