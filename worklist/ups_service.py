"""What can be done with procedure steps by DIMSE and by UPS-RS: created, set, moved, cancelled. [service]

Reading work is the worklist's own: it is claimed and given back here by the same rules as on the pages, and ends by
its signed report alone. Everything else that is pushed is a task of others, performed by them in full.
Each function raises UpsRefused, or returns the status of success or warning.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pacs_bridge import ups
from pacs_bridge.ups import Attributes, UpsRefused, put, tag, text
from pacs_bridge.ups_rules import checked_create, checked_set, missing_at_end
from worklist import addendum_service, store, triage, ups_store, workitem_service
from worklist.access import Refused
from worklist.base import audit
from worklist.tables import Order, Study, Workitem
from worklist.uid import new_uid
from worklist.ups_asker import Asker
from worklist.ups_events import Step, tell
from worklist.ups_store import Place, task_attributes
from worklist.ups_tables import UpsExtra, UpsTask
from worklist.workitem import IllegalMove, WorkitemMove, WorkitemState, WorkitemStep, moved

S, P, D, X = WorkitemState.SCHEDULED, WorkitemState.IN_PROGRESS, WorkitemState.COMPLETED, WorkitemState.CANCELED
GONE_AFTER = timedelta(minutes=15)
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_READING_CODES = {ups.INTERPRETATION[:2], ups.ADDENDUM[:2]}
_PROGRESS, _PERFORMED = "ProcedureStepProgressInformationSequence", "UnifiedProcedureStepPerformedProcedureSequence"
# What the performer of reading work may say of it; the rest of it is what the worklist knows.
_OF_PERFORMER = (_PROGRESS, _PERFORMED, "CommentsOnTheScheduledProcedureStep")
_ASSIGNING = ("ScheduledStationNameCodeSequence", "ScheduledHumanPerformersSequence")
# What a refusal of the worklist is by UPS.
_STATUS_OF = {
    "not_found": ups.NO_SUCH_UPS, "already_claimed": ups.ALREADY_IN_PROGRESS, "stale": ups.ALREADY_IN_PROGRESS,
    "workitem_ended": ups.NO_LONGER_UPDATED, "not_claimed": ups.NOT_IN_PROGRESS,
}  # fmt: skip


@dataclass(frozen=True)
class Created:
    """A new step and the status of its making."""

    workitem_uid: str
    status: int


def is_uid(value: str) -> bool:
    return len(value) <= 64 and _UID.fullmatch(value) is not None


def create(
    session: Session, place: Place, asker: Asker, uid: str | None, given: Mapping[str, Any], now: datetime
) -> Created:
    """Push a step (CC.2.5). Reading of a study that is here becomes reading work; else it is a task of others."""
    uid = uid or new_uid()
    if not is_uid(uid):
        raise UpsRefused(ups.INVALID_INSTANCE, "not a UID")
    if session.get(Workitem, uid) is not None or session.get(UpsTask, uid) is not None:
        raise UpsRefused(ups.DUPLICATE, "there is a UPS of this UID")
    attributes = checked_create(given)
    study = _study_of(session, asker, attributes)
    if study is not None and ups.code_of(attributes, "ScheduledWorkitemCodeSequence") in _READING_CODES:
        _create_reading(session, asker, uid, study, now)
        return Created(uid, ups.CREATED_MODIFIED)
    put(attributes, "SOPClassUID", ups.PUSH)
    put(attributes, "SOPInstanceUID", uid)
    if not text(attributes, "WorklistLabel"):
        put(attributes, "WorklistLabel", ups.WORKLIST_LABEL)
    put(attributes, "ScheduledProcedureStepModificationDateTime", ups.moment(now.astimezone(place.zone)))
    task = UpsTask(
        workitem_uid=uid, site_id=asker.site_id, study_id=study.id if study else None, state=S, attributes=attributes,
        created_by=asker.name, created_at=now,
    )  # fmt: skip
    session.add(task)
    session.flush()
    _record(session, asker, "ups.create", uid, now)
    reports = [(ups.STATE_REPORT, ups.state_report(attributes))]
    if any(ups.items(attributes, keyword) for keyword in _ASSIGNING):
        reports.append((ups.ASSIGNED, ups.assigned_report(attributes)))
    _tell(session, task, reports, now)
    return Created(uid, ups.SUCCESS)


def _study_of(session: Session, asker: Asker, attributes: Mapping[str, Any]) -> Study | None:
    """The study in the asker's sight that a pushed step is about."""
    named = [text(attributes, "StudyInstanceUID")]
    for keyword in ("InputInformationSequence", "ReferencedRequestSequence"):
        named += [text(item, "StudyInstanceUID") for item in ups.items(attributes, keyword)]
    uids = [uid for uid in named if uid]
    if not uids:
        return None
    return session.scalar(select(Study).where(Study.study_instance_uid == uids[0], asker.sight.studies))


