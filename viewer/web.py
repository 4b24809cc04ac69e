"""A study on the screen: the reading page, its display data, frames, thumbnails, the ECG sheet. [web]"""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from viewer.image_metadata import display_order
from worklist import derive_store, store
from worklist.access import Act, Refused, check
from worklist.access_store import visible_studies, visible_study
from worklist.tables import Instance, Series, Study
from worklist.web import WebError, actor, adapter, now, read, register_codes, route_needs, services, write
from worklist.web_files import send_stored
from worklist.workitem_service import has_viewed, note_viewing, workitem_in_sight

viewer = Blueprint("viewer", __name__)

register_codes({"missing_sensitivity": 422, "no_waveform": 404, "frame_pending": 409, "frame_failed": 422})

ECG_LAYOUTS, ECG_SPEEDS, ECG_GAINS = ("3x4+1R", "6x2", "12x1"), ("12.5", "25", "50"), ("5", "10", "20")


@viewer.get("/read/<uid>")
@route_needs(Act.REPORT_WRITE, summary="The reading workstation")
def read_page(uid: str) -> str:
    with read() as session:
        _, study = workitem_in_sight(session, actor(), Act.STUDY_VIEW_IMAGES, uid, now())
        # The page asks for the pictures at once, without waiting for the workitem's answer.
        opened = {"study_instance_uid": study.study_instance_uid, "kind": study.kind, "modality": study.modality,
                  "ohif_port": services().settings.ohif_port}  # fmt: skip
    return render_template("read.html", workitem_uid=uid, opened=opened)


@contextmanager
def _viewing() -> Iterator[tuple[Session, list[Study]]]:
    """A session to read in; the studies put into the list are noted as viewed before anything is answered.

    Written once a sitting: whoever looks on needs no write transaction.
    """
    viewed: list[Study] = []
    with read() as session:
        yield session, viewed
        unnoted = [study for study in viewed if not has_viewed(session, actor(), study)]
    if unnoted:
        with write() as session:
            for study in unnoted:
                note_viewing(session, actor(), study, now())


@viewer.get("/api/studies/<uid>/display")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="Everything the engine needs to show a study, but its frames")
def display(uid: str) -> Response:
    with _viewing() as (session, viewed):
        study = visible_study(session, actor(), Act.STUDY_VIEW_IMAGES, uid, now())
        viewed.append(study)
        series = store.series_of_study(session, study.id)
        instances = store.instances_of_series(session, [row.id for row in series])
    lost: list[Instance] = []
    shown = [_series(row, [item for item in instances if item.series_id == row.id], lost) for row in series]
    if lost:
        _derive_again(study.id, lost)
    body = {"study_instance_uid": uid, "series": [row for row in shown if row["instances"]]}
    return _gzipped(body)


def _gzipped(body: dict[str, Any]) -> Response:
    """Series data of 300 slices shrink to a fortieth."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) < 1000 or not request.accept_encodings["gzip"]:
        return Response(text, mimetype="application/json")
    answer = Response(gzip.compress(text, 5), mimetype="application/json")
    answer.headers.update({"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
    return answer


def _derive_again(study_id: int, lost: list[Instance]) -> None:
    """Derived files are not synced: after a power cut some may be gone or empty, and are made anew."""
    with write() as session:
        derive_store.promise_series(session, study_id, list({item.series_id for item in lost}), now())
        for item in lost:
            session.get_one(Instance, item.id).derived_state = "pending"


def _series(row: Series, instances: list[Instance], lost: list[Instance]) -> dict[str, Any]:
    shown = [_instance(item, lost) for item in instances if item.derived_state != "none"]
    return {
        "series_instance_uid": row.series_instance_uid, "number": row.number, "modality": row.modality,
        "description": row.description, "body_part": row.body_part, "instances": display_order(shown),
    }  # fmt: skip


def _instance(item: Instance, lost: list[Instance]) -> dict[str, Any]:
    """An instance's display data; one that is not derived yet, or cannot be, says so and stays in its place."""
    base = {"sop_instance_uid": item.sop_instance_uid, "number": item.number, "reason": item.derived_reason}
    if item.derived_state == "ready":
        try:
            shown: dict[str, Any] = json.loads((_derived(item) / "display.json").read_bytes())
        except (OSError, ValueError):
            lost.append(item)
        else:
            for number, frame in enumerate(shown["frames"], 1):
                frame["url"] = f"/api/frames/{item.sop_instance_uid}/{number}"
            return shown | base | {"state": "ready"}
    state = "failed" if item.derived_state == "failed" else "pending"
    return {"rows": None, "columns": None, "frames": [], "position_mm": None} | base | {"state": state}


def _derived(item: Instance) -> Path:
    found: Path = adapter("derived_dir")(item.blob_key)
    return found


def _instance_in_sight(uid: str) -> Instance:
    """An instance of a study the actor may view, which is noted.

    Raises Refused: "not_found", "rejected_<code>" where a rejection note hides it.
    """
    check(actor(), Act.STUDY_VIEW_IMAGES)
    with _viewing() as (session, viewed):
        row = session.execute(
            select(Instance, Study)
            .join(Series, Series.id == Instance.series_id)
            .join(Study, Study.id == Series.study_id)
            .where(Instance.sop_instance_uid == uid, visible_studies(actor(), now()))
        ).first()
        if row is None:
            raise Refused("not_found")
        if row[0].hidden_code is not None:
            raise Refused(f"rejected_{row[0].hidden_code}")
        viewed.append(row[1])
    found: Instance = row[0]
    return found


@viewer.get("/api/frames/<uid>/<int:number>")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="One frame as an HTJ2K codestream; byte ranges", touches=False)
def frame(uid: str, number: int) -> Response:
    item = _instance_in_sight(uid)
    path = _derived(item) / f"frame_{number}.jphc"
    if item.derived_state != "ready" or not path.is_file():
        if item.derived_state == "pending":
            raise WebError(409, "frame_pending")
        raise Refused("not_found")
    return send_stored(path, "image/jphc", etag=f"{item.digest}-{number}")


@viewer.get("/api/thumbnails/<uid>")
@route_needs(Act.STUDY_VIEW_IMAGES, summary="A small picture of an instance", touches=False)
def thumbnail(uid: str) -> Response:
    item = _instance_in_sight(uid)
    path = _derived(item) / "thumbnail.jpg"
    if not path.is_file():
        raise Refused("not_found")
    return send_stored(path, "image/jpeg", etag=f"{item.digest}-thumbnail")


def _choice(name: str, allowed: tuple[str, ...], default: str) -> str:
    value = request.args.get(name, default).replace(" ", "+")
    if value not in allowed:
        raise WebError(400, "query_value", field=name, value=value)
    return value


@viewer.get("/api/studies/<uid>/ecg")
@route_needs(
    Act.STUDY_VIEW_IMAGES, summary="The study's ECG drawn to scale", query=["layout", "speed", "gain", "palette"],
)  # fmt: skip
def ecg_sheet(uid: str) -> Response:
    with _viewing() as (session, viewed):
        study = visible_study(session, actor(), Act.STUDY_VIEW_IMAGES, uid, now())
        viewed.append(study)
        keys = [item.blob_key for item in store.instances_of_study(session, study.id)]
    drawn = adapter("ecg_sheet")(
        keys, layout=_choice("layout", ECG_LAYOUTS, "3x4+1R"), speed=float(_choice("speed", ECG_SPEEDS, "25")),
        gain=float(_choice("gain", ECG_GAINS, "10")), palette=_choice("palette", ("dark", "paper"), "dark"),
    )  # fmt: skip
    return _gzipped(drawn)
