"""Work promised in the transaction of a change, done later, at least once. [store]

A job is claimed by compare-and-set on a lease, done, and finished after the act; a worker that
dies leaves a lease that runs out. Every later step (renew, finish, fail) names owner and attempt,
so that a worker that was thought dead cannot end the work of its successor.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Index,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from worklist.base.db import Base, Database, UtcDateTime

# A job whose worker vanished this often in a row probably kills its worker: it becomes a dead letter.
MAX_LOST_WORKERS = 5
_UNFINISHED = text("finished_at IS NULL")
_FREED: dict[str, Any] = {"lease_owner": None, "lease_until": None, "last_error": None, "n_lost": 0}


class OutboxJob(Base):
    """One promised piece of work. ``kind`` names its handler in ``worklist.worker``."""

    __tablename__ = "outbox_job"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    # Promising the same key twice is one job while the first is unfinished.
    key: Mapped[str] = mapped_column(String(160))
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    # Grows when the key is promised again; a job promised again while it runs is run once more.
    n_promises: Mapped[int] = mapped_column(default=1)
    n_attempts: Mapped[int] = mapped_column(default=0)
    n_lost: Mapped[int] = mapped_column(default=0)  # attempts in a row whose worker vanished
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(String(256))
    __table_args__ = (
        Index("ix_outbox_job_due", "finished_at", "dead_at", "due_at"),
        Index(
            "uq_outbox_job_key_unfinished",
            "key",
            unique=True,
            sqlite_where=_UNFINISHED,
            postgresql_where=_UNFINISHED,
        ),
    )


@dataclass(frozen=True)
class Job:
    """A claimed job as its handler sees it."""

    id: int
    kind: str
    key: str
    payload: dict[str, Any]
    n_attempts: int  # this attempt included
    n_promises: int
    owner: str
    created_at: datetime


@dataclass(frozen=True)
class Backlog:
    """How much work of one kind stands open."""

    kind: str
    n_waiting: int
    n_running: int
    n_dead: int
    oldest_due_at: datetime | None  # of what is neither running nor dead


def promise(
    session: Session, kind: str, key: str, payload: dict[str, Any], *, now: datetime, due_at: datetime | None = None
) -> int:
    """Write one job in the caller's transaction; returns its id.

    An unfinished job of the same key takes the promise over: newest payload, the earlier due time,
    one more run if it is running just now, alive again if it was dead.
    """
    table = OutboxJob.__table__
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(  # type: ignore[arg-type]
        kind=kind, key=key, payload=payload, created_at=now, due_at=due_at or now, n_promises=1, n_attempts=0, n_lost=0
    )
    new, was_dead = statement.excluded, table.c.dead_at.is_not(None)
    again = statement.on_conflict_do_update(
        index_elements=[table.c.key],
        index_where=_UNFINISHED,
        set_={
            "payload": new.payload,
            "n_promises": table.c.n_promises + 1,
            "due_at": case((or_(was_dead, new.due_at < table.c.due_at), new.due_at), else_=table.c.due_at),
            "n_attempts": case((was_dead, 0), else_=table.c.n_attempts),
            "n_lost": case((was_dead, 0), else_=table.c.n_lost),
            "dead_at": None,
        },
    ).returning(table.c.id)
    return int(session.execute(again).scalar_one())


def claim(db: Database, owner: str, now: datetime, lease_s: float, kinds: Collection[str]) -> Job | None:
    """The job that has been due longest, now leased to ``owner``, or None when there is none.

    Two owners never hold one job at once (as long as leases are renewed in time).
    """
    due = {"now": now, "kinds": sorted(kinds)}
    with db.engine.connect() as connection:  # the idle case, four times a second: no write lock, no ORM
        if connection.execute(_PROBE, due).first() is None:
            return None
    with db.write() as session:
        job = session.execute(_OLDEST, due).scalar_one_or_none()
        if job is None or not _lease(session, job, owner, now, lease_s):
            return None
        session.refresh(job)
        if job.n_lost >= MAX_LOST_WORKERS:
            _close(session, job.id, owner, job.n_attempts, {"dead_at": now, "last_error": "worker_lost"})
            return None
        return Job(job.id, job.kind, job.key, job.payload, job.n_attempts, job.n_promises, owner, job.created_at)


def _unleased(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    return or_(OutboxJob.lease_until.is_(None), OutboxJob.lease_until < now)


_NOW: BindParameter[datetime] = bindparam("now", type_=UtcDateTime())
_FREE = (
    OutboxJob.finished_at.is_(None),
    OutboxJob.dead_at.is_(None),
    OutboxJob.due_at <= _NOW,
    OutboxJob.kind.in_(bindparam("kinds", expanding=True)),
    _unleased(_NOW),
)
_PROBE = select(OutboxJob.id).where(*_FREE).limit(1)
_OLDEST = (
    select(OutboxJob).where(*_FREE).order_by(OutboxJob.due_at, OutboxJob.id).limit(1).with_for_update(skip_locked=True)
)


def _lease(session: Session, job: OutboxJob, owner: str, now: datetime, lease_s: float) -> bool:
    """Compare-and-set: True when the lease is ours."""
    taken = (
        update(OutboxJob)
        .where(OutboxJob.id == job.id, OutboxJob.n_attempts == job.n_attempts, _unleased(now))
        .where(OutboxJob.finished_at.is_(None), OutboxJob.dead_at.is_(None))
        .values(
            lease_owner=owner,
            lease_until=now + timedelta(seconds=lease_s),
            n_attempts=OutboxJob.n_attempts + 1,
            n_lost=case((OutboxJob.lease_until.is_not(None), OutboxJob.n_lost + 1), else_=OutboxJob.n_lost),
        )
        .execution_options(synchronize_session=False)
    )
    return _rowcount(session, taken) == 1


def renew(session: Session, job: Job, now: datetime, lease_s: float) -> bool:
    """Hold the lease longer; False when it is no longer ours."""
    statement = update(OutboxJob).where(_held(job.id, job.owner, job.n_attempts))
    return _rowcount(session, statement.values(lease_until=now + timedelta(seconds=lease_s))) == 1


def owners(session: Session) -> list[str]:
    """Who holds leases just now."""
    leased = select(OutboxJob.lease_owner).where(OutboxJob.finished_at.is_(None), OutboxJob.lease_until.is_not(None))
    return [owner for owner in session.scalars(leased) if owner]


def run_out(session: Session, dead: Collection[str], now: datetime) -> None:
    """The leases of these owners, who are known to be dead, have run out; the lost worker counts as any other."""
    held = update(OutboxJob).where(OutboxJob.lease_owner.in_(dead), OutboxJob.lease_until >= now)
    _rowcount(session, held.values(lease_until=now - timedelta(microseconds=1)))


def finish(session: Session, job: Job, now: datetime) -> bool:
    """The act is done. False when the job was not ours any more.

    When the key was promised again meanwhile, the job goes back to the queue instead.
    """
    ours = _held(job.id, job.owner, job.n_attempts)
    done = update(OutboxJob).where(ours, OutboxJob.n_promises == job.n_promises).values(finished_at=now, **_FREED)
    return _rowcount(session, done) == 1 or again(session, job, now)


def again(session: Session, job: Job, now: datetime, *, due_at: datetime | None = None) -> bool:
    """A part is done: due for the rest, behind what is due already. False when the job was not ours any more."""
    ours = update(OutboxJob).where(_held(job.id, job.owner, job.n_attempts))
    return _rowcount(session, ours.values(n_attempts=0, due_at=due_at or now, **_FREED)) == 1


def fail(session: Session, job: Job, error: str, now: datetime, retry_at: datetime | None) -> bool:
    """The act failed: due again at ``retry_at``, or a dead letter when that is None. False when not ours any more.

    ``error`` is a code, never a sentence: what a peer or a library said may hold a patient's name.
    """
    values: dict[str, Any] = {"due_at": retry_at} if retry_at else {"dead_at": now}
    return _close(session, job.id, job.owner, job.n_attempts, values | {"last_error": _code(error), "n_lost": 0})


def _close(session: Session, job_id: int, owner: str, n_attempts: int, values: dict[str, Any]) -> bool:
    statement = update(OutboxJob).where(_held(job_id, owner, n_attempts))
    return _rowcount(session, statement.values(lease_owner=None, lease_until=None, **values)) == 1


def _held(job_id: int, owner: str, n_attempts: int) -> ColumnElement[bool]:
    return and_(
        OutboxJob.id == job_id,
        OutboxJob.lease_owner == owner,
        OutboxJob.n_attempts == n_attempts,
        OutboxJob.finished_at.is_(None),
    )


def resend(session: Session, job_id: int, now: datetime) -> bool:
    """Due at once, dead or waiting, with a fresh count of attempts. False when finished or running."""
    statement = update(OutboxJob).where(OutboxJob.id == job_id, OutboxJob.finished_at.is_(None), _unleased(now))
    values = {"due_at": now, "dead_at": None, "n_attempts": 0, "n_lost": 0, "lease_owner": None, "lease_until": None}
    return _rowcount(session, statement.values(**values)) == 1


def backlog(session: Session) -> list[Backlog]:
    """Open work by kind, kinds in alphabetical order."""
    is_dead, is_running = OutboxJob.dead_at.is_not(None), OutboxJob.lease_until.is_not(None)
    waits = and_(OutboxJob.dead_at.is_(None), OutboxJob.lease_until.is_(None))
    counts = select(
        OutboxJob.kind,
        func.count(case((waits, 1))),
        func.count(case((and_(OutboxJob.dead_at.is_(None), is_running), 1))),
        func.count(case((is_dead, 1))),
        func.min(case((waits, OutboxJob.due_at))),
    )
    open_jobs = counts.where(OutboxJob.finished_at.is_(None)).group_by(OutboxJob.kind).order_by(OutboxJob.kind)
    return [Backlog(*row) for row in session.execute(open_jobs)]


def dead_letters(session: Session, limit: int = 100) -> list[OutboxJob]:
    """What was given up, newest first."""
    dead = select(OutboxJob).where(OutboxJob.dead_at.is_not(None), OutboxJob.finished_at.is_(None))
    return list(session.scalars(dead.order_by(OutboxJob.dead_at.desc()).limit(limit)))


def retrying(session: Session, kinds: Collection[str], limit: int = 100) -> list[OutboxJob]:
    """Work of these kinds that has failed and will be tried again, the longest waiting first."""
    failed = select(OutboxJob).where(
        OutboxJob.kind.in_(kinds), OutboxJob.last_error.is_not(None), OutboxJob.dead_at.is_(None),
        OutboxJob.finished_at.is_(None),
    )  # fmt: skip
    return list(session.scalars(failed.order_by(OutboxJob.id).limit(limit)))


def forget_finished(session: Session, before: datetime) -> int:
    """Delete jobs finished before that moment; what they did stands in its own tables. Returns how many."""
    return _rowcount(session, delete(OutboxJob).where(OutboxJob.finished_at < before))


def _rowcount(session: Session, statement: Any) -> int:
    return int(session.execute(statement.execution_options(synchronize_session=False)).rowcount)  # type: ignore[attr-defined]


def _code(error: str) -> str:
    return error if re.fullmatch(r"[A-Za-z0-9_.:/-]{1,256}", error) else "error_without_code"
