"""dcmjs-dimse as the other end: a DICOM implementation that is neither DCMTK nor pynetdicom, run by Node."""

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.peers.dcmtk import require
from tests.peers.lacking import lacking

FOLDER = Path(__file__).parent / "node"


class Script:
    """A running script of ``tests/peers/node``; what it says is read line by line."""

    def __init__(self, name: str, mode: str, options: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [require("node"), name, mode, json.dumps(options)], cwd=FOLDER, stdout=subprocess.PIPE, text=True
        )
        self.said: list[dict[str, Any]] = []
        self._lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def wait(self, key: str, within_s: float = 15) -> dict[str, Any]:
        """The next line with ``key``; lines before it are kept in ``said``."""
        deadline_s = time.monotonic() + within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                self.said.append(self._lines.get(timeout=left_s))
                if key in self.said[-1]:
                    return self.said[-1]
        raise AssertionError(f"no {key} within {within_s} s: {self.said}")

    def several(self, key: str, number: int, within_s: float = 15) -> list[dict[str, Any]]:
        """Every line with ``key``, once there are so many."""
        deadline_s = time.monotonic() + within_s
        while len(found := self.all(key)) < number:
            self.wait(key, deadline_s - time.monotonic())
        return found

    def all(self, key: str) -> list[dict[str, Any]]:
        """Every line with ``key`` up to now."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.said.append(self._lines.get_nowait())
        return [line for line in self.said if key in line]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def script(name: str, mode: str, **options: Any) -> Iterator[Script]:
    """A script while the block runs; `lacking` where ``make peers`` has not been."""
    if not (FOLDER / "node_modules").is_dir():
        lacking("tests/peers/node is not installed: make peers")
    running = Script(name, mode, options)
    try:
        yield running
    finally:
        running.stop()
