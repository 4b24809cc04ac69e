"""Devices that asked for it are told of performed steps (MPPS Notification, PS3.4 F.9). [service]

A notice is a row, written with the change of the step; one outbox job per device tells its rows in their order.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from worklist.acquisition_tables import PerformedStep, StepNotice
from worklist.base import outbox
from worklist.tables import Device

KIND = "mpps_event"
SERVICE = "mpps_notify"  # in the device's services


def notify(session: Session, step: PerformedStep, event_type: int, now: datetime) -> None:
    """The step's own site alone: nobody else can read it. Who performed it knows already."""
    devices = session.scalars(
        select(Device).where(Device.site_id == step.site_id, Device.enabled).order_by(Device.id)
    ).all()
    for device in devices:
        if SERVICE not in device.services or device.id == step.device_id:
            continue
        session.add(StepNotice(
            device_id=device.id, sop_instance_uid=step.sop_instance_uid, event_type=event_type, made_at=now
        ))  # fmt: skip
        session.flush()  # numbers in the order in which it happened
        outbox.promise(session, KIND, f"{KIND}:{device.ae_title}", {"ae_title": device.ae_title}, now=now)


def waiting(session: Session, ae_title: str, most: int) -> Sequence[StepNotice]:
    """What a device has not been told yet, oldest first."""
    return session.scalars(
        select(StepNotice).join(Device, Device.id == StepNotice.device_id)
        .where(Device.ae_title == ae_title, StepNotice.told_at.is_(None)).order_by(StepNotice.id).limit(most)
    ).all()  # fmt: skip


def note_told(session: Session, numbers: Sequence[int], now: datetime) -> None:
    """These have arrived."""
    session.execute(update(StepNotice).where(StepNotice.id.in_(numbers)).values(told_at=now))


def forget(session: Session, told_before: datetime, made_before: datetime) -> None:
    """What arrived long ago, and what nobody took in a much longer time."""
    session.execute(delete(StepNotice).where(or_(StepNotice.told_at < told_before, StepNotice.made_at < made_before)))
