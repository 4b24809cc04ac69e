"""UPS beyond the reading work itself: tasks of others, who subscribed, what is still to be told. [store]"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base
from worklist.tables import Code, Uid


class UpsTask(Base):
    """A procedure step that others made and perform: an AI job, a 3-D job. ``attributes`` are DICOM JSON."""

    __tablename__ = "ups_task"
    workitem_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)  # of whoever made it
    study_id: Mapped[int | None] = mapped_column(ForeignKey("study.id"), index=True)  # where we have it
    state: Mapped[str] = mapped_column(Code, index=True)
    transaction_uid: Mapped[str | None] = mapped_column(Uid)
    performer: Mapped[str | None] = mapped_column(String(64))  # AE title or user name of whoever claimed it
    attributes: Mapped[dict[str, Any]]
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]


class UpsExtra(Base):
    """What the performer of reading work has set by UPS: progress, performed procedure, comments (DICOM JSON)."""

    __tablename__ = "ups_extra"
    workitem_uid: Mapped[str] = mapped_column(ForeignKey("workitem.workitem_uid"), primary_key=True)
    attributes: Mapped[dict[str, Any]]


class UpsSubscription(Base):
    """An AE's subscription: to one step, to all, or to what matches ``keys``; or, not ``is_on``, its refusal of one."""

    __tablename__ = "ups_subscription"
    __table_args__ = (UniqueConstraint("ae_title", "scope"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    ae_title: Mapped[str] = mapped_column(String(16))
    scope: Mapped[str] = mapped_column(Uid, index=True)  # a workitem, or one of the two well-known UIDs
    is_on: Mapped[bool] = mapped_column(default=True)
    has_lock: Mapped[bool] = mapped_column(default=False)
    keys: Mapped[dict[str, Any]] = mapped_column(default=dict)
    made_at: Mapped[datetime]
    suspended_at: Mapped[datetime | None]  # steps made later are not subscribed any more
    # Who it is: a device is told by DIMSE, a person's program by its WebSocket.
    device_id: Mapped[int | None] = mapped_column(ForeignKey("device.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))


class UpsEvent(Base):
    """One event report for one subscriber; its row stays until it has been told."""

    __tablename__ = "ups_event"
    __table_args__ = (Index("ix_ups_event_waiting", "ae_title", "told_at", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    ae_title: Mapped[str] = mapped_column(String(16))
    workitem_uid: Mapped[str] = mapped_column(Uid)
    event_type: Mapped[int]
    information: Mapped[dict[str, Any]]
    made_at: Mapped[datetime] = mapped_column(index=True)
    told_at: Mapped[datetime | None]


class UpsTold(Base):
    """How far the subscribers know a piece of reading work."""

    __tablename__ = "ups_told"
    workitem_uid: Mapped[str] = mapped_column(ForeignKey("workitem.workitem_uid"), primary_key=True)
    state: Mapped[str] = mapped_column(Code)
    readiness: Mapped[str] = mapped_column(Code)
    scheduled_performer: Mapped[int | None]


class UpsCursor(Base):
    """One row: up to which workflow event changes were told on, and since when anybody listens."""

    __tablename__ = "ups_cursor"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int]
    since: Mapped[datetime]
