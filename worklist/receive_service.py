"""Objects are filed into studies, or kept aside where they do not fit. [service]

Everything here happens in the caller's transaction; the sender is told "safe" only after its commit.
``known_filing`` is the short way for one more object of a known study: what is added here for every object that
is filed must be added there, or be a reason to come here (a test compares the rows of both).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pacs_bridge.ports import ReceivedObject
from pacs_bridge.records import ObjectRecord
from worklist import (
    acquisition_store,
    derive_store,
    mpps_service,
    person_service,
    rejection_service,
    repair_service,
    repair_store,
    retake_service,
    sent_form,
    store,
    triage,
)
from worklist.addendum_service import addendum_for_signer
from worklist.base import audit
from worklist.order import Match, OrderFacts, match
from worklist.order_service import MATCH_WINDOW, find_or_add_patient, next_accession_number
from worklist.person import identity_key
from worklist.study import InputReadiness, modality_of
from worklist.tables import (
    Instance,
    Order,
    Patient,
    Quarantine,
    Series,
    Site,
    Study,
    StudyAssociation,
    Workitem,
)
from worklist.uid import new_uid
from worklist.workitem import WorkitemState, WorkitemStep

# Live pages hear of arriving objects at most this often per study; 300 slices are not 300 messages.
PROGRESS_INTERVAL = timedelta(milliseconds=700)


@dataclass(frozen=True)
class Sender:
    """Who brought an object: the site it belongs to, and how long its device may pause."""

    site_id: int
    source: str  # AE title, "upload" or "import"
    device_id: int | None
    quiet_time_s: int


@dataclass(frozen=True)
class Filed:
    """What became of an object: filed, duplicate or quarantined (with the reason)."""

    outcome: str
    reason: str | None = None
    study_id: int | None = None
    series_id: int | None = None  # of what was filed


def file_object(
    session: Session,
    sender: Sender,
    received: ReceivedObject,
    *,
    same_content: Callable[[str, str], bool],
    signed_statuses: Callable[[Session, int], set[str]],
    zone: ZoneInfo,
    now: datetime,
) -> Filed:
    """File one object, note a duplicate, or quarantine it with its reason.

    ``same_content(old_key, new_key)`` compares two stored objects after decoding; ``signed_statuses``
    tells which signed reports a study has (the report package knows).
    """
    record = received.record
    if received.problem is not None or record is None:
        problem = received.problem
        reason = problem.code if problem else "not_dicom"
        return quarantine(session, sender, received, reason, now, details=dict(problem.params) if problem else {})
    record = sent_form.as_ordered(session, sender.site_id, record)
    existing = store.instance_by_uid(session, record.sop_instance_uid)
    if existing is not None:
        return _received_again(session, sender, received, existing, same_content, now)
    study = store.study_by_uid(session, record.study_instance_uid)
    if problem_code := _misfit(session, sender, record, study):
        ours = study if study is not None and study.site_id == sender.site_id else None
        return quarantine(session, sender, received, problem_code, now, study_id=ours.id if ours else None)
    if record.rejection is not None:
        return _file_note(session, sender, received, record, study, signed_statuses, now)
    is_new = study is None
    study = study or _new_study(session, sender, record, received, zone, now)
    instance = _add_instance(session, study, received, record, now)
    if is_new:
        person_service.promise_index(session, study.patient_pk, now, instance.id)
        rejection_service.settle_early_notes(session, study, now)
    _note_arrival(session, study, sender, now, signed_statuses)
    rejection_service.hide_if_rejected(session, study, instance)
    return Filed("filed", study_id=study.id, series_id=instance.series_id)


def _file_note(
    session: Session,
    sender: Sender,
    received: ReceivedObject,
    record: ObjectRecord,
    study: Study | None,
    signed_statuses: Callable[[Session, int], set[str]],
    now: datetime,
) -> Filed:
    """A rejection note hides what it names, itself included; before its study came, it is kept aside and works."""
    rejection = record.rejection
    assert rejection is not None  # noqa: S101  the caller looked
    rejection_service.note(
        session, sender.site_id, record.sop_instance_uid, rejection, source=sender.source, now=now,
        signed_statuses=signed_statuses,
    )  # fmt: skip
    if study is None:
        details: dict[str, object] = {"code": rejection.code, "n_references": len(rejection.references)}
        return quarantine(session, sender, received, "rejection_note_early", now, details=details)
    instance = _add_instance(session, study, received, record, now)
    instance.hidden_code = rejection.code
    return Filed("filed", study_id=study.id, series_id=instance.series_id)


def _received_again(
    session: Session,
    sender: Sender,
    received: ReceivedObject,
    existing: Instance,
    same_content: Callable[[str, str], bool],
    now: datetime,
) -> Filed:
    study = store.study_of_instance(session, existing)
    if study.site_id != sender.site_id:
        return quarantine(session, sender, received, "instance_of_other_site", now)
    if existing.digest == received.digest or same_content(existing.blob_key, received.blob_key):
        # Counted in the database: two associations may bring one object at once.
        session.execute(update(Instance).where(Instance.id == existing.id).values(duplicates=Instance.duplicates + 1))
        _link_association(session, study.id, received.association_id)
        return Filed("duplicate", study_id=study.id)
    return quarantine(session, sender, received, "content_conflict", now, study_id=study.id)


def _misfit(session: Session, sender: Sender, record: ObjectRecord, study: Study | None) -> str | None:
    """Why an object cannot join its study (None: one that does not exist yet), or None where it can."""
    if study is not None and study.site_id != sender.site_id:
        return "study_of_other_site"
    if study is not None and not repair_store.is_identity_of(session, study, identity_key_of(record)):
        return "patient_conflict"
    series = session.scalar(select(Series).where(Series.series_instance_uid == record.series_instance_uid))
    own_id = study.id if study is not None else None
    return "series_of_other_study" if series is not None and series.study_id != own_id else None


def identity_key_of(record: ObjectRecord) -> str:
    return identity_key(
        record.patient_id, record.patient_name, record.patient_sex, record.patient_birth_date, record.study_instance_uid
    )


def quarantine(
    session: Session,
    sender: Sender,
    received: ReceivedObject,
    reason: str,
    now: datetime,
    *,
    study_id: int | None = None,
    details: dict[str, object] | None = None,
) -> Filed:
    """Keep an object that cannot be used, with its reason; a reason with a study is a conflict on it.

    The same object sent again while it waits there changes nothing.
    """
    if store.is_quarantined(session, sender.site_id, received.digest, reason):
        return Filed("quarantined", reason, study_id)
    session.add(
        Quarantine(
            received_at=now, site_id=sender.site_id, association_id=received.association_id, source=sender.source,
            reason=reason, details=details or {}, blob_key=received.blob_key, digest=received.digest,
            size_bytes=received.size_bytes, sop_instance_uid=(received.sop_instance_uid or None), study_id=study_id,
        )
    )  # fmt: skip
    audit.record(
        session, now=now, actor=sender.source, role="device", site=session.get_one(Site, sender.site_id).code,
        act="object.quarantine", object_type="instance", object_uid=received.sop_instance_uid or "?", result=reason,
    )  # fmt: skip
    audit.emit(
        session, "conflict" if study_id else "quarantined", now=now, actor=sender.source,
        site_id=sender.site_id, study_id=study_id, reason=reason,
    )  # fmt: skip
    return Filed("quarantined", reason, study_id)


def _new_study(
    session: Session, sender: Sender, record: ObjectRecord, received: ReceivedObject, zone: ZoneInfo, now: datetime
) -> Study:
    patient = find_or_add_patient(
        session, sender.site_id, identity_key_of(record), patient_id=record.patient_id, name=record.patient_name,
        sex=record.patient_sex, birth_date=record.patient_birth_date, doubtful=record.patient_name_is_doubtful,
        name_sent=record.patient_name_sent,
    )  # fmt: skip
    study = Study(
        study_instance_uid=record.study_instance_uid, site_id=sender.site_id, patient_pk=patient.id,
        accession_number=record.accession_number, kind=record.kind, modality=modality_of(record.modality, record.kind),
        body_part=record.body_part, description=record.study_description or record.series_description,
        acquired_at=record.acquired_at, input_readiness=InputReadiness.INCOMPLETE, received_at=now,
        last_received_at=now, quiet_time_s=sender.quiet_time_s, progress_told_at=now,
        study_date=record.study_date, study_time=record.study_time, study_id_sent=record.study_id,
        referring_physician_name=record.referring_physician_name,
    )  # fmt: skip
    session.add(study)
    session.flush()
    repair_service.adopt(session, study, patient)
    order = _order_for(session, study, session.get_one(Patient, study.patient_pk), zone, now)
    study.order_uid = order.order_uid
    workitem = Workitem(
        workitem_uid=new_uid(), study_id=study.id, step=WorkitemStep.INTERPRETATION, state=WorkitemState.SCHEDULED,
        priority=order.priority, created_at=now,
        due_at=triage.due_at(now, study.modality, study.body_part, order.priority, order.pathway),
    )  # fmt: skip
    session.add(workitem)
    session.flush()
    mpps_service.take_up(session, study, order, now)
    retake = retake_service.awaited(session, order_uid=order.order_uid)
    if retake is not None and retake.study_id != study.id:
        retake_service.follow(session, retake, study, now)
    site = session.get_one(Site, sender.site_id)
    audit.record(
        session, now=now, actor=sender.source, role="device", site=site.code,
        act="study.receive", object_type="study", object_uid=study.study_instance_uid,
    )  # fmt: skip
    audit.emit(
        session, "received", now=now, actor=sender.source, site_id=study.site_id, study_id=study.id,
        workitem_uid=workitem.workitem_uid,
    )  # fmt: skip
    return study


def _order_for(session: Session, study: Study, patient: Patient, zone: ZoneInfo, now: datetime) -> Order:
    """The order a new study belongs to; made from the object where none certainly matches (无申请单)."""
    facts = OrderFacts(
        study.accession_number, patient.patient_id, patient.name, study.modality,
        (study.acquired_at or study.received_at).astimezone(zone).date(), study.study_instance_uid,
    )  # fmt: skip
    for order, person in _orders_in_question(session, study, now):
        day = order.created_at.astimezone(zone).date()
        theirs = OrderFacts(
            order.accession_number, person.patient_id, person.name, order.modality, day, order.study_instance_uid
        )
        found = match(theirs, facts)
        if found is Match.CERTAIN:
            store.forget_suggestion(session, order.order_uid)
            study.suggested_order_uid = None
            study.body_part = study.body_part or order.body_part
            return order
        if found is Match.SUGGESTED and study.suggested_order_uid is None:
            study.suggested_order_uid = order.order_uid
    if study.suggested_order_uid is None:
        study.suggested_order_uid = retake_service.suggested_order(session, study, now - MATCH_WINDOW)
    site = session.get_one(Site, study.site_id)
    order = Order(
        order_uid=new_uid(), site_id=study.site_id, patient_pk=patient.id, modality=study.modality,
        accession_number=next_accession_number(session, site, zone, now), body_part=study.body_part,
        priority="routine", made_from_object=True, created_at=now,
    )  # fmt: skip
    session.add(order)
    session.flush()
    return order


def _orders_in_question(session: Session, study: Study, now: datetime) -> Iterator[tuple[Order, Patient]]:
    """First the one that the study names, however old it is, then what still waits for images."""
    uid, number = study.study_instance_uid, study.accession_number
    named = acquisition_store.order_named(session, study.site_id, uid, number)
    if named is not None and not acquisition_store.has_usable_study(session, named.order_uid):
        yield named, session.get_one(Patient, named.patient_pk)
    yield from store.open_orders_of_site(session, study.site_id, now - MATCH_WINDOW)


def _add_instance(
    session: Session, study: Study, received: ReceivedObject, record: ObjectRecord, now: datetime
) -> Instance:
    series = session.scalar(select(Series).where(Series.series_instance_uid == record.series_instance_uid))
    if series is None:
        series = Series(
            study_id=study.id, series_instance_uid=record.series_instance_uid, modality=record.modality,
            number=record.series_number, description=record.series_description, body_part=record.body_part,
            series_date=record.series_date, series_time=record.series_time,
            performed_start_date=record.performed_start_date, performed_start_time=record.performed_start_time,
            requested_procedure_id=record.requested_procedure_id, scheduled_step_id=record.scheduled_step_id,
        )  # fmt: skip
        session.add(series)
        session.flush()
    instance = Instance(
        series_id=series.id, sop_instance_uid=record.sop_instance_uid, sop_class_uid=record.sop_class_uid,
        transfer_syntax_uid=record.transfer_syntax_uid, number=record.instance_number, blob_key=received.blob_key,
        digest=received.digest, size_bytes=received.size_bytes, received_at=now,
        association_id=received.association_id, derived_state="pending" if record.is_displayable else "none",
        rows=record.rows, columns=record.columns, bits_allocated=record.bits_allocated,
        number_of_frames=record.number_of_frames,
    )  # fmt: skip
    session.add(instance)
    session.flush()
    _link_association(session, study.id, received.association_id)
    if record.is_displayable:
        derive_store.promise_series(session, study.id, [series.id], now)
    return instance


def _link_association(session: Session, study_id: int, association_id: int | None) -> None:
    if association_id is None or session.get(StudyAssociation, (study_id, association_id)) is not None:
        return
    session.add(StudyAssociation(study_id=study_id, association_id=association_id))
    session.flush()


def _note_arrival(
    session: Session,
    study: Study,
    sender: Sender,
    now: datetime,
    signed_statuses: Callable[[Session, int], set[str]],
) -> None:
    """One more object is in: the count grows, a complete study is open again, a signer is told."""
    # The count is added in the database: two associations may bring one study at once.
    session.execute(
        update(Study).where(Study.id == study.id).values(n_instances=Study.n_instances + 1, last_received_at=now)
    )
    session.refresh(study)
    was_ready = study.input_readiness == InputReadiness.READY
    if was_ready:
        study.input_readiness = InputReadiness.INCOMPLETE
        _tell_late_images(session, study, now, signed_statuses(session, study.id))
        retake = retake_service.awaited(session, study_id=study.id)
        if retake is not None:
            retake_service.follow(session, retake, study, now)
    if was_ready or now - study.progress_told_at >= PROGRESS_INTERVAL:
        study.progress_told_at = now
        audit.emit(
            session, "progress", now=now, actor=sender.source, site_id=study.site_id, study_id=study.id,
            n_instances=study.n_instances,
        )  # fmt: skip


def _tell_late_images(session: Session, study: Study, now: datetime, signed: set[str]) -> None:
    """Images after a signature: a note to the signer, and one addendum workitem for them."""
    if not signed:
        return
    study.late_images_at = now
    workitem_uid = addendum_for_signer(session, study, now)
    audit.emit(session, "late_images", now=now, site_id=study.site_id, study_id=study.id, workitem_uid=workitem_uid)
