"""The product's roles without its supervisor, for tests that kill them over and over and want them back at once."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.ports import free_ports
from tests.peers.product import PASSWORD, REPOSITORY, until


@dataclass
class Roles:
    """``teleread listen`` and ``teleread work`` on one data directory."""

    folder: Path
    dicom_port: int
    environ: dict[str, str]
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.folder / "var"

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``teleread …`` to its end, with these settings."""
        return subprocess.run(
            [sys.executable, "-m", "worklist", *arguments], cwd=REPOSITORY, env=self.environ, text=True,
            capture_output=True, timeout=300, check=False,
        )  # fmt: skip

    def start(self, role: str) -> None:
        """Start a role; the listener is waited for until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._running[role] = subprocess.Popen(
                [sys.executable, "-m", "worklist", role], cwd=REPOSITORY, env=self.environ, stdout=log, stderr=log
            )
        if role == "listen":
            until(self._takes_connections, 30, "the listener", pause_s=0.02)

    def _takes_connections(self) -> bool:
        if self._running["listen"].poll() is not None:
            raise AssertionError(f"the listener ended: {(self.folder / 'log').read_text('utf-8', 'replace')[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", self.dicom_port), 1).close()
        except OSError:
            return False
        return True

    def kill(self, role: str) -> None:
        """SIGKILL, and gone when this returns."""
        process = self._running.pop(role)
        process.kill()
        process.wait()

    def process_id(self, role: str) -> int:
        return self._running[role].pid

    def children(self, role: str) -> list[int]:
        """Process ids of those that a role has parted into."""
        process_id = self.process_id(role)
        try:
            return [int(one) for one in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
        except OSError:
            return []

    def stop(self) -> None:
        """SIGTERM to all; AssertionError where one does not go within 12 s."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 12
        for role, process in self._running.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{role} did not stop within 12 s") from None
        self._running.clear()


@contextmanager
def roles_of_a_county(folder: Path) -> Iterator[Roles]:
    """The demo county's database and files in ``folder``; no role runs yet. Whatever runs is stopped in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    (dicom_port,) = free_ports(1)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TELEREAD_")}
    environ |= {
        "TELEREAD_DATA_DIR": str(folder / "var"), "TELEREAD_DICOM_PORT": str(dicom_port), "PYTHONUNBUFFERED": "1",
        "TELEREAD_DICOM_HOST": "127.0.0.1", "TELEREAD_DEMO_PASSWORD": PASSWORD,
    }  # fmt: skip
    roles = Roles(folder, dicom_port, environ)
    made = roles.command("demo")
    assert made.returncode == 0, made.stdout + made.stderr
    try:
        yield roles
    finally:
        roles.stop()
