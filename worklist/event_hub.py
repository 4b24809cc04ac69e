"""One reader of the workflow events per process, feeding every open stream. [web]

The reader looks only while someone listens. An event is described and serialised once; each stream
gets the same bytes if its person may see the study. Ids become visible in their order (writers hold
``lock_append_order``), so "everything after the last id" misses nothing.
"""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from worklist.access import Actor
from worklist.base.audit import EVENT_CHANNEL, WorkflowEvent
from worklist.base.db import Database

log = logging.getLogger("teleread.events")

POLL_S = 0.2
POLL_WITH_NOTIFY_S = 2.0  # PostgreSQL wakes us; this is for a lost connection
MAX_REPLAY = 500
LOAD_ROWS = 50  # less than a queue holds: a burst alone drops nobody's events
QUEUE_LENGTH = 64

T = TypeVar("T")


@dataclass(frozen=True)
class EventItem:
    """One event as a browser gets it. ``study_*`` say who may see it; None: it concerns no study."""

    event_id: int
    kind: str
    study_site_id: int | None
    study_kind: str | None
    study_id: int | None
    data: dict[str, Any]


Describe = Callable[[Session, Sequence[WorkflowEvent]], Sequence[EventItem]]
Visible = Callable[[Actor, EventItem], bool]


@dataclass(frozen=True)
class Message:
    """A serialised event; ``is_resync``: the stream lost some, the page must load its lists anew."""

    event_id: int
    block: bytes
    is_resync: bool = False


@dataclass(eq=False)
class Stream:
    """One open browser: its person, and what it has not been sent yet."""

    actor: Actor
    queue: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_LENGTH))

    def offer(self, message: Message | None) -> None:
        """Queue a message; a stream that does not keep up loses what is queued and is told to load anew."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            if message is not None:
                message = resync(message.event_id)
        self.queue.put_nowait(message)


def block(kind: str, event_id: int | None, data: dict[str, Any]) -> bytes:
    """An event of text/event-stream (HTML Standard 9.2.6); without an id the browser's Last-Event-ID stays."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))  # JSON escapes line ends
    first = "" if event_id is None else f"id: {event_id}\n"
    return f"{first}event: {kind}\ndata: {text}\n\n".encode()


def resync(event_id: int) -> Message:
    return Message(event_id, block("resync", event_id, {}), is_resync=True)


class Hub:
    """Streams come and go; the reader runs while there is at least one. All methods run on the event loop."""

    def __init__(self, db: Database, describe: Describe, visible: Visible) -> None:
        self.db = db
        self.describe = describe
        self.visible = visible
        self.streams: set[Stream] = set()
        self.newest_id = 0  # of what was given to the streams
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._wake = asyncio.Event()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="events")

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's result, run in one of this hub's few threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def join(self, stream: Stream, last_id: int | None) -> tuple[int, list[Message]]:
        """Add the stream; returns where it starts and what it missed since, oldest first. The later is queued."""
        async with self._starting:
            if self._reader is None:
                self.newest_id = await self.in_thread(self._probe)
                self._reader = asyncio.create_task(self._read(), name="event-reader")
            self.streams.add(stream)
            newest_id = self.newest_id
        if last_id is None or last_id == newest_id:
            return newest_id, []
        if not 0 <= newest_id - last_id <= MAX_REPLAY:  # too far behind, or from another database
            return last_id, [resync(newest_id)]
        missed = await self.in_thread(self._load, last_id, newest_id)
        return last_id, [message for item, message in missed if self.visible(stream.actor, item)]

    def leave(self, stream: Stream) -> None:
        self.streams.discard(stream)
        if not self.streams and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def close(self) -> None:
        """End every stream and the reader."""
        for stream in list(self.streams):
            stream.offer(None)
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self) -> None:
        listener = None if self.db.is_sqlite else _Listener(self.db, self._wake, asyncio.get_running_loop())
        glance = _Glance(self.db.url.database or "") if self.db.is_sqlite else None
        try:
            while True:
                poll_s = POLL_WITH_NOTIFY_S if listener and listener.is_listening else POLL_S
                await self._wait(poll_s)
                if glance and not glance.has_changed():
                    continue
                try:
                    await self._look()
                except SQLAlchemyError as error:  # nothing is skipped: the next look starts where this one did
                    log.warning("events cannot be read: %s", type(error).__name__)
                    await asyncio.sleep(1.0)
                    if glance:
                        glance.forget()
        finally:
            if listener:
                listener.stop()
            if glance:
                glance.close()

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return
        self._wake.clear()

    async def _look(self) -> None:
        newest_id = await self.in_thread(self._probe)
        while self.newest_id < newest_id:
            up_to = min(newest_id, self.newest_id + LOAD_ROWS)
            for item, message in await self.in_thread(self._load, self.newest_id, up_to):
                for stream in list(self.streams):
                    if self.visible(stream.actor, item):
                        stream.offer(message)
            self.newest_id = up_to  # no await since the loop: who joins meanwhile starts before or after it whole

    def _probe(self) -> int:
        with self.db.engine.connect() as connection:
            return connection.execute(_NEWEST).scalar() or 0

    def _load(self, above: int, up_to: int) -> list[tuple[EventItem, Message]]:
        span = select(WorkflowEvent).where(WorkflowEvent.id > above, WorkflowEvent.id <= up_to)
        with self.db.read() as session:
            events = session.scalars(span.order_by(WorkflowEvent.id)).all()
            items = self._described(session, events)
        return [(item, Message(item.event_id, block(item.kind, item.event_id, item.data))) for item in items]

    def _described(self, session: Session, events: Sequence[WorkflowEvent]) -> list[EventItem]:
        """All in one go; when that fails, one by one, so that one bad event does not stop the stream."""
        try:
            return list(self.describe(session, events))
        except SQLAlchemyError:
            raise
        except Exception as error:
            log.warning("events cannot be described: %s", type(error).__name__)
            if len(events) == 1:
                return []
            return [item for event in events for item in self._described(session, [event])]


_NEWEST = select(func.max(WorkflowEvent.id))


class _Glance:
    """Whether anybody has committed to the SQLite file since the last look: microseconds, no lock, no thread."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, timeout=0)
        self._version: int | None = None

    def has_changed(self) -> bool:
        """True too when SQLite cannot say just now (https://www.sqlite.org/pragma.html#pragma_data_version)."""
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            version = None
        changed = version is None or version != self._version
        self._version = version
        return changed

    def forget(self) -> None:
        """The last look failed: the next one has something to see."""
        self._version = None

    def close(self) -> None:
        self._connection.close()


class _Listener:
    """A thread that waits for NOTIFY on a connection of its own (https://www.postgresql.org/docs/current/sql-listen.html)."""

    def __init__(self, db: Database, wake: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        self.is_listening = False
        self._url = db.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._wake, self._loop = wake, loop
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="event-listener", daemon=True).start()

    def stop(self) -> None:
        """Ends within a second, without being waited for."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                self.is_listening = False
                log.warning("not listening for events: %s", type(error).__name__)
                self._stop.wait(2.0)

    def _listen(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"LISTEN {EVENT_CHANNEL}")
            self.is_listening = True
            self._call()  # what came while we did not listen
            while not self._stop.is_set():
                for _ in connection.notifies(timeout=1.0, stop_after=1):
                    self._call()

    def _call(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:  # the loop is closed: the server is going down
            self._stop.set()