def _create_reading(session: Session, asker: Asker, uid: str, study: Study, now: datetime) -> None:
    """Work of the worklist: an addendum where a report is signed, else a reading. One at a time for each study."""
    session.execute(select(Study.id).where(Study.id == study.id).with_for_update())
    if any(store.open_workitem_exists(session, study.id, step.value) for step in WorkitemStep):
        raise UpsRefused(ups.DUPLICATE, "this study has open reading work")
    is_signed = any(item.state == D for item in store.workitems_of_study(session, study.id))
    if is_signed:
        made = addendum_service.addendum_for_signer(session, study, now, workitem_uid=uid)
        item = session.get_one(Workitem, made)
    else:
        order = session.get_one(Order, study.order_uid)
        item = Workitem(
            workitem_uid=uid, study_id=study.id, step=WorkitemStep.INTERPRETATION, state=S, priority=order.priority,
            created_at=now, due_at=triage.due_at(now, study.modality, study.body_part, order.priority, order.pathway),
        )  # fmt: skip
        session.add(item)
        session.flush()
    _record(session, asker, "workitem.create", uid, now)
    audit.emit(
        session, "requested", now=now, actor=asker.name, site_id=study.site_id, study_id=study.id, workitem_uid=uid,
        report_uid=item.report_uid,
    )  # fmt: skip


def get(session: Session, place: Place, asker: Asker, uid: str) -> Attributes:
    """All attributes of a step in sight; the Transaction UID is not among them (CC.2.7)."""
    found = ups_store.one(session, place, asker.sight, uid)
    if found is None:
        raise _unknown()
    return found


def set_attributes(
    session: Session, place: Place, asker: Asker, uid: str, transaction_uid: str, given: Mapping[str, Any],
    now: datetime,
) -> int:  # fmt: skip
    """CC.2.6. Of reading work its performer may say how it goes; what else is set is passed over (0001)."""
    item = _locked(session, asker, uid)
    if item.state in (D, X):
        raise UpsRefused(ups.NO_LONGER_UPDATED, "the UPS may no longer be updated")
    if item.state == P:
        _check_transaction(item, transaction_uid)
    if item.state == S and transaction_uid:
        raise UpsRefused(ups.NOT_IN_PROGRESS, "the UPS is not IN PROGRESS")
    attributes = checked_set(given)
    if isinstance(item, UpsTask):
        _set_task(session, place, item, attributes, now)
        status = ups.SUCCESS
    else:
        status = _set_extra(session, place, item, attributes, now)
    _record(session, asker, "ups.set", uid, now)
    return status


def _set_task(session: Session, place: Place, task: UpsTask, attributes: Attributes, now: datetime) -> None:
    before = task_attributes(task)
    put(attributes, "ScheduledProcedureStepModificationDateTime", ups.moment(now.astimezone(place.zone)))
    task.attributes = before | attributes
    reports: list[tuple[int, Attributes]] = []
    if text(before, "InputReadinessState") != text(task.attributes, "InputReadinessState"):
        reports.append((ups.STATE_REPORT, ups.state_report(task_attributes(task))))
    if any(task.attributes.get(tag(keyword)) != before.get(tag(keyword)) for keyword in _ASSIGNING):
        reports.append((ups.ASSIGNED, ups.assigned_report(task.attributes)))
    if tag(_PROGRESS) in attributes and attributes[tag(_PROGRESS)] != before.get(tag(_PROGRESS)):
        reports.append((ups.PROGRESS_REPORT, ups.progress_report(attributes)))
    _tell(session, task, reports, now)


