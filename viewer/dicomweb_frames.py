"""WADO-RS frames: stored pixels as ranges of the stored file, compressed frames as they are, HTJ2K if wanted. [web]"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from flask import Response, request

from pacs_bridge.frame_places import FramePlaces, frame_places
from pacs_bridge.pixel_error import PixelError
from viewer.dicomweb import accepted, address, dicomweb, not_acceptable, objects
from viewer.dicomweb_accept import OCTETS, FrameForm, frame_form
from viewer.dicomweb_answer import Part, answer, answer_parts
from viewer.dicomweb_retrieve import INSTANCE
from worklist.access import Act, Refused
from worklist.outgoing import Outgoing
from worklist.web import WebError, adapter, register_codes, route_needs
from worklist.web_files import FileRange, Segment

register_codes({"frame_list": 400, "frame_undecodable": 422})
MOST_FRAMES_ASKED = 1000
_LIST = re.compile(r"[1-9][0-9]{0,6}(,[1-9][0-9]{0,6})*")


_places = lru_cache(maxsize=20_000)(frame_places)  # stored objects never change


def places_of(path: Path) -> FramePlaces | str:
    """Where the frames of a stored object lie. A code where they cannot be found: that file may be repaired."""
    try:
        return _places(path)
    except PixelError as error:
        return error.code


@dicomweb.get(INSTANCE + "/frames/<frames>")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="Frames of an instance (a list of numbers); byte ranges", query=["accept"],
    touches=False,
    answers={200: "the frames", 206: "a range", 304: "unchanged", 404: "no such frame", 406: "not acceptable",
             503: "still being prepared"},
)  # fmt: skip
def retrieve_frames(study: str, series: str, instance: str, frames: str) -> Response:
    row = _row(study, series, instance)
    numbers = numbers_of(frames)
    path, derived = adapter("blob_path")(row.blob_key), adapter("derived_dir")(row.blob_key)
    places = places_of(path)
    if isinstance(places, str):
        if places == "missing_pixel_data":
            raise Refused("not_found")
        raise WebError(422, "frame_undecodable", reason=places)
    if max(numbers) > places.n_frames:
        raise Refused("not_found")
    return _frames(row, path, derived, places, numbers)


def _row(study: str, series: str, instance: str) -> Outgoing:
    """The instance; the first time with its whole series, so that its other frames may go the short way."""
    headers = request.headers
    credential = "".join(f"{headers[name]}\0" for name in ("Authorization", "Cookie") if name in headers)
    # As the socket had it, before a proxy's word was put in its place.
    host = request.environ.get("werkzeug.proxy_fix.orig", request.environ).get("HTTP_HOST") or ""
    if not credential or not adapter("frames_unknown")(credential, host, study, series):
        return objects(study, series, instance)[0]
    rows = objects(study, series)
    row = next((row for row in rows if row.sop_instance_uid == instance), None)
    if row is None:
        raise Refused("not_found")
    paths = {row.sop_instance_uid: adapter("blob_path")(row.blob_key) for row in rows}
    adapter("remember_frames")(credential, host, address(row).rpartition("/")[0], rows, paths)
    return row


def numbers_of(text: str) -> list[int]:
    """Raises WebError(400)."""
    if not _LIST.fullmatch(text[:8000]) or text.count(",") >= MOST_FRAMES_ASKED:
        raise WebError(400, "frame_list")
    return [int(number) for number in text.split(",")]


def _frames(row: Outgoing, path: Path, derived: Path, places: FramePlaces, numbers: list[int]) -> Response:
    state = adapter("is_derived")(derived)
    is_raw = places.is_raw and bool(places.frames)
    form = frame_form(accepted(), places.transfer_syntax_uid, is_raw, state is True)
    if form is not None and form.source == "stored" and not places.frames:
        form = None  # codestreams whose borders nothing tells
    if form is not None and form.source == "derived" and places.bits_allocated > 16:
        form = None  # ours have 16 bits: no lossless form of these
    if form is None and state is None and frame_form(accepted(), places.transfer_syntax_uid, is_raw, True):
        raise WebError(503, "not_derived_yet")
    if form is None or (len(numbers) > 1 and not form.is_multipart):
        raise not_acceptable()
    pieces = [_piece(row, path, derived, places, form, number) for number in numbers]
    etag, kind = frame_etag(row.digest, form, numbers), frame_type(form)
    if not form.is_multipart:
        return answer(pieces[0], kind, etag)
    url = address(row)
    parts = [Part(kind, piece, f"{url}/frames/{number}") for piece, number in zip(pieces, numbers, strict=True)]
    return answer_parts(parts, form.media, etag)


def frame_type(form: FrameForm) -> str:
    return f"{form.media}; transfer-syntax={form.syntax}"


def frame_etag(digest: str, form: FrameForm, numbers: list[int]) -> str:
    """A validator of exactly these bytes: what, in which form, which frames."""
    text = "_".join(str(number) for number in numbers)
    text = text if len(text) <= 40 else hashlib.sha256(text.encode()).hexdigest()[:40]
    return f"{digest[:24]}-{form.syntax.rpartition('.')[2]}{'m' if form.is_multipart else ''}-{text}"


def _piece(
    row: Outgoing, path: Path, derived: Path, places: FramePlaces, form: FrameForm, number: int
) -> tuple[Segment, ...]:
    if form.source in ("raw", "stored"):
        return tuple(FileRange(path, offset, length) for offset, length in places.frames[number - 1])
    if form.source == "derived":
        found = derived / f"frame_{number}.jphc"
        return (FileRange(found, 0, found.stat().st_size),)
    is_palette, is_wide = places.photometric == "PALETTE COLOR", places.bits_allocated > 16
    if (is_palette or is_wide) and form.media == OCTETS:
        data: bytes = adapter("frame_of_copy")(row, number)  # indices and low bits, which the derived frames have lost
        return (data,)
    return (adapter("decoded_frame")(derived, number, places.bits_allocated),)
