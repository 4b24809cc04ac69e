"""A study moves to another patient, two patient rows become one, a study gets a patient of its own. [service]

Index rows change, stored objects never do: what a copy must carry instead is written down as corrections
(``worklist.repair_tables``). Every act has a reason, one audit row, and can be taken back as long as no later one
stands on it. A signed report is not touched: its signer is told, and the study says what happened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist import person_service, repair_store, store, triage
from worklist.access import Act, Actor, Refused, check
from worklist.addendum_service import addendum_for_signer
from worklist.base import audit
from worklist.order_service import next_accession_number
from worklist.person import identity_key, name_initials, name_pinyin
from worklist.repair_tables import Correction, Repair, RepairedStudy
from worklist.tables import Order, Patient, Site, Study, Workitem
from worklist.uid import new_uid

SignedStatuses = Callable[[Session, int], set[str]]


@dataclass(frozen=True)
class NewPatient:
    """Who a split-off study belongs to, as the site's own record would say it."""

    name: str
    patient_id: str | None
    sex: str | None
    birth_date: date | None


@dataclass(frozen=True)
class Doing:
    """What every repair is done with. ``signed_statuses``: of a study's reports (the report package knows)."""

    actor: Actor
    reason: str
    zone: ZoneInfo
    signed_statuses: SignedStatuses
    now: datetime


def move(session: Session, doing: Doing, study: Study, to_patient_pk: int, order_uid: str | None = None) -> Repair:
    """The study belongs to another patient of its site, and with ``order_uid`` to that patient's request.

    Raises Refused: not_found (another site's patient), same_patient, order_not_found, order_taken, reason_missing.
    """
    _check(doing)
    target = _patient_of_site(session, study.site_id, to_patient_pk)
    if target.id == study.patient_pk:
        raise Refused("same_patient")
    order = _free_order(session, study, target, order_uid) if order_uid else None
    repair = _repair(session, doing, "move", [study], study.patient_pk, target, order)
    if order is not None:
        _follow_order(session, repair, study, order)
    return repair


def _follow_order(session: Session, repair: Repair, study: Study, order: Order) -> None:
    """Urgency is the request's: open work goes by it from now on, as after a match (``order_service``)."""
    due_at = triage.due_at(study.received_at, study.modality, study.body_part, order.priority, order.pathway)
    for item in _open_work(session, study):
        was = {"workitem_uid": item.workitem_uid, "priority": item.priority, "due_at": item.due_at.isoformat()}
        repair.before = [*repair.before, was]
        item.priority, item.due_at = order.priority, due_at
    store.forget_suggestion(session, order.order_uid)
    session.flush()


def _open_work(session: Session, study: Study) -> list[Workitem]:
    return [item for item in store.workitems_of_study(session, study.id) if item.state in ("SCHEDULED", "IN PROGRESS")]


def split(session: Session, doing: Doing, study: Study, person: NewPatient) -> Repair:
    """The study belongs to somebody the site has no row of yet. Raises Refused: patient_exists, reason_missing."""
    _check(doing)
    key = identity_key(person.patient_id, person.name, person.sex, person.birth_date, study.study_instance_uid)
    if store.patient_by_key(session, study.site_id, key) is not None:
        raise Refused("patient_exists")
    target = Patient(
        site_id=study.site_id, identity_key=key, patient_id=person.patient_id, name=person.name, sex=person.sex,
        birth_date=person.birth_date, name_pinyin=name_pinyin(person.name), name_initials=name_initials(person.name),
    )  # fmt: skip
    session.add(target)
    session.flush()
    return _repair(session, doing, "split", [study], study.patient_pk, target, None)


