"""A study goes back to the technician for a retake; the new images bring new work that follows it. [service]"""

from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from worklist import triage
from worklist.access import Act, Actor, Refused, check
from worklist.base import audit
from worklist.retake import CATEGORIES
from worklist.study import InputReadiness
from worklist.tables import Order, Study, Workitem
from worklist.uid import new_uid
from worklist.workitem import WorkitemMove, WorkitemState, WorkitemStep
from worklist.workitem_service import held, move

OPEN_STATES = (WorkitemState.SCHEDULED, WorkitemState.IN_PROGRESS)
UNSIGNED = ("none", "draft")  # a report that left would have to be withdrawn, not its images taken again


def return_for_retake(
    session: Session, actor: Actor, workitem_uid: str, category: str, reason: str, now: datetime
) -> Workitem:
    """The holder's work ends: its images do not do. ``reason``: more words; needed where ``category`` is "other".

    Raises Refused: "retake_category", "reason_missing", "wrong_step", "study_receiving", "retake_report_out", and
    what ``held`` raises.
    """
    check(actor, Act.WORKITEM_RETAKE)
    if category not in CATEGORIES:
        raise Refused("retake_category", category=category[:32])
    if category == "other" and not reason.strip():
        raise Refused("reason_missing")
    workitem, study = held(session, actor, Act.WORKITEM_RETAKE, workitem_uid, now)
    if workitem.step != WorkitemStep.INTERPRETATION:
        raise Refused("wrong_step", step=workitem.step)
    if study.input_readiness != InputReadiness.READY:
        raise Refused("study_receiving")  # what is still on its way would pass for the retake
    if study.report_status not in UNSIGNED:
        raise Refused("retake_report_out")
    move(session, workitem, WorkitemMove.RETAKE, now, reason.strip() or None)
    workitem.retake_reason = category
    session.flush()
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act="workitem.retake",
        object_type="workitem", object_uid=workitem_uid, details={"category": category, "reason": reason.strip()},
    )  # fmt: skip
    audit.emit(
        session, "returned_for_retake", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id,
        workitem_uid=workitem_uid, report_uid=workitem.report_uid, category=category,
    )  # fmt: skip
    return workitem


def awaited(session: Session, *, study_id: int | None = None, order_uid: str | None = None) -> Workitem | None:
    """The retake of this study, or of this order's studies, that no new images have answered yet."""
    later = aliased(Workitem)
    query = (
        select(Workitem)
        .join(Study, Study.id == Workitem.study_id)
        .where(Workitem.retake_reason.is_not(None), ~exists().where(later.replaces == Workitem.workitem_uid))
        .order_by(Workitem.ended_at.desc())
        .limit(1)
    )
    return session.scalar(query.where(Study.id == study_id) if study_id else query.where(Study.order_uid == order_uid))


def suggested_order(session: Session, study: Study, since: datetime) -> str | None:
    """The request of a study returned for a retake that ``study`` may answer; for a person to confirm.

    Of the same patient and modality, and without a request of its own: with one, that matches or is suggested itself.
    """
    later = aliased(Workitem)
    query = (
        select(Study.order_uid)
        .join(Workitem, Workitem.study_id == Study.id)
        .join(Order, Order.order_uid == Study.order_uid)
        .where(Study.patient_pk == study.patient_pk, Study.modality == study.modality, Study.id != study.id)
        .where(Order.made_from_object.is_(True), Workitem.retake_reason.is_not(None), Workitem.ended_at >= since)
        .where(~exists().where(later.replaces == Workitem.workitem_uid))
        .order_by(Workitem.ended_at.desc())
        .limit(1)
    )
    return session.scalar(query)


def follow(session: Session, retake: Workitem, study: Study, now: datetime) -> None:
    """New images came: the work on them takes the place of what was returned.

    More images of the returned study bring a new workitem with its draft; a new study brings its own.
    """
    item = session.scalar(
        select(Workitem).where(
            Workitem.study_id == study.id, Workitem.state.in_(OPEN_STATES), Workitem.replaces.is_(None)
        )
    )
    if item is None:
        item = Workitem(
            workitem_uid=new_uid(), study_id=study.id, step=WorkitemStep.INTERPRETATION, priority=retake.priority,
            state=WorkitemState.SCHEDULED, created_at=now,
            report_uid=retake.report_uid if retake.study_id == study.id else None,
            due_at=triage.due_at(now, study.modality, study.body_part, retake.priority, None),
        )  # fmt: skip
        session.add(item)
    item.replaces = retake.workitem_uid
    session.flush()
    audit.emit(
        session, "retaken", now=now, site_id=study.site_id, study_id=study.id, workitem_uid=item.workitem_uid,
        replaces=retake.workitem_uid,
    )  # fmt: skip
