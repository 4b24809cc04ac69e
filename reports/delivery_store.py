"""What is on its way back to the sites, and what nobody there has confirmed. [store]"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session, aliased

from reports.delivery import DeliveryState
from reports.report import FINAL_STATUSES
from reports.tables import Delivery, DeliveryAttempt, Report
from worklist.commitment import ASKING, COMMITTED, CommitmentState
from worklist.commitment_tables import CommitmentReference, CommitmentTransaction
from worklist.tables import Patient, Site, Study

UNDELIVERED = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.RETRY, DeliveryState.DEAD)
# What the queue page filters by; a delivery that was given up is open too: someone must act.
FILTERS: Mapping[str, tuple[DeliveryState, ...]] = {
    "open": UNDELIVERED, "retrying": (DeliveryState.RETRY,), "failed": (DeliveryState.DEAD,),
    "all": tuple(DeliveryState),
}  # fmt: skip
MOST_ROWS = 200
MOST_ATTEMPTS = 20  # newest of one delivery


@dataclass(frozen=True)
class QueueRow:
    """A delivery with what it carries and where it goes."""

    delivery: Delivery
    report: Report
    study: Study
    patient: Patient
    site: Site


def site_deliveries(session: Session, site_id: int) -> dict[str, Any]:
    """How the way back to a site stands: counts, and since when the oldest report is unacknowledged (or None)."""
    by_state = dict(
        session.execute(
            select(Delivery.state, func.count()).where(Delivery.site_id == site_id).group_by(Delivery.state)
        ).all()
    )
    oldest = oldest_unacknowledged(session, site_id)
    return {
        "n_undelivered": sum(by_state.get(state, 0) for state in UNDELIVERED),
        "n_retrying": by_state.get(DeliveryState.RETRY, 0), "n_dead": by_state.get(DeliveryState.DEAD, 0),
        "oldest_unacknowledged_at": oldest[0].isoformat() if oldest else None,
    }  # fmt: skip


def oldest_unacknowledged(session: Session, site_id: int | None = None) -> tuple[datetime, Site] | None:
    """When the oldest final report was published that nobody at its site has confirmed, and the site.

    Preliminary reports cannot be confirmed, and a version that a later one has followed need not be.
    """
    query = (
        select(Delivery.created_at, Site)
        .join(Report, Report.id == Delivery.report_id)
        .join(Site, Site.id == Delivery.site_id)
        .where(Delivery.channel == "portal", Delivery.state.in_((DeliveryState.ACCEPTED, DeliveryState.OPENED)))
        .where(Report.status.in_(FINAL_STATUSES), _is_newest_final())
        .order_by(Delivery.created_at, Delivery.id)
        .limit(1)
    )
    row = session.execute(query if site_id is None else query.where(Delivery.site_id == site_id)).first()
    return (row[0], row[1]) if row else None


def _is_newest_final() -> ColumnElement[bool]:
    later = aliased(Report)
    return ~exists().where(
        later.report_uid == Report.report_uid, later.revision > Report.revision, later.status.in_(FINAL_STATUSES)
    )


def queue(session: Session, states: Sequence[str], site_code: str | None) -> Sequence[QueueRow]:
    """Deliveries in these states, newest first, at most MOST_ROWS."""
    query = (
        select(Delivery, Report, Study, Patient, Site)
        .join(Report, Report.id == Delivery.report_id)
        .join(Study, Study.id == Report.study_id)
        .join(Patient, Patient.id == Study.patient_pk)
        .join(Site, Site.id == Delivery.site_id)
        .where(Delivery.state.in_(states))
        .order_by(Delivery.id.desc())
        .limit(MOST_ROWS)
    )
    return [QueueRow(*row) for row in session.execute(_of_site(query, site_code))]


def counts(session: Session, site_code: str | None) -> dict[str, int]:
    """How many deliveries each filter shows."""
    query = select(Delivery.state, func.count()).join(Site, Site.id == Delivery.site_id).group_by(Delivery.state)
    by_state = dict(session.execute(_of_site(query, site_code)).all())
    return {name: sum(by_state.get(state, 0) for state in states) for name, states in FILTERS.items()}


def _of_site(query: Any, site_code: str | None) -> Any:
    return query if site_code is None else query.where(Site.code == site_code)


def attempts(session: Session, delivery_ids: Sequence[int]) -> Mapping[int, list[DeliveryAttempt]]:
    """The newest MOST_ATTEMPTS tries of each delivery, newest first."""
    place = func.row_number().over(partition_by=DeliveryAttempt.delivery_id, order_by=DeliveryAttempt.id.desc())
    placed = (
        select(DeliveryAttempt.id, place.label("place")).where(DeliveryAttempt.delivery_id.in_(delivery_ids)).subquery()
    )
    rows = session.scalars(
        select(DeliveryAttempt)
        .join(placed, placed.c.id == DeliveryAttempt.id)
        .where(placed.c.place <= MOST_ATTEMPTS)
        .order_by(DeliveryAttempt.id.desc())
    )
    found: dict[int, list[DeliveryAttempt]] = {delivery_id: [] for delivery_id in delivery_ids}
    for row in rows:
        found[row.delivery_id].append(row)
    return found


def siblings(session: Session, report_ids: Sequence[int]) -> Mapping[int, list[Delivery]]:
    """All deliveries of these report versions, by version."""
    found: dict[int, list[Delivery]] = {report_id: [] for report_id in report_ids}
    for row in session.scalars(select(Delivery).where(Delivery.report_id.in_(report_ids)).order_by(Delivery.id)):
        found[row.report_id].append(row)
    return found


@dataclass(frozen=True)
class Archiving:
    """What the receiving PACS says of keeping a report. ``state``: asked | archived | not_kept | unanswered."""

    state: str
    at: datetime | None


def archiving(session: Session, deliveries: Sequence[Delivery]) -> Mapping[str, Archiving]:
    """By SOP Instance UID, of what its PACS was asked to keep; the newest request counts."""
    uids = [one.sop_instance_uid for one in deliveries if one.sop_instance_uid]
    rows = session.execute(
        select(CommitmentReference.sop_instance_uid, CommitmentReference.failure_reason, CommitmentTransaction)
        .join(CommitmentTransaction, CommitmentTransaction.id == CommitmentReference.transaction_id)
        .where(CommitmentReference.sop_instance_uid.in_(uids), CommitmentTransaction.direction == ASKING)
        .order_by(CommitmentTransaction.id)
    )
    found = {}
    for uid, reason, transaction in rows:
        state = "asked"
        if transaction.state == CommitmentState.ANSWERED:
            state = "archived" if reason == COMMITTED else "not_kept"
        elif transaction.state == CommitmentState.DEAD:
            state = "unanswered"
        found[uid] = Archiving(state, transaction.ended_at)
    return found
