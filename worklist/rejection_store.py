"""Why images are hidden: the rejection notes that stand, in words for every page. [store]"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from pacs_bridge.key_object import QUALITY
from worklist.account_tables import Account
from worklist.repair_tables import RejectedInstance, Rejection
from worklist.tables import Instance, Series, Study


def rejections_of(session: Session, study: Study) -> list[dict[str, Any]]:
    """Why instances of a study are hidden, how many, by whom and when; each note once, the newest first."""
    return rejections_by_study(session, [study.study_instance_uid]).get(study.study_instance_uid, [])


def rejections_by_study(session: Session, study_uids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """The same of many studies, by UID; begins with what the notes name, for most studies have none."""
    found: dict[str, list[dict[str, Any]]] = {}
    if not study_uids:
        return found
    rows = session.execute(
        select(Study.study_instance_uid, Rejection, Account.name, func.count(Instance.id))
        .select_from(RejectedInstance)
        .join(Rejection, Rejection.id == RejectedInstance.rejection_id)
        .join(Instance, Instance.sop_instance_uid == RejectedInstance.sop_instance_uid)
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Series.study_id)
        .outerjoin(Account, Account.id == Rejection.made_by)
        .where(RejectedInstance.study_instance_uid.in_(study_uids), Study.study_instance_uid.in_(study_uids))
        .where(Rejection.site_id == Study.site_id, Rejection.undone_at.is_(None), Instance.hidden_code.is_not(None))
        .group_by(Study.study_instance_uid, Rejection.id, Account.name)
        .order_by(Rejection.id.desc())
    )
    for study_uid, row, name, count in rows:
        found.setdefault(study_uid, []).append(
            {"rejection_id": row.id, "code": row.code, "n_instances": count, "by": name or row.source,
             "reason": row.reason, "at": row.made_at.isoformat(), "may_undo": row.code == QUALITY}
        )  # fmt: skip
    return found


def why_hidden(
    session: Session, where: ColumnElement[bool], study: str, series: str | None = None, instance: str | None = None
) -> str | None:
    """The code of the note that hides what is asked for by UIDs; None where nothing of it is hidden."""
    return next((code for code, _ in hidden_counts(session, where, study, series, instance)), None)


def hidden_counts(
    session: Session, where: ColumnElement[bool], study: str, series: str | None = None, instance: str | None = None
) -> list[tuple[str, int]]:
    """How many images of a study that ``where`` lets through are hidden for each code; the notes are not counted."""
    query = (
        select(Instance.hidden_code, func.count())
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Series.study_id)
        .where(where, Study.study_instance_uid == study, Instance.hidden_code.is_not(None), Series.modality != "KO")
        .group_by(Instance.hidden_code)
        .order_by(Instance.hidden_code)
    )
    if series is not None:
        query = query.where(Series.series_instance_uid == series)
    if instance is not None:
        query = query.where(Instance.sop_instance_uid == instance)
    return [(code, n) for code, n in session.execute(query) if code is not None]
