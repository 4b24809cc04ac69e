"""Live events over real sockets: everybody gets everything of their own site, nothing of another, nothing twice."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.worklist.conftest import SmallWeb, Starter
from tests.worklist.small_web import actor_of, describe, visible
from worklist.base import audit
from worklist.base.db import Database
from worklist.events import EventsApp

N_STREAMS, N_SITES = 200, 4


def emit(db: Database, *numbers: int, kind: str = "ready", site: int | None = None, pad: str = "") -> None:
    """One transaction of events; event n belongs to site n % N_SITES unless told otherwise."""
    with db.write() as session:
        for n in numbers:
            mine = n % N_SITES if site is None else site
            audit.emit(session, kind, now=datetime.now(UTC), site=mine, n=n, pad=pad)


@dataclass
class Browser:
    """An EventSource: remembers the last id, reconnects from there."""

    site: int
    last_id: str = ""
    got: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    at: dict[int, float] = field(default_factory=dict)
    n_hellos: int = 0

    async def run(self, port: int, *, token: str | None = None) -> None:
        """Read until the server ends the stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        resume = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        token = token or str(self.site)
        # HTTP/1.0: the body comes without chunk headers
        writer.write(f"GET /api/events HTTP/1.0\r\nAuthorization: Bearer {token}\r\n{resume}\r\n".encode())
        try:
            assert b"200" in (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]
            while block := await reader.readuntil(b"\n\n"):
                self.take(block.decode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def take(self, block: str) -> None:
        """The HTML Standard 9.2.6, as far as we use it."""
        fields: dict[str, str] = {}
        for line in block.splitlines():
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        self.last_id = fields.get("id", self.last_id)
        if "data" not in fields:
            return
        kind = fields["event"]
        self.kinds.append(kind)
        if kind == "hello":
            self.n_hellos += 1
        elif kind == "ready":
            data = json.loads(fields["data"])
            assert data["site"] == self.site and data["名"] == "张三\n"
            self.got.append(data["n"])
            self.at[data["n"]] = time.monotonic()


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def pss_kb(web: SmallWeb) -> int:
    rollup = Path(f"/proc/{web.process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


async def emit_slowly(db: Database, numbers: range, chance: random.Random) -> dict[int, float]:
    """Seconds of time.monotonic() after each commit."""
    at = {}
    for n in numbers:
        await asyncio.to_thread(emit, db, n)
        at[n] = time.monotonic()
        await asyncio.sleep(chance.uniform(0.0, 0.08))
    return at


def test_200_streams_across_a_restart(database: Database, database_url: str, start_web: Starter) -> None:
    chance = random.Random(20260302)
    browsers = [Browser(n % N_SITES) for n in range(N_STREAMS)]

    async def story() -> None:
        web = start_web(database_url)
        warm = asyncio.create_task(Browser(0).run(web.port))
        await asyncio.sleep(0.5)
        before_kb = pss_kb(web)
        tasks = [asyncio.create_task(browser.run(web.port)) for browser in browsers]
        await until(lambda: all(browser.n_hellos == 1 for browser in browsers))
        committed = await emit_slowly(database, range(40), chance)
        await asyncio.to_thread(emit, database, 1, kind="poison")  # cannot be described: stops nobody
        committed |= await emit_slowly(database, range(40, 48), chance)
        await until(lambda: all(len(browser.got) == 12 for browser in browsers))
        delays = [at - committed[n] for browser in browsers for n, at in browser.at.items()]
        assert statistics.quantiles(delays, n=20)[-1] < 1.0, "p95; the benchmark's bar is 0.5 s on a quiet machine"
        assert (pss_kb(web) - before_kb) / N_STREAMS < 100
        emitting = asyncio.create_task(emit_slowly(database, range(48, 80), chance))
        await asyncio.sleep(0.3)
        assert await asyncio.to_thread(web.stop) < 5
        await asyncio.gather(*tasks, warm)
        await emitting
        await asyncio.to_thread(start_web, database_url, port=web.port)
        again = [asyncio.create_task(browser.run(web.port)) for browser in browsers]
        await until(lambda: all(len(browser.got) == 20 for browser in browsers))
        await emit_slowly(database, range(80, 88), chance)
        await until(lambda: all(len(browser.got) == 22 for browser in browsers))
        for task in again:
            task.cancel()
        await asyncio.gather(*again, return_exceptions=True)

    asyncio.run(story())
    for browser in browsers:
        assert browser.got == list(range(browser.site, 88, N_SITES))
        assert "resync" not in browser.kinds


def test_a_revoked_session_ends_its_stream(database: Database, database_url: str, start_web: Starter) -> None:
    browser = Browser(1)

    async def story() -> None:
        web = start_web(database_url)
        running = asyncio.create_task(browser.run(web.port))
        await until(lambda: browser.n_hellos)
        (web.folder / "revoked").touch()
        await asyncio.wait_for(running, 10)

    asyncio.run(story())
    assert browser.kinds == ["hello", "session_expired"]


def test_resuming_from_too_long_ago_or_elsewhere_asks_to_load_anew(
    database: Database, database_url: str, start_web: Starter
) -> None:
    emit(database, *range(600))
    browsers = [Browser(0, last_id="1"), Browser(0, last_id="999999"), Browser(0, last_id="599"), Browser(0, "x")]

    async def story() -> None:
        web = start_web(database_url)
        tasks = [asyncio.create_task(browser.run(web.port)) for browser in browsers]
        await until(lambda: all(browser.n_hellos for browser in browsers))
        await until(lambda: all(browser.last_id == "600" for browser in browsers))
        emit(database, 600)
        await until(lambda: all(browser.got[-1:] == [600] for browser in browsers))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())
    assert [browser.kinds[:2] for browser in browsers] == [
        ["hello", "resync"], ["hello", "resync"], ["hello", "ready"], ["hello", "ready"]
    ]  # fmt: skip


def test_who_does_not_read_is_told_to_load_anew_and_costs_no_memory(
    database: Database, database_url: str, start_web: Starter
) -> None:
    """20 MB of events for a browser that sleeps: the server keeps a queue of 64, not the 20 MB."""
    quick = Browser(1)
    slow = Browser(1)

    async def story() -> None:
        web = start_web(database_url)
        running = asyncio.create_task(quick.run(web.port))
        await until(lambda: quick.n_hellos)
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port, limit=4096)
        writer.write(b"GET /api/events HTTP/1.0\r\nAuthorization: Bearer 1\r\n\r\n")
        await asyncio.sleep(0.5)
        before_kb = pss_kb(web)
        for first in range(0, 5000, 250):
            await asyncio.to_thread(emit, database, *range(first, first + 250), site=1, pad="x" * 4000)
            await until(lambda: len(quick.got) >= first + 250 or "resync" in quick.kinds)  # noqa: B023
        assert pss_kb(web) - before_kb < 12_000
        await asyncio.to_thread(emit, database, 9999, site=1)
        reader._limit = 1 << 20  # type: ignore[attr-defined]
        await reader.readuntil(b"\r\n\r\n")
        while slow.got[-1:] != [9999] and "resync" not in slow.kinds[-1:]:
            slow.take((await asyncio.wait_for(reader.readuntil(b"\n\n"), 10)).decode())
        writer.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
    assert "resync" in slow.kinds
    assert len(slow.got) < 4999


