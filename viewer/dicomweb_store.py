"""STOW-RS: objects stored over HTTP by a technician of the site they belong to (PS3.18 10.5). [web]"""

from typing import Any

from flask import Response, json, request

from pacs_bridge.multipart import MultipartError, read_parts
from viewer.dicomweb import accepted, dicomweb, not_acceptable, root
from viewer.dicomweb_accept import DICOM, JSON, media_type, picked
from worklist.access import Act, Refused
from worklist.stored import Stored
from worklist.web import WebError, actor, adapter, register_codes, route_needs

register_codes({"multipart_boundary": 400, "multipart_headers": 400, "multipart_cut": 400, "empty_store": 400})
LIMIT_BYTES = 4 << 30
ANSWERS = {200: "all stored", 202: "some stored, the others named with their reason", 400: "no multipart message",
           406: "the answer is DICOM JSON", 409: "none stored", 413: "too large",
           415: "not application/dicom"}  # fmt: skip


@dicomweb.post("/studies")
@route_needs(
    Act.STUDY_STORE, summary="Store objects: multipart/related; type=application/dicom", query=["accept"],
    answers=ANSWERS, limit_bytes=LIMIT_BYTES,
)  # fmt: skip
def store() -> Response:
    return _store(None)


@dicomweb.post("/studies/<study>")
@route_needs(
    Act.STUDY_STORE, summary="Store objects of this study; others are refused", query=["accept"], answers=ANSWERS,
    limit_bytes=LIMIT_BYTES,
)  # fmt: skip
def store_study(study: str) -> Response:
    return _store(study)


def _store(study: str | None) -> Response:
    wish = picked(accepted(), (JSON, "application/json"))
    if wish is None:
        raise not_acceptable()
    kind, parameters = media_type(request.headers.get("Content-Type", ""))
    if kind != "multipart/related" or parameters.get("type", DICOM).lower() != DICOM:
        raise WebError(415, "unsupported_media", media=kind[:64], type=parameters.get("type", "")[:64])
    # Read as it comes: werkzeug would give nothing of a body that says no length.
    parts = read_parts(request.environ["wsgi.input"].read, parameters.get("boundary", ""), LIMIT_BYTES)
    try:
        outcomes: list[Stored] = adapter("store_objects")(actor(), parts, study)
    except MultipartError as error:
        raise WebError(413 if error.code == "too_large" else 400, error.code, limit_bytes=LIMIT_BYTES) from None
    if not outcomes:
        raise Refused("empty_store")
    failed = sum(1 for one in outcomes if one.failure is not None)
    status = 200 if not failed else 409 if failed == len(outcomes) else 202
    text = json.dumps(_answer(outcomes), separators=(",", ":"))
    return Response(text, status=status, mimetype=wish.media)


def _answer(outcomes: list[Stored]) -> dict[str, Any]:
    """Store Instances Response Module (PS3.18 Table I.2-1)."""
    studies_url = f"{root()}/studies"
    done = [_reference(one) | _address(studies_url, one) for one in outcomes if one.failure is None]
    failed = [
        _reference(one) | {"00081197": {"vr": "US", "Value": [one.failure]}}
        for one in outcomes if one.failure is not None
    ]  # fmt: skip
    studies = {one.study_instance_uid for one in outcomes if one.failure is None}
    url = {"vr": "UR", "Value": [f"{studies_url}/{studies.pop()}"]} if len(studies) == 1 else {"vr": "UR"}
    answer: dict[str, Any] = {"00081190": url}
    if failed:
        answer["00081198"] = {"vr": "SQ", "Value": failed}
    if done:
        answer["00081199"] = {"vr": "SQ", "Value": done}
    return answer


def _reference(one: Stored) -> dict[str, Any]:
    values = {"00081150": one.sop_class_uid, "00081155": one.sop_instance_uid}
    return {tag: {"vr": "UI", "Value": [value]} if value else {"vr": "UI"} for tag, value in values.items()}


def _address(studies_url: str, one: Stored) -> dict[str, Any]:
    path = f"{studies_url}/{one.study_instance_uid}/series/{one.series_instance_uid}/instances/{one.sop_instance_uid}"
    return {"00081190": {"vr": "UR", "Value": [path]}}
