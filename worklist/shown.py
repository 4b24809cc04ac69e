"""Orders and patients as the API shows them. [store]"""

from datetime import date
from typing import Any

from worklist import id_number, triage
from worklist.person import age_text
from worklist.tables import Order, Patient


def order_json(order: Order, patient: Patient, on: date) -> dict[str, Any]:
    """An order as the API shows it."""
    return {
        "order_uid": order.order_uid,
        "accession_number": order.accession_number,
        "modality": order.modality,
        "body_part": order.body_part,
        "complaint": order.complaint,
        "question": order.question,
        "priority": order.priority,
        "pathway": order.pathway,
        "lane": triage.lane(order.priority, order.pathway),
        "requesting_doctor": order.requesting_doctor,
        "made_from_object": order.made_from_object,
        "created_at": order.created_at.isoformat(),
        "acquisition": {
            "state": order.acquisition, "at": order.acquisition_at.isoformat() if order.acquisition_at else None,
            "device": order.acquisition_device, "reason": order.acquisition_reason,
        },
        "patient": patient_json(patient, on),
    }


def patient_json(patient: Patient, on: date) -> dict[str, Any]:
    """A patient as the API shows it; unknown stays null."""
    age = age_text(patient.birth_date, on)
    return {
        "name": patient.name,
        "name_pinyin": patient.name_pinyin,
        "name_is_doubtful": patient.name_is_doubtful,
        "patient_id": id_number.shown(patient.patient_id) if patient.patient_id else None,
        "sex": patient.sex,
        "birth_date": patient.birth_date.isoformat() if patient.birth_date else None,
        "age": {"value": age[0], "unit": age[1]} if age else None,
    }