def merge(session: Session, doing: Doing, from_patient_pk: int, to_patient_pk: int) -> Repair:
    """Two rows of one site are one patient: everything of the first becomes the second's, later objects too.

    Raises Refused: not_found, same_patient, reason_missing.
    """
    _check(doing)
    source = session.get(Patient, from_patient_pk)
    if source is None:
        raise Refused("not_found")
    target = _patient_of_site(session, source.site_id, to_patient_pk)
    if target.id == source.id or repair_store.merged_into(session, target) is not None:
        raise Refused("same_patient")
    studies = session.scalars(select(Study).where(Study.patient_pk == source.id).order_by(Study.id)).all()
    repair = _repair(session, doing, "merge", studies, source.id, target, None)
    waiting = session.scalars(select(Order).where(Order.patient_pk == source.id).order_by(Order.order_uid)).all()
    for order in waiting:  # requests whose images have not come
        order.patient_pk = target.id
    repair.before = [*repair.before, *({"order_uid": order.order_uid, "patient_pk": source.id} for order in waiting)]
    session.flush()
    return repair


def adopt(session: Session, study: Study, patient: Patient) -> None:
    """A new study of a merged row belongs to whom that row became, and leaves with that identity."""
    merged = repair_store.merged_into(session, patient)
    if merged is None:
        return
    target, repair = merged
    study.patient_pk = target.id
    session.add(RepairedStudy(repair_id=repair.id, study_id=study.id))
    _correct(session, repair, study, target, None, repair.made_at)
    session.flush()


def undo(session: Session, actor: Actor, repair_id: int, reason: str, signed: SignedStatuses, now: datetime) -> Repair:
    """Put everything back as it was. Raises Refused: not_found, already_settled, later_repair, reason_missing."""
    check(actor, Act.IDENTITY_REPAIR)
    if not reason.strip():
        raise Refused("reason_missing")
    repair = session.get(Repair, repair_id, with_for_update=True)
    if repair is None:
        raise Refused("not_found")
    if repair.undone_at is not None:
        raise Refused("already_settled")
    studies = repair_store.studies_of_repair(session, repair.id)
    if any(repair_store.repairs_of_study(session, study.id)[-1].id != repair.id for study in studies):
        raise Refused("later_repair")
    back = {row["study_id"]: row for row in repair.before if "study_id" in row}
    work = {row["workitem_uid"]: row for row in repair.before if "workitem_uid" in row}
    for study in studies:
        for item in _open_work(session, study):
            if item.workitem_uid in work:
                item.priority = work[item.workitem_uid]["priority"]
                item.due_at = datetime.fromisoformat(work[item.workitem_uid]["due_at"])
        _put_back(study, back.get(study.id, {"patient_pk": repair.from_patient_pk}))
    for row in repair.before:
        if "order_uid" in row and "study_id" not in row:
            session.get_one(Order, row["order_uid"]).patient_pk = row["patient_pk"]
    repair.undone_at, repair.undone_by, repair.undone_reason = now, actor.account_id, reason.strip()[:256]
    session.execute(update(Correction).where(Correction.repair_id == repair.id).values(undone_at=now))
    session.flush()
    _tell(session, actor, "identity.undo", repair, studies, signed, now)
    return repair


def _put_back(study: Study, row: dict[str, Any]) -> None:
    study.patient_pk = row["patient_pk"]
    if "order" in row:
        study.order_uid, study.accession_number = row["order"], row["accession_number"]


def _check(doing: Doing) -> None:
    check(doing.actor, Act.IDENTITY_REPAIR)
    if not doing.reason.strip():
        raise Refused("reason_missing")


def _patient_of_site(session: Session, site_id: int, patient_pk: int) -> Patient:
    patient = session.get(Patient, patient_pk)
    if patient is None or patient.site_id != site_id:
        raise Refused("not_found")
    merged = repair_store.merged_into(session, patient)
    return merged[0] if merged else patient


def _free_order(session: Session, study: Study, target: Patient, order_uid: str) -> Order:
    order = session.get(Order, order_uid, with_for_update={"key_share": True})
    if order is None or order.site_id != study.site_id or order.patient_pk != target.id or order.made_from_object:
        raise Refused("order_not_found")
    if session.scalar(select(Study.id).where(Study.order_uid == order_uid)):
        raise Refused("order_taken")
    return order