def _set_extra(session: Session, place: Place, workitem: Workitem, attributes: Attributes, now: datetime) -> int:
    kept = {tag(keyword): attributes[tag(keyword)] for keyword in _OF_PERFORMER if tag(keyword) in attributes}
    row = session.get(UpsExtra, workitem.workitem_uid)
    before = row.attributes if row is not None else {}
    if row is None:
        row = UpsExtra(workitem_uid=workitem.workitem_uid, attributes={})
        session.add(row)
    row.attributes = before | kept
    session.flush()
    if tag(_PROGRESS) in kept and kept[tag(_PROGRESS)] != before.get(tag(_PROGRESS)):
        step = _step_of(session, place, workitem)
        step.reports = [(ups.PROGRESS_REPORT, ups.progress_report(kept))]
        tell(session, step, now)
    return ups.SUCCESS if len(kept) == len(attributes) else ups.NOT_SUPPORTED


def change_state(
    session: Session, place: Place, asker: Asker, uid: str, wanted: str, transaction_uid: str, now: datetime
) -> int:
    """CC.2.1 along Table CC.1.1-2. A claim's Transaction UID is correct when there is one: it is new."""
    item = _locked(session, asker, uid)
    if wanted == S:
        raise UpsRefused(ups.NEVER_SCHEDULED, "a UPS becomes SCHEDULED by its creation alone")
    if wanted not in (P, D, X):
        raise UpsRefused(ups.INVALID_ARGUMENT, "no such Procedure Step State")
    if not is_uid(transaction_uid):
        raise UpsRefused(ups.WRONG_TRANSACTION, ups.NO_TRANSACTION)
    if wanted == P:
        _claim(session, asker, item, transaction_uid, now)
        return ups.SUCCESS
    if item.state == S:
        raise UpsRefused(ups.NOT_IN_PROGRESS, "the UPS is not IN PROGRESS")
    _check_transaction(item, transaction_uid)
    if item.state == wanted:
        return ups.ALREADY_COMPLETED if wanted == D else ups.ALREADY_CANCELED
    if item.state != P:
        raise UpsRefused(ups.NO_LONGER_UPDATED, "the UPS may no longer be updated")
    if isinstance(item, UpsTask):
        _end_task(session, place, asker, item, wanted, now)
    elif wanted == D:
        raise UpsRefused(ups.FINAL_STATE_NOT_MET, "reading ends by its signed report")
    else:
        _give_back(session, place, asker, item, now)
    return ups.SUCCESS


def _check_transaction(item: Workitem | UpsTask, transaction_uid: str) -> None:
    if not transaction_uid:
        raise UpsRefused(ups.WRONG_TRANSACTION, ups.NO_TRANSACTION)
    if transaction_uid != item.transaction_uid:
        raise UpsRefused(ups.WRONG_TRANSACTION, "the correct Transaction UID was not provided")


