"""Modality Worklist as values (PS3.4 Annex K): a scheduled step, which query it answers, and its data set. [domain]

Keys are texts by path below the Scheduled Procedure Step Sequence, as in ``query``. A query gets every attribute of
Table K.6-1 that it asks for; one without any return key gets all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacs_bridge import character_set
from pacs_bridge.query import Between, Match, Moments, Name, OneOf, Options, Pattern, match_of, with_moments

SOP_CLASS = "1.2.840.10008.5.1.4.31"
STEP = "ScheduledProcedureStepSequence"
_CODE = "RequestedProcedureCodeSequence"
_PROTOCOL = "ScheduledProtocolCodeSequence"
# What may be matched; whatever else has a value is returned and not compared.
_MATCHED = frozenset((
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "RequestedProcedureID",
    "StudyInstanceUID", "RequestedProcedureDescription", "RequestedProcedurePriority", "ReferringPhysicianName",
    "RequestingPhysician", "IssuerOfPatientID",
    *(f"{STEP}.{keyword}" for keyword in (
        "ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime", "Modality",
        "ScheduledPerformingPhysicianName", "ScheduledProcedureStepDescription", "ScheduledProcedureStepID",
        "ScheduledProcedureStepStatus",
    )),
))  # fmt: skip
_PARTS_OF_A_NAME = re.compile(r"[\s^=,']+")
_LONGEST_LO = 64


@dataclass(frozen=True)
class ScheduledStep:
    """One order as a modality sees it. Texts are Unicode; dates and times as DICOM writes them, of the site's day."""

    order_uid: str
    study_instance_uid: str
    accession_number: str
    patient_name: str  # PN: Zhao^Yan=赵^䶮
    name_forms: tuple[str, ...]  # what else the name is found by: characters, pinyin, initials
    patient_id: str
    issuer: str
    birth_date: str
    sex: str
    modality: str
    station_ae_title: str
    station_name: str
    start_date: str
    start_time: str
    body_part: str
    description: str
    question: str
    complaint: str
    requesting_physician: str
    priority: str  # HIGH, MEDIUM, LOW
    status: str  # SCHEDULED, STARTED
    institution: str

    def values(self) -> dict[str, str]:
        """Every attribute by its path."""
        return {
            "AccessionNumber": self.accession_number, "InstitutionName": self.institution,
            "ReferringPhysicianName": self.requesting_physician, "AdmittingDiagnosesDescription": "",
            "PatientName": self.patient_name, "PatientID": self.patient_id, "IssuerOfPatientID": self.issuer,
            "PatientBirthDate": self.birth_date, "PatientSex": self.sex, "PatientSize": "", "PatientWeight": "",
            "MedicalAlerts": "", "Allergies": "", "PregnancyStatus": "", "SpecialNeeds": "", "PatientState": "",
            "AdditionalPatientHistory": self.complaint, "StudyInstanceUID": self.study_instance_uid,
            "RequestingPhysician": self.requesting_physician, "RequestingService": self.institution,
            "RequestedProcedureDescription": self.description, "AdmissionID": "", "CurrentPatientLocation": "",
            "ConfidentialityConstraintOnPatientDataDescription": "", "RequestedProcedureID": self.accession_number,
            "ReasonForTheRequestedProcedure": _short(self.question or self.complaint),
            "RequestedProcedurePriority": self.priority, "PatientTransportArrangements": "",
            "RequestedProcedureComments": self.question,
            "PlacerOrderNumberImagingServiceRequest": self.accession_number,
            "FillerOrderNumberImagingServiceRequest": self.accession_number,
            **{f"{STEP}.{keyword}": value for keyword, value in self._step_values().items()},
        }  # fmt: skip

    def _step_values(self) -> dict[str, str]:
        return {
            "Modality": self.modality, "ScheduledStationAETitle": self.station_ae_title,
            "ScheduledProcedureStepStartDate": self.start_date, "ScheduledProcedureStepStartTime": self.start_time,
            "ScheduledPerformingPhysicianName": "", "ScheduledProcedureStepDescription": self.description,
            "ScheduledProcedureStepID": self.accession_number, "ScheduledStationName": self.station_name,
            "ScheduledProcedureStepLocation": self.institution, "PreMedication": "", "RequestedContrastAgent": "",
            "ScheduledProcedureStepStatus": self.status, "CommentsOnTheScheduledProcedureStep": self.complaint,
        }  # fmt: skip


# Sequences of Table K.6-1 that we have nothing in, by where they stand; they are returned empty.
_EMPTY = {"": ("ReferencedStudySequence", "ReferencedPatientSequence", _CODE), STEP: (_PROTOCOL,)}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LO else line[: _LONGEST_LO - 3] + "..."


@dataclass(frozen=True)
class Wanted:
    """A query: what must match, and every path that is to be returned. ``unmatched``: keys that are not compared."""

    matches: Mapping[str, Match]
    paths: tuple[str, ...]
    has_unsupported: bool

    def texts_of(self, path: str) -> tuple[str, ...]:
        """The single values or patterns of a key; () where anything will do."""
        match = self.matches.get(path)
        return match.values if isinstance(match, OneOf) else match.patterns if isinstance(match, Pattern) else ()


