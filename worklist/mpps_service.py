"""What devices perform: steps kept, orders moved, dose and the list of what was made written down. [service]"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pacs_bridge.performed_step import EVENT_OF_END, FINAL, IN_PROGRESS_EVENT, UPDATED_EVENT, StepRecord, StepState
from pacs_bridge.ports import Peer
from worklist import acquisition_store, scheduled_service, settle_service, step_notices, store
from worklist.acquisition_tables import Dose, PerformedInstance, PerformedStep, PerformedStudy
from worklist.base import audit
from worklist.order import Acquisition
from worklist.tables import Device, Order, Site, Study

_ACQUISITION = {
    StepState.IN_PROGRESS: Acquisition.IN_PROGRESS, StepState.COMPLETED: Acquisition.COMPLETED,
    StepState.DISCONTINUED: Acquisition.DISCONTINUED,
}  # fmt: skip


def begin(session: Session, peer: Peer, sop_instance_uid: str, step: StepRecord, now: datetime) -> bool:
    """Keep a new step; False when its UID is in use, at whichever site."""
    if acquisition_store.step_by_uid(session, sop_instance_uid) is not None or peer.site_id is None:
        return False
    row = PerformedStep(
        sop_instance_uid=sop_instance_uid, site_id=peer.site_id, device_id=peer.device_id,
        state=step.state, modality=step.modality, reason="",
        created_at=now, changed_at=now, attributes=step.attributes,
    )  # fmt: skip
    session.add(row)
    session.flush()
    for one in step.requested:
        number = one.accession_number or one.requested_procedure_id
        order = acquisition_store.order_named(session, peer.site_id, one.study_instance_uid, number)
        session.add(
            PerformedStudy(
                step_id=row.id, study_instance_uid=one.study_instance_uid, order_uid=order.order_uid if order else None
            )
        )
    session.flush()
    _follow(session, row, step, now)
    step_notices.notify(session, row, IN_PROGRESS_EVENT, now)
    _record(session, row, peer, "mpps.create", now)
    return True


def find(session: Session, peer: Peer, sop_instance_uid: str) -> dict[str, Any] | None:
    """A step of the peer's site as it stands, DICOM JSON; another site's does not exist."""
    row = acquisition_store.step_by_uid(session, sop_instance_uid)
    return row.attributes if row is not None and row.site_id == peer.site_id else None


def change(
    session: Session, peer: Peer, sop_instance_uid: str, before: StepState, step: StepRecord, now: datetime
) -> bool:
    """Keep a step as it is now; False when it stands no longer in the state ``before``."""
    row = acquisition_store.step_by_uid(session, sop_instance_uid, lock=True)
    if row is None or row.site_id != peer.site_id or row.state != before:
        return False
    row.state, row.attributes, row.changed_at = step.state, step.attributes, now
    if step.state in FINAL:
        row.ended_at, row.reason = now, step.reason
    session.flush()
    _follow(session, row, step, now)
    step_notices.notify(session, row, EVENT_OF_END.get(step.state, UPDATED_EVENT), now)
    _record(session, row, peer, "mpps.set", now)
    return True


def _follow(session: Session, row: PerformedStep, step: StepRecord, now: datetime) -> None:
    """What a step says goes into its tables; its orders and studies are brought up to it."""
    for table in (PerformedInstance, Dose):
        session.execute(delete(table).where(table.step_id == row.id))
    session.add_all(
        PerformedInstance(
            step_id=row.id, series_instance_uid=one.series_instance_uid, sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid, is_image=one.is_image,
        )
        for one in step.made
    )  # fmt: skip
    session.add_all(
        Dose(step_id=row.id, event=one.event, quantity=one.quantity, value=one.value, unit=one.unit, text=one.text)
        for one in step.doses
    )
    session.flush()
    device = session.get(Device, row.device_id) if row.device_id is not None else None
    links = session.scalars(select(PerformedStudy).where(PerformedStudy.step_id == row.id)).all()
    orders = [session.get_one(Order, uid) for uid in sorted({link.order_uid for link in links if link.order_uid})]
    moved = [order for order in orders if _move_order(order, row, device, now)]
    session.flush()
    studies = [store.study_by_uid(session, link.study_instance_uid) for link in links]
    ours = [study for study in studies if study is not None and study.site_id == row.site_id]
    settle_service.weigh_again(session, sorted(ours, key=lambda study: study.id), now)
    scheduled_service.tell_acquisition(session, moved, device, now)


def _move_order(order: Order, row: PerformedStep, device: Device | None, now: datetime) -> bool:
    state = _ACQUISITION[StepState(row.state)]
    if order.acquisition == state:
        return False
    scheduled_service.set_acquisition(order, state, device, now, row.reason)
    return True


def take_up(session: Session, study: Study, order: Order, now: datetime) -> None:
    """A study has just come whose steps were performed for no order of ours: they belong to the order it got."""
    links: Sequence[PerformedStudy] = acquisition_store.unlinked_studies(
        session, study.site_id, study.study_instance_uid
    )
    if not links:
        return
    session.execute(
        update(PerformedStudy)
        .where(PerformedStudy.id.in_([link.id for link in links]))
        .values(order_uid=order.order_uid)
    )
    for step in acquisition_store.steps_of_study(session, study.site_id, study.study_instance_uid):
        device = session.get(Device, step.device_id) if step.device_id is not None else None
        _move_order(order, step, device, now)
    session.flush()


def _record(session: Session, row: PerformedStep, peer: Peer, act: str, now: datetime) -> None:
    audit.record(
        session, now=now, actor=peer.ae_title, role="device", site=session.get_one(Site, row.site_id).code, act=act,
        object_type="performed_step", object_uid=row.sop_instance_uid, details={"state": row.state},
    )  # fmt: skip
