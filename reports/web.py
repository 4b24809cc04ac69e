"""Reports as pages and as JSON: draft, sign, verify, return, read, acknowledge. [web]"""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, render_template, request
from sqlalchemy.orm import Session

from reports import delivery_service, service, store
from reports.report import PUBLISHED
from reports.report_template import TEMPLATES, ReportTemplate, template_for
from reports.tables import Delivery, Preparation, Report
from worklist.access import Act, Actor, Refused, can_see_study, check
from worklist.access_store import has_broken_glass
from worklist.account_tables import Account
from worklist.repair_store import repaired_since
from worklist.tables import Study, Workitem
from worklist.web import Field, actor, adapter, now, read, read_json, register_codes, route_needs, write

reports = Blueprint("reports", __name__)

register_codes(
    {
        "stale_version": 409, "study_not_ready": 409, "section_missing": 422, "licence_expired": 403,
        "no_signing_key": 403, "signing_locked": 423, "certificate_expired": 403, "wrong_pin": 403,
        "digest_mismatch": 409, "signing_unavailable": 503, "wrong_step": 409, "report_missing": 409,
        "template_unknown": 422, "section_unknown": 422, "section_too_long": 422, "report_illegal_move": 409,
        "delivery_illegal_move": 409, "verification_edits_nothing": 409, "preliminary_not_acknowledged": 409,
        "identity_changed": 409,
        "missing_glyph": 422, "forbidden_character": 422, "render_failed": 422, "text_too_long": 422,
    }
)  # fmt: skip

PIN = Field(str, max_len=128, min_len=1)
DIGEST = Field(str, False, 64)
DRAFT = {
    "template": Field(str, max_len=64), "version": Field(int),
    "sections": Field(dict),
}  # fmt: skip
SUBMIT = {"pin": PIN, "version": Field(int), "digest": DIGEST, "preliminary_reason": Field(str, False, 256)}
VERIFY = {"pin": PIN, "version": Field(int), "digest": DIGEST}
PREPARE = {"version": Field(int), "preliminary": Field(bool, False)}
READERS = ("reader", "reviewer", "trainee")


@reports.get("/api/templates")
@route_needs(Act.REPORT_WRITE, summary="Report templates with their sections", query=["modality", "body_part"])
def templates() -> dict[str, Any]:
    modality = request.args.get("modality")
    chosen = template_for(modality, request.args.get("body_part", "")).code if modality else None
    return {"templates": [template_json(template) for template in TEMPLATES.values()], "chosen": chosen}


def template_json(template: ReportTemplate) -> dict[str, Any]:
    """A template as the editor needs it."""
    return {
        "code": template.code, "title": {"zh": template.title_zh, "en": template.title_en},
        "modalities": sorted(template.modalities), "body_parts": sorted(template.body_parts),
        "sections": [
            {"code": part.code, "label": {"zh": part.label_zh, "en": part.label_en}, "required": part.required,
             "normal": part.normal,
             "phrases": [{"initials": one.initials, "name": one.name, "text": one.text} for one in part.phrases]}
            for part in template.sections
        ],
    }  # fmt: skip


@reports.put("/api/workitems/<uid>/report")
@route_needs(Act.REPORT_WRITE, summary="Save the draft", body=DRAFT, answers={200: "saved", 409: "stale version"})
def save(uid: str) -> dict[str, Any]:
    body = read_json(DRAFT)
    with write() as session:
        report = service.save_draft(
            session, actor(), uid, body["template"], body["sections"], body["version"], now()
        )
        return report_json(session, report)


@reports.post("/api/workitems/<uid>/report/prepare")
@route_needs(Act.REPORT_SIGN, Act.REPORT_VERIFY, summary="The document as it would be signed", body=PREPARE)
def prepare(uid: str) -> dict[str, Any]:
    body = read_json(PREPARE)
    prepared: Preparation = adapter("desk")().prepare(actor(), uid, body["version"], body.get("preliminary", False))
    kind = "preliminary" if prepared.preliminary else "final"
    return {
        "digest": prepared.pdf_sha256, "report_uid": prepared.report_uid, "version": prepared.version,
        "pdf": f"/api/workitems/{uid}/report/prepared/{prepared.version}/{kind}",
    }  # fmt: skip


@reports.get("/api/workitems/<uid>/report/prepared/<int:version>/<kind>")
@route_needs(Act.REPORT_SIGN, Act.REPORT_VERIFY, summary="The prepared document's bytes")
def prepared_pdf(uid: str, version: int, kind: str) -> Response:
    prepared = adapter("desk")().prepare(actor(), uid, version, kind == "preliminary")
    return pdf_answer(prepared.pdf_key)


def pdf_answer(key: str) -> Response:
    return Response(adapter("blob_path")(key).read_bytes(), mimetype="application/pdf")


