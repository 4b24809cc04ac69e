"""Which display data are still to be made: the instance's row is the promise, one job per series does it. [store]

An instance that is "pending" is either one of its series' job, ``derive:series:{series}``, or has a job of its own,
``derive:{instance}``: one that was fetched again, or whose file or place the disk refused, and that must not hold
up the others. Whoever promises or ends the job of a series holds its study's row: no object comes in between
unseen, and nobody waits for another crosswise.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, cast, exists, literal, select
from sqlalchemy.orm import Session

from worklist.base import outbox
from worklist.base.outbox import OutboxJob
from worklist.tables import Instance, Series, Study

KIND = "derive"
_SERIES_KEY, _INSTANCE_KEY = f"{KIND}:series:", f"{KIND}:"


def promise_series(session: Session, study_id: int, series_ids: Sequence[int], now: datetime) -> None:
    """What is pending of these series of one study will be made. Before anything is told of the study."""
    lock_study(session, study_id)
    for series_id in sorted(series_ids):
        outbox.promise(session, KIND, f"{_SERIES_KEY}{series_id}", {"series_id": series_id}, now=now)


def promise_instance(session: Session, instance_id: int, now: datetime, *, due_at: datetime | None = None) -> None:
    """This one alone, by the schedule of a job of its own."""
    payload = {"instance_id": instance_id}
    outbox.promise(session, KIND, f"{_INSTANCE_KEY}{instance_id}", payload, now=now, due_at=due_at)


def lock_study(session: Session, study_id: int) -> None:
    """PostgreSQL: what joins the study waits, in the short way too (SQLite has one writer anyway)."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(Study.id).where(Study.id == study_id).with_for_update(key_share=True))


def is_promised(series_id: Any) -> ColumnElement[bool]:
    """In SQL: the job of this series is there, and neither given up nor waiting after a failure."""
    return exists().where(
        OutboxJob.key == literal(_SERIES_KEY) + cast(series_id, String), OutboxJob.finished_at.is_(None),
        OutboxJob.dead_at.is_(None), OutboxJob.last_error.is_(None),
    )  # fmt: skip


def study_of_series(session: Session, series_id: int) -> int | None:
    return session.scalar(select(Series.study_id).where(Series.id == series_id))


def last_received_at(session: Session, series_id: int) -> datetime | None:
    """When the last object of its study came."""
    return session.scalar(select(Study.last_received_at).join(Series).where(Series.id == series_id))


def pending_of_series(session: Session, series_id: int, most: int) -> list[Instance]:
    """In the order in which they are looked at, without those that have a job of their own."""
    has_own = exists().where(
        OutboxJob.key == literal(_INSTANCE_KEY) + cast(Instance.id, String), OutboxJob.finished_at.is_(None)
    )
    pending = select(Instance).where(Instance.series_id == series_id, Instance.derived_state == "pending", ~has_own)
    return list(session.scalars(pending.order_by(Instance.number, Instance.id).limit(most)))


def has_pending(session: Session, study_id: int) -> bool:
    """Whether display data of the study are still to be made, by whatever job."""
    of_study = select(Instance.id).join(Series, Series.id == Instance.series_id).where(Series.study_id == study_id)
    return session.scalar(of_study.where(Instance.derived_state == "pending").limit(1)) is not None
