"""Queries for reports and deliveries. [store]"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reports.report import PUBLISHED
from reports.tables import Delivery, DeliveryAttempt, Preparation, Report


def latest(session: Session, report_uid: str) -> Report | None:
    """The newest row of a report, whatever its status."""
    return session.scalar(
        select(Report).where(Report.report_uid == report_uid).order_by(Report.revision.desc()).limit(1)
    )


def saved_at(session: Session, report_uid: str) -> datetime | None:
    """When a report was last written."""
    found = latest(session, report_uid)
    return found.updated_at if found else None


def versions(session: Session, report_uid: str) -> Sequence[Report]:
    """All rows of a report, oldest first."""
    return session.scalars(select(Report).where(Report.report_uid == report_uid).order_by(Report.revision)).all()


def latest_published(session: Session, report_uid: str) -> Report | None:
    """The newest row that the originating site may see."""
    return session.scalar(
        select(Report)
        .where(Report.report_uid == report_uid, Report.status.in_(PUBLISHED))
        .order_by(Report.revision.desc())
        .limit(1)
    )


def signed_statuses(session: Session, study_id: int) -> set[str]:
    """The statuses of the signed rows of a study."""
    rows = session.scalars(
        select(Report.status).where(Report.study_id == study_id, Report.signed_at.is_not(None)).distinct()
    )
    return set(rows)


def report_of_study(session: Session, study_id: int) -> Report | None:
    """The newest published row of a study."""
    return session.scalar(
        select(Report)
        .where(Report.study_id == study_id, Report.status.in_(PUBLISHED))
        .order_by(Report.id.desc())
        .limit(1)
    )


def report_by_verify_code(session: Session, code: str) -> Report | None:
    return session.scalar(
        select(Report).where(Report.verify_code == code).order_by(Report.revision.desc()).limit(1)
    )


def preparation(
    session: Session, report_uid: str, version: int, account_id: int, preliminary: bool
) -> Preparation | None:
    return session.get(Preparation, (report_uid, version, account_id, preliminary))


def deliveries_of(session: Session, report_id: int) -> Sequence[Delivery]:
    return session.scalars(select(Delivery).where(Delivery.report_id == report_id).order_by(Delivery.id)).all()


def deliveries_of_report(session: Session, report_uid: str) -> Sequence[tuple[Delivery, Report]]:
    rows = session.execute(
        select(Delivery, Report)
        .join(Report, Report.id == Delivery.report_id)
        .where(Report.report_uid == report_uid)
        .order_by(Delivery.id)
    )
    return [(delivery, report) for delivery, report in rows]


def attempts_of(session: Session, delivery_id: int) -> Sequence[DeliveryAttempt]:
    return session.scalars(
        select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id).order_by(DeliveryAttempt.id)
    ).all()


def forget_preparations(session: Session, study_id: int) -> None:
    """What was shown before a signature names a patient who is not the study's any more: it is shown again."""
    reports = select(Report.report_uid).where(Report.study_id == study_id)
    session.execute(delete(Preparation).where(Preparation.report_uid.in_(reports)))
