"""What an SCU may write into a UPS and what a final state asks for (PS3.4 Table CC.2.5-3). [domain]"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR

from pacs_bridge.ups import (
    INVALID_VALUE,
    MISSING_ATTRIBUTE,
    MISSING_VALUE,
    NOT_SCHEDULED,
    Attributes,
    UpsRefused,
    items,
    put,
    tag,
    text,
    values,
)


@dataclass(frozen=True)
class Row:
    """One attribute. ``create``: 1 needed, 2 may be empty, 0 shall be empty, 3 optional; ``may_set``: by N-SET;
    ``final``: R in both final states, P in COMPLETED, X in CANCELED, O in none."""

    keyword: str
    create: int
    may_set: bool = True
    final: str = "O"


ROWS = (
    Row("TransactionUID", 0, may_set=False),
    Row("ScheduledProcedureStepPriority", 1, final="R"),
    Row("ProcedureStepLabel", 1),
    Row("WorklistLabel", 2),
    Row("ScheduledProcessingParametersSequence", 2),
    Row("ScheduledStationNameCodeSequence", 2),
    Row("ScheduledStationClassCodeSequence", 2),
    Row("ScheduledStationGeographicLocationCodeSequence", 2),
    Row("ScheduledHumanPerformersSequence", 3),
    Row("ScheduledProcedureStepStartDateTime", 1, final="R"),
    Row("ScheduledWorkitemCodeSequence", 2),
    Row("CommentsOnTheScheduledProcedureStep", 2),
    Row("InputReadinessState", 1, final="R"),
    Row("InputInformationSequence", 2),
    Row("StudyInstanceUID", 2),
    Row("PatientName", 2, may_set=False),
    Row("PatientID", 2, may_set=False),
    Row("IssuerOfPatientID", 2, may_set=False),
    Row("OtherPatientIDsSequence", 2),
    Row("PatientBirthDate", 2, may_set=False),
    Row("PatientSex", 2, may_set=False),
    Row("AdmissionID", 2, may_set=False),
    Row("IssuerOfAdmissionIDSequence", 2, may_set=False),
    Row("AdmittingDiagnosesDescription", 2, may_set=False),
    Row("AdmittingDiagnosesCodeSequence", 2, may_set=False),
    Row("ReferencedRequestSequence", 2, may_set=False),
    Row("ReplacedProcedureStepSequence", 3, may_set=False),
    Row("ProcedureStepState", 1, may_set=False, final="R"),
    Row("ProcedureStepProgressInformationSequence", 0, final="X"),
    Row("UnifiedProcedureStepPerformedProcedureSequence", 0, final="P"),
)
_OF_US = ("SOPClassUID", "SOPInstanceUID", "ScheduledProcedureStepModificationDateTime")
# In each item of the Performed Procedure Sequence; Output Information may be empty.
PERFORMED = (
    "PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime", "PerformedWorkitemCodeSequence",
    "PerformedProcedureStepEndDateTime",
)  # fmt: skip
CANCELLED = ("ProcedureStepCancellationDateTime", "ProcedureStepDiscontinuationReasonCodeSequence")
ENUMERATED = {
    "ScheduledProcedureStepPriority": ("HIGH", "MEDIUM", "LOW"),
    "InputReadinessState": ("READY", "UNAVAILABLE", "INCOMPLETE"),
}


def checked_create(given: Mapping[str, Any]) -> Attributes:
    """The attributes of an N-CREATE, the type 2 ones that are missing added empty. Raises UpsRefused."""
    found = {name: element for name, element in given.items() if name not in {tag(keyword) for keyword in _OF_US}}
    _check_form(found)
    state = text(found, "ProcedureStepState")
    if state != "SCHEDULED":
        raise UpsRefused(NOT_SCHEDULED, "Procedure Step State shall be SCHEDULED")
    for row in ROWS:
        held = values(found, row.keyword)
        if row.create == 1 and not held:
            status = MISSING_VALUE if tag(row.keyword) in found else MISSING_ATTRIBUTE
            raise UpsRefused(status, f"{row.keyword} is required")
        if row.create == 0 and held:
            raise UpsRefused(INVALID_VALUE, f"{row.keyword} shall be empty")
        if row.create in (0, 2) and tag(row.keyword) not in found:
            put(found, row.keyword)
    found.pop(tag("TransactionUID"), None)
    _check_values(found)
    return found


def checked_set(given: Mapping[str, Any]) -> Attributes:
    """The attributes of an N-SET without the Transaction UID. Raises UpsRefused."""
    found = dict(given)
    found.pop(tag("TransactionUID"), None)
    found.pop(tag("SpecificCharacterSet"), None)
    _check_form(found)
    rows = {tag(row.keyword): row for row in ROWS}
    for name in found:
        if name in rows and not rows[name].may_set:
            raise UpsRefused(INVALID_VALUE, f"{rows[name].keyword} may not be set")
    for keyword in _OF_US:
        if tag(keyword) in found:
            raise UpsRefused(INVALID_VALUE, f"{keyword} may not be set")
    for row in ROWS:
        if row.create == 1 and tag(row.keyword) in found and not values(found, row.keyword):
            raise UpsRefused(MISSING_VALUE, f"{row.keyword} is required")
    _check_values(found)
    return found


def _check_form(attributes: Mapping[str, Any]) -> None:
    """Names are tags, elements have the VR of the standard; file meta and pixels are no part of a UPS."""
    for name, element in attributes.items():
        if len(name) != 8 or not isinstance(element, dict) or not set(name) <= set("0123456789ABCDEF"):
            raise UpsRefused(INVALID_VALUE, "not a DICOM JSON data set")
        if int(name, 16) < 0x00080000 or int(name, 16) >= 0x7F000000:
            raise UpsRefused(INVALID_VALUE, f"{name} is no part of a UPS")
        held = element.get("Value", [])
        if not isinstance(held, list):
            raise UpsRefused(INVALID_VALUE, f"{name} is no list of values")
        vr = _known_vr(name) or str(element.get("vr", "UN"))
        if any(isinstance(one, dict) != (vr in ("SQ", "PN")) for one in held if one is not None):
            raise UpsRefused(INVALID_VALUE, f"{name} has values of another kind")
        if vr == "SQ":
            for item in held:
                _check_form(item or {})


def _known_vr(name: str) -> str | None:
    try:
        return dictionary_VR(int(name, 16))
    except KeyError:
        return None


def _check_values(attributes: Mapping[str, Any]) -> None:
    for keyword, allowed in ENUMERATED.items():
        if tag(keyword) in attributes and text(attributes, keyword) not in allowed:
            raise UpsRefused(INVALID_VALUE, f"{keyword} has no such value")


def missing_at_end(attributes: Mapping[str, Any], state: str) -> list[str]:
    """What the final state asks for and is not there."""
    needed = ("R", "P") if state == "COMPLETED" else ("R", "X")
    missing = [row.keyword for row in ROWS if row.final in needed and not values(attributes, row.keyword)]
    if state == "COMPLETED":
        for item in items(attributes, "UnifiedProcedureStepPerformedProcedureSequence"):
            missing += [keyword for keyword in PERFORMED if not values(item, keyword)]
            if tag("OutputInformationSequence") not in item:
                missing.append("OutputInformationSequence")
    else:
        for item in items(attributes, "ProcedureStepProgressInformationSequence")[:1]:
            missing += [keyword for keyword in CANCELLED if not values(item, keyword)]
    return missing
