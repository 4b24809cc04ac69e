"""Many open event streams at once: how long a change takes to each, and what each costs the server."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.benchmarks.processes import pss_bytes
from tests.peers.product import Product

SETTLE_S = 3.0


@dataclass
class StreamFigures:
    """``delays_s``: of every stream and every change; ``per_stream_bytes``: growth of the web role's PSS."""

    delays_s: list[float] = field(default_factory=list)
    n_expected: int = 0
    per_stream_bytes: float = 0.0


def measure_streams(
    product: Product, token: str, n_streams: int, changes: list[Callable[[], str]]
) -> StreamFigures:
    """Each of ``changes`` does one thing and gives the workitem it is told of; all streams may see it."""
    return asyncio.run(_measure(product, token, n_streams, changes))


async def _measure(product: Product, token: str, n_streams: int, changes: list[Callable[[], str]]) -> StreamFigures:
    figures = StreamFigures(n_expected=n_streams * len(changes))
    web = [product.children()["serve"]]
    heard: dict[str, list[float]] = {}
    first = await _open(product, token, heard)  # what the first stream starts is not the price of one more
    await asyncio.sleep(SETTLE_S)
    before = pss_bytes(web)
    tasks = [first] + [await _open(product, token, heard) for _ in range(n_streams - 1)]
    await asyncio.sleep(SETTLE_S)
    figures.per_stream_bytes = (pss_bytes(web) - before) / max(1, n_streams - 1)
    for change in changes:
        began = time.monotonic()
        uid = await asyncio.to_thread(change)
        await _until_all(heard, uid, n_streams)
        figures.delays_s += [moment - began for moment in heard.get(uid, [])]
        await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return figures


async def _until_all(heard: dict[str, list[float]], uid: str, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(heard.get(uid, [])) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.01)


async def _open(product: Product, token: str, heard: dict[str, list[float]]) -> "asyncio.Task[None]":
    """One stream that is established; its task notes when it hears of a workitem being claimed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", product.http_port)
    writer.write(
        f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{product.http_port}\r\nAuthorization: Bearer {token}\r\n"
        "Accept: text/event-stream\r\n\r\n".encode()
    )
    status = await reader.readline()
    assert b" 200 " in status, status
    return asyncio.create_task(_listen(reader, writer, heard))


async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: dict[str, list[float]]) -> None:
    kind = b""
    try:
        while line := await reader.readline():
            if line.startswith(b"event:"):
                kind = line[6:].strip()
            elif line.startswith(b"data:") and kind == b"claimed":
                moment = time.monotonic()
                heard.setdefault(json.loads(line[5:])["workitem_uid"], []).append(moment)
    finally:
        writer.close()
