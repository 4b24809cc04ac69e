"""Orders: their numbers, and which order a study that arrives belongs to. [domain]"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Match(StrEnum):
    """How sure it is that an order and a study belong together."""

    CERTAIN = "certain"  # same site and accession number, same person
    SUGGESTED = "suggested"  # a person has to confirm it
    NONE = "none"


@dataclass(frozen=True)
class OrderFacts:
    """What matching looks at, of an order or of a study; always of one site."""

    accession_number: str | None
    patient_id: str | None
    patient_name: str
    modality: str
    day: date
    study_instance_uid: str | None = None  # of the order: what a device was told to give its images


class Acquisition(StrEnum):
    """How far the device is with an order."""

    REQUESTED = "requested"
    FETCHED = "fetched"  # a device was told it in its worklist
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    DISCONTINUED = "discontinued"


def match(order: OrderFacts, study: OrderFacts) -> Match:
    """How an order and a study of the same site match.

    The Study Instance UID that the device was told decides, or the accession number, unless the person differs:
    then someone mistyped one of them, and a person has to look. Without it, the same patient ID, modality and day
    is a suggestion.
    """
    same_person = order.patient_id == study.patient_id or order.patient_id is None or study.patient_id is None
    is_its_study = order.study_instance_uid is not None and order.study_instance_uid == study.study_instance_uid
    if is_its_study or (order.accession_number and order.accession_number == study.accession_number):
        return Match.CERTAIN if same_person else Match.SUGGESTED
    same = order.patient_id == study.patient_id and order.modality == study.modality and order.day == study.day
    return Match.SUGGESTED if order.patient_id and same else Match.NONE


def is_accession_prefix(text: str) -> bool:
    """Two to four capital letters: they keep the numbers of sites apart, and leave SH room for date and sequence."""
    return re.fullmatch(r"[A-Z]{2,4}", text) is not None


def accession_number(prefix: str, day: date, sequence: int) -> str:
    """``QS26111800291``: site prefix, date, five digits; at most 16 characters (SH).

    Raises ValueError beyond 99,999 orders a day.
    """
    if not 0 < sequence < 100_000:
        raise ValueError(f"order {sequence} of one day has no number")
    return f"{prefix}{day:%y%m%d}{sequence:05d}"[:16]
