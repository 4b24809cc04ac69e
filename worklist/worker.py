"""The worker: claims outbox jobs, runs their handlers in threads, and does what recurs. [app]"""

import logging
import secrets
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from worklist.base import outbox
from worklist.base.db import Database
from worklist.base.outbox import Job
from worklist.owner import is_dead, new_owner
from worklist.retry import GiveUp, Retry, code_of, next_attempt

log = logging.getLogger("teleread.worker")

Clock = Callable[[], datetime]
# Does the act and returns; the worker finishes the job afterwards, so a handler bears being run twice. True: it has
# settled the job itself, with what it wrote. Raises Retry or GiveUp with a code; any other exception is retried by
# the schedule.
Handler = Callable[[Job], bool | None]

POLL_S = 0.25
PAUSE_AFTER_ERROR_S = 1.0


@dataclass(frozen=True)
class Tick:
    """Something done every ``interval_s`` in a thread of its own, at once at the start. Several workers may do it."""

    name: str
    interval_s: float
    act: Callable[[datetime], object]


@dataclass
class _Running:
    job: Job
    started: float  # time.monotonic()
    renewed: float


@dataclass
class Worker:
    """Runs until told to stop. One per process.

    ``limits`` cap how many jobs of a kind run at once, so that slow peers of one kind cannot hold all
    threads. A handler that runs longer than ``max_run_s`` loses its lease: it hangs.
    """

    db: Database
    handlers: Mapping[str, Handler]
    clock: Clock
    ticks: Sequence[Tick] = ()
    n_threads: int = 4
    limits: Mapping[str, int] = field(default_factory=dict)
    lease_s: float = 30.0
    max_run_s: float = 900.0
    owner: str = field(default_factory=new_owner)
    farewell: Callable[[], object] = lambda: None  # done first when told to stop, while what runs ends; raises nothing

    def __post_init__(self) -> None:
        self._running: dict[str, _Running] = {}  # by lease owner: one name per thread
        self._lock = threading.Lock()
        self._wake = threading.Event()

    def run(self, stop: threading.Event, *, grace_s: float = 5.0) -> None:
        """Work until ``stop`` is set, then let what runs end for at most ``grace_s``.

        What does not end in time is left to its lease: another worker takes it over. Its thread is a
        daemon, so the process can leave.
        """
        for tick in (Tick("lost_leases", self.lease_s, self._free_of_the_dead), *self.ticks):
            threading.Thread(target=self._recur, args=(tick, stop), name=f"tick-{tick.name}", daemon=True).start()
        while not stop.is_set():
            self._wake.clear()
            try:
                self._start_jobs(stop)
                self._renew()
                pause_s = POLL_S
            except SQLAlchemyError as error:  # locked, restarted, unreachable: the next round may find it well
                _log_failure("worker_loop", None, error)
                pause_s = PAUSE_AFTER_ERROR_S
            self._wake.wait(pause_s)
        until_s = time.monotonic() + grace_s
        self.farewell()
        self._drain(max(0.0, until_s - time.monotonic()))

    def run_due(self) -> int:
        """Do everything due now in this thread and return how many jobs ran. For tests, ``demo`` and ``import``."""
        n_run = 0
        while job := outbox.claim(self.db, self.owner, self.clock(), self.lease_s, list(self.handlers)):
            self._do(job)
            n_run += 1
        return n_run

    def _start_jobs(self, stop: threading.Event) -> None:
        while not stop.is_set() and (kinds := self._kinds_with_room()):
            owner = f"{self.owner}:{secrets.token_hex(3)}"
            job = outbox.claim(self.db, owner, self.clock(), self.lease_s, kinds)
            if job is None:
                return
            moment = time.monotonic()
            with self._lock:
                self._running[owner] = _Running(job, moment, moment)
            threading.Thread(target=self._run_job, args=(job,), name=f"job-{job.kind}", daemon=True).start()

    def _kinds_with_room(self) -> list[str]:
        with self._lock:
            counts = Counter(running.job.kind for running in self._running.values())
        if counts.total() >= self.n_threads:
            return []
        return [kind for kind in self.handlers if counts[kind] < self.limits.get(kind, self.n_threads)]

    def _run_job(self, job: Job) -> None:
        try:
            self._do(job)
        finally:
            with self._lock:
                self._running.pop(job.owner, None)
            self._wake.set()

    def _do(self, job: Job) -> None:
        failure: BaseException | None = None
        try:
            if self.handlers[job.kind](job):
                return None
        except BaseException as error:  # one poisoned job never stops the loop
            _log_failure(job.kind, job, error)
            failure = error
        for pause_s in (0.2, 1.0, 3.0, 0.0):  # a busy database is waited for; else the lease runs out by itself
            try:
                return self._settle(job, failure)
            except SQLAlchemyError as error:
                _log_failure("settle", job, error)
                time.sleep(pause_s)
        return None

    def _settle(self, job: Job, failure: BaseException | None) -> None:
        now = self.clock()
        with self.db.write() as session:
            if failure is None:
                outbox.finish(session, job, now)
            else:
                outbox.fail(session, job, code_of(failure), now, retry_at(job, failure, now))

    def _renew(self) -> None:
        moment = time.monotonic()
        with self._lock:
            due = [
                running
                for running in self._running.values()
                if moment - running.renewed > self.lease_s / 3 and moment - running.started < self.max_run_s
            ]
        if not due:
            return
        with self.db.write() as session:
            for running in due:
                outbox.renew(session, running.job, self.clock(), self.lease_s)
        for running in due:
            running.renewed = moment

    def _free_of_the_dead(self, now: datetime) -> None:
        """What a killed process of this machine held is due at once: its next life, now starting, does not wait."""
        with self.db.read() as session:
            dead = [owner for owner in outbox.owners(session) if is_dead(owner)]
        if dead:
            with self.db.write() as session:
                outbox.run_out(session, dead, now)
            self._wake.set()

    def _drain(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        while self._running and time.monotonic() < deadline:
            self._wake.clear()
            self._wake.wait(0.05)

    def _recur(self, tick: Tick, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                tick.act(self.clock())
            except Exception as error:
                _log_failure(f"tick_{tick.name}", None, error)
                stop.wait(PAUSE_AFTER_ERROR_S)
            stop.wait(tick.interval_s)


def retry_at(job: Job, error: BaseException, now: datetime) -> datetime | None:
    """When a failed job is due again; None: never."""
    if isinstance(error, GiveUp):
        return None
    if isinstance(error, Retry) and error.retry_at is not None:
        return error.retry_at
    wait: timedelta | None = next_attempt(job.n_attempts)
    return now + wait if wait is not None else None


def _log_failure(what: str, job: Job | None, error: BaseException) -> None:
    """Kind, number, code and place; never the message or the values, which may hold patient data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"
    attempt = f" job {job.id} attempt {job.n_attempts}" if job else ""
    log.warning("%s%s failed: %s at %s", what, attempt, code_of(error), place)
