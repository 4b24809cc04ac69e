"""The web role as one ASGI application: streams by themselves, everything else through Flask. [app]"""

import asyncio
import contextvars
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from a2wsgi.wsgi import Body, build_environ
from flask import Flask

from worklist.events import EventsApp
from worklist.ups_socket import PREFIX as SUBSCRIBERS
from worklist.ups_socket import SubscriberSockets
from worklist.web_errors import sentence
from worklist.web_files import (
    FILE_HEADER,
    SEGMENTS,
    SEGMENTS_KEY,
    FileRange,
    HeldFile,
    Piece,
    Segment,
    length_of,
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

N_THREADS = 12
MAX_WAITING = 256  # requests in or before the threads; more are turned away at once
CHUNK_BYTES = 1 << 20
SHORT_PREFIX = "/dicom-web/studies/"
MOST_SHORT_BYTES = 8 << 20  # a frame that leaves in one piece
_FILE_HEADER = FILE_HEADER.lower().encode()
_NO_STORE = (b"cache-control", b"no-store")


# A complete answer (headers, body) to a path and headers, on a decision of a moment ago; None: ask Flask.
ShortWay = Callable[[str, Any], tuple[list[tuple[bytes, bytes]], Sequence[Segment]] | None]


def build_asgi(
    flask_app: Flask, events: EventsApp, *, file_root: Path, n_threads: int = N_THREADS,
    short_way: ShortWay | None = None, sockets: SubscriberSockets | None = None,
) -> "WebApp":  # fmt: skip
    """The application for granian. Files are sent only from below ``file_root``."""
    return WebApp(flask_app, events, file_root.resolve(), n_threads, short_way, sockets)


class _Pages:
    """Flask in threads: one hop there and one back where the answer is short, one more for each further part.

    Environ and request body are a2wsgi's; its own way back hands every message of an answer to the event loop by
    itself, which costs the loop more than most of our pages cost a thread.
    """

    def __init__(self, flask_app: Flask, n_threads: int) -> None:
        self._app = flask_app
        self.executor = ThreadPoolExecutor(n_threads, thread_name_prefix="WSGI")

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        async def receive_body() -> Message:  # granian's receive is no coroutine function, which a2wsgi needs
            return await receive()

        page = _Page(self._app, build_environ(scope, Body(loop, receive_body)))  # type: ignore[arg-type]
        try:
            body = await loop.run_in_executor(self.executor, page.begin)
            await send({"type": "http.response.start", "status": page.status, "headers": page.headers})
            while not page.is_over:
                await send({"type": "http.response.body", "body": body, "more_body": True})
                body = await loop.run_in_executor(self.executor, page.part)
            await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            if not page.is_over:  # the client went, or the page failed
                self.executor.submit(page.close)


class _Page:
    """One run of a WSGI application (PEP 3333), in whichever threads, one at a time."""

    def __init__(self, app: Flask, environ: Any) -> None:
        self._app, self._environ = app, environ
        self._context = contextvars.copy_context()  # a generator goes on in the context in which it began
        self._turn = threading.Lock()
        self._written: list[bytes] = []
        self._parts: Any = ()
        self._rest: Iterator[bytes] = iter(())
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_over = False

    def begin(self) -> bytes:
        """Status, headers and the body's first part; all of a short one."""
        with self._turn:
            self._parts = self._context.run(self._app, self._environ, self._start)
            self._rest = iter(self._parts)
            return self._context.run(self._take)

    def part(self) -> bytes:
        """A further part; empty or short where it is the last one."""
        with self._turn:
            return self._context.run(self._take)

    def _take(self) -> bytes:
        taken, self._written = self._written, []
        size = sum(map(len, taken))
        for piece in self._rest:
            taken.append(piece)
            size += len(piece)
            if size >= CHUNK_BYTES:
                break
        else:
            self._end()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        self.status = int(status[:3])
        self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self._written.append

    def _end(self) -> None:
        self.is_over = True
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()

    def close(self) -> None:
        """What the application holds is given back."""
        with self._turn:
            if not self.is_over:
                self._context.run(self._end)


class WebApp:
    """Sends each request where it belongs."""

    def __init__(
        self, flask_app: Flask, events: EventsApp, file_root: Path, n_threads: int, short_way: ShortWay | None,
        sockets: SubscriberSockets | None,
    ) -> None:  # fmt: skip
        self.events, self.sockets = events, sockets
        self.short_way = short_way
        self.pages = _Pages(flask_app, n_threads)
        self.file_root = file_root
        self.file_threads = ThreadPoolExecutor(4, thread_name_prefix="files")
        # What is made while it leaves (another syntax, a picture) takes its time: frames do not wait behind it.
        self.makers = ThreadPoolExecutor(2, thread_name_prefix="makers")
        self.n_waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket" and self.sockets is not None and scope["path"].startswith(SUBSCRIBERS):
            await self.sockets(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["path"] == "/api/events":
            await self.events(scope, receive, send)
        elif self.n_waiting >= MAX_WAITING:
            await _turn_away(send)
        elif await self._sent_short(scope, send):
            pass
        else:
            await self._page(scope, receive, send)

    async def _sent_short(self, scope: Scope, send: Send) -> bool:
        """Whether the request was answered without Flask."""
        if self.short_way is None or scope["method"] != "GET" or scope["query_string"]:
            return False
        if not scope["path"].startswith(SHORT_PREFIX):
            return False
        found = await asyncio.get_running_loop().run_in_executor(self.file_threads, self._short, scope)
        if found is None:
            return False
        headers, body = found
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    def _short(self, scope: Scope) -> tuple[list[tuple[bytes, bytes]], bytes] | None:
        found = self.short_way(scope["path"], scope["headers"]) if self.short_way else None
        if found is None or (length_of(found[1]) or 0) > MOST_SHORT_BYTES:
            return None
        try:
            body = _joined(self.file_root, found[1])
        except OSError:
            return None  # whatever is wrong with the file, the long way says it
        return [*found[0], _NO_STORE, (b"content-length", str(len(body)).encode())], body

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = _one_cookie_header(scope["headers"])
        answer = _Answer(self, scope, send)
        self.n_waiting += 1
        try:
            await self.pages(scope, receive, answer.send)
        finally:
            self.n_waiting -= 1
            answer.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                return await send({"type": "lifespan.shutdown.complete"})

    async def close(self) -> None:
        """End streams and threads; requests that run are not waited for here."""
        await self.events.close()
        if self.sockets is not None:
            await self.sockets.close()
        self.pages.executor.shutdown(wait=False, cancel_futures=True)
        self.file_threads.shutdown(wait=False, cancel_futures=True)
        self.makers.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _FileRange:
    descriptor: int
    path: Path
    offset: int
    length: int

    @property
    def is_whole(self) -> bool:
        return self.offset == 0 and os.fstat(self.descriptor).st_size == self.length


class _Answer:
    """What Flask sends, with the file put in where a view asked for it."""

    def __init__(self, app: WebApp, scope: Scope, send: Send) -> None:
        self._app, self._scope, self._send = app, scope, send
        self._file: _FileRange | None = None
        self._segments: Sequence[Segment] | None = None
        self._replaced = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
        elif self._replaced:
            pass  # the 404 below has its own body
        elif (self._file is None and self._segments is None) or self._scope["method"] == "HEAD":
            await self._send(message)
        elif message.get("more_body", False):
            pass  # nothing of it is ours: the body follows at its end
        elif self._segments is not None:
            await send_segments(self._app, self._send, self._segments)
        elif self._file is not None:
            await self._send_file(self._file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file.descriptor)
            self._file = None

    async def _start(self, message: Message) -> None:
        header = next((value for name, value in message["headers"] if name == _FILE_HEADER), None)
        if header is None:
            return await self._send(message)
        kept = [pair for pair in message["headers"] if pair[0] not in (_FILE_HEADER, b"content-length")]
        if header == SEGMENTS.encode():
            segments: Sequence[Segment] = self._scope.pop(SEGMENTS_KEY)
            self._segments, size = segments, length_of(segments)
            kept += [] if size is None else [(b"content-length", str(size).encode())]
            return await self._send({**message, "headers": kept})
        try:
            self._file = await self._in_thread(self._open, header.decode("latin-1"))
        except OSError:  # gone between the view and here
            self._replaced = True
            await self._send({"type": "http.response.start", "status": 404, "headers": [_NO_STORE]})
            return await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        length = str(self._file.length).encode()
        return await self._send({**message, "headers": [*kept, (b"content-length", length)]})

    def _open(self, header: str) -> _FileRange:
        """Raises OSError, FileNotFoundError too when the file is not below the root or shorter than asked for."""
        name, offset, length = header.rsplit(";", 2)
        path = Path(unquote(name)).resolve()
        if not path.is_relative_to(self._app.file_root):
            raise FileNotFoundError
        opened = _FileRange(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path, int(offset), int(length))
        if os.fstat(opened.descriptor).st_size < opened.offset + opened.length:
            os.close(opened.descriptor)
            raise FileNotFoundError
        return opened

    async def _send_file(self, file: _FileRange) -> None:
        if "http.response.pathsend" in self._scope.get("extensions", {}) and file.is_whole:
            return await self._send({"type": "http.response.pathsend", "path": str(file.path)})
        offset, end = file.offset, file.offset + file.length
        while offset < end:
            chunk = await self._in_thread(os.pread, file.descriptor, min(CHUNK_BYTES, end - offset), offset)
            if not chunk:
                raise OSError("file became shorter while it was sent")
            offset += len(chunk)
            await self._send({"type": "http.response.body", "body": chunk, "more_body": offset < end})
        if file.length == 0:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return None

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._app.file_threads, function, *arguments)


async def send_segments(app: WebApp, send: Send, segments: Sequence[Segment]) -> None:
    """Piece by piece; small ones together, of a large file never more than a chunk in memory."""
    loop, size = asyncio.get_running_loop(), length_of(segments)
    if size is not None and size <= 2 * CHUNK_BYTES:
        body = await loop.run_in_executor(app.file_threads, _joined, app.file_root, segments)
        return await send({"type": "http.response.body", "body": body, "more_body": False})
    for segment in segments:
        if isinstance(segment, bytes | FileRange | HeldFile):
            await _send_piece(app, send, segment)
            continue
        for piece in await loop.run_in_executor(app.makers, segment):
            await _send_piece(app, send, piece)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return None


async def _send_piece(app: WebApp, send: Send, piece: Piece) -> None:
    if isinstance(piece, bytes):
        return await send({"type": "http.response.body", "body": piece, "more_body": True})
    loop, offset, end = asyncio.get_running_loop(), piece.offset, piece.offset + piece.length
    while offset < end:
        part = replace(piece, offset=offset, length=min(CHUNK_BYTES, end - offset))
        chunk = await loop.run_in_executor(app.file_threads, _read_range, app.file_root, part)
        offset += len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    return None


def _joined(file_root: Path, segments: Sequence[Segment]) -> bytes:
    return b"".join(one if isinstance(one, bytes) else _read_range(file_root, one) for one in segments)  # type: ignore[arg-type]


def _read_range(file_root: Path, part: FileRange | HeldFile) -> bytes:
    """Raises OSError where the file is gone, not below the root, or shorter than asked for."""
    if isinstance(part, HeldFile):
        return part.read()
    if not part.path.is_relative_to(file_root):
        raise FileNotFoundError
    descriptor = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        piece = os.pread(descriptor, part.length, part.offset)
    finally:
        os.close(descriptor)
    if len(piece) < part.length:
        raise OSError("a stored file is shorter than it was")
    return piece


async def _turn_away(send: Send) -> None:
    code = "database_busy"
    error = {"code": code, "message": sentence(code, {}, "zh"), "details": {}}
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"2"), _NO_STORE]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _one_cookie_header(headers: Any) -> list[tuple[bytes, bytes]]:
    """HTTP/2 may send cookies in parts; a WSGI server must join them by "; " (RFC 9113 8.2.3)."""
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) < 2:
        return list(headers)
    return [pair for pair in headers if pair[0] != b"cookie"] + [(b"cookie", b"; ".join(cookies))]
