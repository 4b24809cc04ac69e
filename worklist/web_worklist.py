"""The reading list and its workitems, as pages and as JSON. [web]"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Blueprint, redirect, render_template, request
from sqlalchemy import select
from werkzeug.wrappers import Response

from worklist import (
    completeness_service,
    items_store,
    person_store,
    rejection_store,
    retake_service,
    status,
    store,
    workitem_service,
)
from worklist.access import Act
from worklist.access_store import visible_studies, visible_study
from worklist.account_tables import Account
from worklist.items_store import BadCursor, ItemFilter
from worklist.retake import CATEGORIES
from worklist.shown import order_json, patient_json
from worklist.study import modality_of
from worklist.tables import Order, Patient, Series, Site, Study, Workitem
from worklist.triage import PRIORITIES
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
from worklist.workitem import WorkitemState, WorkitemStep

worklist = Blueprint("worklist", __name__)

register_codes(
    {
        "already_claimed": 409, "workitem_ended": 409, "not_claimed": 409, "stale": 409, "own_report": 409,
        "workitem_illegal_move": 409, "reason_missing": 422, "reader_unknown": 422, "study_conflict": 409,
        "study_receiving": 409, "retake_category": 422, "retake_report_out": 409,
    }
)  # fmt: skip

REASON = {"reason": Field(str, max_len=256)}
QUERY = (
    "state", "status", "step", "kind", "modality", "site", "priority", "study_instance_uid", "q", "limit", "cursor",
    "since_hours",
)  # fmt: skip
SEARCH = {name: Field(str, False, 256) for name in QUERY}
CHOICES = {
    "state": {state.value for state in WorkitemState},
    "status": set(status.STATUSES),
    "step": {step.value for step in WorkitemStep},
    "kind": {"image", "ecg"},
    "priority": set(PRIORITIES),
}
HOME = {
    "technician": "/technician", "clinician": "/portal", "manager": "/statistics", "admin": "/admin",
}  # fmt: skip
BREAK_GLASS_MINUTES = 60


@worklist.get("/")
@route_needs(Act.SESSION_OWN, summary="The start page of a role")
def home() -> Response | str:
    if actor().role in HOME:
        return redirect(HOME[actor().role])
    return render_template("worklist.html")


@worklist.get("/technician")
@route_needs(Act.ORDER_CREATE, summary="What this site sent, and new requests")
def technician_page() -> str:
    return render_template("technician.html")


def _given() -> Mapping[str, str]:
    """The list's parameters, from the URL or the body."""
    return read_json(SEARCH) if request.method == "POST" else request.args


def _choices(name: str) -> tuple[str, ...]:
    values = tuple(part for part in _given().get(name, "").split(",") if part)
    for value in values:
        if name in CHOICES and value not in CHOICES[name]:
            raise WebError(400, "query_value", field=name, value=value)
    return values


def _one(name: str) -> str | None:
    values = _choices(name)
    return values[0] if values else None


def _number(name: str, default: int, most: int) -> int:
    text = _given().get(name, str(default))
    if not text.isdecimal() or not 0 < int(text) <= most:
        raise WebError(400, "query_value", field=name, value=text)
    return int(text)


@worklist.get("/api/worklist")
@route_needs(Act.WORKLIST_READ, summary="Workitems in order of urgency", query=QUERY, touches=False)
def list_items() -> dict[str, Any]:
    return _listed()


@worklist.post("/api/worklist/search")
@route_needs(
    Act.WORKLIST_READ, summary="The same with the parameters in the body: a name is nothing for a URL", body=SEARCH,
    touches=False,
)  # fmt: skip
def search_items() -> dict[str, Any]:
    return _listed()


def _listed() -> dict[str, Any]:
    since = now() - timedelta(hours=_number("since_hours", 24, 24 * 366)) if "since_hours" in _given() else None
    narrow = ItemFilter(
        state=_choices("state"), status=_choices("status"), step=_one("step"), kind=_one("kind"),
        modality=modality_of(_one("modality") or "", "image") or None, site=_one("site"), priority=_one("priority"),
        study_instance_uid=_given().get("study_instance_uid"), q=_given().get("q"), since=since,
    )  # fmt: skip
    with read() as session:
        try:
            found, following = items_store.items(
                session, actor(), narrow, limit=_number("limit", 100, 500), cursor=_given().get("cursor"),
                now=now(), zone=services().settings.zone,
            )  # fmt: skip
        except BadCursor:
            raise WebError(400, "query_value", field="cursor", value="") from None
    return {"items": found, "next": following, "now": now().isoformat()}


