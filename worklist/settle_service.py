"""Associations begin and end; a study that nothing more is coming for turns READY. [service]"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import Session

from worklist import store
from worklist.base import audit
from worklist.study import InputReadiness, ready_evidence
from worklist.tables import Association, Study, StudyAssociation


def _turn_ready(session: Session, study: Study, now: datetime) -> bool:
    """Turn a study READY where nothing more is to be expected; True when it did."""
    evidence = ready_evidence(
        n_instances=study.n_instances,
        last_received_at=study.last_received_at,
        quiet_time_s=study.quiet_time_s,
        open_associations=store.open_association_count(session, study.id),
        now=now,
    )
    if evidence is None:
        return False
    changed = session.execute(
        update(Study)
        .where(Study.id == study.id, Study.input_readiness == InputReadiness.INCOMPLETE)
        .where(Study.n_instances == study.n_instances)
        .values(input_readiness=InputReadiness.READY, ready_at=now, ready_evidence=evidence.as_json())
    )
    return bool(changed.rowcount == 1)  # type: ignore[attr-defined]


def _tell_ready(session: Session, study: Study, now: datetime) -> None:
    audit.emit(session, "ready", now=now, site_id=study.site_id, study_id=study.id, n_instances=study.n_instances)


def _settle_all(session: Session, studies: Sequence[Study], now: datetime) -> int:
    """First every row, in order of id, then every event: nobody holds the order of events and waits for a row."""
    turned = [study for study in studies if _turn_ready(session, study, now)]
    for study in turned:
        _tell_ready(session, study, now)
    return len(turned)


def anything_incomplete(session: Session) -> bool:
    """Whether any study may still get objects: asked several times a second, so it must be cheap."""
    return bool(store.incomplete_studies(session))


def settle_due(session: Session, now: datetime) -> int:
    """Turn every study READY that is due; how many were."""
    return _settle_all(session, store.incomplete_studies(session), now)


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
