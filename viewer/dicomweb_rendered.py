"""WADO-RS pictures for people: rendered images and thumbnails (PS3.18 8.3.5, 10.4). [web]"""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

from flask import Response, request

from viewer.dicomweb import accepted, address, dicomweb, not_acceptable, objects, one, representative
from viewer.dicomweb_accept import picked
from viewer.dicomweb_answer import answer, answer_lazy_parts
from viewer.dicomweb_frames import numbers_of
from viewer.dicomweb_retrieve import INSTANCE, SERIES, STUDY
from worklist.access import Act, Refused
from worklist.outgoing import Outgoing
from worklist.web import WebError, adapter, route_needs
from worklist.web_files import FileRange

PICTURES = ("image/jpeg", "image/png")
QUERY = ["accept", "window", "viewport", "quality", "annotation", "charset", "iccprofile"]
ANSWERS = {200: "the picture", 304: "unchanged", 400: "a parameter that makes no sense", 404: "no picture",
           406: "neither JPEG nor PNG", 503: "still being prepared"}  # fmt: skip
THUMBNAIL_PX = 256
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_WINDOW = re.compile(rf"({_NUMBER}),({_NUMBER})(?:,(linear|linear-exact|sigmoid))?")
_VIEWPORT = re.compile(r"([1-9][0-9]{0,4}),([1-9][0-9]{0,4})(?:,([0-9]{0,5}),([0-9]{0,5}),([0-9]{0,5}),([0-9]{0,5}))?")


@dicomweb.get(STUDY + "/rendered")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="Every image of a study as a picture", query=QUERY, answers=ANSWERS)
def rendered_study(study: str) -> Response:
    return _rendered_many(objects(study))


@dicomweb.get(SERIES + "/rendered")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="Every image of a series as a picture", query=QUERY, answers=ANSWERS)
def rendered_series(study: str, series: str) -> Response:
    return _rendered_many(objects(study, series))


@dicomweb.get(INSTANCE + "/rendered")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="An image as a picture; window, viewport, quality", query=QUERY, answers=ANSWERS
)
def rendered_instance(study: str, series: str, instance: str) -> Response:
    return _rendered(one(study, series, instance), 1)


@dicomweb.get(INSTANCE + "/frames/<frames>/rendered")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="One frame as a picture", query=QUERY, answers=ANSWERS, touches=False,
)  # fmt: skip
def rendered_frame(study: str, series: str, instance: str, frames: str) -> Response:
    return _rendered(one(study, series, instance), _one_number(frames))


def _one_number(frames: str) -> int:
    numbers = numbers_of(frames)
    if len(numbers) != 1:
        raise WebError(400, "frame_list")
    return numbers[0]


def _rendered(row: Outgoing, number: int) -> Response:
    look = _look()
    derived = _ready(row)
    if number > adapter("frame_count")(derived):
        raise Refused("not_found")
    preview = derived / "preview.jpg"
    if number == 1 and look == {"media": "image/jpeg"} and preview.is_file():
        return answer(
            [FileRange(preview, 0, preview.stat().st_size)], "image/jpeg", f"{row.digest[:32]}-preview"
        )
    data = adapter("picture")(derived, number, **look)
    return answer([data], look["media"], adapter("etag_of")([(row.digest, number, sorted(look.items(), key=str))]))


def _rendered_many(rows: list[Outgoing]) -> Response:
    """A part for each image, made when its turn comes; what is no image has none."""
    look = _look(many=len(rows) > 1)
    pictured = [(row, derived) for row in rows if (derived := _ready_or_none(row)) is not None]
    if not pictured:
        raise Refused("not_found")
    if len(pictured) == 1:
        return _rendered(pictured[0][0], 1)
    etag = adapter("etag_of")([(row.digest, sorted(look.items(), key=str)) for row, _ in pictured])
    makers = [
        (partial(adapter("picture"), derived, 1, **look), look["media"], address(row)) for row, derived in pictured
    ]
    return answer_lazy_parts([partial(_made, *maker) for maker in makers], look["media"], etag)


def _made(make: "partial[bytes]", media: str, url: str) -> tuple[bytes, str, str]:
    return make(), media, f"{url}/rendered"


