"""DICOMweb under /dicom-web: its blueprint, who sees what, and what it says of itself. [web]

Every module ``dicomweb_*`` with routes adds them to this blueprint; ``dicomweb_routes`` names them all. Access is the
rule of the pages (``visible_studies``): what is out of sight is 404. Whoever gets pixels or metadata has read the
study, and that is written down once a sitting.
"""

import re
from collections.abc import Sequence

from flask import Blueprint, Response, current_app, jsonify, request

from pacs_bridge.key_object import TITLES
from viewer.dicomweb_accept import picked
from worklist.access import Refused
from worklist.access_store import visible_studies
from worklist.outgoing import Outgoing, outgoing
from worklist.rejection_store import hidden_counts, why_hidden
from worklist.store import study_by_uid
from worklist.web import WebError, actor, now, read, register_codes, route_public, route_table, services, write
from worklist.workitem_service import has_viewed, note_viewing

dicomweb = Blueprint("dicomweb", __name__, url_prefix="/dicom-web")
register_codes({"not_acceptable": 406, "unsupported_media": 415, "not_derived_yet": 503})
register_codes({f"rejected_{code}": 404 for code in TITLES})

_NOTED_KEY, _MOST_NOTED = "teleread_noted_viewings", 20_000
_UID = re.compile(r"[0-9.]{1,64}")


def objects(study: str, series: str | None = None, instance: str | None = None) -> list[Outgoing]:
    """What the actor may have of it, in the order of a study; the reading is noted.

    Raises Refused: "not_found", "rejected_<code>" where a rejection note hides all of it.
    """
    for uid in (study, series, instance):
        if uid is not None and not _UID.fullmatch(uid):
            raise Refused("not_found")
    with read() as session:
        sight = visible_studies(actor(), now())
        rows = outgoing(session, sight, study=study, series=series, instance=instance)
        hidden = None if rows else why_hidden(session, sight, study, series, instance)
    if not rows:
        raise Refused(f"rejected_{hidden}" if hidden else "not_found")
    _note(study)
    return rows


def one(study: str, series: str, instance: str) -> Outgoing:
    """Raises Refused as ``objects`` does."""
    return objects(study, series, instance)[0]


def _note(study_instance_uid: str) -> None:
    """One row per person, study and sitting; whoever goes on reading costs no query."""
    noted: dict[tuple[str, str], None] = current_app.extensions.setdefault(_NOTED_KEY, {})
    key = (actor().sitting, study_instance_uid)
    if key in noted:
        return
    with read() as session:
        study = study_by_uid(session, study_instance_uid)
        is_new = study is not None and not has_viewed(session, actor(), study)
    if study is not None and is_new:
        with write() as session:
            note_viewing(session, actor(), study, now())
    while len(noted) >= _MOST_NOTED:
        noted.pop(next(iter(noted), key), None)
    noted[key] = None


def say_hidden(answer: Response, study: str, series: str | None = None) -> Response:
    """A Warning per reason why images of it are left out: whoever counts them is told."""
    with read() as session:
        counts = hidden_counts(session, visible_studies(actor(), now()), study, series)
    for code, n in counts:
        answer.headers.add("Warning", f'299 teleread "{n} hidden by a rejection note: {code} {TITLES[code]}"')
    return answer


def accepted() -> str:
    """What the client accepts: the query parameter goes before the header (PS3.18 5.3.3.1)."""
    return request.args.get("accept") or request.headers.get("Accept", "")


def not_acceptable() -> WebError:
    return WebError(406, "not_acceptable", accept=accepted()[:200])


def root() -> str:
    """Our address, by the name the client knows us by."""
    host, port = request.host, request.environ.get("SERVER_PORT", "")
    is_direct = not services().settings.is_behind_proxy and port not in ("", "0", "80", "443")
    if is_direct and re.fullmatch(r"[^:]+|\[[^\]]*\]", host):
        host = f"{host}:{port}"  # dicomweb-client leaves the port out of its Host header
    return f"{request.scheme}://{host}/dicom-web"


def address(row: Outgoing) -> str:
    """Where an instance is found."""
    study = f"{root()}/studies/{row.study_instance_uid}"
    return f"{study}/series/{row.series_instance_uid}/instances/{row.sop_instance_uid}"


def representative(rows: Sequence[Outgoing]) -> Outgoing:
    """The one that stands for all: in the middle."""
    return rows[len(rows) // 2]


@dicomweb.route("/", methods=["GET", "OPTIONS"], provide_automatic_options=False)
@route_public(summary="What this DICOMweb server can do (PS3.18 8.9), as WADL or JSON", query=["accept"])
def capabilities() -> Response:
    wish = picked(accepted(), ("application/vnd.sun.wadl+xml", "application/json", "application/dicom+json"))
    if wish is None:
        raise not_acceptable()
    rules = [route for route in route_table(current_app) if route.rule.startswith("/dicom-web/")]
    paths: dict[str, dict[str, str]] = {}
    for route in rules:
        for method in route.methods:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule)
            paths.setdefault(path, {})[method] = route.declaration.summary
    if wish.media != "application/vnd.sun.wadl+xml":
        return jsonify({"base": root(), "resources": paths})
    resources = "".join(
        f'<resource path="{path.removeprefix("/dicom-web/")}">'
        + "".join(f'<method name="{method}"/>' for method in sorted(methods))
        + "</resource>"
        for path, methods in sorted(paths.items())
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><application xmlns="http://wadl.dev.java.net/2009/02">'
        f'<resources base="{root()}/">{resources}</resources></application>'
    )
    return Response(text, mimetype="application/vnd.sun.wadl+xml")
