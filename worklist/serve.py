"""The web server: granian inside this process, HTTP/1.1 and HTTP/2, with or without TLS. [app]

Embedded, not with granian's own parent process: the supervisor already is a parent, and a second one
costs memory and delays the stop.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server

from worklist.asgi import WebApp
from worklist.base.config import Settings

log = logging.getLogger("teleread.serve")

STOP_WITHIN_S = 4
MAX_HEADER_BYTES = 32 * 1024


def serve(
    app: WebApp,
    settings: Settings,
    *,
    beside: Sequence[tuple[Callable[..., Any], int]] = (),
    on_ready: Callable[[], None] = lambda: None,
    close: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT; then streams end, running requests get STOP_WITHIN_S, and the process leaves.

    ``beside``: other applications and their ports on the same address.
    ``close`` is called last, also when serving fails. Whether the address may be bound at all is asked before
    (``worklist.bind``). Raises OSError where it cannot be.
    """
    try:
        apps: list[tuple[Callable[..., Any], int]] = [(app, settings.http_port_number), *beside]
        for _, port in apps:
            check_free(settings.http_host, port)
        asyncio.run(_serve(app, [_server(one, settings, port) for one, port in apps], on_ready))
    finally:
        close()
    _leave()


def _leave() -> None:
    """End the process without tearing Python down: granian's native threads may still call into it, and abort."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def check_free(host: str, port: int) -> None:
    """Raises OSError when somebody serves there: granian binds with SO_REUSEPORT, two servers would share the port."""
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
        pass


def _server(app: Callable[..., Any], settings: Settings, port: int) -> Server:
    server = Server(
        app,
        address=settings.http_host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.auto,
        websockets=True,
        backlog=1024,
        runtime_blocking_threads=4,
        http1_settings=HTTP1Settings(header_read_timeout=10_000, max_buffer_size=MAX_HEADER_BYTES * 4),
        http2_settings=HTTP2Settings(max_headers_size=MAX_HEADER_BYTES, keep_alive_interval=20_000),
        ssl_cert=Path(settings.tls_cert) if settings.has_tls else None,
        ssl_key=Path(settings.tls_key) if settings.has_tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        log_level=LogLevels.error,
    )
    server.workers_kill_timeout = STOP_WITHIN_S
    return server


async def _serve(app: WebApp, servers: Sequence[Server], on_ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving = [asyncio.create_task(server.serve()) for server in servers]
    for server, task in zip(servers, serving, strict=True):
        await _until_listening(server, task)
    # What is loaded by now stays: collecting garbage among it took half of a long list's time, again and again.
    gc.freeze()
    on_ready()
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({*serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    await app.close()
    for server in servers:
        server.stop()  # type: ignore[no-untyped-call]
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await asyncio.gather(*serving)
    except TimeoutError:
        log.warning("requests still running at the end were cut off")
        _leave()  # threads that hang must not hold the process


async def _until_listening(server: Server, serving: asyncio.Task[None]) -> None:
    """Raises what made the server fail to start."""
    while not server.wrks:
        done, _ = await asyncio.wait({serving}, timeout=0.02)
        if done:
            await serving
            raise OSError("the web server ended at once")
