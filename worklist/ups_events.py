"""Who is told what of procedure steps: subscriptions, and every change of reading work as events. [service]

Whoever changes reading work emits a workflow event in the same transaction. ``follow`` reads those and tells the
subscribers what has become of each workitem since they last heard of it; as nothing leads back in the states of a
UPS, the way between two of them is always known. An event is a row until its subscriber has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from pacs_bridge.ups import (
    ASSIGNED,
    FILTERED,
    GLOBAL,
    RESTARTED,
    SCP_STATUS_CHANGE,
    STATE_REPORT,
    Attributes,
    assigned_report,
    items,
    state_report,
    status_report,
)
from pacs_bridge.ups_match import matches
from worklist import ups_store
from worklist.account_tables import Account
from worklist.base import outbox
from worklist.base.audit import WorkflowEvent
from worklist.base.db import insert_once
from worklist.tables import Device, Study, Workitem
from worklist.ups_asker import subscriber_sees
from worklist.ups_store import Place
from worklist.ups_tables import UpsCursor, UpsEvent, UpsSubscription, UpsTold
from worklist.workitem import WorkitemState

KIND = "ups_event"
EVENTS_AT_ONCE = 200
WELL_KNOWN = (GLOBAL, FILTERED)
_CURSOR = 1


@dataclass
class Step:
    """A procedure step that something happened to. ``kind``: of its study; None: a task of others."""

    workitem_uid: str
    site_id: int
    kind: str | None
    made_at: datetime
    attributes: Attributes
    reports: list[tuple[int, Attributes]] = field(default_factory=list)  # event type and information, in order


def tell(session: Session, step: Step, now: datetime) -> int:
    """Write the step's reports down for everyone who subscribed and may see it; for how many."""
    if not step.reports:
        return 0
    told = 0
    for subscription in subscribers(session, step):
        for event_type, information in step.reports:
            session.add(UpsEvent(
                ae_title=subscription.ae_title, workitem_uid=step.workitem_uid, event_type=event_type,
                information=information, made_at=now,
            ))  # fmt: skip
        session.flush()  # ids in the order in which they happened
        promise(session, subscription, now)
        told += 1
    return told


def promise(session: Session, subscription: UpsSubscription, now: datetime) -> None:
    """A device is told by an association of ours; a person's program comes for its events."""
    if subscription.device_id is not None:
        title = subscription.ae_title
        outbox.promise(session, KIND, f"{KIND}:{title}", {"ae_title": title}, now=now)


def subscribers(session: Session, step: Step) -> list[UpsSubscription]:
    """Who hears of a step: a word on the step itself goes before one on all of them (CC.2.3.1)."""
    rows = session.scalars(
        select(UpsSubscription)
        .where(UpsSubscription.scope.in_((*WELL_KNOWN, step.workitem_uid)))
        .order_by(UpsSubscription.id)
    ).all()
    own = {row.ae_title: row for row in rows if row.scope == step.workitem_uid}
    found = {title: row for title, row in own.items() if row.is_on}
    for row in rows:
        if row.ae_title not in own and row.ae_title not in found and _covers(row, step):
            found[row.ae_title] = row
    return [
        row for row in found.values()
        if subscriber_sees(session, row.device_id, row.account_id, step.site_id, step.kind)
    ]  # fmt: skip


def _covers(row: UpsSubscription, step: Step) -> bool:
    if row.suspended_at is not None and step.made_at > row.suspended_at:
        return False
    return row.scope == GLOBAL or matches(step.attributes, row.keys)


def is_anyone_listening(session: Session) -> bool:
    return session.scalar(select(UpsSubscription.id).limit(1)) is not None


def is_behind(session: Session) -> bool:
    """Whether there is anything to follow: asked several times a second, so it must be cheap."""
    if not is_anyone_listening(session):
        return False
    cursor = session.get(UpsCursor, _CURSOR)
    return cursor is None or (session.scalar(select(func.max(WorkflowEvent.id))) or 0) > cursor.event_id


