"""Queries of orders that wait for their images, and of what devices performed for them. [store]"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from worklist.acquisition_tables import Dose, PerformedInstance, PerformedStep, PerformedStudy, WorklistFetch
from worklist.commitment import ASKED
from worklist.commitment_tables import CommitmentReference, CommitmentTransaction
from worklist.order import Acquisition
from worklist.store import awaits_retake
from worklist.tables import Device, Instance, Order, Patient, Series, Study, Workitem

MOST_NAMED = 20  # missing objects that are named; the others are counted


def orders_to_acquire(
    session: Session, site_id: int, modality: str, since: datetime
) -> Sequence[tuple[Order, Patient, datetime | None]]:
    """Orders of a modality without usable images, oldest first, and when the images of each were returned."""
    later, theirs = aliased(Workitem), aliased(Study)
    returned_at = (
        select(func.max(Workitem.ended_at))
        .join(theirs, theirs.id == Workitem.study_id)
        .where(theirs.order_uid == Order.order_uid, Workitem.retake_reason.is_not(None))
        .where(~exists().where(later.replaces == Workitem.workitem_uid))
        .correlate(Order)
        .scalar_subquery()
    )
    has_usable_study = exists().where(Study.order_uid == Order.order_uid, ~awaits_retake())
    rows = session.execute(
        select(Order, Patient, returned_at)
        .join(Patient, Patient.id == Order.patient_pk)
        .where(
            Order.site_id == site_id, Order.modality == modality, Order.made_from_object.is_(False),
            or_(Order.created_at >= since, returned_at >= since), ~has_usable_study,
            or_(Order.acquisition != Acquisition.COMPLETED, Order.acquisition_at < returned_at),
        )
        .order_by(Order.created_at, Order.order_uid)
    )  # fmt: skip
    return [(order, patient, moment) for order, patient, moment in rows]


def worklist_devices(session: Session, site_id: int) -> Sequence[Device]:
    """Enabled devices of a site that may fetch its orders."""
    own = select(Device).where(Device.site_id == site_id, Device.enabled.is_(True)).order_by(Device.id)
    return [device for device in session.scalars(own) if "worklist" in device.services]


def fetches_of(session: Session, order_uids: Sequence[str]) -> dict[str, list[tuple[WorklistFetch, Device]]]:
    """Which devices were told these orders, the first one first."""
    found: dict[str, list[tuple[WorklistFetch, Device]]] = {uid: [] for uid in order_uids}
    rows = session.execute(
        select(WorklistFetch, Device)
        .join(Device, Device.id == WorklistFetch.device_id)
        .where(WorklistFetch.order_uid.in_(order_uids))
        .order_by(WorklistFetch.first_at, WorklistFetch.device_id)
    )
    for fetch, device in rows:
        found[fetch.order_uid].append((fetch, device))
    return found


def order_named(session: Session, site_id: int, study_instance_uid: str, accession_number: str | None) -> Order | None:
    """A person's order of the site that an object or step names, by the study's UID before the number."""
    by_number = [Order.accession_number == accession_number] if accession_number else []
    rows = session.scalars(
        select(Order).where(
            Order.site_id == site_id, Order.made_from_object.is_(False),
            or_(Order.study_instance_uid == study_instance_uid, *by_number),
        )
    ).all()  # fmt: skip
    return next((order for order in rows if order.study_instance_uid == study_instance_uid), rows[0] if rows else None)


def has_usable_study(session: Session, order_uid: str) -> bool:
    return session.scalar(select(Study.id).where(Study.order_uid == order_uid, ~awaits_retake()).limit(1)) is not None


def step_by_uid(session: Session, sop_instance_uid: str, *, lock: bool = False) -> PerformedStep | None:
    query = select(PerformedStep).where(PerformedStep.sop_instance_uid == sop_instance_uid)
    return session.scalar(query.with_for_update() if lock else query)


def steps_of_study(session: Session, site_id: int, study_instance_uid: str) -> Sequence[PerformedStep]:
    """What the site's devices performed for a study, the first one first."""
    named = select(PerformedStudy.step_id).where(PerformedStudy.study_instance_uid == study_instance_uid)
    return session.scalars(
        select(PerformedStep)
        .where(PerformedStep.site_id == site_id, PerformedStep.id.in_(named))
        .order_by(PerformedStep.id)
    ).all()


