"""UPS-RS: procedure steps made, found, read, changed, moved and subscribed to over HTTP (PS3.18 chapter 11). [web]"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from flask import Response, request
from sqlalchemy.orm import Session

from pacs_bridge import ups, ups_query
from pacs_bridge.ups import Attributes, UpsRefused, tag, text
from pacs_bridge.ups_query import BadParameter
from viewer.dicomweb import accepted, dicomweb, not_acceptable, root
from viewer.dicomweb_accept import JSON, picked
from worklist import ups_service, ups_store, ups_subscriptions
from worklist.access import Act
from worklist.ups_asker import Asker, asker_of_person
from worklist.ups_store import Place
from worklist.web import WebError, actor, adapter, now, read, register_codes, route_needs, write
from worklist.web_errors import answer_error
from worklist.web_routes import ANY_PARAMETER

register_codes({"ups_invalid": 400, "ups_conflict": 409, "ups_media": 415})
WARNING = "299 teleread: {}"
_INCONSISTENT = "The submitted request is inconsistent with the current state of the Workitem."
_MISSING = "The Transaction UID is missing."
# The sentences of PS3.18 11.6.3.2, 11.7.3.2, 11.8.3.2; other conflicts are told by the last of them.
_WARNINGS = {
    ups.ALREADY_CANCELED: "The UPS is already in the requested state of CANCELED.",
    ups.ALREADY_COMPLETED: "The UPS is already in the requested state of COMPLETED.",
    ups.CREATED_MODIFIED: "The Workitem was created with modifications.",
    ups.NOT_SUPPORTED: "Requested optional Attributes are not supported.",
    ups.WRONG_TRANSACTION: "The Transaction UID is incorrect.",
    ups.NOT_IN_PROGRESS: "The target URI did not reference a claimed Workitem.",
}
_HTTP = {
    ups.NO_SUCH_UPS: 404, ups.UNKNOWN_RECEIVER: 404, ups.NOT_AUTHORISED: 403, ups.DUPLICATE: 409,
    ups.NO_LONGER_UPDATED: 409, ups.WRONG_TRANSACTION: 409, ups.ALREADY_IN_PROGRESS: 409,
    ups.FINAL_STATE_NOT_MET: 409, ups.NOT_IN_PROGRESS: 409, ups.CANCEL_COMPLETED: 409, ups.NO_CONTACT: 409,
    ups.WILL_NOT_CANCEL: 409, ups.ALREADY_CANCELED: 409,
}  # fmt: skip
_CODES = {400: "ups_invalid", 403: "forbidden", 404: "not_found", 409: "ups_conflict"}
ANSWERS = {200: "done", 400: "a request that cannot be", 404: "no such workitem", 409: "not in its present state"}

T = TypeVar("T")


def _place() -> Place:
    made: Place = adapter("ups_place")()
    return replace(made, url=root())


def _write(uid: str, act: Callable[[Session, Asker, datetime], T]) -> T:
    """In one transaction; a refusal leaves its audit row in another. Raises UpsRefused."""
    try:
        with write() as session:
            return act(session, asker_of_person(actor(), now()), now())
    except UpsRefused as refusal:
        with write() as session:
            ups_service.record_refusal(session, asker_of_person(actor(), now()), uid, refusal, now())
        raise


@dicomweb.errorhandler(UpsRefused)
def refused(refusal: UpsRefused) -> Any:
    """The status of PS3.18 for a DIMSE status, with its Warning."""
    status = _HTTP.get(refusal.status, 400)
    details = {"reason": refusal.comment, "dimse_status": f"{refusal.status:04X}"}
    answer = answer_error(status, _CODES[status], details)
    if status == 409:
        is_missing = refusal.comment == ups.NO_TRANSACTION
        sentence = _MISSING if is_missing else _WARNINGS.get(refusal.status, _INCONSISTENT)
        answer.headers["Warning"] = WARNING.format(sentence)
    return answer


def _done(status: int, http: int = 200) -> Response:
    answer = Response(status=http)
    if status in _WARNINGS:
        answer.headers["Warning"] = WARNING.format(_WARNINGS[status])
    return answer


def _json(found: list[Attributes]) -> Response:
    wish = picked(accepted(), (JSON, "application/json"))
    if wish is None or wish.is_multipart:
        raise not_acceptable()
    return Response(json.dumps(found, ensure_ascii=False, separators=(",", ":")), mimetype=wish.media)


def _body(*, may_be_empty: bool = False) -> Attributes:
    """The one data set of the request. Raises WebError, UpsRefused."""
    if may_be_empty and not request.get_data():
        return {}
    if request.mimetype not in (JSON, "application/json"):
        raise WebError(415, "ups_media", media=request.mimetype[:64])
    found = request.get_json(force=True, silent=True)
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise UpsRefused(ups.INVALID_VALUE, "not one DICOM JSON data set")
    return {str(name).upper(): element for name, element in found.items()}


def _uid_parameter(*names: str) -> str:
    """A UID given as ``?name=UID``, or alone as ``?UID``."""
    for name in names:
        if name in request.args:
            return request.args[name]
    alone = [name for name, value in request.args.items() if re.fullmatch(r"[0-9.]+", name) and not value]
    return alone[0] if alone else ""


@dicomweb.post("/workitems")
@route_needs(
    Act.WORKITEM_CLAIM, summary="Create a workitem (N-CREATE)", query=[ANY_PARAMETER],
    answers={201: "made", 400: "attributes missing or wrong", 409: "it is there, or its study has open reading work"},
)  # fmt: skip
def create_workitem() -> Response:
    uid, given = _uid_parameter("workitem", "AffectedSOPInstanceUID") or None, _body()
    uid = uid or text(given, "SOPInstanceUID") or None
    made = _write(uid or "", lambda s, asker, at: ups_service.create(s, _place(), asker, uid, given, at))
    answer = _done(made.status, 201)
    answer.headers["Location"] = f"{root()}/workitems/{made.workitem_uid}"
    return answer


@dicomweb.get("/workitems")
@route_needs(
    Act.WORKLIST_READ, summary="Search workitems (C-FIND)", query=[ANY_PARAMETER],
    answers={200: "the matches as DICOM JSON", 204: "none", 400: "a parameter that cannot be"},
)  # fmt: skip
def search_workitems() -> Response:
    try:
        asked = ups_query.read(request.args.items(multi=True))
    except BadParameter as error:
        raise WebError(400, "query_parameter", parameter=str(error)[:64]) from None
    inputs = tag("InputInformationSequence")
    keys = asked.keys | ({inputs: {"vr": "SQ"}} if asked.include & {"all", inputs} else {})
    found: list[Attributes] = []
    with read() as session:
        sight = asker_of_person(actor(), now()).sight
        for number, attributes in enumerate(ups_store.search(session, _place(), sight, keys)):
            if number >= asked.offset + asked.limit:
                break
            if number >= asked.offset:
                found.append(attributes)
    return _json(found) if found else Response(status=204)


@dicomweb.get("/workitems/<uid>")
@route_needs(Act.WORKLIST_READ, summary="A workitem (N-GET)", answers={200: "its attributes", 404: "no such workitem"})
def retrieve_workitem(uid: str) -> Response:
    with read() as session:
        return _json([ups_service.get(session, _place(), asker_of_person(actor(), now()), uid)])


@dicomweb.post("/workitems/<uid>")
@route_needs(Act.WORKITEM_CLAIM, summary="Change a workitem (N-SET)", query=[ANY_PARAMETER], answers=ANSWERS)
def update_workitem(uid: str) -> Response:
    given = _body()
    transaction = _uid_parameter("transaction-uid", "transaction") or text(given, "TransactionUID")
    return _done(_write(
        uid, lambda s, asker, at: ups_service.set_attributes(s, _place(), asker, uid, transaction, given, at)
    ))  # fmt: skip


@dicomweb.put("/workitems/<uid>/state")
@route_needs(Act.WORKITEM_CLAIM, summary="Claim, complete or cancel a workitem", answers=ANSWERS)
def change_workitem_state(uid: str) -> Response:
    given = _body()
    state, transaction = text(given, "ProcedureStepState"), text(given, "TransactionUID")
    return _done(_write(
        uid, lambda s, asker, at: ups_service.change_state(s, _place(), asker, uid, state, transaction, at)
    ))  # fmt: skip


@dicomweb.post("/workitems/<uid>/cancelrequest")
@route_needs(Act.WORKITEM_CLAIM, summary="Ask the performer to cancel", answers=ANSWERS | {202: "told"})
def request_workitem_cancel(uid: str) -> Response:
    given = _body(may_be_empty=True)
    status = _write(uid, lambda s, asker, at: ups_service.request_cancel(s, _place(), asker, uid, given, at))
    if status == ups.ALREADY_CANCELED:
        raise UpsRefused(ups.ALREADY_CANCELED, "the UPS is already CANCELED")
    return _done(status, 202)


@dicomweb.post("/workitems/<uid>/subscribers/<ae_title>")
@route_needs(
    Act.EVENTS_STREAM, summary="Subscribe a program to a workitem, to all, or to a filter",
    query=["deletionlock", "filter"], answers=ANSWERS | {201: "subscribed; events come by the WebSocket it names"},
)  # fmt: skip
def subscribe(uid: str, ae_title: str) -> Response:
    lock = request.args.get("deletionlock", "false")
    if lock not in ("true", "false"):
        raise WebError(400, "query_parameter", parameter="deletionlock")
    try:
        keys = ups_query.filter_keys(request.args.get("filter", ""))
    except BadParameter as error:
        raise WebError(400, "query_parameter", parameter=str(error)[:64]) from None
    _write(uid, lambda s, asker, at: ups_subscriptions.subscribe(
        s, _place(), asker, ae_title, uid, has_lock=lock == "true", keys=keys, now=at
    ))  # fmt: skip
    answer = Response(status=201)
    answer.headers["Content-Location"] = f"{root().replace('http', 'ws', 1)}/ws/subscribers/{ae_title}"
    return answer


@dicomweb.delete("/workitems/<uid>/subscribers/<ae_title>")
@route_needs(Act.EVENTS_STREAM, summary="End a subscription", answers=ANSWERS)
def unsubscribe(uid: str, ae_title: str) -> Response:
    return _done(_write(uid, lambda s, asker, at: ups_subscriptions.unsubscribe(s, asker, ae_title, uid, at)))


@dicomweb.post("/workitems/<uid>/subscribers/<ae_title>/suspend")
@route_needs(Act.EVENTS_STREAM, summary="Suspend a global subscription", answers=ANSWERS)
def suspend(uid: str, ae_title: str) -> Response:
    return _done(_write(uid, lambda s, asker, at: ups_subscriptions.suspend(s, asker, ae_title, uid, at)))
