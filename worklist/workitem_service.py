"""Reading work is claimed, released, reassigned, completed. [service]

Claims race: every move is one UPDATE that still finds the state it read, so one of two wins. Whoever writes
for a workitem they hold locks its row first, so that drafts, releases and signatures come one after another.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist import store
from worklist.access import Act, Actor, Refused, check
from worklist.access_store import visible_studies
from worklist.account_tables import Account
from worklist.base import audit
from worklist.base.db import insert_once
from worklist.study import InputReadiness
from worklist.tables import BreakGlass, Study, Viewing, Workitem
from worklist.uid import new_uid
from worklist.workitem import IllegalMove, WorkitemMove, WorkitemState, WorkitemStep, moved

READING_ROLES = ("reader", "reviewer", "trainee")
TAKE_OVER_AFTER = timedelta(minutes=15)  # without a saved word since the claim


def workitem_in_sight(
    session: Session, actor: Actor, act: Act, workitem_uid: str, now: datetime, *, lock: bool = False
) -> tuple[Workitem, Study]:
    """The workitem and its study; with ``lock`` nobody else moves it until the transaction ends.

    Raises Refused("forbidden" | "not_found").
    """
    check(actor, act)
    query = (
        select(Workitem, Study)
        .join(Study, Study.id == Workitem.study_id)
        .where(Workitem.workitem_uid == workitem_uid, visible_studies(actor, now))
    )
    if lock:
        query = query.with_for_update(of=Workitem, key_share=True).execution_options(populate_existing=True)
    row = session.execute(query).first()
    if row is None:
        raise Refused("not_found")
    return row[0], row[1]


def claim(
    session: Session, actor: Actor, workitem_uid: str, now: datetime, *, transaction_uid: str | None = None
) -> str:
    """Take the work; the new Transaction UID (PS3.4 CC.2.1). The holder claiming again gets the same one.

    ``transaction_uid``: the one that a performer by UPS brings.

    Raises Refused: "already_claimed" (holder=name), "workitem_ended" (state), "own_report" (a doctor does
    not verify their own report), "stale", "forbidden" where the step asks for another role or the study for
    another qualification: broken glass lets read, not report.
    """
    workitem, study = workitem_in_sight(session, actor, Act.WORKITEM_CLAIM, workitem_uid, now)
    _check_performer(actor, workitem, study)
    if workitem.state == WorkitemState.IN_PROGRESS and workitem.actual_performer == actor.account_id:
        return workitem.transaction_uid or ""
    _refuse_unless_free(session, workitem)
    transaction_uid = transaction_uid or new_uid()
    won = session.execute(
        update(Workitem)
        .where(Workitem.workitem_uid == workitem_uid, Workitem.state == WorkitemState.SCHEDULED)
        .values(
            state=moved(WorkitemState.SCHEDULED, WorkitemMove.CLAIM), transaction_uid=transaction_uid,
            actual_performer=actor.account_id, claimed_at=now,
        )
    )  # fmt: skip
    if won.rowcount != 1:  # type: ignore[attr-defined]
        session.refresh(workitem)
        if workitem.state == WorkitemState.IN_PROGRESS and workitem.actual_performer == actor.account_id:
            return workitem.transaction_uid or ""  # asked twice at once
        _refuse_unless_free(session, workitem)
        raise Refused("stale")
    tell(session, actor, "claimed", "workitem.claim", workitem, study, now)
    return transaction_uid


def _check_performer(actor: Actor, workitem: Workitem, study: Study) -> None:
    if study.kind not in actor.kinds:
        raise Refused("forbidden", act=str(Act.WORKITEM_CLAIM))
    if workitem.step == WorkitemStep.VERIFICATION:
        check(actor, Act.REPORT_VERIFY)
        if workitem.excluded_performer == actor.account_id:
            raise Refused("own_report")


def _refuse_unless_free(session: Session, workitem: Workitem) -> None:
    if workitem.state == WorkitemState.IN_PROGRESS:
        holder = session.get_one(Account, workitem.actual_performer)
        raise Refused("already_claimed", holder=holder.name)
    if workitem.state != WorkitemState.SCHEDULED:
        raise Refused("workitem_ended", state=workitem.state)


def held(session: Session, actor: Actor, act: Act, workitem_uid: str, now: datetime) -> tuple[Workitem, Study]:
    """A workitem that the actor holds, its row locked.

    Raises Refused("not_claimed" | "already_claimed" | "workitem_ended").
    """
    workitem, study = workitem_in_sight(session, actor, act, workitem_uid, now, lock=True)
    if workitem.state == WorkitemState.SCHEDULED:
        raise Refused("not_claimed")
    if workitem.state != WorkitemState.IN_PROGRESS:
        raise Refused("workitem_ended", state=workitem.state)
    if workitem.actual_performer != actor.account_id:
        _refuse_unless_free(session, workitem)
    return workitem, study


def move(session: Session, workitem: Workitem, step: WorkitemMove, now: datetime, reason: str | None = None) -> None:
    """Move a workitem along the table; raises IllegalMove, or Refused("stale") when another was first."""
    before = workitem.state
    after = moved(before, step)
    ends = after in (WorkitemState.COMPLETED, WorkitemState.CANCELED)
    done = session.execute(
        update(Workitem)
        .where(Workitem.workitem_uid == workitem.workitem_uid, Workitem.state == before)
        .values(state=after, ended_at=now if ends else None, reason=reason)
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise Refused("stale")
    session.refresh(workitem)


def successor(session: Session, ended: Workitem, now: datetime, **changes: object) -> Workitem:
    """The workitem that takes the place of an ended one, with its due time and its draft."""
    values: dict[str, object] = {
        "step": ended.step, "priority": ended.priority, "due_at": ended.due_at, "report_uid": ended.report_uid,
        "excluded_performer": ended.excluded_performer, "scheduled_performer": None,
    }  # fmt: skip
    item = Workitem(
        workitem_uid=new_uid(), study_id=ended.study_id, state=WorkitemState.SCHEDULED, created_at=now,
        replaces=ended.workitem_uid, **(values | changes),
    )  # fmt: skip
    session.add(item)
    session.flush()
    return item


def release(session: Session, actor: Actor, workitem_uid: str, reason: str, now: datetime) -> Workitem:
    """Give claimed work back; the successor, free for everyone. Raises Refused("reason_missing"), see ``held``."""
    if not reason.strip():
        raise Refused("reason_missing")
    workitem, study = held(session, actor, Act.WORKITEM_CLAIM, workitem_uid, now)
    move(session, workitem, WorkitemMove.RELEASE, now, reason)
    item = successor(session, workitem, now)
    tell(session, actor, "released", "workitem.release", workitem, study, now, replaced_by=item.workitem_uid)
    return item


def reassign(
    session: Session, actor: Actor, workitem_uid: str, to_username: str, reason: str, now: datetime
) -> Workitem:
    """Give work to another reader; before a claim the same workitem, after it a successor.

    Raises Refused: "reason_missing", "reader_unknown" (not a reader of this kind of study), "own_report".
    """
    if not reason.strip():
        raise Refused("reason_missing")
    workitem, study = workitem_in_sight(session, actor, Act.WORKITEM_REASSIGN, workitem_uid, now, lock=True)
    reader = session.scalar(select(Account).where(Account.username == to_username, Account.enabled.is_(True)))
    needed = ("reviewer",) if workitem.step == WorkitemStep.VERIFICATION else READING_ROLES
    if reader is None or reader.role not in needed or study.kind not in reader.kinds:
        raise Refused("reader_unknown", to=to_username)
    if workitem.excluded_performer == reader.id:
        raise Refused("own_report")
    if workitem.state == WorkitemState.SCHEDULED:
        moved(workitem.state, WorkitemMove.REASSIGN)
        workitem.scheduled_performer = reader.id
        item = workitem
    else:
        if workitem.state == WorkitemState.IN_PROGRESS and workitem.actual_performer != actor.account_id:
            _refuse_unless_free(session, workitem)
        move(session, workitem, WorkitemMove.RELEASE, now, reason)
        item = successor(session, workitem, now, scheduled_performer=reader.id)
    tell(session, actor, "reassigned", "workitem.reassign", item, study, now, to=to_username)
    return item


def take_over(
    session: Session, actor: Actor, workitem_uid: str, reason: str, now: datetime,
    *, last_saved_at: Callable[[Session, str], datetime | None],
) -> tuple[Workitem, str]:
    """Work that its holder left lying becomes the actor's: the successor with the draft, and its Transaction UID.

    Left lying: nothing saved for TAKE_OVER_AFTER since the claim, or the holder's account is closed.
    ``last_saved_at`` says when a report was last written (the report package knows).
    Raises Refused: "already_claimed" (holder, take_over_at) too early, "reason_missing", and as ``claim``.
    """
    if not reason.strip():
        raise Refused("reason_missing")
    workitem, study = workitem_in_sight(session, actor, Act.WORKITEM_REASSIGN, workitem_uid, now, lock=True)
    _check_performer(actor, workitem, study)
    if workitem.state == WorkitemState.SCHEDULED:
        raise Refused("not_claimed")
    if workitem.state != WorkitemState.IN_PROGRESS:
        raise Refused("workitem_ended", state=workitem.state)
    saved_at = last_saved_at(session, workitem.report_uid) if workitem.report_uid else None
    _refuse_while_held(session, workitem, saved_at, now)
    move(session, workitem, WorkitemMove.RELEASE, now, reason)
    item = successor(session, workitem, now, scheduled_performer=actor.account_id)
    tell(session, actor, "taken_over", "workitem.take_over", workitem, study, now, replaced_by=item.workitem_uid)
    return item, claim(session, actor, item.workitem_uid, now)


def _refuse_while_held(session: Session, workitem: Workitem, saved_at: datetime | None, now: datetime) -> None:
    holder = session.get_one(Account, workitem.actual_performer)
    claimed_at = workitem.claimed_at or workitem.created_at
    free_at = max(claimed_at, saved_at or claimed_at) + TAKE_OVER_AFTER
    if holder.enabled and now < free_at:
        raise Refused("already_claimed", holder=holder.name, take_over_at=free_at.isoformat())


def dismiss(session: Session, actor: Actor, workitem_uid: str, reason: str, now: datetime) -> None:
    """End an addendum for which nothing has to be written.

    Raises Refused: "reason_missing", "study_receiving" (more late images may come); IllegalMove.
    """
    if not reason.strip():
        raise Refused("reason_missing")
    workitem, study = held(session, actor, Act.WORKITEM_CLAIM, workitem_uid, now)
    if workitem.step != WorkitemStep.ADDENDUM:
        raise IllegalMove(WorkitemState(workitem.state), WorkitemMove.DISMISS)
    if study.input_readiness != InputReadiness.READY:
        raise Refused("study_receiving")
    move(session, workitem, WorkitemMove.DISMISS, now, reason)
    study.late_images_at = None
    tell(session, actor, "dismissed", "workitem.dismiss", workitem, study, now)


def has_viewed(session: Session, actor: Actor, study: Study) -> bool:
    """Whether it is written down already that the actor reads this study in this sitting."""
    return session.get(Viewing, (actor.account_id, study.id, actor.sitting)) is not None


def note_viewing(session: Session, actor: Actor, study: Study, now: datetime) -> bool:
    """Write down that the actor reads this study's images; one audit row per person, study and sitting."""
    if has_viewed(session, actor, study):
        return False
    first = session.scalar(select(Viewing.account_id).where(Viewing.study_id == study.id).limit(1)) is None
    if not insert_once(
        session, Viewing, account_id=actor.account_id, study_id=study.id, sitting=actor.sitting, first_at=now
    ):
        return False  # two requests of one page at once
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act="study.view_images",
        object_type="study", object_uid=study.study_instance_uid,
    )  # fmt: skip
    if first and actor.role in READING_ROLES:
        audit.emit(
            session, "first_opened", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id
        )
    return True


