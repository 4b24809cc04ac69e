"""Rejection notes (IHE RAD TF-3 4.84, Key Object Selection with a title of PS3.16 CID 7011), read. [domain]"""

from dataclasses import dataclass
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

KEY_OBJECT_CLASS = "1.2.840.10008.5.1.4.1.1.88.59"
QUALITY, SAFETY, WRONG_ENTRY, EXPIRED = "113001", "113037", "113038", "113039"
# PS3.16 CID 7011, the titles with which images are taken out of use; others only point at images.
TITLES = {
    QUALITY: "Rejected for Quality Reasons",
    SAFETY: "Rejected for Patient Safety Reasons",
    WRONG_ENTRY: "Incorrect Modality Worklist Entry",
    EXPIRED: "Data Retention Policy Expired",
}
_LARGEST_BYTES = 8 << 20  # 5,000 references are one; a note is never larger


@dataclass(frozen=True)
class RejectionNote:
    """``references``: (Study Instance UID, SOP Instance UID) of everything the note rejects."""

    code: str
    references: tuple[tuple[str, str], ...]


def rejection_of(content: bytes) -> RejectionNote | None:
    """The note that a Part 10 file is; None for a key object of another title, or one that cannot be read."""
    if len(content) > _LARGEST_BYTES:
        return None
    try:
        dataset = pydicom.dcmread(BytesIO(content))
        code = _title(dataset)
        return RejectionNote(code, _references(dataset)) if code else None
    except (InvalidDicomError, ValueError, KeyError, AttributeError, EOFError, TypeError, NotImplementedError):
        return None


def _title(dataset: Dataset) -> str | None:
    for item in dataset.get("ConceptNameCodeSequence") or []:
        code = str(item.get("CodeValue", ""))
        if item.get("CodingSchemeDesignator") == "DCM" and code in TITLES:
            return code
    return None


def _references(dataset: Dataset) -> tuple[tuple[str, str], ...]:
    found = []
    for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or []:
        for series in study.get("ReferencedSeriesSequence") or []:
            for instance in series.get("ReferencedSOPSequence") or []:
                found.append((str(study.StudyInstanceUID), str(instance.ReferencedSOPInstanceUID)))
    return tuple(dict.fromkeys(pair for pair in found if all(len(uid) <= 64 for uid in pair)))