def _ready_or_none(row: Outgoing) -> Path | None:
    derived: Path = adapter("derived_dir")(row.blob_key)
    return derived if adapter("is_derived")(derived) else None


def _ready(row: Outgoing) -> Path:
    derived: Path = adapter("derived_dir")(row.blob_key)
    state = adapter("is_derived")(derived)
    if state is None:
        raise WebError(503, "not_derived_yet")
    if not state:
        raise Refused("not_found")
    return derived


def _look(many: bool = False) -> dict[str, Any]:
    """The parameters as ``viewer.dicomweb_pixels.Look`` takes them. Raises WebError(400 | 406)."""
    wish = picked(accepted(), PICTURES)
    if wish is None or (many and not wish.is_multipart and not wish.is_anything):
        raise not_acceptable()
    look: dict[str, Any] = {"media": wish.media}
    if text := request.args.get("quality"):
        if not text.isdecimal() or not 1 <= int(text) <= 100:
            raise WebError(400, "query_value", field="quality", value=text[:32])
        look["quality"] = int(text)
    if text := request.args.get("window"):
        found = _WINDOW.fullmatch(text)
        if found is None or not 0 < float(found[2]) < math.inf or math.isinf(float(found[1])):
            raise WebError(400, "query_value", field="window", value=text[:64])
        look["window"] = (float(found[1]), float(found[2]), _FUNCTIONS[found[3] or "linear"])
    if text := request.args.get("viewport"):
        look |= _viewport(text)
    return look


def _viewport(text: str) -> dict[str, Any]:
    found = _VIEWPORT.fullmatch(text)
    wide, high = (int(found[1]), int(found[2])) if found else (0, 0)
    if found is None or max(wide, high) > adapter("most_px")():
        raise WebError(400, "query_value", field="viewport", value=text[:64])
    source = [int(part) if part else 0 for part in found.groups()[2:]]
    if found[3] is None or not all(source[2:]):
        return {"viewport": (wide, high)}
    return {"viewport": (wide, high), "source": tuple(source)}


@dicomweb.get(STUDY + "/thumbnail")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="A small picture of a study", query=["accept", "viewport"], answers=ANSWERS)
def study_thumbnail(study: str) -> Response:
    return _thumbnail(representative(objects(study)))


@dicomweb.get(SERIES + "/thumbnail")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="A small picture of a series", query=["accept", "viewport"], answers=ANSWERS
)
def series_thumbnail(study: str, series: str) -> Response:
    return _thumbnail(representative(objects(study, series)))


@dicomweb.get(INSTANCE + "/thumbnail")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="A small picture of an instance", query=["accept", "viewport"], answers=ANSWERS
)
def instance_thumbnail(study: str, series: str, instance: str) -> Response:
    return _thumbnail(one(study, series, instance))


@dicomweb.get(INSTANCE + "/frames/<frames>/thumbnail")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="A small picture of a frame", query=["accept", "viewport"], answers=ANSWERS,
    touches=False,
)  # fmt: skip
def frame_thumbnail(study: str, series: str, instance: str, frames: str) -> Response:
    row, number = one(study, series, instance), _one_number(frames)
    return _thumbnail(row) if number == 1 else _small(row, number)


def _thumbnail(row: Outgoing) -> Response:
    """The one made at ingest, where nothing else is asked for."""
    path = adapter("derived_dir")(row.blob_key) / "thumbnail.jpg"
    look = _look()
    if look == {"media": "image/jpeg"} and path.is_file():
        return answer([FileRange(path, 0, path.stat().st_size)], "image/jpeg", f"{row.digest[:32]}-thumbnail")
    return _small(row, 1)


def _small(row: Outgoing, number: int) -> Response:
    look = {"viewport": (THUMBNAIL_PX, THUMBNAIL_PX), **_look()}
    derived = _ready(row)
    if number > adapter("frame_count")(derived):
        raise Refused("not_found")
    etag = adapter("etag_of")([(row.digest, number, sorted(look.items(), key=str))])
    return answer([adapter("picture")(derived, number, **look)], str(look["media"]), f"t-{etag}")