def read(identifier: Dataset, fallback: str) -> Wanted:
    """The query of a request. ``fallback``: how text without a declared character set is read. Raises BadKey."""
    is_declared = bool(identifier.get("SpecificCharacterSet"))
    texts = _texts(identifier, "", is_declared, fallback)
    matches: dict[str, Match] = {}
    has_unsupported = False
    for path, text in texts.items():
        if not text.strip(" *"):
            continue
        if path in _MATCHED:
            matches[path] = match_of(path, text, Options())
        else:
            has_unsupported = True
    return Wanted(with_moments(matches), tuple(texts), has_unsupported)


def _texts(dataset: Dataset, prefix: str, is_declared: bool, fallback: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in dataset:
        keyword = element.keyword
        if not keyword or keyword == "SpecificCharacterSet":
            continue
        if isinstance(element.value, Sequence):
            if keyword == STEP and not prefix:
                for item in element.value[:1]:
                    found |= _texts(item, f"{STEP}.", is_declared, fallback)
                found.setdefault(STEP, "")
            else:
                found[prefix + keyword] = ""
            continue
        text = "\\".join(str(one) for one in element.value) if element.VM > 1 else str(element.value or "")
        if element.VR == "PN" and not is_declared and not text.isascii():
            raw = element.value.original_string
            text = character_set.decode(raw, (), fallback).value if isinstance(raw, bytes) else text
        found[prefix + keyword] = text
    return found


def answers(step: ScheduledStep, wanted: Wanted) -> bool:
    """Whether the step is what the query looks for."""
    values = step.values()
    return all(_matches(step, path, match, values) for path, match in wanted.matches.items())


def _matches(step: ScheduledStep, path: str, match: Match, values: Mapping[str, str]) -> bool:
    value = values.get(path, "")
    if isinstance(match, Name):
        forms = (value, *step.name_forms) if path == "PatientName" else (value,)
        return _is_named(forms, match)
    if isinstance(match, OneOf):
        return value in match.values
    if isinstance(match, Pattern):
        return any(is_like(value, pattern) for pattern in match.patterns)
    if isinstance(match, Between):
        return bool(value) and (not match.low or value >= match.low) and (not match.high or value <= match.high)
    return _is_within(value, values.get(match.time_path, ""), match)


def _is_within(day: str, time: str, match: Moments) -> bool:
    low_day, high_day = match.low[0], match.high[0]
    if not day or (low_day and (day, time) < match.low):
        return False
    return not high_day or day < high_day or (day == high_day and (not match.high[1] or time <= match.high[1]))


def is_like(value: str, pattern: str) -> bool:
    """Whether a value is what a pattern with * and ? says."""
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def _is_named(forms: tuple[str, ...], match: Name) -> bool:
    """Any group of the name, with its separators or without: names are typed in every way."""
    known = {text for form in forms for text in (*form.split("="), *(_joined(group) for group in form.split("=")))}
    folded = {text.casefold() for text in known if text}
    wanted = [group for group in match.groups if group.strip("*")]
    return all(
        any(is_like(text, pattern) for text in folded for pattern in (group, _joined(group))) for group in wanted
    )


def _joined(text: str) -> str:
    return _PARTS_OF_A_NAME.sub("", text)


def write(step: ScheduledStep, wanted: Wanted) -> Dataset:
    """What the query asks for of this step; with no return key at all, everything."""
    found, item = Dataset(), Dataset()
    values = step.values()
    everything = not wanted.paths
    for path in values if everything else wanted.paths:
        keyword = path.rpartition(".")[2]
        into = item if path.startswith(f"{STEP}.") else found
        if path in values and dictionary_VR(keyword) != "SQ":
            _put(into, keyword, values[path])
        elif path != STEP:
            _put_empty(into, keyword)
    for place, keywords in _EMPTY.items() if everything else ():
        for keyword in keywords:
            _put_empty(item if place else found, keyword)
    if everything or wanted.paths == (STEP,) or (STEP in wanted.paths and not len(item)):
        for keyword, value in step._step_values().items():
            _put(item, keyword, value)
    if len(item):
        found.add(DataElement(tag_for_keyword(STEP) or 0, "SQ", Sequence([item])))
    return found


def _put(dataset: Dataset, keyword: str, value: str) -> None:
    vr = dictionary_VR(keyword)
    content = (int(value) if value else None) if vr == "US" else value
    dataset.add(DataElement(tag_for_keyword(keyword) or 0, vr, content))


def _put_empty(dataset: Dataset, keyword: str) -> None:
    tag = tag_for_keyword(keyword)
    if tag is not None:
        vr = dictionary_VR(keyword)
        dataset.add(DataElement(tag, vr.split(" ")[0], Sequence() if vr == "SQ" else None))
