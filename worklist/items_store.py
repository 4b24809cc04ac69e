"""The rows of the worklist: one query, ordered by urgency, seen only by who may. [store]"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from worklist import triage
from worklist.access import Actor
from worklist.access_store import visible_studies
from worklist.account_tables import Account
from worklist.person_store import same_person
from worklist.rejection_store import rejections_by_study
from worklist.repair_tables import RejectedInstance
from worklist.shown import order_json, patient_json
from worklist.status import SIGNED_STATUSES, STATES_OF_STATUS, status
from worklist.tables import Order, Patient, Quarantine, Site, Study, Workitem

Assigned, Claimed = aliased(Account), aliased(Account)


@dataclass(frozen=True)
class ItemFilter:
    """What the list is narrowed to; an empty field narrows nothing."""

    state: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    step: str | None = None
    kind: str | None = None
    modality: str | None = None
    site: str | None = None
    priority: str | None = None
    study_instance_uid: str | None = None
    q: str | None = None
    workitem_uids: tuple[str, ...] | None = None
    study_ids: tuple[int, ...] | None = None
    since: datetime | None = None


class BadCursor(ValueError):
    """The cursor is not one that this list made."""


_RANK = case(
    (Order.pathway == "stroke", triage.LANES.index("stroke")),
    (Order.pathway == "chest_pain", triage.LANES.index("chest_pain")),
    (Workitem.priority == "routine", triage.LANES.index("routine")),
    else_=triage.LANES.index("emergency"),
)

# ``worklist.status.status``, in SQL; a test holds the two against each other.
STATUS = case(
    (and_(Workitem.state == "CANCELED", Workitem.retake_reason.is_not(None)), "returned_for_retake"),
    (Workitem.state == "CANCELED", "cancelled"),
    (and_(Workitem.state == "COMPLETED", Study.report_status.in_(SIGNED_STATUSES)), Study.report_status),
    (Workitem.state == "COMPLETED", "to_verify"),
    (Workitem.step == "verification", "to_verify"),
    (and_(Workitem.step == "interpretation", Study.report_status == "returned"), "returned_for_edit"),
    (Workitem.state == "IN PROGRESS", "reading"),
    (Study.input_readiness == "INCOMPLETE", "receiving"),
    else_="waiting",
)


def _conflicts() -> ColumnElement[int]:
    return (
        select(func.count(Quarantine.id))
        .where(Quarantine.study_id == Study.id, Quarantine.resolved_at.is_(None))
        .correlate(Study)
        .scalar_subquery()
    )


def _priors(actor: Actor | None, now: datetime | None) -> ColumnElement[int]:
    """Earlier studies of the person that ``actor`` may see; without one, those of the same patient of the site."""
    other = aliased(Study)
    if actor is not None and now is not None:
        is_prior = and_(same_person(Study.patient_pk, other.patient_pk), visible_studies(actor, now, other))
    else:
        is_prior = other.patient_pk == Study.patient_pk
    return (
        select(func.count(other.id))
        .where(is_prior, other.id != Study.id, other.n_instances > 0, other.received_at <= Study.received_at)
        .correlate(Study)
        .scalar_subquery()
    )


def base_query(actor: Actor | None = None, now: datetime | None = None) -> Select[*tuple[Any, ...]]:
    """Everything an item shows, without any condition; priors as far as ``actor`` sees at ``now``."""
    return (
        select(Workitem, Study, Patient, Site, Order, Assigned.name, Claimed.name, _conflicts(), _priors(actor, now))
        .join(Study, Study.id == Workitem.study_id)
        .join(Patient, Patient.id == Study.patient_pk)
        .join(Site, Site.id == Study.site_id)
        .join(Order, Order.order_uid == Study.order_uid)
        .outerjoin(Assigned, Assigned.id == Workitem.scheduled_performer)
        .outerjoin(Claimed, Claimed.id == Workitem.actual_performer)
    )


def _is_shown() -> ColumnElement[bool]:
    """Cancelled work is not, except where its images are to be taken again and nothing has come yet."""
    later = aliased(Workitem)
    followed = exists().where(later.replaces == Workitem.workitem_uid)
    return or_(Workitem.state != "CANCELED", and_(Workitem.retake_reason.is_not(None), ~followed))


def _keys_query() -> Select[*tuple[Any, ...]]:
    return (
        select(Workitem.workitem_uid)
        .join(Study, Study.id == Workitem.study_id)
        .join(Patient, Patient.id == Study.patient_pk)
        .join(Site, Site.id == Study.site_id)
        .join(Order, Order.order_uid == Study.order_uid)
    )


def _has_images(actor: Actor) -> ColumnElement[bool]:
    """Where every image was rejected there is nothing to read; its own site, and whoever signed on them, see why."""
    if actor.role in ("technician", "clinician"):
        is_named = RejectedInstance.study_instance_uid == Study.study_instance_uid
        return or_(Study.n_instances > 0, exists().where(is_named))
    return or_(Study.n_instances > 0, Workitem.step == "addendum")


def _conditions(narrow: ItemFilter, actor: Actor) -> list[ColumnElement[bool]]:
    plain: list[tuple[Any, Any]] = [
        (narrow.step, Workitem.step), (narrow.kind, Study.kind), (narrow.modality, Study.modality),
        (narrow.site, Site.code), (narrow.priority, Workitem.priority),
        (narrow.study_instance_uid, Study.study_instance_uid),
    ]  # fmt: skip
    conditions: list[ColumnElement[bool]] = [column == value for value, column in plain if value is not None]
    if narrow.workitem_uids is None:
        conditions.append(_has_images(actor))
    if narrow.workitem_uids is not None:
        conditions.append(Workitem.workitem_uid.in_(narrow.workitem_uids))
    if narrow.study_ids is not None:
        conditions.append(Study.id.in_(narrow.study_ids))
    if narrow.state:
        conditions.append(Workitem.state.in_(narrow.state))
    elif narrow.workitem_uids is None and not narrow.status:
        conditions.append(_is_shown())
    if narrow.status:
        states = {state for word in narrow.status for state in STATES_OF_STATUS.get(word, ())}
        # Said twice so that the database can look the state up: it cannot see through the case expression.
        conditions += [Workitem.state.in_(sorted(states)), STATUS.in_(narrow.status)]
    if narrow.since is not None:
        conditions.append(or_(Workitem.ended_at.is_(None), Workitem.ended_at >= narrow.since))
    if narrow.q:
        conditions.append(matches_text(narrow.q))
    return conditions


def matches_text(text: str) -> ColumnElement[bool]:
    """Name in characters, full pinyin or initials; accession number or patient ID from its start."""
    escaped = text.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    lower = escaped.casefold().replace(" ", "")
    return or_(
        Patient.name.like(f"%{escaped}%", escape="\\"),
        Patient.name_pinyin.like(f"{lower}%", escape="\\"),
        Patient.name_initials.like(f"{lower}%", escape="\\"),
        Study.accession_number.like(f"{escaped}%", escape="\\"),
        Order.accession_number.like(f"{escaped}%", escape="\\"),
        Patient.patient_id.like(f"{escaped}%", escape="\\"),
    )


def items(
    session: Session, actor: Actor, narrow: ItemFilter,
    *, limit: int, cursor: str | None, now: datetime, zone: tzinfo = UTC,
) -> tuple[list[dict[str, Any]], str | None]:
    """At most ``limit`` items in order of urgency, and the cursor of the next page or None.

    ``zone``: of the day of an examination, on which a patient's age is told.

    Raises BadCursor.
    """
    # First which, then what: sorting must not carry whole rows, nor count for rows that nobody sees.
    query = _keys_query().where(visible_studies(actor, now), *_conditions(narrow, actor))
    key = tuple_(_RANK, Workitem.due_at, Workitem.workitem_uid)
    if cursor:
        rank, due, uid = _read_cursor(cursor)
        # Row values compare alike on SQLite and PostgreSQL; the bound types must be the columns'.
        query = query.where(or_(
            _RANK > rank,  # noqa: SIM300 (a column)
            and_(_RANK == rank, Workitem.due_at > due),  # noqa: SIM300
            and_(_RANK == rank, Workitem.due_at == due, Workitem.workitem_uid > uid),  # noqa: SIM300
        ))  # fmt: skip
    uids = session.scalars(query.order_by(*key.clauses).limit(limit + 1)).all()
    whole = session.execute(base_query(actor, now).where(Workitem.workitem_uid.in_(uids)))
    found = {row[0].workitem_uid: row for row in whole}
    rows = [found[uid] for uid in uids if uid in found]
    shown = _with_rejections(session, rows[:limit], zone)
    if len(rows) <= limit:
        return shown, None
    last = rows[limit - 1]
    return shown, _make_cursor(_rank_of(last), last[0].due_at, last[0].workitem_uid)


def items_by_study(session: Session, study_ids: Sequence[int], zone: tzinfo) -> dict[int, list[dict[str, Any]]]:
    """Live items of these studies, for the event stream; no actor: the caller filters by sight."""
    found: dict[int, list[dict[str, Any]]] = {study_id: [] for study_id in study_ids}
    query = base_query().where(Study.id.in_(study_ids), _is_shown()).order_by(Workitem.created_at)
    rows = session.execute(query).all()
    for row, item in zip(rows, _with_rejections(session, rows, zone), strict=True):
        found[row[1].id].append(item)
    return found


def _with_rejections(session: Session, rows: Sequence[Any], zone: tzinfo) -> list[dict[str, Any]]:
    """Items that say what of their studies is hidden, why, by whom and when."""
    why = rejections_by_study(session, {row[1].study_instance_uid for row in rows})
    return [item_json(row, zone) | {"rejections": why.get(row[1].study_instance_uid, [])} for row in rows]


def _rank_of(row: Any) -> int:
    return triage.LANES.index(triage.lane(row[0].priority, row[4].pathway))


def _make_cursor(rank: int, due: datetime, uid: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([rank, due.isoformat(), uid]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[int, datetime, str]:
    try:
        rank, due, uid = json.loads(base64.urlsafe_b64decode(cursor[:300] + "=" * (-len(cursor[:300]) % 4)))
        moment = datetime.fromisoformat(due)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadCursor(cursor) from error
    if rank not in range(len(triage.LANES)) or moment.tzinfo is None or not isinstance(uid, str) or "\0" in uid:
        raise BadCursor(cursor)
    return int(rank), moment, uid


def item_json(row: Any, zone: tzinfo) -> dict[str, Any]:
    """One item as the API shows it (interfaces: /api/worklist). The Transaction UID is never in it."""
    workitem, study, patient, site, order, assigned, claimed, conflicts, priors = row
    on = (study.acquired_at or study.received_at).astimezone(zone).date()
    return {
        "workitem_uid": workitem.workitem_uid,
        "kind": study.kind,
        "step": workitem.step,
        "state": workitem.state,
        "status": status(
            workitem.state, workitem.step, study.input_readiness, study.report_status, workitem.retake_reason
        ),
        "retake": {"category": workitem.retake_reason, "reason": workitem.reason} if workitem.retake_reason else None,
        "report_status": study.report_status,
        "report_uid": workitem.report_uid,
        "priority": workitem.priority,
        "lane": triage.lane(workitem.priority, order.pathway),
        "due_at": workitem.due_at.isoformat(),
        "input_readiness": study.input_readiness,
        "n_instances": study.n_instances,
        "n_missing": study.n_missing or 0,
        "n_listed": (study.ready_evidence or {}).get("n_listed", 0),
        "listed_by": (study.ready_evidence or {}).get("listed_by"),
        "waits_for": (study.ready_evidence or {}).get("waits_for"),
        "study_instance_uid": study.study_instance_uid,
        "modality": study.modality,
        "body_part": study.body_part,
        "description": study.description,
        "accession_number": study.accession_number or order.accession_number,
        "patient": patient_json(patient, on),
        "originating_site": {"code": site.code, "name": site.name_zh, "name_en": site.name_en},
        "assigned_to": assigned,
        "assigned_to_id": workitem.scheduled_performer,
        "claimed_by": claimed,
        "claimed_by_id": workitem.actual_performer,
        "claimed_at": _text(workitem.claimed_at),
        "excluded_id": workitem.excluded_performer,
        "received_at": study.received_at.isoformat(),
        "acquired_at": _text(study.acquired_at),
        "ready_at": _text(study.ready_at),
        "ended_at": _text(workitem.ended_at),
        "late_images_at": _text(study.late_images_at),
        "n_conflicts": conflicts,
        "n_priors": priors,
        "order": order_json(order, patient, on) | {"suggested_order_uid": study.suggested_order_uid},
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
