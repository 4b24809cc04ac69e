"""The worker's loop: failures stay with their job, ticks recur, stopping is quick, idling is cheap."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Clock
from worklist.base import outbox
from worklist.base.db import Database
from worklist.base.outbox import Job, OutboxJob
from worklist.retry import GiveUp, Retry
from worklist.worker import Tick, Worker


def now() -> datetime:
    return datetime.now(UTC)


def promise(db: Database, kind: str, key: str) -> int:
    with db.write() as session:
        return outbox.promise(session, kind, key, {}, now=now())


def row(db: Database, job_id: int) -> OutboxJob:
    with db.read() as session:
        return session.get_one(OutboxJob, job_id)


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def running(worker: Worker) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_one_poisoned_job_does_not_stop_the_others(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def act(job: Job) -> None:
        if job.key == "poison":
            raise SystemExit("张三")  # not even an Exception
        done.append(job.key)

    poison = promise(database, "act", "poison")
    promise(database, "act", "good")
    with running(Worker(database, {"act": act}, now)):
        wait_for(lambda: done == ["good"] and row(database, poison).last_error)
    assert row(database, poison).last_error == "SystemExit"
    assert row(database, poison).due_at > now() + timedelta(seconds=5)
    assert "SystemExit" in caplog.text and "张三" not in caplog.text


def test_retry_and_give_up_decide_what_comes_next(database: Database, clock: Clock) -> None:
    later = clock() + timedelta(hours=3)

    def act(job: Job) -> None:
        raise {"later": Retry("busy", later), "soon": Retry("busy"), "never": GiveUp("no_such_peer")}[job.key]

    with database.write() as session:
        ids = {key: outbox.promise(session, "act", key, {}, now=clock()) for key in ("later", "soon", "never")}
    worker = Worker(database, {"act": act}, clock)
    assert worker.run_due() == 3
    assert row(database, ids["later"]).due_at == later
    assert row(database, ids["soon"]).due_at == clock() + timedelta(seconds=10)
    assert row(database, ids["never"]).dead_at == clock()
    assert row(database, ids["never"]).last_error == "no_such_peer"


def test_jobs_run_at_once_within_the_limit_of_their_kind(database: Database) -> None:
    lock, counts, most = threading.Lock(), {"slow": 0, "quick": 0}, {"slow": 0, "quick": 0}

    def act(job: Job) -> None:
        with lock:
            counts[job.kind] += 1
            most[job.kind] = max(most[job.kind], counts[job.kind])
        time.sleep(0.3)
        with lock:
            counts[job.kind] -= 1

    ids = [promise(database, kind, f"{kind}{n}") for kind in ("slow", "quick") for n in range(4)]
    with running(Worker(database, {"slow": act, "quick": act}, now, n_threads=4, limits={"slow": 1})):
        wait_for(lambda: all(row(database, job_id).finished_at for job_id in ids))
    assert most["slow"] == 1
    assert most["quick"] >= 2


def test_a_long_job_keeps_its_lease(database: Database) -> None:
    n_runs: list[int] = []

    def act(job: Job) -> None:
        n_runs.append(job.n_attempts)
        time.sleep(2.5)

    job_id = promise(database, "act", "long")
    with running(Worker(database, {"act": act}, now, lease_s=1.0)), running(Worker(database, {"act": act}, now)):
        wait_for(lambda: row(database, job_id).finished_at)
    assert n_runs == [1]


def test_ticks_recur_even_when_one_fails(database: Database) -> None:
    n_calls = {"good": 0, "bad": 0}

    def good(moment: datetime) -> None:
        n_calls["good"] += 1

    def bad(moment: datetime) -> None:
        n_calls["bad"] += 1
        raise RuntimeError("bad")

    with running(Worker(database, {}, now, ticks=[Tick("good", 0.05, good), Tick("bad", 0.05, bad)])):
        wait_for(lambda: n_calls["good"] >= 5 and n_calls["bad"] >= 2)


def test_stopping_waits_for_what_runs_but_not_for_ever(database: Database) -> None:
    release = threading.Event()
    job_id = promise(database, "act", "quick")
    hung_id = promise(database, "hang", "hung")
    handlers = {"act": lambda job: time.sleep(0.6), "hang": lambda job: bool(release.wait(30)) and None}
    worker, stop = Worker(database, handlers, now), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,), kwargs={"grace_s": 1.5})
    thread.start()
    wait_for(lambda: row(database, job_id).lease_owner and row(database, hung_id).lease_owner)
    stop.set()
    started = time.monotonic()
    thread.join(5)
    assert time.monotonic() - started < 2.5
    assert row(database, job_id).finished_at is not None
    assert row(database, hung_id).finished_at is None
    release.set()
    wait_for(lambda: row(database, hung_id).finished_at)


def test_idling_costs_little(database: Database) -> None:
    """The bar is 0.3 % of a core on a quiet machine; the test allows twice that, for busy ones."""
    with running(Worker(database, {"act": lambda job: None}, now)):
        time.sleep(1.0)  # connections are made
        before = time.process_time()
        time.sleep(5.0)
        used_s = time.process_time() - before
    assert used_s / 5.0 < 0.006, f"{used_s / 5:.2%} of a core"