def _claim(session: Session, asker: Asker, item: Workitem | UpsTask, transaction_uid: str, now: datetime) -> None:
    if item.state == P:
        raise UpsRefused(ups.ALREADY_IN_PROGRESS, "the UPS is already IN PROGRESS")
    if item.state != S:
        raise UpsRefused(ups.NO_LONGER_UPDATED, "the UPS may no longer be updated")
    if isinstance(item, Workitem):
        if asker.performer is None:
            raise UpsRefused(ups.NOT_AUTHORISED, "no reader works at this station")
        with _as_status():
            uid = item.workitem_uid
            got = workitem_service.claim(session, asker.performer, uid, now, transaction_uid=transaction_uid)
        if got != transaction_uid:
            raise UpsRefused(ups.ALREADY_IN_PROGRESS, "the UPS is already IN PROGRESS")
        return
    won = session.execute(
        update(UpsTask).where(UpsTask.workitem_uid == item.workitem_uid, UpsTask.state == S)
        .values(state=moved(S, WorkitemMove.CLAIM), transaction_uid=transaction_uid, performer=asker.name)
    )  # fmt: skip
    if won.rowcount != 1:  # type: ignore[attr-defined]
        raise UpsRefused(ups.ALREADY_IN_PROGRESS, "the UPS is already IN PROGRESS")
    session.refresh(item)
    _record(session, asker, "ups.claim", item.workitem_uid, now)
    _tell(session, item, [(ups.STATE_REPORT, ups.state_report(task_attributes(item)))], now)


def _end_task(session: Session, place: Place, asker: Asker, task: UpsTask, wanted: str, now: datetime) -> None:
    if wanted == X:
        _put_cancellation(task, {}, now.astimezone(place.zone))
    missing = missing_at_end(task_attributes(task), wanted)
    if missing:
        raise UpsRefused(ups.FINAL_STATE_NOT_MET, f"missing: {', '.join(missing)}")
    task.state = moved(task.state, WorkitemMove.COMPLETE if wanted == D else WorkitemMove.RELEASE)
    task.ended_at = now
    session.flush()
    _record(session, asker, "ups.complete" if wanted == D else "ups.cancel", task.workitem_uid, now)
    _tell(session, task, [(ups.STATE_REPORT, ups.state_report(task_attributes(task)))], now)


def _put_cancellation(task: UpsTask, information: Mapping[str, Any], at: datetime) -> None:
    progress = dict((ups.items(task.attributes, _PROGRESS) or [{}])[0])
    discontinued = tag("ProcedureStepDiscontinuationReasonCodeSequence")
    if discontinued in information:
        progress[discontinued] = information[discontinued]
    found = dict(task.attributes)
    put(found, _PROGRESS, ups.cancellation(progress, at, text(information, "ReasonForCancellation")))
    task.attributes = found


def _give_back(session: Session, place: Place, asker: Asker, workitem: Workitem, now: datetime) -> None:
    """The performer cancels: as a release on the page, a successor takes over."""
    if asker.performer is None or asker.performer.account_id != workitem.actual_performer:
        raise UpsRefused(ups.NOT_AUTHORISED, "somebody else performs it")
    attributes = _step_of(session, place, workitem).attributes
    progress = (ups.items(attributes, _PROGRESS) or [{}])[0]
    codes = ups.items(progress, "ProcedureStepDiscontinuationReasonCodeSequence") or [ups.code(ups.UNSPECIFIED_REASON)]
    reason = text(progress, "ReasonForCancellation") or text(codes[0], "CodeMeaning") or ups.UNSPECIFIED_REASON[2]
    with _as_status():
        workitem_service.release(session, asker.performer, workitem.workitem_uid, reason[:256], now)


def request_cancel(
    session: Session, place: Place, asker: Asker, uid: str, information: Mapping[str, Any], now: datetime
) -> int:
    """CC.2.2. Work in progress: its performer is told, where it can be. Reading work is cancelled by nobody outside."""
    item = _locked(session, asker, uid)
    if item.state == D:
        raise UpsRefused(ups.CANCEL_COMPLETED, "the UPS is already COMPLETED")
    if item.state == X:
        return ups.ALREADY_CANCELED
    if isinstance(item, Workitem) and item.state == S:
        raise UpsRefused(ups.WILL_NOT_CANCEL, "a study that is here is read")
    asked = (ups.CANCEL_REQUESTED, ups.cancel_report(information, asker.name))
    if isinstance(item, UpsTask) and (item.state == S or _is_performer_gone(session, item, now)):
        _cancel_task(session, place, item, information, asked, now)
    else:
        step = _step_of(session, place, item)
        step.reports = [asked]
        if not tell(session, step, now):
            raise UpsRefused(ups.NO_CONTACT, "nobody subscribed to this UPS")
    _record(session, asker, "ups.cancel_request", uid, now)
    return ups.SUCCESS