def _repair(
    session: Session, doing: Doing, kind: str, studies: Sequence[Study], from_pk: int, target: Patient,
    order: Order | None,
) -> Repair:  # fmt: skip
    repair = Repair(
        kind=kind, site_id=target.site_id, from_patient_pk=from_pk, to_patient_pk=target.id, made_at=doing.now,
        reason=doing.reason.strip()[:256], made_by=doing.actor.account_id, before=[],
    )  # fmt: skip
    session.add(repair)
    session.flush()
    before: list[dict[str, Any]] = []
    for study in studies:
        before.append({
            "study_id": study.id, "patient_pk": study.patient_pk, "order": study.order_uid,
            "accession_number": study.accession_number,
        })  # fmt: skip
        session.add(RepairedStudy(repair_id=repair.id, study_id=study.id))
        if kind != "merge":  # the requests of a merged row move with it
            study.order_uid = (order or _order_of_its_own(session, doing, study, target)).order_uid
            study.accession_number = order.accession_number if order else None
        study.patient_pk, study.suggested_order_uid = target.id, None
        _correct(session, repair, study, target, None if kind == "merge" else order, doing.now)
    repair.before = before
    session.flush()
    person_service.promise_index(session, target.id, doing.now)
    _tell(session, doing.actor, f"identity.{kind}", repair, studies, doing.signed_statuses, doing.now, order)
    return repair


def _order_of_its_own(session: Session, doing: Doing, study: Study, target: Patient) -> Order:
    """The request it had was the other patient's: that one waits for its own images again."""
    site = session.get_one(Site, study.site_id)
    old = session.get_one(Order, study.order_uid)
    order = Order(
        order_uid=new_uid(), site_id=site.id, patient_pk=target.id, modality=study.modality, priority=old.priority,
        accession_number=next_accession_number(session, site, doing.zone, doing.now), body_part=study.body_part,
        made_from_object=True, created_at=doing.now,
    )  # fmt: skip
    session.add(order)
    session.flush()
    return order


def _correct(
    session: Session, repair: Repair, study: Study, target: Patient, order: Order | None, now: datetime
) -> None:
    """What a copy carries from now on."""
    values = {
        "PatientName": _sent_name(target), "PatientID": target.patient_id or "", "PatientSex": target.sex or "",
        "PatientBirthDate": f"{target.birth_date:%Y%m%d}" if target.birth_date else "",
        "IssuerOfPatientID": session.get_one(Site, study.site_id).code,
    }  # fmt: skip
    if repair.kind != "merge":
        values["AccessionNumber"] = order.accession_number if order else ""
    session.add_all(
        Correction(repair_id=repair.id, study_id=study.id, keyword=keyword, value=value, made_at=now)
        for keyword, value in values.items()
    )


def _sent_name(patient: Patient) -> str:
    """The name as a PN: pinyin in the alphabetic group where the name itself is not alphabetic (PS3.5 annex J)."""
    if patient.name.isascii() or not patient.name_pinyin:
        return patient.name
    return f"{patient.name_pinyin}={patient.name}"


def _tell(
    session: Session, actor: Actor, act: str, repair: Repair, studies: Sequence[Study], signed: SignedStatuses,
    now: datetime, order: Order | None = None,
) -> None:  # fmt: skip
    """One audit row, and news for open pages. Whoever signed gets work: the report names somebody else."""
    needs = {study.id: addendum_for_signer(session, study, now) for study in studies if signed(session, study.id)}
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act=act,
        object_type="repair", object_uid=str(repair.id),
        details={"studies": [study.study_instance_uid for study in studies],
                 "patients": [repair.from_patient_pk, repair.to_patient_pk]}
        | ({"order": order.order_uid} if order else {}),
    )  # fmt: skip
    for study in studies:
        audit.emit(
            session, "identity_repaired", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id,
            workitem_uid=needs.get(study.id), is_signed=study.id in needs,
        )  # fmt: skip
