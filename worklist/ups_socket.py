"""UPS events over a WebSocket: /dicom-web/ws/subscribers/{AE title}, as plain ASGI (PS3.18 8.10, 11.12). [web]

An event stays waiting until it was sent and the connection stood for a while after, or was closed in order: what was
on its way when a line broke comes again, with the same Message ID, to whoever reconnects.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from pacs_bridge.ups import GOING_DOWN, PUSH
from worklist import ups_events, ups_subscriptions
from worklist.access import Act, Actor, Refused, may
from worklist.base.db import Database
from worklist.events import Authenticate, Receive, Scope, Send, headers_of

log = logging.getLogger("teleread.ups")

PREFIX = "/dicom-web/ws/subscribers/"
POLL_S = 0.3
BATCH = 50
HOLD_S = 5.0  # how long a connection must stand after an event for it to have arrived
CHECK_LOGIN_S = 15.0
SEND_TIMEOUT_S = 30.0
MAX_SOCKETS = 200
FAREWELL_S = 1.5  # the worker stops at the same signal, and writes the last event
IN_ORDER = (1000, 1001)  # RFC 6455 7.4.1
POLICY, REPLACED, TRY_AGAIN = 1008, 4000, 1013

T = TypeVar("T")


class SubscriberSockets:
    """The ASGI application. Build one per process; one socket per AE title, the newest."""

    def __init__(
        self, db: Database, authenticate: Authenticate, now: Callable[[], datetime], *, hold_s: float = HOLD_S
    ) -> None:
        self._db, self._authenticate, self._now, self._hold_s = db, authenticate, now, hold_s
        self._open: dict[str, _Socket] = {}
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="ups")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        title = unquote(scope["path"].removeprefix(PREFIX))
        headers = headers_of(scope)
        if not _is_own_page(headers) or len(self._open) >= MAX_SOCKETS or not await self._may(headers, title):
            return await send({"type": "websocket.close", "code": POLICY})  # before accept: 403
        await send({"type": "websocket.accept"})
        socket = _Socket(self, title, headers, send)
        if (earlier := self._open.pop(title, None)) is not None:
            earlier.end(REPLACED)
        self._open[title] = socket
        try:
            await socket.run(receive)
        finally:
            if self._open.get(title) is socket:
                del self._open[title]

    async def close(self) -> None:
        """The server stops: all sockets end, once those who subscribed to everything heard that we go down."""
        until_s = time.monotonic() + FAREWELL_S
        while time.monotonic() < until_s and not all(socket.has_heard_of_end for socket in self._open.values()):
            await asyncio.sleep(0.05)
        for socket in list(self._open.values()):
            socket.end(1001)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _may(self, headers: MutableMapping[str, str], title: str) -> bool:
        return await self.in_thread(self.is_owner, headers, title)

    def is_owner(self, headers: MutableMapping[str, str], title: str) -> bool:
        """Whether this request is of the person whose subscription it is; first somebody must have subscribed."""
        try:
            actor: Actor | None = self._authenticate(headers)
        except Refused:
            return False
        if actor is None or not may(actor, Act.EVENTS_STREAM):
            return False
        with self._db.read() as session:
            return ups_subscriptions.owner_of(session, title) == actor.account_id

    def waiting(self, title: str, after: int) -> list[tuple[int, str]]:
        """Events that have not arrived, as they are sent."""
        with self._db.read() as session:
            return [(row.id, _text(row)) for row in ups_events.waiting(session, title, after, BATCH)]

    def note(self, ids: list[int]) -> None:
        with self._db.write() as session:
            ups_events.note_told(session, ids, self._now())

    @property
    def hold_s(self) -> float:
        return self._hold_s


class _Socket:
    """One open connection: what was sent on it and is not settled yet."""

    def __init__(
        self, sockets: SubscriberSockets, title: str, headers: MutableMapping[str, str], send: Send
    ) -> None:
        self._sockets, self._title, self._headers, self._send = sockets, title, headers, send
        self._sent: list[tuple[float, int]] = []
        self._last_id = 0
        self.has_heard_of_end = False
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(self, code: int) -> None:
        """By our side, with that code."""
        if not self._ended.done():
            self._ended.set_result(code)

    async def run(self, receive: Receive) -> None:
        """Until one side ends it."""
        gone = asyncio.create_task(_until_gone(receive), name="ups-socket-gone")
        feeding = asyncio.create_task(self._feed(), name="ups-socket-feed")
        try:
            everyone: set[asyncio.Future[Any]] = {gone, feeding, self._ended}
            await asyncio.wait(everyone, return_when=asyncio.FIRST_COMPLETED)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        if gone.done():
            await self._settle(everything=gone.result() in IN_ORDER)
            return
        gone.cancel()
        await self._send({"type": "websocket.close", "code": self._ended.result() if self._ended.done() else TRY_AGAIN})
        await self._settle(everything=False)

    async def _feed(self) -> None:
        checked_s = time.monotonic()
        while True:
            try:
                events = await self._sockets.in_thread(self._sockets.waiting, self._title, self._last_id)
            except SQLAlchemyError as error:  # nothing is skipped: the next look starts where this one did
                log.warning("UPS events cannot be read: %s", type(error).__name__)
                events = []
            for number, text in events:
                await asyncio.wait_for(self._send({"type": "websocket.send", "text": text}), SEND_TIMEOUT_S)
                self._sent.append((time.monotonic(), number))
                self._last_id = number
                self.has_heard_of_end = GOING_DOWN in text
            await self._settle(everything=False)
            if time.monotonic() - checked_s > CHECK_LOGIN_S:
                checked_s = time.monotonic()
                if not await self._sockets.in_thread(self._sockets.is_owner, self._headers, self._title):
                    return self.end(POLICY)
            if len(events) < BATCH:
                await asyncio.sleep(POLL_S)

    async def _settle(self, *, everything: bool) -> None:
        """What has surely arrived is not sent again."""
        until_s = time.monotonic() - self._sockets.hold_s
        arrived = [number for at_s, number in self._sent if everything or at_s <= until_s]
        if not arrived:
            return
        try:
            await self._sockets.in_thread(self._sockets.note, arrived)
        except (SQLAlchemyError, RuntimeError):  # a busy database, or the server stops: it is sent once more
            return
        self._sent = [(at_s, number) for at_s, number in self._sent if number not in set(arrived)]


async def _until_gone(receive: Receive) -> int:
    """The code of the other side's end; what it says meanwhile is nothing to us."""
    while (message := await receive())["type"] != "websocket.disconnect":
        pass
    return int(message.get("code") or 1006)


def _is_own_page(headers: MutableMapping[str, str]) -> bool:
    """A browser on another site's page brings our cookie: its Origin gives it away (RFC 6455 10.2)."""
    origin = headers.get("origin")
    return origin is None or "authorization" in headers or urlsplit(origin).netloc == headers.get("host", "")


def _text(row: Any) -> str:
    """An event report as one DICOM JSON data set with its command elements (PS3.18 8.10.5)."""
    command = {
        "00000002": {"vr": "UI", "Value": [PUSH]},
        "00000110": {"vr": "US", "Value": [row.id % 0xFFFF or 1]},
        "00001000": {"vr": "UI", "Value": [row.workitem_uid]},
        "00001002": {"vr": "US", "Value": [row.event_type]},
    }
    return json.dumps(command | row.information, ensure_ascii=False, separators=(",", ":"))