@reports.post("/api/workitems/<uid>/report/submit")
@route_needs(Act.REPORT_SIGN, summary="Sign as report doctor", body=SUBMIT, answers={200: "signed", 409: "changed"})
def submit(uid: str) -> dict[str, Any]:
    body = read_json(SUBMIT)
    report = adapter("desk")().submit(
        actor(), uid, body["pin"], body["version"], body.get("digest"), body.get("preliminary_reason")
    )
    with read() as session:
        return report_json(session, report)


@reports.post("/api/workitems/<uid>/report/verify")
@route_needs(Act.REPORT_VERIFY, summary="Sign second, as reviewer", body=VERIFY)
def verify(uid: str) -> dict[str, Any]:
    body = read_json(VERIFY)
    report = adapter("desk")().verify(actor(), uid, body["pin"], body["version"], body.get("digest"))
    with read() as session:
        return report_json(session, report)


RETURN = {"reason": Field(str, max_len=256, min_len=1)}


@reports.post("/api/workitems/<uid>/report/return")
@route_needs(Act.REPORT_VERIFY, summary="Send the report back to its author", body=RETURN)
def return_report(uid: str) -> dict[str, Any]:
    body = read_json(RETURN)
    with write() as session:
        item = service.return_for_edit(session, actor(), uid, body["reason"], now())
        return {"replaced_by": item.workitem_uid}


def report_json(session: Session, report: Report) -> dict[str, Any]:
    """One version of a report as the API shows it."""
    names = {
        account_id: session.get_one(Account, account_id).name
        for account_id in (report.author, report.verifier) if account_id is not None
    }  # fmt: skip
    moments = {
        name: getattr(report, name).isoformat() if getattr(report, name) else None
        for name in ("updated_at", "author_signed_at", "verifier_signed_at", "signed_at")
    }
    return moments | {
        "report_uid": report.report_uid, "revision": report.revision, "version": report.version,
        "status": report.status, "document_version": report.document_version, "template": report.template,
        "sections": report.sections, "author": names[report.author], "author_id": report.author,
        "verifier": names.get(report.verifier or 0), "returned_reason": report.returned_reason,
        "preliminary_reason": report.preliminary_reason, "n_signatures_required": report.n_signatures_required,
        "workitem_uid": report.workitem_uid, "sha256": report.pdf_sha256, "verify_code": report.verify_code,
        "pdf": f"/api/reports/{report.report_uid}/pdf" if report.pdf_key else None,
        "names_other_patient": repaired_since(session, report.study_id, report.author_signed_at) is not None,
    }  # fmt: skip


def report_of_workitem(session: Session, person: Actor, workitem: Workitem) -> dict[str, Any] | None:
    """The newest version for a reader; for the originating site only what is published."""
    if workitem.report_uid is None:
        return None
    reads = person.role in READERS
    found = (store.latest if reads else store.latest_published)(session, workitem.report_uid)
    if found is None or person.role == "technician":
        return None
    return _for(person, report_json(session, found))


def _for(person: Actor, shown: dict[str, Any]) -> dict[str, Any]:
    """What a reviewer wrote to the author stays among readers."""
    return shown if person.role in READERS else shown | {"returned_reason": None}


def published_report(session: Session, person: Actor, study: Study) -> dict[str, Any] | None:
    """A study's published report, for those who may read reports and see that study."""
    found = store.report_of_study(session, study.id)
    if found is None or person.role not in (*READERS, "clinician") or not _sees(session, person, study):
        return None
    return {
        "report_uid": found.report_uid, "revision": found.revision, "status": found.status,
        "sections": found.sections, "author_id": found.author, "author": session.get_one(Account, found.author).name,
        "signed_at": found.signed_at.isoformat() if found.signed_at else None,
    }  # fmt: skip


def visible_report(session: Session, report_uid: str, act: Act = Act.REPORT_READ) -> tuple[Report, Study]:
    """The newest version the actor may see, and its study. Raises Refused("not_found")."""
    person = actor()
    check(person, act)
    found = (store.latest if person.role in READERS else store.latest_published)(session, report_uid)
    if found is None:
        raise Refused("not_found")
    study = session.get_one(Study, found.study_id)
    if not _sees(session, person, study):
        raise Refused("not_found")
    return found, study


def _sees(session: Session, person: Actor, study: Study) -> bool:
    return can_see_study(person, study.site_id, study.kind, has_broken_glass(session, person, study.id, now()))