def n_listed(session: Session, step_ids: Sequence[int]) -> dict[int, int]:
    """How many images each step lists."""
    rows = session.execute(
        select(PerformedInstance.step_id, func.count())
        .where(PerformedInstance.step_id.in_(step_ids), PerformedInstance.is_image.is_(True))
        .group_by(PerformedInstance.step_id)
    )
    return {step_id: count for step_id, count in rows}  # noqa: C416 (a row is no pair)


def missing_of_steps(session: Session, step_ids: Sequence[int]) -> list[tuple[int, str, str]]:
    """Listed images that are not here: (step, series, instance)."""
    rows = session.execute(
        select(PerformedInstance.step_id, PerformedInstance.series_instance_uid, PerformedInstance.sop_instance_uid)
        .outerjoin(Instance, Instance.sop_instance_uid == PerformedInstance.sop_instance_uid)
        .where(PerformedInstance.step_id.in_(step_ids), PerformedInstance.is_image.is_(True), Instance.id.is_(None))
        .order_by(PerformedInstance.id)
    )
    return [(step, series, instance) for step, series, instance in rows]


def commitments_of_study(
    session: Session, study_instance_uid: str, site_id: int, since: datetime | None
) -> tuple[int, list[str]]:
    """(objects that its device asked us to keep, those of them that are not here).

    A request that names objects of other studies too says nothing of an unknown one.
    """
    reference, other = CommitmentReference, CommitmentReference.__table__.alias("other_reference")
    asked = select(reference.transaction_id).where(reference.study_instance_uid == study_instance_uid)
    names_others = exists().where(
        other.c.transaction_id == CommitmentTransaction.id, other.c.study_instance_uid.is_not(None),
        other.c.study_instance_uid != study_instance_uid,
    )  # fmt: skip
    rows = session.execute(
        select(reference.sop_instance_uid, Instance.id)
        .join(CommitmentTransaction, CommitmentTransaction.id == reference.transaction_id)
        .outerjoin(Instance, Instance.sop_instance_uid == reference.sop_instance_uid)
        .where(
            reference.transaction_id.in_(asked), CommitmentTransaction.direction == ASKED,
            CommitmentTransaction.site_id == site_id, CommitmentTransaction.is_duplicate.is_(False), ~names_others,
            *([CommitmentTransaction.requested_at > since] if since else []),
        )
    ).all()  # fmt: skip
    here = {uid: instance for uid, instance in rows}  # noqa: C416 (a row is no pair)
    return len(here), sorted(uid for uid, instance in here.items() if instance is None)


def doses_of_study(session: Session, site_id: int, study_instance_uid: str) -> Sequence[Dose]:
    named = select(PerformedStudy.step_id).where(PerformedStudy.study_instance_uid == study_instance_uid)
    return session.scalars(
        select(Dose)
        .join(PerformedStep, PerformedStep.id == Dose.step_id)
        .where(Dose.step_id.in_(named), PerformedStep.site_id == site_id)
        .order_by(Dose.step_id, Dose.event, Dose.id)
    ).all()


def numbers_of_series(session: Session, series_uids: Sequence[str]) -> dict[str, int | None]:
    """Series numbers by UID, of series that are here."""
    rows = session.execute(
        select(Series.series_instance_uid, Series.number).where(Series.series_instance_uid.in_(series_uids))
    )
    return {uid: number for uid, number in rows}  # noqa: C416 (a row is no pair)


def unlinked_studies(session: Session, site_id: int, study_instance_uid: str) -> Sequence[PerformedStudy]:
    """Performed steps of a study that no order of ours is known behind."""
    return session.scalars(
        select(PerformedStudy)
        .join(PerformedStep, PerformedStep.id == PerformedStudy.step_id)
        .where(and_(PerformedStudy.study_instance_uid == study_instance_uid, PerformedStep.site_id == site_id))
        .where(PerformedStudy.order_uid.is_(None))
    ).all()
