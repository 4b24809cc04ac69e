"""Queries of identity repairs: who a study was, what its copies carry, which repairs stand. [store]"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from worklist.repair_tables import Correction, Repair, RepairedStudy
from worklist.tables import Order, Patient, Study


def is_identity_of(session: Session, study: Study, identity_key: str) -> bool:
    """Whether an object of this identity belongs to the study: as it is now, or as it came before a repair."""
    if session.get_one(Patient, study.patient_pk).identity_key == identity_key:
        return True
    before = (
        select(Patient.identity_key)
        .join(Repair, Repair.from_patient_pk == Patient.id)
        .join(RepairedStudy, RepairedStudy.repair_id == Repair.id)
        .where(RepairedStudy.study_id == study.id, Repair.undone_at.is_(None))
    )
    return identity_key in session.scalars(before).all()


def merged_into(session: Session, patient: Patient) -> tuple[Patient, Repair] | None:
    """Whom a merged row became, over several merges, and the last of these; None for a row that stands."""
    found: tuple[Patient, Repair] | None = None
    seen = {patient.id}
    while True:
        at = found[0] if found else patient
        repair = session.scalar(
            select(Repair)
            .where(Repair.kind == "merge", Repair.from_patient_pk == at.id, Repair.undone_at.is_(None))
            .order_by(Repair.id.desc())
            .limit(1)
        )
        if repair is None or repair.to_patient_pk in seen:
            return found
        seen.add(repair.to_patient_pk)
        found = session.get_one(Patient, repair.to_patient_pk), repair


def corrections_of(session: Session, study_ids: Collection[int]) -> dict[int, dict[str, str]]:
    """What copies of these studies must carry, keyword to value, the later repair over the earlier one.

    ``AttributeModificationDateTime`` among them is when: it goes into the Original Attributes Sequence.
    """
    found: dict[int, dict[str, str]] = {}
    if not study_ids:
        return found
    rows = session.execute(
        select(Correction.study_id, Correction.keyword, Correction.value, Correction.made_at)
        .where(Correction.study_id.in_(study_ids), Correction.undone_at.is_(None))
        .order_by(Correction.id)
    )
    for study_id, keyword, value, made_at in rows:
        of_study = found.setdefault(study_id, {})
        of_study[keyword] = value
        of_study["AttributeModificationDateTime"] = f"{made_at:%Y%m%d%H%M%S}.{made_at.microsecond:06d}+0000"
    return found


def repairs_of_study(session: Session, study_id: int) -> Sequence[Repair]:
    """Repairs that stand, oldest first."""
    return session.scalars(
        select(Repair)
        .join(RepairedStudy, RepairedStudy.repair_id == Repair.id)
        .where(RepairedStudy.study_id == study_id, Repair.undone_at.is_(None))
        .order_by(Repair.id)
    ).all()


def repaired_since(session: Session, study_id: int, moment: datetime | None) -> Repair | None:
    """The newest repair of a study after ``moment``: what was written before it names somebody else."""
    if moment is None:
        return None
    rows = repairs_of_study(session, study_id)
    return next((row for row in reversed(rows) if row.made_at >= moment), None)


def open_orders(session: Session, patient_pk: int) -> Sequence[Order]:
    """A patient's requests that no study has, the newest first: what a study can be moved to."""
    return session.scalars(
        select(Order).where(Order.patient_pk == patient_pk, *_is_open()).order_by(Order.created_at.desc())
    ).all()


def search_open_orders(session: Session, found: ColumnElement[bool], most: int) -> list[tuple[Order, Patient]]:
    """Requests without images, of patients too of whom there are none yet. ``found``: on Order and Patient."""
    query = select(Order, Patient).join(Patient, Patient.id == Order.patient_pk).where(found, *_is_open())
    return [(order, patient) for order, patient in session.execute(query.order_by(Order.created_at.desc()).limit(most))]


def _is_open() -> tuple[ColumnElement[bool], ...]:
    return Order.made_from_object.is_(False), ~exists().where(Study.order_uid == Order.order_uid)


def studies_of_repair(session: Session, repair_id: int) -> Sequence[Study]:
    return session.scalars(
        select(Study)
        .join(RepairedStudy, RepairedStudy.study_id == Study.id)
        .where(RepairedStudy.repair_id == repair_id)
        .order_by(Study.id)
    ).all()


def repairs(session: Session, most: int = 100) -> Sequence[Repair]:
    """The newest repairs, undone ones too."""
    return session.scalars(select(Repair).order_by(Repair.id.desc()).limit(most)).all()