def _cancel_task(
    session: Session, place: Place, task: UpsTask, information: Mapping[str, Any], asked: tuple[int, Attributes],
    now: datetime,
) -> None:  # fmt: skip
    """We cancel it ourselves: what was SCHEDULED passes IN PROGRESS on its way (Table CC.1.1-2)."""
    path = (P, X) if task.state == S else (X,)
    _put_cancellation(task, information, now.astimezone(place.zone))
    task.state, task.ended_at = moved(P, WorkitemMove.RELEASE), now
    session.flush()
    passed = [ups.state_report(task_attributes(task), state) for state in path]
    _tell(session, task, [asked, *((ups.STATE_REPORT, report) for report in passed)], now)


def _is_performer_gone(session: Session, task: UpsTask, now: datetime) -> bool:
    """Whether the device that claimed a task is switched off here, or has not been heard of for long (CC.2.1.3)."""
    device = store.device_by_ae_title(session, task.performer or "")
    if device is None:
        return False
    return not device.enabled or device.last_seen_at is None or now - device.last_seen_at > GONE_AFTER


def _locked(session: Session, asker: Asker, uid: str) -> Workitem | UpsTask:
    """The step in sight, its row locked: requests for one step come one after another."""
    workitem = session.scalar(
        select(Workitem).join(Study, Study.id == Workitem.study_id)
        .where(Workitem.workitem_uid == uid, asker.sight.studies)
        .with_for_update(of=Workitem, key_share=True).execution_options(populate_existing=True)
    )  # fmt: skip
    if workitem is not None:
        return workitem
    task = session.scalar(
        select(UpsTask).where(UpsTask.workitem_uid == uid, asker.sight.tasks)
        .with_for_update().execution_options(populate_existing=True)
    )  # fmt: skip
    if task is None:
        raise _unknown()
    return task


def _unknown() -> UpsRefused:
    return UpsRefused(ups.NO_SUCH_UPS, "no such UPS is managed here")


class _as_status:  # noqa: N801
    """Refusals of the worklist become those of UPS."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            raise UpsRefused(_STATUS_OF.get(error.code, ups.NOT_AUTHORISED), f"refused: {error.code}") from error
        if isinstance(error, IllegalMove):
            raise UpsRefused(ups.NO_LONGER_UPDATED, "the UPS may no longer be updated") from error


def _step_of(session: Session, place: Place, item: Workitem | UpsTask) -> Step:
    if isinstance(item, UpsTask):
        return Step(item.workitem_uid, item.site_id, None, item.created_at, task_attributes(item))
    study = session.get_one(Study, item.study_id)
    found = ups_store.reading_work(session, place, [item.workitem_uid], Study.id == study.id, has_input=False)
    return Step(item.workitem_uid, study.site_id, study.kind, item.created_at, found[item.workitem_uid])


def _tell(session: Session, task: UpsTask, reports: list[tuple[int, Attributes]], now: datetime) -> None:
    tell(session, Step(task.workitem_uid, task.site_id, None, task.created_at, task_attributes(task), reports), now)


def _record(session: Session, asker: Asker, act: str, uid: str, now: datetime) -> None:
    audit.record(
        session, now=now, actor=asker.name, role=asker.role, site=asker.site_code, act=act, object_type="workitem",
        object_uid=uid,
    )  # fmt: skip


def record_refusal(session: Session, asker: Asker, uid: str, refusal: UpsRefused, now: datetime) -> None:
    """The audit row of what was not done: its status, and nothing that was sent."""
    audit.record(
        session, now=now, actor=asker.name, role=asker.role, site=asker.site_code, act="ups.request",
        object_type="workitem", object_uid=uid, result=f"{refusal.status:04X}",
    )  # fmt: skip
