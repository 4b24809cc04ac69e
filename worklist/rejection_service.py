"""Rejection notes hide instances, before or after they arrive, and only of their own site. [service]

A hidden instance is gone from every list, display, query and retrieve (``Instance.hidden_code``) and from
its study's count; its bytes stay. Sent again it stays hidden.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pacs_bridge.key_object import QUALITY, RejectionNote
from worklist.access import Act, Actor, Refused, check
from worklist.addendum_service import addendum_for_signer
from worklist.base import audit
from worklist.repair_tables import RejectedInstance, Rejection
from worklist.tables import Instance, Quarantine, Series, Site, Study


def note(
    session: Session, site_id: int, note_uid: str, rejection: RejectionNote, *,
    source: str, now: datetime, signed_statuses: Callable[[Session, int], set[str]], actor: Actor | None = None,
    reason: str = "",
) -> set[int]:  # fmt: skip
    """Write a note down and hide what it names; the studies that lost instances.

    Whoever signed on them gets work. ``signed_statuses``: of a study's reports (the report package knows). The same
    note again changes nothing.
    """
    _lock(session, site_id, (study_uid for study_uid, _ in rejection.references))
    if session.scalar(select(Rejection.id).where(Rejection.note_sop_instance_uid == note_uid)) is not None:
        return set()
    row = Rejection(
        site_id=site_id, note_sop_instance_uid=note_uid, code=rejection.code, source=source[:64], reason=reason[:256],
        made_by=actor.account_id if actor else None, made_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    session.add_all(
        RejectedInstance(rejection_id=row.id, sop_instance_uid=sop_uid, study_instance_uid=study_uid)
        for study_uid, sop_uid in rejection.references
    )
    session.flush()
    uids = [sop_uid for _, sop_uid in rejection.references]
    hidden = _set_hidden(session, site_id, uids, rejection.code)
    audit.record(
        session, now=now, actor=actor.username if actor else source, role=actor.role if actor else "device",
        site=session.get_one(Site, site_id).code, act="instances.reject", object_type="rejection", object_uid=note_uid,
        details={"code": rejection.code, "n_named": len(uids), "n_hidden": sum(hidden.values())},
    )  # fmt: skip
    _tell(session, hidden, now, rejection.code)
    for study_id in sorted(hidden):
        if signed_statuses(session, study_id):  # what was signed stands on images that are gone
            _tell_signer(session, session.get_one(Study, study_id), rejection.code, now)
    return set(hidden)


def _lock(session: Session, site_id: int, study_uids: Iterable[str]) -> None:
    """Studies one after another: what arrives in them waits, and then sees the note; two notes count nothing twice."""
    uids = sorted(set(study_uids))
    for start in range(0, len(uids), 500):
        named = Study.study_instance_uid.in_(uids[start : start + 500])
        session.execute(
            select(Study.id).where(named, Study.site_id == site_id).order_by(Study.id)
            .with_for_update(key_share=True)
        ).all()  # fmt: skip


def _tell_signer(session: Session, study: Study, code: str, now: datetime) -> None:
    workitem_uid = addendum_for_signer(session, study, now)
    audit.emit(
        session, "images_rejected", now=now, site_id=study.site_id, study_id=study.id, workitem_uid=workitem_uid,
        code=code,
    )  # fmt: skip


def _set_hidden(session: Session, site_id: int, sop_uids: Iterable[str], code: str | None) -> dict[int, int]:
    """Hide (or with None show) instances of a site; how many of each study changed."""
    changed: dict[int, int] = {}
    uids = sorted(set(sop_uids))
    for start in range(0, len(uids), 500):
        rows = session.execute(
            select(Instance.id, Series.study_id)
            .join(Series, Series.id == Instance.series_id)
            .join(Study, Study.id == Series.study_id)
            .where(Instance.sop_instance_uid.in_(uids[start : start + 500]), Study.site_id == site_id)
            .where(Instance.hidden_code.is_(None) if code else Instance.hidden_code.is_not(None))
        ).all()
        session.execute(
            update(Instance).where(Instance.id.in_([row[0] for row in rows])).values(hidden_code=code)
        )
        for _, study_id in rows:
            changed[study_id] = changed.get(study_id, 0) + 1
    for study_id, count in sorted(changed.items()):
        _count(session, study_id, -count if code else count)
    return changed


def _count(session: Session, study_id: int, difference: int) -> None:
    session.execute(
        update(Study).where(Study.id == study_id).values(n_instances=Study.n_instances + difference)
    )
    session.refresh(session.get_one(Study, study_id))


def _tell(session: Session, changed: dict[int, int], now: datetime, code: str) -> None:
    for study_id, count in sorted(changed.items()):
        study = session.get_one(Study, study_id)
        audit.emit(
            session, "instances_hidden", now=now, site_id=study.site_id, study_id=study_id, code=code, n=count
        )


def is_awaited(session: Session, study_instance_uid: str) -> bool:
    """Whether any note names instances of this study: cheap, asked for every object that arrives."""
    query = select(RejectedInstance.rejection_id).where(RejectedInstance.study_instance_uid == study_instance_uid)
    return session.scalar(query.limit(1)) is not None


def hide_if_rejected(session: Session, study: Study, instance: Instance) -> bool:
    """An object that was rejected before it came is filed hidden; the study's count, grown by one, shrinks again."""
    if not is_awaited(session, study.study_instance_uid):
        return False
    code = _code_for(session, study.site_id, instance.sop_instance_uid)
    if code is None:
        return False
    instance.hidden_code = code
    _count(session, study.id, -1)
    return True


