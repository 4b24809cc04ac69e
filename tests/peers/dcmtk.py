"""DCMTK as the other end: modalities that send, and a PACS that receives, on this machine."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers.lacking import lacking
from tests.peers.ports import free_port


def require(program: str) -> str:
    """The path of a program; `lacking` where it is not installed."""
    found = shutil.which(program)
    if found is None:
        lacking(f"{program} is not installed")
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "TCP_NODELAY": "1"}


def run(program: str, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a DCMTK tool to its end; its exit status is for the test to judge."""
    return subprocess.run(
        [require(program), *arguments], env=_environment(), capture_output=True, text=True, timeout=timeout_s,
        check=False, errors="replace",
    )  # fmt: skip


def echoscu(port: int, calling_ae: str, called_ae: str = "TELEREAD") -> subprocess.CompletedProcess[str]:
    return run("echoscu", "-v", "-aet", calling_ae, "-aec", called_ae, "127.0.0.1", str(port))


def storescu(
    port: int, calling_ae: str, paths: Iterable[Path], *options: str, called_ae: str = "TELEREAD"
) -> subprocess.CompletedProcess[str]:
    """One association; proposes what the files need unless ``options`` say otherwise."""
    return _send("storescu", port, calling_ae, called_ae, paths, options)


def dcmsend(
    port: int, calling_ae: str, paths: Iterable[Path], *options: str, called_ae: str = "TELEREAD"
) -> subprocess.CompletedProcess[str]:
    return _send("dcmsend", port, calling_ae, called_ae, paths, options)


def _send(
    program: str, port: int, calling_ae: str, called_ae: str, paths: Iterable[Path], options: Iterable[str]
) -> subprocess.CompletedProcess[str]:
    return run(
        program, "-v", *options, "-aet", calling_ae, "-aec", called_ae, "127.0.0.1", str(port),
        *[str(path) for path in paths],
    )  # fmt: skip


@dataclass
class StoreScp:
    """A running ``storescp``: where it listens and where its objects arrive, bit exact with ``+B``."""

    port: int
    ae_title: str
    directory: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def files(self) -> list[Path]:
        return sorted(path for path in self.directory.iterdir() if path.is_file())


@contextlib.contextmanager
def storescp(directory: Path, ae_title: str, *options: str, port: int | None = None) -> Iterator[StoreScp]:
    """A PACS that stores what it gets in ``directory``; accepts every presentation context it knows."""
    port = port or free_port()
    directory.mkdir(parents=True, exist_ok=True)
    syntaxes = [] if "-xf" in options else ["+xa"]  # a file says it all
    process = subprocess.Popen(
        [require("storescp"), *syntaxes, "+B", *options, "-aet", ae_title, "-od", str(directory), str(port)],
        env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for_port(port, process)
        yield StoreScp(port, ae_title, directory, process)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail("storescp did not start listening")
