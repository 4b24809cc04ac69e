"""The tables of acquisition: which device fetched which order, what it performed, what it says it made. [store]"""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base
from worklist.tables import Code, Uid


class WorklistFetch(Base):
    """That a device was told an order, and the patient's name as it was written for that device."""

    __tablename__ = "worklist_fetch"
    order_uid: Mapped[str] = mapped_column(ForeignKey("imaging_order.order_uid"), primary_key=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("device.id"), primary_key=True)
    name_sent: Mapped[str] = mapped_column(String(256))
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]


class PerformedStep(Base):
    """A Modality Performed Procedure Step (PS3.4 F.7). States move only along ``pacs_bridge.performed_step``."""

    __tablename__ = "performed_step"
    id: Mapped[int] = mapped_column(primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)
    device_id: Mapped[int | None] = mapped_column(ForeignKey("device.id"))
    state: Mapped[str] = mapped_column(Code)  # IN PROGRESS | COMPLETED | DISCONTINUED
    modality: Mapped[str] = mapped_column(String(16), default="")
    reason: Mapped[str] = mapped_column(String(64), default="")  # why discontinued, as the device names it
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)  # all of it, DICOM JSON, for N-GET


class PerformedStudy(Base):
    """A study that a performed step belongs to, and the order of ours behind it."""

    __tablename__ = "performed_study"
    id: Mapped[int] = mapped_column(primary_key=True)
    step_id: Mapped[int] = mapped_column(ForeignKey("performed_step.id"), index=True)
    study_instance_uid: Mapped[str] = mapped_column(Uid, index=True)
    order_uid: Mapped[str | None] = mapped_column(ForeignKey("imaging_order.order_uid"), index=True)


class PerformedInstance(Base):
    """An object that a device says it made: the expected list."""

    __tablename__ = "performed_instance"
    id: Mapped[int] = mapped_column(primary_key=True)
    step_id: Mapped[int] = mapped_column(ForeignKey("performed_step.id"), index=True)
    series_instance_uid: Mapped[str] = mapped_column(Uid)
    sop_class_uid: Mapped[str] = mapped_column(Uid)
    sop_instance_uid: Mapped[str] = mapped_column(Uid, index=True)
    is_image: Mapped[bool]


class Dose(Base):
    """One dose quantity of a performed step, as sent: its keyword names it, its unit stands beside."""

    __tablename__ = "dose"
    id: Mapped[int] = mapped_column(primary_key=True)
    step_id: Mapped[int] = mapped_column(ForeignKey("performed_step.id"), index=True)
    event: Mapped[int]  # 0: of the whole step; else the exposure's number
    quantity: Mapped[str] = mapped_column(String(64))
    value: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[str] = mapped_column(String(16), default="")
    text: Mapped[str] = mapped_column(Text, default="")


class StepNotice(Base):
    """That a device which asked for it is told of a performed step; its row stays until it has been told."""

    __tablename__ = "step_notice"
    __table_args__ = (Index("ix_step_notice_waiting", "device_id", "told_at", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("device.id"))
    sop_instance_uid: Mapped[str] = mapped_column(Uid)
    event_type: Mapped[int]
    made_at: Mapped[datetime] = mapped_column(index=True)
    told_at: Mapped[datetime | None]
