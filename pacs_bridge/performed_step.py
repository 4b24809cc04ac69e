"""A Modality Performed Procedure Step as values: states, what each must hold, what was made, what dose. [domain]

PS3.4 F.7.2 and Table F.7.2-1. What a device sends beyond that is kept and given back; what it lacks of the required
is refused with the attribute's name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

SOP_CLASS = "1.2.840.10008.3.1.2.3.3"
RETRIEVE_SOP_CLASS = "1.2.840.10008.3.1.2.3.4"
NOTIFICATION_SOP_CLASS = "1.2.840.10008.3.1.2.3.5"
# Event types of a notification, Table F.9.2-1; nothing is ever deleted (5).
IN_PROGRESS_EVENT, COMPLETED_EVENT, DISCONTINUED_EVENT, UPDATED_EVENT = range(1, 5)
MAY_NO_LONGER_BE_UPDATED = 0xA710  # Error ID of status 0110, F.7.2.2.2


class StepState(StrEnum):
    """Performed Procedure Step Status (0040,0252)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


FINAL = frozenset((StepState.COMPLETED, StepState.DISCONTINUED))
EVENT_OF_END = {StepState.COMPLETED: COMPLETED_EVENT, StepState.DISCONTINUED: DISCONTINUED_EVENT}
_STEP = "ScheduledStepAttributesSequence"
_SERIES = "PerformedSeriesSequence"
_REQUIRED = (
    "PerformedProcedureStepID", "PerformedStationAETitle", "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime", "PerformedProcedureStepStatus", "Modality",
)  # fmt: skip
_REQUIRED_AT_END = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime")
# Table F.7.2-1: what an N-SET may not touch.
_FIXED = frozenset((
    _STEP, "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "ReferencedPatientSequence", "PerformedProcedureStepID", "PerformedStationAETitle", "PerformedStationName",
    "PerformedLocation", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "Modality", "StudyID",
))  # fmt: skip
_DAP = ("ImageAndFluoroscopyAreaDoseProduct", "dGy·cm²")
# Radiation Dose module, PS3.3 C.4.16: of the whole step, and of each exposure.
_OF_STEP = (
    _DAP, ("TotalTimeOfFluoroscopy", "s"), ("TotalNumberOfExposures", ""), ("EntranceDose", "dGy"),
    ("EntranceDoseInmGy", "mGy"), ("DistanceSourceToDetector", "mm"), ("DistanceSourceToEntrance", "mm"),
)  # fmt: skip
_OF_EXPOSURE = (
    ("CTDIvol", "mGy"), ("KVP", "kV"), ("XRayTubeCurrentInuA", "µA"), ("ExposureTime", "ms"), ("Exposure", "mAs"),
    ("EntranceDoseInmGy", "mGy"), _DAP,
)  # fmt: skip
_COMMENTS = "CommentsOnRadiationDose"
# No attribute of MPPS holds the DLP; devices write it into the comments, in several ways.
_DLP = re.compile(r"(?i)\b(?:total\s*)?DLP\s*[=:]?\s*(\d+(?:\.\d+)?)")
_MOST_DOSES = 500


class BadStep(ValueError):
    """A request that breaks the rules: its DIMSE status and the keyword concerned."""

    def __init__(self, status: int, keyword: str) -> None:
        super().__init__(keyword)
        self.status, self.keyword = status, keyword


MISSING_ATTRIBUTE, MISSING_VALUE, INVALID_VALUE = 0x0120, 0x0121, 0x0106


@dataclass(frozen=True)
class Made:
    """One object that the device says it made."""

    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    is_image: bool


@dataclass(frozen=True)
class Requested:
    """One item of what the step was done for."""

    study_instance_uid: str
    accession_number: str
    requested_procedure_id: str


@dataclass(frozen=True)
class DoseValue:
    """One dose quantity by keyword; ``event`` 0: of the whole step, else the exposure's number."""

    quantity: str
    value: float | None
    unit: str = ""
    event: int = 0
    text: str = ""


@dataclass(frozen=True)
class StepRecord:
    """What an index keeps of a step; ``attributes``: all of it as DICOM JSON."""

    state: StepState
    modality: str
    reason: str  # why it was discontinued, in the device's words
    requested: tuple[Requested, ...]
    made: tuple[Made, ...]
    doses: tuple[DoseValue, ...]
    attributes: dict[str, Any]


def record_of(step: Dataset) -> StepRecord:
    """The record of a step that ``check_new`` or ``changed`` has let pass."""
    return StepRecord(
        state=state_of(step), modality=_text(step, "Modality")[:16], reason=_reason(step),
        requested=tuple(_requested(step)), made=tuple(_made(step)), doses=tuple(_doses(step)),
        attributes=step.to_json_dict(suppress_invalid_tags=True),
    )  # fmt: skip


