"""What became of one object that was sent over HTTP, in the words of PS3.18 10.5.3. [domain]"""

from dataclasses import dataclass

PROCESSING_FAILURE, DUPLICATE, NOT_AUTHORISED = 0x0110, 0x0111, 0x0124
OUT_OF_RESOURCES, MISMATCH, CANNOT_UNDERSTAND = 0xA700, 0xA900, 0xC000
_FAILURE_BY_REASON = {
    "study_of_other_site": NOT_AUTHORISED, "instance_of_other_site": NOT_AUTHORISED, "content_conflict": DUPLICATE,
    "patient_conflict": MISMATCH, "series_of_other_study": MISMATCH,
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """``failure``: the Failure Reason (0008,1197), None where it is stored."""

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    failure: int | None = None


def failure_of(quarantine_reason: str) -> int | None:
    """The status that a quarantined object's sender is told; None: nothing failed, it waits for its study."""
    if quarantine_reason == "rejection_note_early":
        return None  # in force from this moment on
    return _FAILURE_BY_REASON.get(quarantine_reason, CANNOT_UNDERSTAND)