def start_listening(session: Session, place: Place, now: datetime) -> None:
    """Before a subscription: those who listen already hear the rest; with the first, the count begins here."""
    if is_anyone_listening(session):
        while follow(session, place, now):
            pass
        return
    newest = session.scalar(select(func.max(WorkflowEvent.id))) or 0
    if not insert_once(session, UpsCursor, id=_CURSOR, event_id=newest, since=now):
        session.execute(update(UpsCursor).where(UpsCursor.id == _CURSOR).values(event_id=newest, since=now))


def follow(session: Session, place: Place, now: datetime) -> int:
    """Tell what the next workflow events changed; how many events were looked at."""
    cursor = session.scalars(
        select(UpsCursor).where(UpsCursor.id == _CURSOR).with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    if cursor is None:
        return 0
    events = session.scalars(
        select(WorkflowEvent).where(WorkflowEvent.id > cursor.event_id).order_by(WorkflowEvent.id).limit(EVENTS_AT_ONCE)
    ).all()
    if not events:
        return 0
    reassigned = {event.workitem_uid for event in events if event.kind == "reassigned"}
    for workitem, study in _touched(session, events):
        _tell_change(session, place, workitem, study, cursor.since, workitem.workitem_uid in reassigned, now)
    cursor.event_id = events[-1].id
    session.flush()
    return len(events)


def _touched(session: Session, events: Sequence[WorkflowEvent]) -> list[tuple[Workitem, Study]]:
    studies = {event.study_id for event in events if event.study_id is not None}
    rows = session.execute(
        select(Workitem, Study).join(Study, Study.id == Workitem.study_id)
        .where(Study.id.in_(studies)).order_by(Workitem.created_at, Workitem.workitem_uid)
    ).all()  # fmt: skip
    replaced = {workitem.replaces for workitem, _ in rows}
    # What was replaced is told before what took its place, also when one moment made both.
    return sorted(
        ((workitem, study) for workitem, study in rows),
        key=lambda row: (row[0].created_at, row[0].workitem_uid not in replaced),
    )


def _tell_change(
    session: Session, place: Place, workitem: Workitem, study: Study, since: datetime, is_reassigned: bool,
    now: datetime,
) -> None:  # fmt: skip
    told = session.get(UpsTold, workitem.workitem_uid)
    known = (told.state, told.readiness, told.scheduled_performer) if told else known_before(workitem, study, since)
    current = (workitem.state, study.input_readiness, workitem.scheduled_performer)
    if known == current and not is_reassigned:
        return
    uid = workitem.workitem_uid
    attributes = ups_store.reading_work(session, place, [uid], Study.id == study.id, has_input=False).get(uid)
    if attributes is None:
        return
    step = Step(workitem.workitem_uid, study.site_id, study.kind, workitem.created_at, attributes)
    step.reports = changes(attributes, known, current, is_reassigned=is_reassigned)
    tell(session, step, now)
    if told is None:
        told = UpsTold(workitem_uid=workitem.workitem_uid)
        session.add(told)
    told.state, told.readiness, told.scheduled_performer = current


Known = tuple[str | None, str, int | None]  # state (None: it is new), readiness, scheduled performer


def known_before(workitem: Workitem, study: Study, since: datetime) -> Known:
    """What was so when the listening began, of a workitem never told of."""
    was_ready = study.ready_at is not None and study.ready_at < since
    readiness = study.input_readiness if was_ready or study.ready_at is None else "INCOMPLETE"
    if workitem.created_at >= since:
        return None, study.input_readiness, None
    if workitem.ended_at is not None and workitem.ended_at < since:
        return workitem.state, readiness, workitem.scheduled_performer
    if workitem.claimed_at is not None and workitem.claimed_at < since:
        return WorkitemState.IN_PROGRESS, readiness, workitem.scheduled_performer
    return WorkitemState.SCHEDULED, readiness, workitem.scheduled_performer


def changes(
    attributes: Mapping[str, Any], known: Known, current: Known, *, is_reassigned: bool
) -> list[tuple[int, Attributes]]:
    """The reports on the way from what is known to what is so."""
    state, readiness, performer = known
    path = way(state, str(current[0]))
    reports: list[tuple[int, Attributes]] = []
    if state is None:
        reports.append((STATE_REPORT, state_report(attributes, WorkitemState.SCHEDULED)))
    if (performer != current[2] or is_reassigned) and items(attributes, "ScheduledHumanPerformersSequence"):
        reports.append((ASSIGNED, assigned_report(attributes)))
    if state is not None and readiness != current[1] and not path:
        reports.append((STATE_REPORT, state_report(attributes)))
    return reports + [(STATE_REPORT, state_report(attributes, passed)) for passed in path]


def way(before: str | None, after: str) -> list[str]:
    """The states entered between two, in order (CC.1.1): SCHEDULED, IN PROGRESS, then one of the two ends."""
    order = [WorkitemState.SCHEDULED, WorkitemState.IN_PROGRESS]
    ends = (WorkitemState.COMPLETED, WorkitemState.CANCELED)
    whole = [str(one) for one in (*order, *((WorkitemState(after),) if after in ends else ()))]
    if after == before:
        return []
    start = whole.index(before) + 1 if before in whole else 1
    return whole[start : whole.index(after) + 1]


def initial(
    session: Session, subscription: UpsSubscription, steps: Sequence[tuple[str, Attributes]], now: datetime
) -> None:
    """The current state of each step, for one who has just subscribed to it."""
    for uid, attributes in steps:
        session.add(UpsEvent(
            ae_title=subscription.ae_title, workitem_uid=uid, event_type=STATE_REPORT,
            information=state_report(attributes), made_at=now,
        ))  # fmt: skip
        session.flush()
    if steps:
        promise(session, subscription, now)


def change_status(session: Session, status: str, now: datetime) -> list[str]:
    """Tell those who subscribed to everything that we start or stop (CC.2.4.3); the devices among them.

    What was said of us before and has not arrived is not so any more. That we stop is said while we do, and is no
    promise: nobody is left to keep it.
    """
    rows = session.scalars(select(UpsSubscription).where(UpsSubscription.scope.in_(WELL_KNOWN))).all()
    everyone = {row.ae_title: row for row in rows if _is_enabled(session, row)}
    if not everyone:
        return []
    session.execute(
        delete(UpsEvent).where(UpsEvent.event_type == SCP_STATUS_CHANGE, UpsEvent.told_at.is_(None))
    )
    for title in everyone:
        session.add(UpsEvent(
            ae_title=title, workitem_uid=GLOBAL, event_type=SCP_STATUS_CHANGE, information=status_report(status),
            made_at=now,
        ))  # fmt: skip
    session.flush()
    if status == RESTARTED:
        for row in everyone.values():
            promise(session, row, now)
    return [title for title, row in everyone.items() if row.device_id is not None]


def _is_enabled(session: Session, row: UpsSubscription) -> bool:
    if row.device_id is not None:
        device = session.get(Device, row.device_id)
        return device is not None and device.enabled
    account = session.get(Account, row.account_id) if row.account_id is not None else None
    return account is not None and account.enabled


def waiting(session: Session, ae_title: str, after: int, most: int) -> list[UpsEvent]:
    """What a subscriber has not been told yet, oldest first, beyond the event ``after``."""
    return list(session.scalars(
        select(UpsEvent)
        .where(UpsEvent.ae_title == ae_title, UpsEvent.told_at.is_(None), UpsEvent.id > after)
        .order_by(UpsEvent.id).limit(most)
    ))  # fmt: skip


def note_told(session: Session, event_ids: Sequence[int], now: datetime) -> None:
    """These events have arrived."""
    session.execute(update(UpsEvent).where(UpsEvent.id.in_(event_ids)).values(told_at=now))


def forget(session: Session, told_before: datetime, made_before: datetime) -> None:
    """Events that arrived long ago, and those that nobody has come for in a much longer time."""
    session.execute(delete(UpsEvent).where(or_(UpsEvent.told_at < told_before, UpsEvent.made_at < made_before)))
