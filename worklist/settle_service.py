"""Associations begin and end; a study that nothing more is coming for turns READY. [service]"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from worklist import completeness_service, store
from worklist.base import audit
from worklist.study import InputReadiness, Ready, Waits, weigh
from worklist.tables import Association, Study, StudyAssociation

# What waits for something that may not come for hours is weighed anew this often, and whenever anything came.
AGAIN_AFTER = timedelta(seconds=10)
REOPENED_BY_A_LIST = ("none", "draft", "returned")


def _is_due(study: Study, now: datetime) -> bool:
    """Whether weighing a study may change anything: its device is quiet, and it was not weighed just now."""
    if now < study.last_received_at + timedelta(seconds=study.quiet_time_s):
        return False
    if study.weighed_at is None or study.weighed_at <= study.last_received_at:
        return True
    return now >= study.weighed_at + AGAIN_AFTER


def _weigh(session: Session, study: Study, now: datetime) -> str | None:
    """Write down what speaks for and against completeness; the kind of event to tell, None where nothing changed."""
    evidence = completeness_service.gather(session, study)
    verdict = weigh(evidence, now)
    if verdict in (Waits.ASSOCIATION, Waits.QUIET_TIME) and not evidence.steps:
        return None  # the usual course of things, seen several times a second
    is_ready = isinstance(verdict, Ready)
    values: dict[str, Any] = {
        "ready_evidence": evidence.as_json(verdict), "n_missing": evidence.n_missing,
        "weighed_at": now if verdict in (Waits.STEP, Waits.MISSING) else None,
    }  # fmt: skip
    if is_ready:
        values |= {"input_readiness": InputReadiness.READY, "ready_at": now}
    before = study.n_missing or 0, (study.ready_evidence or {}).get("waits_for")
    changed = session.execute(
        update(Study)
        .where(Study.id == study.id, Study.input_readiness == InputReadiness.INCOMPLETE)
        .where(Study.n_instances == study.n_instances)
        .values(**values)
    )
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        return None
    if is_ready:
        return "ready"
    return "evidence" if before != (evidence.n_missing, verdict) else None


def _settle_all(session: Session, studies: Sequence[Study], now: datetime) -> int:
    """First every row, in order of id, then every event: nobody holds the order of events and waits for a row."""
    told = [(study, kind) for study in studies if (kind := _weigh(session, study, now)) is not None]
    for study, kind in told:
        audit.emit(session, kind, now=now, site_id=study.site_id, study_id=study.id, n_instances=study.n_instances)
    return sum(kind == "ready" for _, kind in told)


def weigh_again(session: Session, studies: Sequence[Study], now: datetime) -> None:
    """A device has said something about these studies, in order of id.

    What it lists and is not here opens a study again that passed for complete, as long as nobody has signed it.
    """
    for study in studies:
        if study.input_readiness == InputReadiness.READY and study.report_status in REOPENED_BY_A_LIST:
            if not completeness_service.gather(session, study).n_missing:
                continue
            study.input_readiness = InputReadiness.INCOMPLETE
            session.flush()
    _settle_all(session, [study for study in studies if study.input_readiness == InputReadiness.INCOMPLETE], now)


def anything_due(session: Session, now: datetime) -> bool:
    """Whether any study may be complete now: asked several times a second, so it must be cheap."""
    return any(_is_due(study, now) for study in store.incomplete_studies(session))


def settle_due(session: Session, now: datetime) -> int:
    """Turn every study READY that is due; how many were."""
    return _settle_all(session, [one for one in store.incomplete_studies(session) if _is_due(one, now)], now)


def open_association(
    session: Session,
    *,
    device_id: int | None,
    site_id: int | None,
    calling_ae_title: str,
    called_ae_title: str,
    peer_address: str,
    listener_run: str,
    now: datetime,
) -> int:
    """Write down that an association began; its id."""
    row = Association(
        device_id=device_id, site_id=site_id, calling_ae_title=calling_ae_title, called_ae_title=called_ae_title,
        peer_address=peer_address, listener_run=listener_run, opened_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id


def close_association(session: Session, association_id: int, outcome: str, now: datetime) -> None:
    """Write down that an association ended, and settle the studies it brought."""
    session.execute(
        update(Association)
        .where(Association.id == association_id, Association.closed_at.is_(None))
        .values(closed_at=now, outcome=outcome)
    )
    brought = session.scalars(
        select(Study)
        .join(StudyAssociation, StudyAssociation.study_id == Study.id)
        .where(StudyAssociation.association_id == association_id)
        .order_by(Study.id)
    )
    _settle_all(session, brought.all(), now)


def close_lost_associations(session: Session, listener_run: str, now: datetime) -> int:
    """At the start of a role: associations of its earlier runs are over, however they ended.

    ``listener_run`` is ``role:host:unique``, and begins the names of all its processes; runs of another role or
    host may well be alive.
    """
    kin = listener_run.rpartition(":")[0] + ":"
    ours = Association.listener_run.startswith(listener_run, autoescape=True)
    return _close_lost(session, and_(Association.listener_run.startswith(kin, autoescape=True), ~ours), now)


def close_associations_of(session: Session, slot: str, listener_run: str, now: datetime) -> int:
    """At the start of one process of a role: what its earlier lives left open; their names begin with ``slot``."""
    earlier = and_(Association.listener_run.startswith(slot, autoescape=True), Association.listener_run != listener_run)
    return _close_lost(session, earlier, now)


def _close_lost(session: Session, where: ColumnElement[bool], now: datetime) -> int:
    lost = session.scalars(select(Association.id).where(Association.closed_at.is_(None), where)).all()
    for association_id in lost:
        close_association(session, association_id, "listener_stopped", now)
    return len(lost)
