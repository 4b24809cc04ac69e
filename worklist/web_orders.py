"""Requests for examinations: made, listed, and matched with the studies that came. [web]"""

from datetime import date, timedelta
from typing import Any

from flask import Blueprint, request

from worklist import completeness_service, id_number, order_service, person_service, scheduled_service
from worklist.access import Act, Refused
from worklist.access_store import visible_study
from worklist.id_number import IdNumber
from worklist.shown import order_json
from worklist.study import modality_of
from worklist.tables import Patient
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

orders = Blueprint("orders", __name__)

register_codes({"order_not_found": 404, "order_taken": 409, "id_number_invalid": 422, "study_ready": 409})

PATIENT = {
    "name": Field(str, max_len=64, min_len=1), "patient_id": Field(str, False, 64, nullable=True),
    "sex": Field(str, False, choices={"M", "F", "O"}, nullable=True),
    "birth_date": Field(str, False, 10, nullable=True),
    # 身份证号 or 电子健康卡 number: kept sealed, never shown whole again.
    "id_number": Field(str, False, 80, nullable=True),
}  # fmt: skip
ORDER = {
    "site": Field(str, False, 32), "patient": Field(dict, nested=PATIENT),
    # CR and DX are film by another name: the list groups them as DR.
    "modality": Field(str, choices={"DR", "CT", "ECG", "CR", "DX"}), "body_part": Field(str, False, 64),
    "complaint": Field(str, False, 2000), "question": Field(str, False, 2000),
    "priority": Field(str, False, choices=set(PRIORITIES)),
    "pathway": Field(str, False, choices={"stroke", "chest_pain"}, nullable=True),
    "requesting_doctor": Field(str, False, 64),
}  # fmt: skip


@orders.post("/api/orders")
@route_needs(Act.ORDER_CREATE, summary="Request an examination", body=ORDER, answers={201: "made"})
def create_order() -> tuple[dict[str, Any], int]:
    body = read_json(ORDER)
    own_site(body.get("site"))
    patient = body["patient"]
    wanted = order_service.OrderRequest(
        patient_name=patient["name"].strip(), patient_id=(patient.get("patient_id") or "").strip() or None,
        sex=patient.get("sex"), birth_date=_date(patient.get("birth_date")),
        modality=modality_of(body["modality"], "image"),
        body_part=body.get("body_part", ""), complaint=body.get("complaint", ""), question=body.get("question", ""),
        priority=body.get("priority", "routine"), pathway=body.get("pathway"),
        requesting_doctor=body.get("requesting_doctor", ""),
    )  # fmt: skip
    number = _id_number(patient.get("id_number"))
    with write() as session:
        order = order_service.create_order(session, actor(), wanted, zone=services().settings.zone, now=now())
        if number is not None:
            person_service.keep_numbers(session, adapter("vault")(), order.patient_pk, [number], "order", now())
        person_service.promise_index(session, order.patient_pk, now())
        return {"order_uid": order.order_uid, "accession_number": order.accession_number}, 201


def _id_number(text: str | None) -> IdNumber | None:
    """Raises WebError(422, "id_number_invalid") for what is no such number, or one with a wrong digit in it."""
    if not (text or "").strip():
        return None
    number = id_number.read(text or "")
    if number is None or not number.is_valid:
        raise WebError(422, "id_number_invalid", field="patient.id_number")  # the number itself is not echoed
    return number


def own_site(code: str | None) -> None:
    """A site named in a body must be the actor's own; another one does not exist for them."""
    if code is not None and code != actor().site_code:
        raise Refused("not_found")


def _date(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise WebError(422, "field_type", field="patient.birth_date", type="YYYY-MM-DD") from None


@orders.get("/api/orders")
@route_needs(Act.ORDER_READ, summary="This site's requests that still wait for their images", query=["days"])
def list_orders() -> dict[str, Any]:
    with read() as session:
        since = now() - timedelta(days=_days())
        return {"orders": order_service.orders_without_study(session, actor().site_id, since, services().settings.zone)}


def _days() -> int:
    text = request.args.get("days", "3")
    if not text.isdecimal() or not 0 < int(text) <= 366:
        raise WebError(400, "query_value", field="days", value=text)
    return int(text)


NAME = {
    "name": Field(str, max_len=64, min_len=1), "modality": Field(str, choices={"DR", "CT", "ECG", "CR", "DX"}),
}  # fmt: skip


@orders.post("/api/orders/shown")
@route_needs(
    Act.ORDER_CREATE, summary="How this site's devices will show a name; in the body: a name is nothing for a URL",
    body=NAME, touches=False,
)  # fmt: skip
def shown_on_devices() -> dict[str, Any]:
    body = read_json(NAME)
    with read() as session:
        found = scheduled_service.shown_on_devices(session, actor().site_id, body["modality"], body["name"].strip())
        return {"devices": found}


RELEASE = {"reason": Field(str, max_len=256)}


@orders.post("/api/studies/<uid>/release")
@route_needs(
    Act.STUDY_RELEASE, summary="Go on without images that a device lists and that have not come", body=RELEASE,
    answers={200: "the study counts as complete", 409: "complete already, or still arriving"},
)  # fmt: skip
def release_study(uid: str) -> dict[str, Any]:
    body = read_json(RELEASE)
    with write() as session:
        study = visible_study(session, actor(), Act.STUDY_RELEASE, uid, now())
        completeness_service.release(session, actor(), study, body["reason"], now())
        return {}


MATCH = {"order_uid": Field(str, max_len=64, nullable=True)}


@orders.post("/api/studies/<uid>/order")
@route_needs(Act.ORDER_MATCH, summary="Confirm a suggested order, or with null refuse it", body=MATCH)
def match_order(uid: str) -> dict[str, Any]:
    body = read_json(MATCH)
    with write() as session:
        study = visible_study(session, actor(), Act.ORDER_MATCH, uid, now())
        if body["order_uid"] is None:
            order_service.dismiss_match(session, actor(), study, now())
            return {"order": None}
        order = order_service.confirm_match(session, actor(), study, body["order_uid"], now())
        return {"order": order_json(order, session.get_one(Patient, order.patient_pk), today())}