def check_new(step: Dataset) -> None:
    """Raises BadStep for a step that cannot begin so."""
    for keyword in (*_REQUIRED, _STEP):
        _need(step, keyword)
    for item in step[_STEP].value:
        _need(item, "StudyInstanceUID")
    if _text(step, "PerformedProcedureStepStatus") != StepState.IN_PROGRESS:
        raise BadStep(INVALID_VALUE, "PerformedProcedureStepStatus")


def changed(step: Dataset, change: Dataset) -> Dataset:
    """The step with an N-SET's attributes in place of its own. Raises BadStep."""
    after = Dataset()
    after.update(step)
    for element in change:
        if element.keyword in _FIXED:
            if element.keyword not in step or step[element.keyword].value != element.value:
                raise BadStep(INVALID_VALUE, element.keyword)
            continue
        after[element.tag] = element
    try:
        state = StepState(_text(after, "PerformedProcedureStepStatus"))
    except ValueError:
        raise BadStep(INVALID_VALUE, "PerformedProcedureStepStatus") from None
    if state in FINAL:
        _check_final(after, state)
    return after


def _check_final(step: Dataset, state: StepState) -> None:
    for keyword in _REQUIRED_AT_END:
        _need(step, keyword)
    if state is StepState.COMPLETED:
        _need(step, _SERIES)
    for item in _items(step, _SERIES):
        for keyword in ("SeriesInstanceUID", "ProtocolName"):
            _need(item, keyword)


def _need(dataset: Dataset, keyword: str) -> None:
    if keyword not in dataset:
        raise BadStep(MISSING_ATTRIBUTE, keyword)
    value = dataset[keyword].value
    if value is None or (not value if isinstance(value, Sequence) else not str(value).strip()):
        raise BadStep(MISSING_VALUE, keyword)


def state_of(step: Dataset) -> StepState:
    return StepState(_text(step, "PerformedProcedureStepStatus"))


def _requested(step: Dataset) -> list[Requested]:
    """What the step was done for, each study once."""
    found = {
        _text(item, "StudyInstanceUID"): Requested(
            _text(item, "StudyInstanceUID")[:64], _text(item, "AccessionNumber"), _text(item, "RequestedProcedureID")
        )
        for item in _items(step, _STEP)
    }
    return list(found.values())


def _made(step: Dataset) -> list[Made]:
    """Every object that the step lists, each once."""
    found: dict[str, Made] = {}
    for series in _items(step, _SERIES):
        uid = _text(series, "SeriesInstanceUID")
        for keyword, is_image in (
            ("ReferencedImageSequence", True), ("ReferencedNonImageCompositeSOPInstanceSequence", False),
        ):  # fmt: skip
            for item in _items(series, keyword):
                sop_class, sop = _text(item, "ReferencedSOPClassUID"), _text(item, "ReferencedSOPInstanceUID")
                if sop and max(len(sop), len(sop_class), len(uid)) <= 64:
                    found.setdefault(sop, Made(uid, sop_class, sop, is_image))
    return list(found.values())


def _reason(step: Dataset) -> str:
    """Why it was discontinued, in the device's words."""
    for item in _items(step, "PerformedProcedureStepDiscontinuationReasonCodeSequence"):
        return (_text(item, "CodeMeaning") or _text(item, "CodeValue"))[:64]
    return ""


def _doses(step: Dataset) -> list[DoseValue]:
    """What the step says of radiation, as far as it is a number; and its comments."""
    found = list(_values(step, _OF_STEP, 0))
    for number, item in enumerate(_items(step, "ExposureDoseSequence"), 1):
        found += _values(item, _OF_EXPOSURE, number)
        found += _comments(item, number)
    found += _comments(step, 0)
    return found[:_MOST_DOSES]


def _comments(dataset: Dataset, event: int) -> list[DoseValue]:
    text = _text(dataset, _COMMENTS)
    if not text:
        return []
    totals = _DLP.findall(text)
    dlp = [DoseValue("DLP", float(totals[-1]), "mGy·cm", event, text)] if totals else []
    return dlp or [DoseValue(_COMMENTS, None, "", event, text)]


def _values(dataset: Dataset, quantities: tuple[tuple[str, str], ...], event: int) -> Iterator[DoseValue]:
    for keyword, unit in quantities:
        value: Any = dataset.get(keyword)
        if isinstance(value, Sequence) or value is None or not str(value).strip():
            continue
        try:
            yield DoseValue(keyword, float(value), unit, event)
        except (TypeError, ValueError):
            continue


def chosen(step: Dataset, tags: list[int]) -> Dataset:
    """What an N-GET asks for; everything where it names nothing."""
    if not tags:
        return step
    found = Dataset()
    for tag in tags:
        if tag in step:
            found[tag] = step[tag]
    return found


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    found = dataset.get(keyword)
    return list(found) if isinstance(found, Sequence) else []


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None or isinstance(value, Sequence) else str(value).strip()