def break_glass(
    session: Session, actor: Actor, study_instance_uid: str, reason: str, until: datetime, now: datetime
) -> Study:
    """Open one study beyond the actor's own, with a reason, until ``until``.

    Raises Refused("reason_missing"), Refused("not_found").
    """
    check(actor, Act.BREAK_GLASS_USE)
    if len(reason.strip()) < 4:
        raise Refused("reason_missing")
    study = store.study_by_uid(session, study_instance_uid)
    if study is None:
        raise Refused("not_found")
    session.add(
        BreakGlass(account_id=actor.account_id, study_id=study.id, reason=reason, granted_at=now, expires_at=until)
    )
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act="break_glass.use",
        object_type="study", object_uid=study_instance_uid, details={"reason": reason},
    )  # fmt: skip
    return study


def live_workitems(session: Session, study: Study) -> list[Workitem]:
    """A study's workitems that were not cancelled, oldest first."""
    return [item for item in store.workitems_of_study(session, study.id) if item.state != WorkitemState.CANCELED]


def see_conflicts(session: Session, actor: Actor, workitem_uid: str, reason: str, now: datetime) -> int:
    """The holder has seen the conflicts on the study and says why signing may go on; how many there were."""
    if not reason.strip():
        raise Refused("reason_missing")
    workitem, study = held(session, actor, Act.REPORT_WRITE, workitem_uid, now)
    conflicts = store.open_conflicts(session, study.id)
    for conflict in conflicts:
        conflict.seen_by, conflict.seen_at, conflict.seen_reason = actor.account_id, now, reason
    tell(session, actor, "conflict_seen", "study.conflict_seen", workitem, study, now, n=len(conflicts))
    return len(conflicts)


def tell(
    session: Session, actor: Actor, event: str, act: str,
    workitem: Workitem, study: Study, now: datetime, **more: object,
) -> None:
    """One audit row and one workflow event for a change of a workitem."""
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act=act,
        object_type="workitem", object_uid=workitem.workitem_uid,
    )  # fmt: skip
    audit.emit(
        session, event, now=now, actor=actor.username, site_id=study.site_id, study_id=study.id,
        workitem_uid=workitem.workitem_uid, report_uid=workitem.report_uid, **more,
    )  # fmt: skip
