"""Worker processes killed at random: every job's effect happens, none is held by two at once."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from worklist.base import outbox
from worklist.base.db import Database
from worklist.base.outbox import OutboxJob
from worklist.owner import is_dead, new_owner

N_JOBS, N_KILLS, N_WORKERS = 60, 12, 3
ROOT = Path(__file__).parents[2]


def start(url: str, folder: Path, *lease_s: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.worklist.outbox_victim", url, str(folder), *lease_s]
    return subprocess.Popen(command, cwd=ROOT)


def promise(database: Database, numbers: range) -> None:
    now = datetime.now(UTC)
    for n in numbers:
        with database.write() as session:
            outbox.promise(session, "effect", f"job{n:03d}", {}, now=now)


def n_unfinished(database: Database) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).where(OutboxJob.finished_at.is_(None))).scalar_one()


def n_effects(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.done"))


def test_killed_workers_lose_nothing_and_never_share(database: Database, database_url: str, tmp_path: Path) -> None:
    chance = random.Random(20260302)
    folder = tmp_path / "effects"
    folder.mkdir()
    promise(database, range(N_JOBS // 3))
    workers = [start(database_url, folder) for _ in range(N_WORKERS)]
    try:
        n_killed, deadline = 0, time.monotonic() + 90
        while n_killed < N_KILLS and n_unfinished(database):
            n_before = n_effects(folder)
            while n_effects(folder) == n_before and time.monotonic() < deadline and n_unfinished(database):
                time.sleep(0.02)  # a kill counts only while work is going on
            time.sleep(chance.uniform(0.0, 0.25))
            n = chance.randrange(N_WORKERS)
            os.kill(workers[n].pid, signal.SIGKILL)
            workers[n].wait()
            workers[n] = start(database_url, folder)
            n_killed += 1
            if n_killed <= 8:
                promise(database, range(N_JOBS // 3 + 5 * (n_killed - 1), N_JOBS // 3 + 5 * n_killed))
        while n_unfinished(database) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        with ExitStack() as stack:
            for worker in workers:
                stack.callback(worker.wait)
                worker.kill()
    assert n_killed == N_KILLS
    assert n_unfinished(database) == 0
    with database.read() as session:
        assert session.execute(select(func.count(OutboxJob.id))).scalar_one() == N_JOBS
    assert len(list(folder.glob("*.done"))) == N_JOBS
    assert list(folder.glob("*.clash")) == []


def test_what_a_killed_worker_held_is_its_next_lifes_at_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    promise(database, range(2))
    other = new_owner()
    with database.write() as session:  # of a worker that lives, and of one of another machine
        for key, owner in (("living", other), ("elsewhere", "0123456789abcdef.1.1:x")):
            number = outbox.promise(session, "effect", key, {}, now=datetime.now(UTC))
            row = session.get_one(OutboxJob, number)
            row.lease_owner, row.lease_until = owner, datetime.now(UTC) + timedelta(seconds=600)
    first = start(database_url, tmp_path, "600")
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("*.lock")) and time.monotonic() < deadline:
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert n_unfinished(database) > 2
    with database.read() as session:
        assert any(is_dead(owner) for owner in outbox.owners(session))
    second = start(database_url, tmp_path, "600")
    try:
        while n_unfinished(database) > 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert n_unfinished(database) == 2
        with database.read() as session:
            assert sorted(outbox.owners(session)) == sorted((other, "0123456789abcdef.1.1:x"))
    finally:
        second.kill()
        second.wait()
