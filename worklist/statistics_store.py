"""The facts that statistics are made of, read from studies, workitems and workflow events. [store]

Only aggregates leave the package: nothing here reads a name. What the report package knows is read from
its events (final, accepted, opened, acknowledged), which it writes in the transaction of each change.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from worklist.base.audit import WorkflowEvent
from worklist.statistics import ReportFact
from worklist.tables import Order, Site, Study, Workitem

_AFTER_FINAL = ("accepted", "opened", "acknowledged")
_RETURNED = frozenset({"delivered", "opened", "acknowledged"})  # Study.report_status
_CHUNK = 500  # bound variables of one query


def facts(session: Session, start: datetime, end: datetime) -> list[ReportFact]:
    """Every study whose first ``final`` event lies in [start, end). Cancelled examinations have no such event."""
    first = (
        select(WorkflowEvent.study_id, func.min(WorkflowEvent.id).label("event_id"))
        .where(WorkflowEvent.kind == "final")
        .group_by(WorkflowEvent.study_id)
        .subquery()
    )
    rows = session.execute(
        select(Study, Order.pathway, Workitem.priority, Workitem.due_at, WorkflowEvent.at)
        .join(first, first.c.study_id == Study.id)
        .join(WorkflowEvent, WorkflowEvent.id == first.c.event_id)
        .join(Workitem, Workitem.workitem_uid == WorkflowEvent.workitem_uid)
        .join(Order, Order.order_uid == Study.order_uid)
        .where(WorkflowEvent.at >= start, WorkflowEvent.at < end)
        .order_by(Study.id)
    ).all()
    seen = _moments(session, [(row[0].id, row[4]) for row in rows])
    return [_fact(row, seen[row[0].id]) for row in rows]


def _fact(row: Any, seen: Mapping[str, datetime]) -> ReportFact:
    study, pathway, priority, due_at, final_at = row
    return ReportFact(
        site_id=study.site_id, priority=priority, pathway=pathway, received_at=study.received_at,
        ready_at=seen.get("ready", study.received_at), due_at=due_at, final_at=final_at,
        is_returned=study.report_status in _RETURNED or any(kind in seen for kind in _AFTER_FINAL),
        is_acknowledged=study.report_status == "acknowledged" or "acknowledged" in seen,
    )  # fmt: skip


def _moments(session: Session, finals: Sequence[tuple[int, datetime]]) -> Mapping[int, dict[str, datetime]]:
    """By study: when it was last complete before its final report, and what was first heard of it afterwards."""
    final_at = dict(finals)
    found: dict[int, dict[str, datetime]] = {study_id: {} for study_id in final_at}
    for study_id, kind, at in _events(session, list(final_at)):
        seen = found[study_id]
        if kind == "ready" and at <= final_at[study_id]:
            seen["ready"] = at  # in order of time: the last one stands
        elif kind in _AFTER_FINAL and at >= final_at[study_id]:
            seen.setdefault(kind, at)
    return found


def _events(session: Session, study_ids: Sequence[int]) -> Iterator[tuple[int, str, datetime]]:
    for begin in range(0, len(study_ids), _CHUNK):
        query = (
            select(WorkflowEvent.study_id, WorkflowEvent.kind, WorkflowEvent.at)
            .where(WorkflowEvent.study_id.in_(study_ids[begin : begin + _CHUNK]))
            .where(WorkflowEvent.kind.in_(("ready", *_AFTER_FINAL)))
            .order_by(WorkflowEvent.id)
        )
        for study_id, kind, at in session.execute(query):
            if study_id is not None:
                yield study_id, kind, at


def waiting(session: Session) -> int:
    """Studies that wait for a report now: an open interpretation, and images complete or coming."""
    open_items = select(func.count(func.distinct(Workitem.study_id))).where(
        Workitem.step == "interpretation", Workitem.state.in_(("SCHEDULED", "IN PROGRESS"))
    )
    return session.scalar(open_items) or 0


def oldest_unacknowledged(session: Session) -> Mapping[int, datetime]:
    """By site: when the oldest final report was signed that nobody there has confirmed."""
    finals = (
        select(WorkflowEvent.study_id, func.min(WorkflowEvent.at).label("at"))
        .where(WorkflowEvent.kind == "final")
        .group_by(WorkflowEvent.study_id)
        .subquery()
    )
    rows = session.execute(
        select(Study.site_id, func.min(finals.c.at))
        .join(finals, finals.c.study_id == Study.id)
        .where(Study.report_status.in_(("final", "delivered", "opened")))
        .group_by(Study.site_id)
    )
    return dict(rows.all())


def sites(session: Session) -> Sequence[Site]:
    """Enabled sites, the reading centre last: the others are what is compared."""
    order = case((and_(Site.reads), 1), else_=0)
    return session.scalars(select(Site).where(Site.enabled).order_by(order, Site.id)).all()
