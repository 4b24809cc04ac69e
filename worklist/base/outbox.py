"""Work promised in the transaction of a change, done later, at least once. [store]"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from worklist.base.db import Base


class OutboxJob(Base):
    """One promised piece of work. ``kind`` names its handler in ``worklist.worker``."""

    __tablename__ = "outbox_job"
    __table_args__ = (Index("ix_outbox_job_due", "finished_at", "dead_at", "due_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    # Promising the same key twice is one job while the first is unfinished.
    key: Mapped[str] = mapped_column(String(160), index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    n_attempts: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(String(256))


def promise(session: Session, kind: str, key: str, payload: dict[str, Any], *, now: datetime, due_at: datetime | None = None) -> OutboxJob:
    """Write one job in the caller's transaction."""
    job = OutboxJob(kind=kind, key=key, payload=payload, created_at=now, due_at=due_at or now)
    session.add(job)
    return job
