"""WADO-RS: whole objects, metadata, bulk data (PS3.18 10.4). [web]"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flask import Response, request

from pacs_bridge.bulk_data import bulk_of
from viewer.dicomweb import accepted, address, dicomweb, not_acceptable, objects, one, say_hidden
from viewer.dicomweb_accept import DICOM, JSON, MEDIA_BY_SYNTAX, OCTETS, ObjectForm, object_form, picked
from viewer.dicomweb_answer import Part, answer, answer_lazy_parts, answer_parts
from worklist.access import Act, Refused
from worklist.outgoing import Outgoing
from worklist.web import adapter, route_needs
from worklist.web_files import FileRange, HeldFile, Piece, Segment

STUDY, SERIES = "/studies/<study>", "/studies/<study>/series/<series>"
INSTANCE = SERIES + "/instances/<instance>"
_WHOLE = {200: "the objects", 304: "unchanged", 406: "in no form that was accepted"}


@dicomweb.get(STUDY)
@route_needs(Act.STUDY_VIEW_IMAGES, summary="All objects of a study", query=["accept"], answers=_WHOLE)
def retrieve_study(study: str) -> Response:
    return say_hidden(_objects(objects(study)), study)


@dicomweb.get(SERIES)
@route_needs(Act.STUDY_VIEW_IMAGES, summary="All objects of a series", query=["accept"], answers=_WHOLE)
def retrieve_series(study: str, series: str) -> Response:
    return say_hidden(_objects(objects(study, series)), study, series)


@dicomweb.get(INSTANCE)
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="One object; byte ranges", query=["accept"],
    answers={**_WHOLE, 206: "a range of it"},
)  # fmt: skip
def retrieve_instance(study: str, series: str, instance: str) -> Response:
    return _objects([one(study, series, instance)])


def _objects(rows: list[Outgoing]) -> Response:
    form = object_form(accepted())
    if form is None or (len(rows) > 1 and not form.is_multipart):
        raise not_acceptable()
    etag = adapter("etag_of")([(row.digest, row.corrections, form.syntax_of(row.transfer_syntax_uid)) for row in rows])
    if len(rows) == 1:
        return _single(rows[0], form, etag)
    if all(_is_as_stored(row, form) for row in rows):
        return answer_parts(
            [Part(_type(row.transfer_syntax_uid), (_stored(row),), address(row)) for row in rows], DICOM, etag
        )
    make = adapter("object_in")
    return answer_lazy_parts([partial(_made, make, row, form, _stored(row), address(row)) for row in rows], DICOM, etag)


def _type(syntax: str) -> str:
    return f"{DICOM}; transfer-syntax={syntax}"


def _is_as_stored(row: Outgoing, form: ObjectForm) -> bool:
    return form.syntax_of(row.transfer_syntax_uid) == row.transfer_syntax_uid and not row.corrections


def _stored(row: Outgoing) -> FileRange:
    return FileRange(adapter("blob_path")(row.blob_key), 0, row.size_bytes)


def _single(row: Outgoing, form: ObjectForm, etag: str) -> Response:
    """Made before the answer begins, so that what cannot be made is 406."""
    syntax = form.syntax_of(row.transfer_syntax_uid)
    segment: Piece | None = _stored(row)
    if not _is_as_stored(row, form):
        segment = adapter("object_in")(row, syntax)
    if segment is None:
        raise not_acceptable()
    if not form.is_multipart:
        return answer([segment], _type(syntax), etag)
    return answer_parts([Part(_type(syntax), (segment,), address(row))], DICOM, etag)


def _made(
    make: Callable[[Outgoing, str], HeldFile | None], row: Outgoing, form: ObjectForm, stored: FileRange, url: str
) -> tuple[Piece, str, str]:
    """One of many: where the syntax asked for cannot be made, it leaves in its own and says so."""
    syntax = form.syntax_of(row.transfer_syntax_uid)
    if _is_as_stored(row, form):
        return stored, _type(syntax), url
    data: Piece | None = make(row, syntax)
    if data is None and row.corrections:
        data, syntax = make(row, row.transfer_syntax_uid), row.transfer_syntax_uid
    elif data is None:
        data, syntax = stored, row.transfer_syntax_uid
    if data is None:  # what must be corrected and cannot be does not leave at all, and its part says so
        problem = {"status": 406, "title": "not corrected", "instance": url}
        return json.dumps(problem).encode(), "application/problem+json", url
    return data, _type(syntax), url


_METADATA = {200: "DICOM JSON, UTF-8", 304: "unchanged", 406: "neither application/dicom+json nor application/json"}


@dicomweb.get(STUDY + "/metadata")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="Metadata of a study", query=["accept"], answers=_METADATA)
def study_metadata(study: str) -> Response:
    return say_hidden(_metadata(study, objects(study)), study)


@dicomweb.get(SERIES + "/metadata")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="Metadata of a series", query=["accept"], answers=_METADATA)
def series_metadata(study: str, series: str) -> Response:
    return say_hidden(_metadata(series, objects(study, series)), study, series)


@dicomweb.get(INSTANCE + "/metadata")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="Metadata of an instance", query=["accept"], answers=_METADATA)
def instance_metadata(study: str, series: str, instance: str) -> Response:
    return _metadata(instance, [one(study, series, instance)])


def _metadata(uid: str, rows: list[Outgoing]) -> Response:
    wish = picked(accepted(), (JSON, "application/json"))
    if wish is None or wish.is_multipart:
        raise not_acceptable()
    found = adapter("metadata_file")(uid, [(row.blob_key, address(row), row.corrections) for row in rows])
    if request.accept_encodings["gzip"]:
        path, headers = found.gzipped, {"Content-Encoding": "gzip", "Vary": "Accept, Accept-Encoding"}
    else:
        path, headers = found.plain, {"Vary": "Accept, Accept-Encoding"}
    etag = f"{found.etag}-gzip" if path == found.gzipped else found.etag
    return answer([FileRange(path, 0, path.stat().st_size)], wish.media, etag, headers)


@dicomweb.get(INSTANCE + "/bulkdata/<path:where>")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="One binary value, as metadata point to it; byte ranges", query=["accept"],
    answers={200: "the value", 206: "a range of it", 304: "unchanged", 404: "no such value", 406: "not acceptable"},
)  # fmt: skip
def bulk_data(study: str, series: str, instance: str, where: str) -> Response:
    row = one(study, series, instance)
    path: Path = adapter("blob_path")(row.blob_key)
    try:
        found = bulk_of(path, where)
    except OSError:
        raise
    except Exception:  # pydicom has no common class for what broken objects make it raise: no such value
        found = None
    if found is None:
        raise Refused("not_found")
    media = MEDIA_BY_SYNTAX.get(found.syntax, OCTETS)
    wish = picked(accepted(), (media, OCTETS))
    if wish is None or (len(found.parts) > 1 and not wish.is_multipart and not wish.is_anything):
        raise not_acceptable()
    pieces: list[tuple[Segment, ...]] = [
        (part,) if isinstance(part, bytes) else tuple(FileRange(path, *place) for place in part) for part in found.parts
    ]
    etag = f"{row.digest[:24]}-{where.replace('/', '-')[:60]}"
    if len(pieces) == 1 and not wish.is_multipart:
        return answer(pieces[0], media, etag)
    kind = f"{media}; transfer-syntax={found.syntax}" if found.syntax else media
    return answer_parts([Part(kind, piece) for piece in pieces], media, f"m-{etag}")
