"""QIDO-RS: studies, series and instances searched, in what the person may see (PS3.18 10.6). [web]

Pages are stable: answers stand newest study first in one total order, so that a study that comes in the meantime
shifts later pages but hides none. A deep offset walks an index only.
"""

import json
from datetime import datetime
from functools import partial

from flask import Response, request
from sqlalchemy.orm import Session

from pacs_bridge import qido
from pacs_bridge.qido import BadParameter, Search
from pacs_bridge.query import BadKey
from viewer.dicomweb import accepted, dicomweb, not_acceptable, root, say_hidden
from viewer.dicomweb_accept import JSON, picked
from worklist import query_store
from worklist.access import Act, Actor
from worklist.access_store import sees_one_site, visible_studies
from worklist.base import audit
from worklist.query_rows import Answer, answers
from worklist.query_store import Sight
from worklist.tables import Study
from worklist.web import WebError, actor, now, read, register_codes, route_needs, write_together
from worklist.web_routes import ANY_PARAMETER

register_codes({"query_parameter": 400})
ANSWERS = {200: "the answers as DICOM JSON", 400: "a parameter that cannot be", 406: "only DICOM JSON is offered"}
WARNING = '299 teleread "{}"'
MORE = "There are additional results that can be requested"
NOT_COMPARED = "The following attributes were not compared: {}"


@dicomweb.get("/studies")
@route_needs(Act.STUDY_READ, summary="Search studies", query=[ANY_PARAMETER], answers=ANSWERS)
def search_studies() -> Response:
    return _search("STUDY")


@dicomweb.get("/series")
@route_needs(Act.STUDY_READ, summary="Search series", query=[ANY_PARAMETER], answers=ANSWERS)
def search_series() -> Response:
    return _search("SERIES")


@dicomweb.get("/instances")
@route_needs(Act.STUDY_READ, summary="Search instances", query=[ANY_PARAMETER], answers=ANSWERS)
def search_instances() -> Response:
    return _search("IMAGE")


@dicomweb.get("/studies/<study>/series")
@route_needs(Act.STUDY_READ, summary="Search the series of a study", query=[ANY_PARAMETER], answers=ANSWERS)
def search_series_of_study(study: str) -> Response:
    return _search("SERIES", StudyInstanceUID=study)


@dicomweb.get("/studies/<study>/instances")
@route_needs(Act.STUDY_READ, summary="Search the instances of a study", query=[ANY_PARAMETER], answers=ANSWERS)
def search_instances_of_study(study: str) -> Response:
    return _search("IMAGE", StudyInstanceUID=study)


@dicomweb.get("/studies/<study>/series/<series>/instances")
@route_needs(Act.STUDY_READ, summary="Search the instances of a series", query=[ANY_PARAMETER], answers=ANSWERS)
def search_instances_of_series(study: str, series: str) -> Response:
    return _search("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series)


def _search(level: str, **within: str) -> Response:
    wish = picked(accepted(), (JSON, "application/json"))
    if wish is None or wish.is_multipart:
        raise not_acceptable()
    try:
        search = qido.read(level, within, request.args.items(multi=True))
    except BadParameter as error:
        raise WebError(400, "query_parameter", parameter=str(error)[:64]) from None
    except BadKey as error:
        raise WebError(400, "query_parameter", parameter=error.path) from None
    found, has_more = _found(search)
    person = actor()
    write_together(partial(
        audit.record, now=now(), actor=person.username, role=person.role, site=person.site_code, act="study.query",
        object_type="query", object_uid=level, details={"matches": len(found)},
    ))  # fmt: skip
    address = root()
    rows = [qido.answer_json(one, search.paths, address) for one in found]
    answer = Response(json.dumps(rows, ensure_ascii=False, separators=(",", ":")), mimetype=wish.media)
    if has_more:
        answer.headers.add("Warning", WARNING.format(MORE))
    if search.unknown:
        answer.headers.add("Warning", WARNING.format(NOT_COMPARED.format(", ".join(search.unknown))))
    study = within.get("StudyInstanceUID")
    return say_hidden(answer, study, within.get("SeriesInstanceUID")) if study else answer


def _found(search: Search) -> tuple[list[Answer], bool]:
    """The answers of this page, and whether more follow that the client did not ask to leave out."""
    person = actor()
    with read() as session:
        sight = sight_of(session, person, now())
        few = query_store.narrowed(session, search.query, sight)
        keys = query_store.page(session, search.query, sight, few, limit=search.limit + 1, offset=search.offset)
        return answers(session, keys[: search.limit], search.paths), len(keys) > search.limit


def sight_of(session: Session, person: Actor, at: datetime) -> Sight:
    """What the person sees; of one site alone, it is found by that site's index."""
    if sees_one_site(session, person, at):
        return Sight(Study.site_id == person.site_id, person.site_id)
    return Sight(visible_studies(person, at))
