"""GET /api/events: what happens, told to open pages at once (text/event-stream), as plain ASGI. [web]

A stream is one task and one small queue. It starts with ``hello``, whose id lets a browser that is cut
off resume by Last-Event-ID without loss; ``resync`` tells the page to load its lists anew;
``session_expired`` ends the stream of a person who is logged out.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from worklist.access import Act, Actor, Refused, check
from worklist.base.db import Database
from worklist.base.i18n import language_of
from worklist.event_hub import Describe, Hub, Stream, Visible, block
from worklist.web_errors import sentence, status_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Whose request this is, from its lower-case headers; None: nobody's. Must not count as activity: an open
# page would never be logged out for idling. Runs in a thread. May raise Refused.
Authenticate = Callable[[Mapping[str, str]], Actor | None]

HEARTBEAT_S = 15.0
SEND_TIMEOUT_S = 30.0
MAX_STREAMS = 2000
RETRY_MS = 1000


class EventsApp:
    """The ASGI application. Build one per process.

    Every ``heartbeat_s`` a silent stream gets a sign of life, and every stream's session is looked at:
    a revoked one ends within about that time.
    """

    def __init__(
        self,
        db: Database,
        authenticate: Authenticate,
        describe: Describe,
        visible: Visible,
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.hub = Hub(db, describe, visible)
        self.authenticate = authenticate
        self.heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        if scope["method"] != "GET":
            return await _refuse(send, headers, "method_not_allowed")
        if len(self.hub.streams) >= MAX_STREAMS:
            return await _refuse(send, headers, "database_busy")
        try:
            actor = await self._actor(headers)
        except Refused as refusal:
            return await _refuse(send, headers, refusal.code)
        if actor is None:
            return await _refuse(send, headers, "not_logged_in")
        return await self._stream(Stream(actor), headers, _last_id(scope, headers), receive, send)

    async def close(self) -> None:
        """End all streams: the server stops."""
        await self.hub.close()

    async def _actor(self, headers: Mapping[str, str]) -> Actor | None:
        actor = await self.hub.in_thread(self.authenticate, headers)
        if actor is not None:
            check(actor, Act.EVENTS_STREAM)
        return actor

    async def _stream(
        self, stream: Stream, headers: Mapping[str, str], last_id: int | None, receive: Receive, send: Send
    ) -> None:
        gone = asyncio.create_task(_until_disconnect(receive, stream), name="event-stream-gone")
        try:
            start_id, missed = await self.hub.join(stream, last_id)
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            await _send_block(send, f"retry: {RETRY_MS}\n".encode() + block("hello", start_id, {}))
            for message in missed:
                await _send_block(send, message.block)
            await self._feed(stream, headers, missed[-1].event_id if missed else 0, send)
        except (TimeoutError, ConnectionError, RuntimeError):
            pass  # a reader that does not read, or is gone
        finally:
            gone.cancel()
            self.hub.leave(stream)

    async def _feed(self, stream: Stream, headers: Mapping[str, str], sent_id: int, send: Send) -> None:
        """Send what is queued, a sign of life when nothing is, until one side ends."""
        checked = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(self.heartbeat_s):
                    message = await stream.queue.get()
            except TimeoutError:
                if stream.queue.empty():  # else the id would skip what waits
                    # An id without data moves the browser's Last-Event-ID and dispatches nothing (9.2.6).
                    await _send_block(send, f": \nid: {self.hub.newest_id}\n\n".encode())
            else:
                if message is None:
                    return await send({"type": "http.response.body", "body": b"", "more_body": False})
                if message.event_id > sent_id or message.is_resync:
                    await _send_block(send, message.block)
                    sent_id = message.event_id
            if time.monotonic() - checked > self.heartbeat_s * 0.9:
                checked = time.monotonic()
                if not await self._is_still_there(stream, headers):
                    await _send_block(send, block("session_expired", None, {}))
                    return await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _is_still_there(self, stream: Stream, headers: Mapping[str, str]) -> bool:
        try:
            actor = await self._actor(headers)
        except Refused:
            return False
        if actor is None:
            return False
        stream.actor = actor  # role, site or qualification may have changed
        return True


_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


async def _send_block(send: Send, body: bytes) -> None:
    """Raises TimeoutError when the other side takes nothing for SEND_TIMEOUT_S."""
    await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), SEND_TIMEOUT_S)


async def _until_disconnect(receive: Receive, stream: Stream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.offer(None)


async def _refuse(send: Send, headers: Mapping[str, str], code: str) -> None:
    status = status_of(code)
    message = sentence(code, {}, language_of(headers.get("accept-language")), status)
    body = json.dumps({"error": {"code": code, "message": message, "details": {}}}, ensure_ascii=False).encode()
    fields = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def headers_of(scope: Scope) -> dict[str, str]:
    """Lower-case names; a cookie header sent in parts (RFC 9113 8.2.3) is one again."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        separator = "; " if name == "cookie" else ", "
        fields[name] = f"{fields[name]}{separator}{value}" if name in fields else value
    return fields


def _last_id(scope: Scope, headers: Mapping[str, str]) -> int | None:
    """Where to resume: the header of a browser that reconnects by itself, else ``?last_event_id=``."""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    text = headers.get("last-event-id") or query.get("last_event_id", [""])[0]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