@worklist.get("/api/workitems/<uid>")
@route_needs(Act.WORKLIST_READ, summary="One workitem with its study, order, priors and report")
def one_item(uid: str) -> dict[str, Any]:
    with read() as session:
        workitem, study = workitem_service.workitem_in_sight(session, actor(), Act.WORKLIST_READ, uid, now())
        rows, _ = items_store.items(
            session, actor(), ItemFilter(workitem_uids=(uid,)), limit=1, cursor=None, now=now(),
            zone=services().settings.zone,
        )  # fmt: skip
        shown = rows[0] | {
            "transaction_uid": workitem.transaction_uid if workitem.actual_performer == actor().account_id else None,
            "reason": workitem.reason,
            "replaced_by": session.scalar(select(Workitem.workitem_uid).where(Workitem.replaces == uid)),
            "study": study_json(session, study),
            "priors": priors_json(session, study),
            "hidden_priors": hidden_priors_json(session, study),
            "conflicts": [
                {"reason": row.reason, "received_at": row.received_at.isoformat(), "source": row.source,
                 "seen": row.seen_at is not None}
                for row in store.open_conflicts(session, study.id)
            ],
            "report": adapter("report_of_workitem")(session, actor(), workitem),
            "suggested_order": _suggested(session, study),
        }  # fmt: skip
    texts = [shown["report"], *(prior["report"] for prior in shown["priors"])]
    adapter("note_readings")([text for text in texts if text is not None])
    return shown


def _suggested(session: Any, study: Study) -> dict[str, Any] | None:
    if study.suggested_order_uid is None:
        return None
    order = session.get_one(Order, study.suggested_order_uid)
    return order_json(order, session.get_one(Patient, order.patient_pk), today())


def study_json(session: Any, study: Study) -> dict[str, Any]:
    """A study with its series and how many instances each has."""
    series = store.series_of_study(session, study.id)
    counts: dict[int, list[Any]] = {row.id: [] for row in series}
    for instance in store.instances_of_series(session, list(counts)):
        counts[instance.series_id].append(instance)
    return {
        "study_instance_uid": study.study_instance_uid,
        "description": study.description,
        "n_instances": study.n_instances,
        "input_readiness": study.input_readiness,
        **completeness_service.evidence_json(session, study),
        "late_images_at": study.late_images_at.isoformat() if study.late_images_at else None,
        "series": [_series_json(row, counts[row.id]) for row in series if counts[row.id]],
        "rejections": rejection_store.rejections_of(session, study),
    }


def _series_json(row: Series, instances: list[Any]) -> dict[str, Any]:
    return {
        "series_instance_uid": row.series_instance_uid, "number": row.number, "modality": row.modality,
        "description": row.description, "n_instances": len(instances),
        "instances": [
            {"sop_instance_uid": item.sop_instance_uid, "number": item.number, "derived_state": item.derived_state,
             "derived_reason": item.derived_reason}
            for item in instances
        ],
    }  # fmt: skip


def priors_json(session: Any, study: Study) -> list[dict[str, Any]]:
    """Earlier studies of the person that the actor may see, each with its site and why it is the same person."""
    priors = store.priors_of_study(session, study, visible_studies(actor(), now()))
    ties = person_store.ties(session, study.patient_pk, {prior.patient_pk for prior in priors})
    return [prior_json(session, prior) | {"same_person": ties.get(prior.patient_pk)} for prior in priors]


def hidden_priors_json(session: Any, study: Study) -> list[dict[str, Any]]:
    """Earlier studies that would stand among the priors but for a rejection of every image; why, nothing else."""
    rows = store.priors_of_study(session, study, visible_studies(actor(), now()), are_hidden=True)
    why = rejection_store.rejections_by_study(session, [row.study_instance_uid for row in rows])
    return [
        {"modality": row.modality, "description": row.description, "body_part": row.body_part,
         "acquired_at": (row.acquired_at or row.received_at).isoformat(), "rejections": why[row.study_instance_uid]}
        for row in rows if row.study_instance_uid in why
    ]  # fmt: skip


def prior_json(session: Any, prior: Study) -> dict[str, Any]:
    """An earlier study of the same person, with its report's impression where one is published."""
    site = session.get_one(Site, prior.site_id)
    return {
        "originating_site": {"code": site.code, "name": site.name_zh, "name_en": site.name_en},
        "study_instance_uid": prior.study_instance_uid,
        "modality": prior.modality,
        "description": prior.description,
        "body_part": prior.body_part,
        "kind": prior.kind,
        "acquired_at": (prior.acquired_at or prior.received_at).isoformat(),
        "n_instances": prior.n_instances,
        "rejections": rejection_store.rejections_of(session, prior),
        "report": adapter("published_report")(session, actor(), prior),
    }


@worklist.post("/api/workitems/<uid>/claim")
@route_needs(Act.WORKITEM_CLAIM, summary="Take a workitem", body={}, answers={200: "taken", 409: "held by another"})
def claim(uid: str) -> dict[str, Any]:
    with write() as session:
        return {"transaction_uid": workitem_service.claim(session, actor(), uid, now())}


@worklist.post("/api/workitems/<uid>/release")
@route_needs(Act.WORKITEM_CLAIM, summary="Give a workitem back", body=REASON)
def release(uid: str) -> dict[str, Any]:
    body = read_json(REASON)
    with write() as session:
        return {"replaced_by": workitem_service.release(session, actor(), uid, body["reason"], now()).workitem_uid}


REASSIGN = {"to": Field(str, max_len=64), "reason": Field(str, max_len=256)}


