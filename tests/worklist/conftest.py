"""A roof with its county and administrator, and a web server process that tests of this package may start and stop."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import Clock
from tests.peers.ports import free_port
from tests.worklist.county import make_county
from tests.worklist.roofs import Caller, make_roof
from worklist.base.db import Database
from worklist.roof import Roof

ROOT = Path(__file__).parents[2]


@pytest.fixture
def roof(database: Database, clock: Clock, tmp_path: Path) -> Roof:
    """Over the accounts of two sites."""
    make_county(database, clock())
    return make_roof(tmp_path, database, clock)


@pytest.fixture
def admin(app: Flask) -> Caller:
    """The administrator of the roof's county."""
    return Caller(app, "admin-qingshan")


@dataclass(frozen=True)
class SmallWeb:
    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> float:
        """Seconds until it was gone after SIGTERM."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0
        return time.monotonic() - started


Starter = Callable[..., SmallWeb]


@pytest.fixture
def start_web(tmp_path: Path) -> Iterator[Starter]:
    with ExitStack() as stack:

        def start(database_url: str, *tls: str, port: int | None = None) -> SmallWeb:
            folder = tmp_path / "数据" / "files"
            folder.mkdir(parents=True, exist_ok=True)
            port = port or free_port()
            command = [sys.executable, "-m", "tests.worklist.small_web", database_url, str(port), str(folder), *tls]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            stack.callback(process.stdout.close)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout.readline() == "ready\n"
            return SmallWeb(process, port, folder)

        yield start
