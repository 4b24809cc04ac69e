"""A retrieve as values: what is asked for, what leaves, where to, and how it went (PS3.4 C.4.2, C.4.3). [domain]"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

MOST_COUNTED = 0xFFFF  # the counts of a response are US
SUCCESS, PENDING, CANCELED = 0x0000, 0xFF00, 0xFE00
CANNOT_MATCH = 0xA701  # out of resources: unable to calculate number of matches
CANNOT_PERFORM = 0xA702  # out of resources: unable to perform sub-operations
DESTINATION_UNKNOWN = 0xA801
IDENTIFIER_MISMATCH = 0xA900  # identifier does not match SOP class
SOME_FAILED = 0xB000  # complete: one or more failures or warnings
# What can be made of a stored object, best first: explicit VR keeps the bytes of every other element.
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
PLAIN = (EXPLICIT, IMPLICIT)
# Retrieve levels with the unique key of each, from the top (PS3.4 C.6.1.1, C.6.2.1).
LEVELS = {
    "PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID",
}  # fmt: skip


class Mismatch(ValueError):
    """The identifier is none of this SOP class: 0xA900. The text names the attribute and no value."""


@dataclass(frozen=True)
class Wanted:
    """What a peer asks to have. Empty tuples leave that level open; ``issuer`` "" likewise."""

    level: str
    patient_id: str = ""
    issuer: str = ""
    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leaving:
    """One stored object that is to be sent. ``corrections``: keyword to value, for the copy that leaves."""

    blob_key: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    corrections: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Destination:
    """Where C-STORE sub-operations go."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True)
class Retrieval:
    """How a retrieve ended, for the audit trail."""

    message: str  # C_MOVE | C_GET
    destination: str  # AE title
    status: int
    completed: int
    failed: int
    study_instance_uids: tuple[str, ...]


@dataclass
class Tally:
    """Sub-operations so far."""

    total: int
    completed: int = 0
    warned: int = 0
    failed_uids: list[str] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        return self.total - self.completed - self.warned - len(self.failed_uids)

    def count(self, sop_instance_uid: str, outcome: str) -> None:
        """Take one result in; ``outcome`` as of a ``StoreResult``."""
        if outcome == "accepted":
            self.completed += 1
        elif outcome == "warning":
            self.warned += 1
        else:
            self.failed_uids.append(sop_instance_uid)

    def fields(self, *, remaining: bool) -> dict[str, Any]:
        """Command elements of a response; those that remain are told while pending and when cancelled."""
        counts = {
            "NumberOfCompletedSuboperations": self.completed, "NumberOfFailedSuboperations": len(self.failed_uids),
            "NumberOfWarningSuboperations": self.warned,
        }  # fmt: skip
        if remaining:
            counts["NumberOfRemainingSuboperations"] = self.remaining
        return {keyword: min(number, MOST_COUNTED) for keyword, number in counts.items()}

    def final_status(self) -> int:
        """Of a retrieve that was not cancelled."""
        if self.failed_uids and not self.completed and not self.warned:
            return CANNOT_PERFORM
        return SOME_FAILED if self.failed_uids or self.warned else SUCCESS

    def failed_list(self) -> Dataset | None:
        """The identifier of a final response with failures: Failed SOP Instance UID List."""
        if not self.failed_uids:
            return None
        identifier = Dataset()
        identifier.FailedSOPInstanceUIDList = list(self.failed_uids)
        return identifier


def syntaxes_to_offer(transfer_syntax_uid: str) -> tuple[str, ...]:
    """As stored first; then what can be made of it."""
    return (transfer_syntax_uid, *(plain for plain in PLAIN if plain != transfer_syntax_uid))


def read_wanted(identifier: Dataset, *, is_patient_root: bool, is_relational: bool) -> Wanted:
    """Raises Mismatch for a level the model lacks and for a unique key that is missing.

    Hierarchical retrieve (PS3.4 C.4.2.2.1) wants one value of each key above the level; relational, negotiated by
    the requestor, wants the level's own key alone.
    """
    level = _text(identifier, "QueryRetrieveLevel")
    names = list(LEVELS) if is_patient_root else list(LEVELS)[1:]
    if level not in names:
        raise Mismatch("QueryRetrieveLevel")
    values = {name: _values(identifier, LEVELS[name]) for name in names}
    if not values[level] or (level == "PATIENT" and len(values[level]) != 1):
        raise Mismatch(LEVELS[level])
    above = names[: names.index(level)]
    for name in above:
        if len(values[name]) > 1 or not (values[name] or is_relational):
            raise Mismatch(LEVELS[name])
    for name in names[names.index(level) + 1 :]:
        values[name] = ()  # keys below the level do not belong to the request
    return Wanted(
        level, patient_id=next(iter(values.get("PATIENT", ())), ""), issuer=_text(identifier, "IssuerOfPatientID"),
        studies=values["STUDY"], series=values["SERIES"], instances=values["IMAGE"],
    )  # fmt: skip


def _values(identifier: Dataset, keyword: str) -> tuple[str, ...]:
    value: Any = identifier.get(keyword)
    many: Sequence[Any] = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
    return tuple(dict.fromkeys(text for one in many if (text := str(one or "").strip())))


def _text(identifier: Dataset, keyword: str) -> str:
    return next(iter(_values(identifier, keyword)), "")
