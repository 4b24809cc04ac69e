"""Identity repair on /admin/repair: two studies side by side, moved, merged, split, rejected, put back. [web]"""

from datetime import date
from typing import Any

from flask import Blueprint, Response, render_template
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from worklist import rejection_service, rejection_store, repair_service, repair_store, store
from worklist.access import Act, Actor, Refused
from worklist.account_tables import Account
from worklist.base import audit
from worklist.repair_service import Doing, NewPatient
from worklist.repair_tables import Repair
from worklist.shown import order_json
from worklist.tables import Instance, Order, Patient, Quarantine, Series, Site, Study
from worklist.web import (
    Field,
    WebError,
    actor,
    adapter,
    now,
    read,
    read_json,
    register_codes,
    route_needs,
    services,
    today,
    write,
)
from worklist.web_files import send_stored
from worklist.web_orders import PATIENT
from worklist.web_persons import patients_json

repair = Blueprint("repair", __name__)

register_codes({"same_patient": 422, "patient_exists": 409, "later_repair": 409, "rejection_stands": 409})

REASON = Field(str, max_len=256, min_len=1)
SEARCH = {"q": Field(str, max_len=64, min_len=1)}
MOVE = {"to_patient_pk": Field(int), "order_uid": Field(str, False, 64, nullable=True), "reason": REASON}
SPLIT = {"patient": Field(dict, nested={name: PATIENT[name] for name in ("name", "patient_id", "sex", "birth_date")}),
         "reason": REASON}  # fmt: skip
MERGE = {"from_patient_pk": Field(int), "to_patient_pk": Field(int), "reason": REASON}
REJECT = {
    "code": Field(str, choices={"113001", "113037", "113038", "113039"}), "reason": REASON,
    "sop_instance_uids": Field(list, False, 5000, items=Field(str, max_len=64)),
}  # fmt: skip
MOST_FOUND = 30
MOST_THUMBNAILS = 6


@repair.get("/admin/repair")
@route_needs(Act.IDENTITY_REPAIR, summary="The identity repair page")
def repair_page() -> str:
    return render_template("repair.html")


@repair.post("/api/repair/search")
@route_needs(Act.IDENTITY_REPAIR, summary="Studies by name, number or UID; in the body", body=SEARCH, touches=False)
def search() -> dict[str, Any]:
    text = read_json(SEARCH)["q"].strip()
    start = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    asked = or_(
        Order.accession_number == text, Patient.patient_id == text, Patient.name.like(f"{start}%", escape="\\"),
        Patient.name_pinyin.like(f"{start.casefold()}%", escape="\\"),
    )  # fmt: skip
    found = or_(Study.study_instance_uid == text, Study.accession_number == text, asked)
    query = (
        select(Study)
        .join(Patient, Patient.id == Study.patient_pk)
        .outerjoin(Order, Order.order_uid == Study.order_uid)
        .where(found)
        .order_by(Study.received_at.desc())
        .limit(MOST_FOUND)
    )
    with read() as session:
        waiting = repair_store.search_open_orders(session, asked, MOST_FOUND)
        return {
            "studies": [_short(session, study) for study in session.scalars(query)],
            "orders": [_short_order(session, *row) for row in waiting],
        }


def _short_order(session: Session, order: Order, patient: Patient) -> dict[str, Any]:
    return {
        "order_uid": order.order_uid, "modality": order.modality, "name": patient.name, "body_part": order.body_part,
        "site": session.get_one(Site, order.site_id).code, "created_at": order.created_at.isoformat(),
        "accession_number": order.accession_number,
    }  # fmt: skip


def _target_json(session: Session, patient_pk: int) -> dict[str, Any]:
    """Whom a study can be moved to, and to which of their requests."""
    patient = session.get_one(Patient, patient_pk)
    return {
        "patient": patients_json(session, [patient_pk])[patient_pk],
        "open_orders": [order_json(row, patient, today()) for row in repair_store.open_orders(session, patient_pk)],
    }


@repair.get("/api/repair/orders/<uid>")
@route_needs(Act.IDENTITY_REPAIR, summary="Whose a request without images is, and all such of theirs", touches=False)
def one_order(uid: str) -> dict[str, Any]:
    with write() as session:
        order = session.get(Order, uid)
        if order is None:
            raise Refused("not_found")
        _note_look(session, actor(), "order", uid)
        return _target_json(session, order.patient_pk)