@reports.get("/api/reports/<uid>")
@route_needs(Act.REPORT_READ, summary="A report, newest version that the actor may see")
def one_report(uid: str) -> dict[str, Any]:
    with read() as session:
        report, study = visible_report(session, uid)
        shown = _for(actor(), report_json(session, report))
        published = [row for row in store.versions(session, uid) if row.status in PUBLISHED]
        shown["versions"] = [
            {"document_version": row.document_version, "status": row.status, "signed_at": row.signed_at.isoformat(),
             "revision": row.revision}
            for row in published if row.signed_at
        ]  # fmt: skip
        shown["study_instance_uid"] = study.study_instance_uid
        shown["deliveries"] = [delivery_json(session, *row) for row in store.deliveries_of_report(session, uid)]
    note_readings([shown])
    return shown


def note_readings(shown: Sequence[dict[str, Any]]) -> None:
    """One audit row per person, version and READING_LASTS for texts about to be shown, however often pages reload.

    What a person is writing is no reading of theirs. Called outside of any transaction.
    """
    person = actor()
    read_by_others = [
        (one["report_uid"], one["revision"]) for one in shown
        if one["signed_at"] is not None or one["author_id"] != person.account_id
    ]  # fmt: skip
    with read() as session:
        new = [one for one in read_by_others if not service.has_read(session, person, *one, now())]
    if new:
        with write() as session:
            for one in new:
                service.note_reading(session, person, *one, now())


@reports.get("/api/reports/<uid>/pdf")
@route_needs(Act.REPORT_READ, summary="The signed document")
def report_pdf(uid: str) -> Response:
    with write() as session:
        report, _ = visible_report(session, uid)
        signed = report if report.pdf_key else store.latest_published(session, uid)
        if signed is None or signed.pdf_key is None:
            raise Refused("not_found")
        service.note_reading(session, actor(), signed.report_uid, signed.revision, now())
        key = signed.pdf_key
    return pdf_answer(key)


def delivery_json(session: Session, delivery: Delivery, report: Report) -> dict[str, Any]:
    """One delivery as the API shows it."""
    people = {
        name: session.get_one(Account, getattr(delivery, name)).name if getattr(delivery, name) else None
        for name in ("opened_by", "acknowledged_by")
    }
    moments = {
        name: getattr(delivery, name).isoformat() if getattr(delivery, name) else None
        for name in ("created_at", "accepted_at", "opened_at", "acknowledged_at", "next_attempt_at")
    }
    attempts = [
        {"at": row.at.isoformat(), "outcome": row.outcome, "status": row.status, "detail": row.detail}
        for row in store.attempts_of(session, delivery.id)
    ]
    return people | moments | {
        "delivery_id": delivery.id, "channel": delivery.channel, "state": delivery.state,
        "document_version": report.document_version, "status": report.status, "n_attempts": delivery.n_attempts,
        "last_error": delivery.last_error, "action_taken": delivery.action_taken, "attempts": attempts,
    }  # fmt: skip


@reports.get("/api/reports/<uid>/deliveries")
@route_needs(Act.REPORT_READ, summary="How far each version is on each channel")
def deliveries(uid: str) -> dict[str, Any]:
    with read() as session:
        visible_report(session, uid)
        return {"deliveries": [delivery_json(session, *row) for row in store.deliveries_of_report(session, uid)]}


ACKNOWLEDGE = {"action": Field(str, False, 256)}


@reports.post("/api/reports/<uid>/acknowledge")
@route_needs(Act.DELIVERY_ACKNOWLEDGE, summary="A named person of the site confirms the report", body=ACKNOWLEDGE)
def acknowledge(uid: str) -> dict[str, Any]:
    body = read_json(ACKNOWLEDGE)
    with write() as session:
        report, study = visible_report(session, uid, Act.DELIVERY_ACKNOWLEDGE)
        own_site_only(study)
        delivery_service.acknowledge(session, actor(), report, study, body.get("action", ""), now())
        return {"deliveries": [delivery_json(session, *row) for row in store.deliveries_of_report(session, uid)]}


@reports.post("/api/reports/<uid>/opened")
@route_needs(Act.DELIVERY_ACKNOWLEDGE, summary="The report has stood on a screen of the site for two seconds")
def opened(uid: str) -> dict[str, Any]:
    with write() as session:
        report, study = visible_report(session, uid, Act.DELIVERY_ACKNOWLEDGE)
        own_site_only(study)
        delivery_service.note_opened(session, actor(), report, study, now())
    return {}


def own_site_only(study: Study) -> None:
    """Broken glass lets read, but only the site's own people give receipts."""
    if study.site_id != actor().site_id:
        raise Refused("not_found")


@reports.get("/reports/<uid>")
@route_needs(Act.REPORT_READ, summary="A report's page")
def report_page(uid: str) -> str:
    with read() as session:
        visible_report(session, uid)
    return render_template("report.html", report_uid=uid)


@reports.get("/portal")
@route_needs(Act.PORTAL_READ, summary="The originating site's reports")
def portal_page() -> str:
    return render_template("portal.html")
