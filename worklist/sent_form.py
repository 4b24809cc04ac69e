"""An object that comes back under the name its device was given is the order's patient, with the name as it is. [store]

A device that cannot write 䶮 was told Zhao^Yan and sends Zhao^Yan: without this it would be another person.
"""

from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from pacs_bridge.records import ObjectRecord
from worklist import acquisition_store
from worklist.acquisition_tables import WorklistFetch
from worklist.tables import Patient


def as_ordered(session: Session, site_id: int, record: ObjectRecord) -> ObjectRecord:
    """The record with the patient of its order, where order, patient ID and the name as sent agree; else as it is.

    A sex or birth date that contradicts the order's makes another person of it, as ever; an absent one does not.
    """
    if not record.patient_id or not record.patient_name:
        return record
    order = acquisition_store.order_named(session, site_id, record.study_instance_uid, record.accession_number)
    if order is None:
        return record
    patient = session.get_one(Patient, order.patient_pk)
    if patient.patient_id != record.patient_id or _contradicts(patient, record):
        return record
    sent = session.scalars(select(WorklistFetch.name_sent).where(WorklistFetch.order_uid == order.order_uid)).all()
    if not any(is_sent_form(record, name) for name in sent):
        return record
    return replace(
        record, patient_name=patient.name, patient_sex=patient.sex, patient_birth_date=patient.birth_date,
        patient_name_is_doubtful=False,
    )  # fmt: skip


def _contradicts(patient: Patient, record: ObjectRecord) -> bool:
    sex, birth = record.patient_sex, record.patient_birth_date
    return (sex is not None and sex != patient.sex) or (birth is not None and birth != patient.birth_date)


def is_sent_form(record: ObjectRecord, name_sent: str) -> bool:
    """Whether the object's name is one of the groups that were sent, however the device joins and cases them."""
    groups = {_plain(group) for group in name_sent.split("=")} - {""}
    came = {_plain(record.patient_name), *(_plain(group) for group in record.patient_name_sent.split("="))} - {""}
    return bool(groups & came)


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter not in "^ ,'-").casefold()