def _short(session: Session, study: Study) -> dict[str, Any]:
    patient, site = session.get_one(Patient, study.patient_pk), session.get_one(Site, study.site_id)
    return {
        "study_instance_uid": study.study_instance_uid, "modality": study.modality, "name": patient.name,
        "site": site.code, "acquired_at": (study.acquired_at or study.received_at).isoformat(),
        "description": study.description or study.body_part, "n_instances": study.n_instances,
    }  # fmt: skip


@repair.get("/api/repair/studies/<uid>")
@route_needs(Act.IDENTITY_REPAIR, summary="Everything that says whose a study is", touches=False)
def one_study(uid: str) -> dict[str, Any]:
    with write() as session:
        study = _study(session, uid)
        _note_look(session, actor(), "study", uid)
        order = session.get_one(Order, study.order_uid)
        waiting = session.execute(
            select(Quarantine).where(Quarantine.study_id == study.id, Quarantine.resolved_at.is_(None))
        ).scalars()
        return _short(session, study) | _target_json(session, study.patient_pk) | {
            "accession_number": study.accession_number, "report_status": study.report_status,
            "order": order_json(order, session.get_one(Patient, order.patient_pk), today()),
            "thumbnails": _thumbnails(session, study),
            "conflicts": [{"quarantine_id": row.id, "reason": row.reason} for row in waiting],
            "corrections": repair_store.corrections_of(session, [study.id]).get(study.id, {}),
            "repairs": [repair_json(session, row) for row in repair_store.repairs_of_study(session, study.id)],
            "rejections": rejection_store.rejections_of(session, study),
        }  # fmt: skip


def _study(session: Session, uid: str, *, to_change: bool = False) -> Study:
    """Raises Refused("not_found"). ``to_change``: of two repairs at once the second sees what the first has done."""
    query = select(Study).where(Study.study_instance_uid == uid)
    study = session.scalar(query.with_for_update(key_share=True) if to_change else query)
    if study is None:
        raise Refused("not_found")
    return study