@worklist.post("/api/workitems/<uid>/reassign")
@route_needs(Act.WORKITEM_REASSIGN, summary="Give a workitem to another reader", body=REASSIGN)
def reassign(uid: str) -> dict[str, Any]:
    body = read_json(REASSIGN)
    with write() as session:
        item = workitem_service.reassign(session, actor(), uid, body["to"], body["reason"], now())
        return {"workitem_uid": item.workitem_uid, "replaced_by": item.workitem_uid if item.replaces == uid else None}


@worklist.post("/api/workitems/<uid>/takeover")
@route_needs(
    Act.WORKITEM_REASSIGN, summary="Take over work that its holder left lying: 15 min without a saved word, or closed",
    body=REASON, answers={200: "the successor, claimed", 409: "its holder is at it"},
)  # fmt: skip
def take_over(uid: str) -> dict[str, Any]:
    body = read_json(REASON)
    with write() as session:
        item, transaction_uid = workitem_service.take_over(
            session, actor(), uid, body["reason"], now(), last_saved_at=adapter("report_saved_at")
        )
        return {"replaced_by": item.workitem_uid, "transaction_uid": transaction_uid}


RETAKE = {"category": Field(str, choices=set(CATEGORIES)), "reason": Field(str, False, 256)}


@worklist.post("/api/workitems/<uid>/retake")
@route_needs(
    Act.WORKITEM_RETAKE, summary="Return a study whose images do not do to the technician for a retake", body=RETAKE,
    answers={200: "the work has ended; new images bring new work", 409: "not held, receiving, or a report is out"},
)  # fmt: skip
def retake(uid: str) -> dict[str, Any]:
    body = read_json(RETAKE)
    with write() as session:
        retake_service.return_for_retake(session, actor(), uid, body["category"], body.get("reason", ""), now())
    return {}


@worklist.post("/api/workitems/<uid>/dismiss")
@route_needs(Act.WORKITEM_CLAIM, summary="End an addendum for which nothing has to be written", body=REASON)
def dismiss(uid: str) -> dict[str, Any]:
    body = read_json(REASON)
    with write() as session:
        workitem_service.dismiss(session, actor(), uid, body["reason"], now())
    return {}


@worklist.post("/api/workitems/<uid>/conflicts/seen")
@route_needs(Act.REPORT_WRITE, summary="Go on although objects of the study are in conflict", body=REASON)
def conflicts_seen(uid: str) -> dict[str, Any]:
    body = read_json(REASON)
    with write() as session:
        return {"n_conflicts": workitem_service.see_conflicts(session, actor(), uid, body["reason"], now())}


@worklist.get("/api/readers")
@route_needs(Act.WORKITEM_REASSIGN, summary="To whom a workitem can be given", query=["kind", "step"])
def readers() -> dict[str, Any]:
    kind, step = _one("kind"), _one("step")
    roles = ("reviewer",) if step == WorkitemStep.VERIFICATION else workitem_service.READING_ROLES
    with read() as session:
        rows = session.scalars(
            select(Account).where(Account.role.in_(roles), Account.enabled.is_(True)).order_by(Account.id)
        ).all()
    return {
        "readers": [
            {"username": row.username, "name": row.name, "name_en": row.name_en, "role": row.role}
            for row in rows if kind is None or kind in row.kinds
        ]
    }  # fmt: skip


@worklist.get("/api/sites")
@route_needs(Act.SESSION_OWN, summary="Codes and names of the sites that take part")
def sites() -> dict[str, Any]:
    with read() as session:
        rows = session.scalars(select(Site).where(Site.enabled.is_(True)).order_by(Site.id)).all()
        return {"sites": [{"code": row.code, "name": row.name_zh, "name_en": row.name_en} for row in rows]}


BREAK_GLASS = {
    "study_instance_uid": Field(str, False, 64), "site": Field(str, False, 32),
    "accession_number": Field(str, False, 64), "reason": Field(str, max_len=500, min_len=4),
}  # fmt: skip


@worklist.post("/api/break-glass")
@route_needs(Act.BREAK_GLASS_USE, summary="Open one study beyond one's own, with a reason", body=BREAK_GLASS)
def break_glass() -> dict[str, Any]:
    body = read_json(BREAK_GLASS)
    until = now() + timedelta(minutes=BREAK_GLASS_MINUTES)
    with write() as session:
        uid = body.get("study_instance_uid") or store.study_uid_by_accession(
            session, body.get("site", ""), body.get("accession_number", "")
        )
        study = workitem_service.break_glass(session, actor(), uid, body["reason"], until, now())
        items = workitem_service.live_workitems(session, study)
        return {
            "expires_at": until.isoformat(), "study_instance_uid": study.study_instance_uid,
            "workitem_uid": items[-1].workitem_uid if items else None,
        }  # fmt: skip


@worklist.get("/api/studies/<uid>")
@route_needs(Act.STUDY_READ, summary="A study with its series")
def one_study(uid: str) -> dict[str, Any]:
    with read() as session:
        study = visible_study(session, actor(), Act.STUDY_READ, uid, now())
        patient = session.get_one(Patient, study.patient_pk)
        return study_json(session, study) | {"patient": patient_json(patient, today())}