async def _call(app: EventsApp, receive: Callable[[], Awaitable[Any]], sent: list[Any], token: str) -> None:
    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"method": "GET", "headers": [(b"authorization", token.encode())], "query_string": b""}
    await app(scope, receive, send)


def test_nothing_is_read_while_nobody_listens(database: Database) -> None:
    n_probes = 0

    async def story() -> None:
        app = EventsApp(database, lambda headers: actor_of("1"), describe, visible)
        probe = app.hub._probe

        def counted() -> int:
            nonlocal n_probes
            n_probes += 1
            return probe()

        app.hub._probe = counted  # type: ignore[method-assign]
        gone = asyncio.Event()

        async def receive() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        sent: list[Any] = []
        stream = asyncio.create_task(_call(app, receive, sent, "1"))
        await asyncio.to_thread(emit, database, 1)
        await until(lambda: n_probes >= 2)
        gone.set()
        await asyncio.wait_for(stream, 5)
        assert app.hub.streams == set()
        seen = n_probes
        await asyncio.sleep(0.7)
        assert n_probes <= seen + 1
        await app.close()

    asyncio.run(story())


@pytest.mark.parametrize(("token", "status"), [("", 401), ("manager", 403)])
def test_who_may_not_listen_is_told_so(database: Database, token: str, status: int) -> None:
    async def story() -> None:
        app = EventsApp(database, lambda headers: actor_of(token) if token else None, describe, visible)
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(60)

        await _call(app, receive, sent, token)
        assert sent[0]["status"] == status
        await app.close()

    asyncio.run(story())