def _thumbnails(session: Session, study: Study) -> list[str]:
    ready = [row for row in store.instances_of_study(session, study.id) if row.derived_state == "ready"]
    step = max(1, len(ready) // MOST_THUMBNAILS)
    return [row.sop_instance_uid for row in ready[::step]][:MOST_THUMBNAILS]


@repair.get("/api/repair/thumbnails/<uid>")
@route_needs(Act.IDENTITY_REPAIR, summary="A small picture of an instance, to tell two studies apart", touches=False)
def thumbnail(uid: str) -> Response:
    with write() as session:
        row = session.execute(
            select(Instance, Study)
            .join(Series, Series.id == Instance.series_id)
            .join(Study, Study.id == Series.study_id)
            .where(Instance.sop_instance_uid == uid, Instance.hidden_code.is_(None))
        ).first()
        if row is None:
            raise Refused("not_found")
        _note_look(session, actor(), "study", row[1].study_instance_uid)
    path = adapter("derived_dir")(row[0].blob_key) / "thumbnail.jpg"
    if not path.is_file():
        raise Refused("not_found")
    return send_stored(path, "image/jpeg", etag=f"{row[0].digest}-thumbnail")


def _note_look(session: Session, person: Actor, object_type: str, uid: str) -> None:
    """An administrator sees no studies; what is looked at for a repair is written down, once a sitting."""
    details = {"sitting": person.sitting}
    act = "repair.view"
    since = now().replace(hour=0, minute=0, second=0, microsecond=0)
    if not audit.was_recorded(session, actor=person.username, act=act, object_uid=uid, since=since, details=details):
        audit.record(
            session, now=now(), actor=person.username, role=person.role, site=person.site_code, act=act,
            object_type=object_type, object_uid=uid, details=details,
        )  # fmt: skip


@repair.get("/api/repair/repairs")
@route_needs(Act.IDENTITY_REPAIR, summary="Repairs, the newest first", touches=False)
def all_repairs() -> dict[str, Any]:
    with read() as session:
        return {"repairs": [repair_json(session, row) for row in repair_store.repairs(session)]}


def repair_json(session: Session, row: Repair) -> dict[str, Any]:
    """A repair as the page lists it."""
    names = [session.get_one(Patient, pk).name for pk in (row.from_patient_pk, row.to_patient_pk)]
    site = session.get_one(Site, row.site_id)
    return {
        "repair_id": row.id, "kind": row.kind, "from_name": names[0], "to_name": names[1], "reason": row.reason,
        "site": {"code": site.code, "name": site.name_zh, "name_en": site.name_en},
        "by": session.get_one(Account, row.made_by).name,
        "at": row.made_at.isoformat(), "undone_at": row.undone_at.isoformat() if row.undone_at else None,
        "undone_reason": row.undone_reason,
        "studies": [study.study_instance_uid for study in repair_store.studies_of_repair(session, row.id)],
    }  # fmt: skip


def _doing(reason: str) -> Doing:
    return Doing(actor(), reason, services().settings.zone, adapter("signed_statuses"), now())


def _done(session: Session, row: Repair) -> dict[str, Any]:
    """Documents shown before a signature name the wrong patient now: they are made anew."""
    for study in repair_store.studies_of_repair(session, row.id):
        adapter("forget_preparations")(session, study.id)
    return {"repair_id": row.id}


@repair.post("/api/repair/studies/<uid>/move")
@route_needs(Act.IDENTITY_REPAIR, summary="The study is another patient's of the same site", body=MOVE)
def move(uid: str) -> dict[str, Any]:
    body = read_json(MOVE)
    with write() as session:
        doing = _doing(body["reason"])
        study, target, order = _study(session, uid, to_change=True), body["to_patient_pk"], body.get("order_uid")
        return _done(session, repair_service.move(session, doing, study, target, order))


@repair.post("/api/repair/studies/<uid>/split")
@route_needs(Act.IDENTITY_REPAIR, summary="The study is somebody's whom the site has no row of yet", body=SPLIT)
def split(uid: str) -> dict[str, Any]:
    body = read_json(SPLIT)
    patient = body["patient"]
    person = NewPatient(
        patient["name"].strip(), (patient.get("patient_id") or "").strip() or None, patient.get("sex"),
        _day(patient.get("birth_date")),
    )  # fmt: skip
    with write() as session:
        study = _study(session, uid, to_change=True)
        return _done(session, repair_service.split(session, _doing(body["reason"]), study, person))


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise WebError(422, "field_type", field="patient.birth_date", type="YYYY-MM-DD") from None


@repair.post("/api/repair/merge")
@route_needs(Act.IDENTITY_REPAIR, summary="Two patient rows of a site are one patient", body=MERGE)
def merge() -> dict[str, Any]:
    body = read_json(MERGE)
    with write() as session:
        doing = _doing(body["reason"])
        return _done(session, repair_service.merge(session, doing, body["from_patient_pk"], body["to_patient_pk"]))


@repair.post("/api/repair/repairs/<int:repair_id>/undo")
@route_needs(Act.IDENTITY_REPAIR, summary="Put everything back as it was", body={"reason": REASON})
def undo(repair_id: int) -> dict[str, Any]:
    reason = read_json({"reason": REASON})["reason"]
    with write() as session:
        signed = adapter("signed_statuses")
        return _done(session, repair_service.undo(session, actor(), repair_id, reason, signed, now()))


@repair.post("/api/repair/studies/<uid>/reject")
@route_needs(Act.IDENTITY_REPAIR, summary="Take instances (without a list: all) out of use by a note", body=REJECT)
def reject(uid: str) -> dict[str, Any]:
    body = read_json(REJECT)
    made = adapter("reject_instances")(actor(), uid, body["code"], body["reason"], body.get("sop_instance_uids"), now())
    return {"n_instances": made}


@repair.post("/api/repair/rejections/<int:rejection_id>/undo")
@route_needs(Act.IDENTITY_REPAIR, summary="Show again what a quality note hid", body={"reason": REASON})
def unreject(rejection_id: int) -> dict[str, Any]:
    reason = read_json({"reason": REASON})["reason"]
    with write() as session:
        rejection_service.undo(session, actor(), rejection_id, reason, now())
    return {}
