"""Queries for sites, studies, orders and workitems. [store]"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from worklist.person_store import same_person
from worklist.tables import (
    Association,
    Device,
    Instance,
    Order,
    Patient,
    Quarantine,
    Series,
    Site,
    Study,
    StudyAssociation,
    Workitem,
)


def site_by_code(session: Session, code: str) -> Site | None:
    return session.scalar(select(Site).where(Site.code == code))


def device_by_ae_title(session: Session, ae_title: str) -> Device | None:
    return session.scalar(select(Device).where(Device.ae_title == ae_title))


def device_by_certificate(session: Session, certificate_sha256: str) -> Device | None:
    return session.scalar(select(Device).where(Device.certificate_sha256 == certificate_sha256))


def study_by_uid(session: Session, study_instance_uid: str) -> Study | None:
    return session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))


def study_uid_by_accession(session: Session, site_code: str, accession_number: str) -> str:
    """The newest study of a site under an accession number, of the object or of its order; "" where there is none."""
    if not accession_number:
        return ""
    found = session.scalar(
        select(Study.study_instance_uid)
        .join(Site, Site.id == Study.site_id)
        .outerjoin(Order, Order.order_uid == Study.order_uid)
        .where(Site.code == site_code)
        .where(or_(Study.accession_number == accession_number, Order.accession_number == accession_number))
        .order_by(Study.id.desc())
        .limit(1)
    )
    return found or ""


def instance_by_uid(session: Session, sop_instance_uid: str) -> Instance | None:
    return session.scalar(select(Instance).where(Instance.sop_instance_uid == sop_instance_uid))


def study_of_instance(session: Session, instance: Instance) -> Study:
    return session.scalars(
        select(Study).join(Series, Series.study_id == Study.id).where(Series.id == instance.series_id)
    ).one()


def patient_by_key(session: Session, site_id: int, identity_key: str) -> Patient | None:
    return session.scalar(select(Patient).where(Patient.site_id == site_id, Patient.identity_key == identity_key))


def open_association_count(session: Session, study_id: int) -> int:
    return session.scalar(
        select(func.count())
        .select_from(StudyAssociation)
        .join(Association, Association.id == StudyAssociation.association_id)
        .where(StudyAssociation.study_id == study_id, Association.closed_at.is_(None))
    ) or 0  # fmt: skip


def incomplete_studies(session: Session) -> Sequence[Study]:
    """Studies that may still get objects; few at any time."""
    return session.scalars(select(Study).where(Study.input_readiness == "INCOMPLETE").order_by(Study.id)).all()


def _has_usable_study() -> ColumnElement[bool]:
    """Whether an order has a study that does not wait for a retake."""
    return exists().where(Study.order_uid == Order.order_uid, ~awaits_retake())


def awaits_retake() -> ColumnElement[bool]:
    """Whether a study was returned for a retake that no new images have answered yet."""
    later = aliased(Workitem)
    answered = exists().where(later.replaces == Workitem.workitem_uid)
    return exists().where(Workitem.study_id == Study.id, Workitem.retake_reason.is_not(None), ~answered)


def open_orders_of_site(session: Session, site_id: int, since: datetime) -> Sequence[tuple[Order, Patient]]:
    """Orders made by a person, still without a study, newest first."""
    rows = session.execute(
        select(Order, Patient)
        .join(Patient, Patient.id == Order.patient_pk)
        .where(
            Order.site_id == site_id,
            Order.made_from_object.is_(False),
            Order.created_at >= since,
            ~_has_usable_study(),
        )
        .order_by(Order.created_at.desc())
    )
    return [(order, patient) for order, patient in rows]


def studies_without_order(session: Session, site_id: int, since: datetime) -> Sequence[tuple[Study, Patient]]:
    """Studies that came without a request and have none suggested yet, newest first."""
    rows = session.execute(
        select(Study, Patient)
        .join(Patient, Patient.id == Study.patient_pk)
        .join(Order, Order.order_uid == Study.order_uid)
        .where(Study.site_id == site_id, Study.received_at >= since)
        .where(Order.made_from_object.is_(True), Study.suggested_order_uid.is_(None))
        .order_by(Study.received_at.desc())
    )
    return [(study, patient) for study, patient in rows]


def forget_suggestion(session: Session, order_uid: str) -> None:
    """An order that has its study is suggested for no other."""
    session.execute(update(Study).where(Study.suggested_order_uid == order_uid).values(suggested_order_uid=None))


def order_by_accession(session: Session, site_id: int, accession_number: str) -> Order | None:
    return session.scalar(select(Order).where(Order.site_id == site_id, Order.accession_number == accession_number))


def orders_of_day(session: Session, site_id: int, start: datetime, end: datetime) -> int:
    """How many orders of a site were made in [start, end)."""
    return session.scalar(
        select(func.count())
        .select_from(Order)
        .where(Order.site_id == site_id, Order.created_at >= start, Order.created_at < end)
    ) or 0  # fmt: skip


def workitems_of_study(session: Session, study_id: int) -> Sequence[Workitem]:
    return session.scalars(select(Workitem).where(Workitem.study_id == study_id).order_by(Workitem.created_at)).all()


def open_workitem_exists(session: Session, study_id: int, step: str) -> bool:
    return bool(
        session.scalar(
            select(Workitem.workitem_uid)
            .where(Workitem.study_id == study_id, Workitem.step == step)
            .where(Workitem.state.in_(("SCHEDULED", "IN PROGRESS")))
            .limit(1)
        )
    )


def open_conflicts(session: Session, study_id: int) -> Sequence[Quarantine]:
    """Conflicts on a study that no administrator has settled."""
    return session.scalars(
        select(Quarantine).where(Quarantine.study_id == study_id, Quarantine.resolved_at.is_(None))
    ).all()


def is_quarantined(session: Session, site_id: int, digest: str, reason: str) -> bool:
    """Whether these bytes already wait for a person, for the same reason."""
    found = session.scalar(
        select(Quarantine.id)
        .where(Quarantine.digest == digest, Quarantine.site_id == site_id, Quarantine.reason == reason)
        .where(Quarantine.resolved_at.is_(None))
        .limit(1)
    )
    return found is not None


def series_of_study(session: Session, study_id: int) -> Sequence[Series]:
    return session.scalars(
        select(Series).where(Series.study_id == study_id).order_by(Series.number, Series.id)
    ).all()


def instances_of_series(session: Session, series_ids: Sequence[int]) -> Sequence[Instance]:
    """What is not hidden by a rejection note."""
    return session.scalars(
        select(Instance)
        .where(Instance.series_id.in_(series_ids), Instance.hidden_code.is_(None))
        .order_by(Instance.number, Instance.id)
    ).all()


def instances_of_study(session: Session, study_id: int) -> Sequence[Instance]:
    """What is not hidden by a rejection note."""
    return session.scalars(
        select(Instance)
        .join(Series, Series.id == Instance.series_id)
        .where(Series.study_id == study_id, Instance.hidden_code.is_(None))
        .order_by(Series.number, Instance.number, Instance.id)
    ).all()


def priors_of_study(
    session: Session, study: Study, sees: ColumnElement[bool], most: int = 20, *, are_hidden: bool = False
) -> Sequence[Study]:
    """Earlier studies of the same person, newest first, as far as ``sees`` (a condition on Study) lets see.

    The same person: the same patient of the same site, or patients linked in the person index; another
    township's patient with the same ID alone never appears here. Of one whose every image was rejected nothing is
    shown: these are found with ``are_hidden`` alone.
    """
    moment = func.coalesce(Study.acquired_at, Study.received_at)
    own = study.acquired_at or study.received_at
    return session.scalars(
        select(Study)
        .where(same_person(study.patient_pk, Study.patient_pk), Study.id != study.id, sees)
        .where(Study.n_instances == 0 if are_hidden else Study.n_instances > 0)
        .where(or_(moment < own, and_(moment == own, Study.id < study.id)))
        .order_by(moment.desc())
        .limit(most)
    ).all()