def settle_early_notes(session: Session, study: Study, now: datetime) -> None:
    """Notes that waited for this study have done their work: nobody has to look after them any more."""
    if not is_awaited(session, study.study_instance_uid):
        return
    notes = (
        select(Rejection.note_sop_instance_uid)
        .join(RejectedInstance, RejectedInstance.rejection_id == Rejection.id)
        .where(RejectedInstance.study_instance_uid == study.study_instance_uid)
    )
    session.execute(
        update(Quarantine)
        .where(Quarantine.reason == "rejection_note_early", Quarantine.site_id == study.site_id)
        .where(Quarantine.resolved_at.is_(None), Quarantine.sop_instance_uid.in_(notes))
        .values(resolved_at=now, resolution="study_arrived")
    )


def _code_for(session: Session, site_id: int, sop_instance_uid: str) -> str | None:
    return session.scalar(
        select(Rejection.code)
        .join(RejectedInstance, RejectedInstance.rejection_id == Rejection.id)
        .where(RejectedInstance.sop_instance_uid == sop_instance_uid)
        .where(Rejection.site_id == site_id, Rejection.undone_at.is_(None))
        .order_by(Rejection.id)
        .limit(1)
    )


def undo(session: Session, actor: Actor, rejection_id: int, reason: str, now: datetime) -> Rejection:
    """Show again what a quality note hid, unless another note hides it too.

    Raises Refused: not_found, reason_missing, already_settled, rejection_stands (safety, wrong entry, retention).
    """
    check(actor, Act.IDENTITY_REPAIR)
    if not reason.strip():
        raise Refused("reason_missing")
    row = session.get(Rejection, rejection_id, with_for_update=True)
    if row is None:
        raise Refused("not_found")
    if row.undone_at is not None:
        raise Refused("already_settled")
    if row.code != QUALITY:
        raise Refused("rejection_stands")
    _lock(session, row.site_id, session.scalars(
        select(RejectedInstance.study_instance_uid).where(RejectedInstance.rejection_id == rejection_id)
    ))  # fmt: skip
    row.undone_at, row.undone_by, row.undone_reason = now, actor.account_id, reason.strip()[:256]
    session.flush()
    named = session.scalars(
        select(RejectedInstance.sop_instance_uid).where(RejectedInstance.rejection_id == rejection_id)
    ).all()
    shown = _set_hidden(
        session, row.site_id, [uid for uid in named if _code_for(session, row.site_id, uid) is None], None
    )
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act="instances.unreject",
        object_type="rejection", object_uid=row.note_sop_instance_uid, details={"n_shown": sum(shown.values())},
    )  # fmt: skip
    _tell(session, shown, now, "")
    return row
