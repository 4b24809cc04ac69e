"""Orders are made by a technician, or confirmed for a study that came without one. [service]"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist import retake_service, store, triage
from worklist.access import Actor, Refused
from worklist.base import audit
from worklist.order import Match, OrderFacts, accession_number, match
from worklist.person import identity_key, name_alphabetic, name_initials, name_pinyin
from worklist.shown import order_json
from worklist.tables import Order, Patient, Site, Study, Workitem
from worklist.uid import new_uid

MATCH_WINDOW = timedelta(days=3)  # how long a request and its images may miss each other


@dataclass(frozen=True)
class OrderRequest:
    """What a technician types."""

    patient_name: str
    patient_id: str | None
    sex: str | None
    birth_date: date | None
    modality: str
    body_part: str
    complaint: str
    question: str
    priority: str
    pathway: str | None
    requesting_doctor: str


def next_accession_number(session: Session, site: Site, zone: ZoneInfo, now: datetime) -> str:
    """The site's next free number of this day.

    The site's row is locked until the end of the transaction: of two numbers taken at once one waits.
    """
    session.execute(select(Site.id).where(Site.id == site.id).with_for_update(key_share=True))
    day = now.astimezone(zone).date()
    start = datetime.combine(day, time(), zone)
    sequence = store.orders_of_day(session, site.id, start, start + timedelta(days=1)) + 1
    while store.order_by_accession(session, site.id, accession_number(site.accession_prefix, day, sequence)):
        sequence += 1
    return accession_number(site.accession_prefix, day, sequence)


def find_or_add_patient(
    session: Session,
    site_id: int,
    key: str,
    *,
    patient_id: str | None,
    name: str,
    sex: str | None,
    birth_date: date | None,
    doubtful: bool = False,
    name_sent: str = "",
) -> Patient:
    """The person with this identity key at this site, made if new. ``name_sent``: the name as an object wrote it."""
    patient = store.patient_by_key(session, site_id, key)
    if patient is None:
        patient = Patient(
            site_id=site_id, identity_key=key, patient_id=patient_id, name=name, sex=sex, birth_date=birth_date,
            name_pinyin=name_pinyin(name), name_initials=name_initials(name), name_is_doubtful=doubtful,
            name_sent=name_sent, name_alphabetic=name_alphabetic(name_sent),
        )  # fmt: skip
        session.add(patient)
        session.flush()
    elif name_sent and not patient.name_sent:  # known by an order until now
        patient.name_sent, patient.name_alphabetic = name_sent, name_alphabetic(name_sent)
    return patient


def create_order(session: Session, actor: Actor, request: OrderRequest, *, zone: ZoneInfo, now: datetime) -> Order:
    """A new order of the actor's site. Raises Refused("unknown_priority") for words outside the tables."""
    if request.priority not in triage.PRIORITIES or request.pathway not in (None, *triage.PATHWAYS):
        raise Refused("unknown_priority", priority=request.priority)
    site = session.get_one(Site, actor.site_id)
    order_uid = new_uid()
    key = identity_key(request.patient_id, request.patient_name, request.sex, request.birth_date, order_uid)
    patient = find_or_add_patient(
        session, site.id, key, patient_id=request.patient_id, name=request.patient_name, sex=request.sex,
        birth_date=request.birth_date,
    )  # fmt: skip
    order = Order(
        order_uid=order_uid, site_id=site.id, accession_number=next_accession_number(session, site, zone, now),
        patient_pk=patient.id, modality=request.modality, body_part=request.body_part, complaint=request.complaint,
        question=request.question, priority=request.priority, pathway=request.pathway,
        requesting_doctor=request.requesting_doctor, made_from_object=False, created_by=actor.account_id,
        created_at=now, study_instance_uid=new_uid(),
    )  # fmt: skip
    session.add(order)
    session.flush()
    _suggest(session, order, patient, zone, now)
    _audit(session, actor, "order.create", order.order_uid, now)
    audit.emit(session, "ordered", now=now, actor=actor.username, site_id=site.id, order_uid=order.order_uid)
    return order


def _suggest(session: Session, order: Order, patient: Patient, zone: ZoneInfo, now: datetime) -> None:
    """Offer a request typed after its images came to the newest study that fits it; a person confirms."""
    day = now.astimezone(zone).date()
    facts = OrderFacts(order.accession_number, patient.patient_id, patient.name, order.modality, day)
    for study, person in store.studies_without_order(session, order.site_id, now - MATCH_WINDOW):
        taken = (study.acquired_at or study.received_at).astimezone(zone).date()
        theirs = OrderFacts(study.accession_number, person.patient_id, person.name, study.modality, taken)
        if match(facts, theirs) is not Match.NONE:
            study.suggested_order_uid = order.order_uid
            audit.emit(session, "order_suggested", now=now, site_id=study.site_id, study_id=study.id)
            return


def confirm_match(session: Session, actor: Actor, study: Study, order_uid: str, now: datetime) -> Order:
    """A person says that a study belongs to an order; priority and due time follow the order.

    Raises Refused("order_not_found") for an order of another site, or made from other images unless these are to
    be taken again, Refused("order_taken") for one that already has a study.
    """
    order = session.get(Order, order_uid, with_for_update={"key_share": True})  # of two studies at once one has it
    if order is None or order.site_id != study.site_id:
        raise Refused("order_not_found")
    retake = retake_service.awaited(session, order_uid=order_uid)
    if order.made_from_object and retake is None:
        raise Refused("order_not_found")
    if retake is None and session.scalar(select(Study.id).where(Study.order_uid == order_uid)):
        raise Refused("order_taken")
    if retake is not None:
        retake_service.follow(session, retake, study, now)
    due_at = triage.due_at(study.received_at, study.modality, study.body_part, order.priority, order.pathway)
    session.execute(
        update(Workitem)
        .where(Workitem.study_id == study.id, Workitem.state.in_(("SCHEDULED", "IN PROGRESS")))
        .values(priority=order.priority, due_at=due_at)
    )
    study.order_uid = order_uid  # after the workitems: whoever signs locks in this order too
    store.forget_suggestion(session, order_uid)
    study.suggested_order_uid = None
    _audit(session, actor, "order.match", study.study_instance_uid, now)
    audit.emit(session, "matched", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id)
    return order


def dismiss_match(session: Session, actor: Actor, study: Study, now: datetime) -> None:
    """A person says that the suggested order is not this study's."""
    study.suggested_order_uid = None
    _audit(session, actor, "order.match_dismissed", study.study_instance_uid, now)
    audit.emit(session, "matched", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id)


def orders_without_study(session: Session, site_id: int, since: datetime, zone: tzinfo) -> list[dict[str, Any]]:
    """A site's orders that still wait for their images; ages are told on the day in ``zone`` that it was written."""
    rows = store.open_orders_of_site(session, site_id, since)
    return [order_json(order, patient, order.created_at.astimezone(zone).date()) for order, patient in rows]


def _audit(session: Session, actor: Actor, act: str, object_uid: str, now: datetime) -> None:
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act=act,
        object_type="order", object_uid=object_uid,
    )  # fmt: skip
