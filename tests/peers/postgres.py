"""Debian's PostgreSQL, started for the tests in a temporary folder, on a Unix socket only."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.peers.lacking import lacking

SUPERUSER = "teleread"
_numbers = count(1)


def binaries() -> Path | None:
    """The newest installed version's programs, or None."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


@dataclass(frozen=True)
class PostgresServer:
    """A running server; databases are made from a template, so a migrated one costs a file copy."""

    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self.folder}"

    def create(self, template: str = "template0") -> str:
        """A new database's name."""
        name = f"test_{next(_numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" ENCODING \'UTF8\'')
        return name

    def drop(self, database: str) -> None:
        self._execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self.folder), user=SUPERUSER, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


@contextmanager
def running_postgres(**settings: str) -> Iterator[PostgresServer]:
    """A server of its own, gone at the end. `lacking` where PostgreSQL is absent."""
    programs = binaries()
    if programs is None:
        lacking("PostgreSQL absent: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="teleread-pg-", dir="/tmp"))  # short: a socket path has at most 107 bytes
    prefix = _as_other_user(folder)
    process = None
    try:
        _run([*prefix, str(programs / "initdb"), "-D", str(folder / "data"), "-U", SUPERUSER, "-A", "trust",
              "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])  # fmt: skip
        options = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off",
                   "shared_buffers": "32MB", "max_connections": "150", **settings}  # fmt: skip
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, str(programs / "postgres"), "-D", str(folder / "data"), *arguments], stdout=log, stderr=log
            )
        _wait_ready(folder, process)
        yield PostgresServer(folder)
    finally:
        if process is not None:
            process.terminate()  # setpriv hands the process over by exec: this is the postmaster itself
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _as_other_user(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: then it runs as Debian's user postgres, who must own the folder."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        pytest.fail(f"{command[0]}: {done.stderr}")


def _wait_ready(folder: Path, process: subprocess.Popen[bytes], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(host=str(folder), user=SUPERUSER, dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("PostgreSQL did not start: " + (folder / "log").read_text("utf-8", "replace")[-2000:])
