"""Reading work and tasks of others as UPS attributes: looked up, searched, never wider than a sight. [store]"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session, aliased

from pacs_bridge.ups import (
    Attributes,
    OutputReference,
    SeriesReference,
    UpsRecord,
    attributes_of,
    put,
    tag,
    text,
    values,
)
from pacs_bridge.ups_match import matches
from worklist import ups_keys
from worklist.account_tables import Account
from worklist.person import name_to_send
from worklist.tables import Instance, Order, Patient, Series, Site, Study, Workitem
from worklist.ups_tables import UpsExtra, UpsTask

Assigned, Claimed = aliased(Account), aliased(Account)
FIRST_PAGE, PAGE = 25, 200
_LABELS = {"interpretation": "Read", "verification": "Verify", "addendum": "Addendum"}
# What reading work has ended in, by workitem UID.
Outputs = Callable[[Session, Collection[str]], Mapping[str, OutputReference]]


@dataclass(frozen=True)
class Place:
    """What every UPS of ours says of us."""

    ae_title: str
    url: str
    zone: tzinfo
    outputs: Outputs


@dataclass(frozen=True)
class Sight:
    """What somebody sees: conditions on Study and on UpsTask."""

    studies: ColumnElement[bool]
    tasks: ColumnElement[bool]


def _rows_query() -> Any:
    return (
        select(Workitem, Study, Patient, Site, Order, Assigned, Claimed)
        .join(Study, Study.id == Workitem.study_id)
        .join(Patient, Patient.id == Study.patient_pk)
        .join(Site, Site.id == Study.site_id)
        .join(Order, Order.order_uid == Study.order_uid)
        .outerjoin(Assigned, Assigned.id == Workitem.scheduled_performer)
        .outerjoin(Claimed, Claimed.id == Workitem.actual_performer)
        .with_hint(Study, "NOT INDEXED", "sqlite")  # each by its id: not all that somebody sees
    )


def reading_work(
    session: Session, place: Place, uids: Collection[str], where: ColumnElement[bool], *, has_input: bool = True
) -> dict[str, Attributes]:
    """Attributes by workitem, of what ``where`` lets through."""
    rows = session.execute(_rows_query().where(Workitem.workitem_uid.in_(uids), where)).all()
    series = _series(session, {row[1].id for row in rows}) if has_input else {}
    outputs = place.outputs(session, {row[0].workitem_uid for row in rows if row[0].state == "COMPLETED"})
    extras = {
        extra.workitem_uid: extra.attributes
        for extra in session.scalars(select(UpsExtra).where(UpsExtra.workitem_uid.in_(uids)))
    }
    return {
        row[0].workitem_uid: attributes_of(
            _record(row, place, series.get(row[1].id, ()), outputs, extras.get(row[0].workitem_uid, {}))
        )
        for row in rows
    }


def _record(
    row: Any, place: Place, series: tuple[SeriesReference, ...], outputs: Mapping[str, OutputReference],
    extra: Mapping[str, Any],
) -> UpsRecord:  # fmt: skip
    workitem, study, patient, site, order, assigned, claimed = row

    def local(at: datetime | None) -> datetime | None:
        return at.astimezone(place.zone) if at else None

    def who(account: Account | None) -> tuple[str, str] | None:
        return (account.username, name_to_send(account.name)) if account else None

    created = workitem.created_at.astimezone(place.zone)
    return UpsRecord(
        workitem_uid=workitem.workitem_uid, step=workitem.step, state=workitem.state, priority=workitem.priority,
        label=f"{_LABELS[workitem.step]} {study.modality} {study.body_part}".strip(), created_at=created,
        changed_at=local(workitem.ended_at) or local(workitem.claimed_at) or created,
        due_at=workitem.due_at.astimezone(place.zone), readiness=study.input_readiness,
        study_instance_uid=study.study_instance_uid, patient_name=_name(patient),
        patient_id=patient.patient_id or "", issuer=site.code,
        birth_date=f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "", sex=patient.sex or "",
        accession_number=study.accession_number or order.accession_number,
        requested_procedure=f"{order.modality} {order.body_part}".strip(), reason_for_request=order.question,
        requesting_physician=name_to_send(order.requesting_doctor), organization=site.name_zh,
        scheduled_performer=who(assigned), actual_performer=who(claimed),
        started_at=local(workitem.claimed_at), ended_at=local(workitem.ended_at),
        cancel_reason=workitem.reason or "", replaces=workitem.replaces, series=series,
        retrieve_ae_title=place.ae_title, retrieve_url=place.url,
        output=outputs.get(workitem.workitem_uid), extra=extra,
    )  # fmt: skip


def _name(patient: Patient) -> str:
    """As it was sent, if that has Latin letters; else spelled, so that it is found by them."""
    sent = patient.name_sent
    return sent if sent.split("=", maxsplit=1)[0].strip("^ ") else name_to_send(patient.name)


def _series(session: Session, study_ids: Collection[int]) -> dict[int, tuple[SeriesReference, ...]]:
    rows = session.execute(
        select(Series.study_id, Series.series_instance_uid, Instance.sop_class_uid, Instance.sop_instance_uid)
        .join(Instance, Instance.series_id == Series.id)
        .where(Series.study_id.in_(study_ids), Instance.hidden_code.is_(None))
        .order_by(Series.study_id, Series.id, Instance.number, Instance.id)
    )
    found: defaultdict[int, defaultdict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for study_id, series, sop_class, instance in rows:
        found[study_id][series].append((sop_class, instance))
    return {
        study_id: tuple(SeriesReference(uid, tuple(instances)) for uid, instances in series.items())
        for study_id, series in found.items()
    }


def task_attributes(task: UpsTask) -> Attributes:
    """A task of others, with its state as it is."""
    found = dict(task.attributes)
    put(found, "ProcedureStepState", task.state)
    return found


def one(session: Session, place: Place, sight: Sight, uid: str) -> Attributes | None:
    """One UPS whole; None where there is none in sight."""
    found = reading_work(session, place, [uid], sight.studies).get(uid)
    if found is not None:
        return found
    task = session.scalar(select(UpsTask).where(UpsTask.workitem_uid == uid, sight.tasks))
    return task_attributes(task) if task is not None else None


def is_in_sight(session: Session, sight: Sight, uid: str) -> bool:
    """Whether there is such a UPS for whoever asks."""
    reading = select(Workitem.workitem_uid).join(Study, Study.id == Workitem.study_id)
    task = select(UpsTask.workitem_uid).where(UpsTask.workitem_uid == uid, sight.tasks)
    return session.scalar(reading.where(Workitem.workitem_uid == uid, sight.studies)) is not None or (
        session.scalar(task) is not None
    )


@dataclass(frozen=True)
class After:
    """Where a search goes on: behind this UID, among reading work or among tasks; the first answers leave soon."""

    uid: str = ""
    is_among_tasks: bool = False
    limit: int = FIRST_PAGE


def page(
    session: Session, place: Place, sight: Sight, keys: Mapping[str, Any], after: After
) -> tuple[list[Attributes], After | None]:
    """What matches of the next steps in sight, in a stable order, reading work first; None: that was all."""
    if after.is_among_tasks:
        return _task_page(session, sight, keys, after.uid)
    # Workitems are walked in their order, each one's study looked up: a planner would begin with the studies.
    in_sight = select(and_(sight.studies, Study.n_instances > 0)).where(Study.id == Workitem.study_id)
    query = select(Workitem.workitem_uid).where(
        Workitem.workitem_uid > after.uid, *ups_keys.narrowed(session, keys, place.zone),
        in_sight.correlate(Workitem).scalar_subquery(),
    )  # fmt: skip
    uids = session.scalars(query.order_by(Workitem.workitem_uid).limit(after.limit)).all()
    has_input = tag("InputInformationSequence") in keys
    found = reading_work(session, place, uids, sight.studies, has_input=has_input)
    matching = [found[uid] for uid in uids if uid in found and matches(found[uid], keys)]
    is_last = len(uids) < after.limit
    return matching, After("", is_among_tasks=True) if is_last else After(uids[-1], limit=PAGE)


def _task_page(
    session: Session, sight: Sight, keys: Mapping[str, Any], after: str
) -> tuple[list[Attributes], After | None]:
    query = select(UpsTask).where(UpsTask.workitem_uid > after, sight.tasks)
    if state := text(keys, "ProcedureStepState"):
        query = query.where(UpsTask.state == state)
    if uids := values(keys, "SOPInstanceUID"):
        query = query.where(UpsTask.workitem_uid.in_(uids))
    rows = session.scalars(query.order_by(UpsTask.workitem_uid).limit(PAGE)).all()
    matching = [found for found in map(task_attributes, rows) if matches(found, keys)]
    return matching, After(rows[-1].workitem_uid, is_among_tasks=True) if len(rows) == PAGE else None


def search(session: Session, place: Place, sight: Sight, keys: Mapping[str, Any]) -> Iterator[Attributes]:
    """Everything in sight that matches, within one transaction."""
    after: After | None = After()
    while after is not None:
        found, after = page(session, place, sight, keys, after)
        yield from found
