"""The attributes that queries know: their level, whether they are compared, how a model's levels follow. [domain]

PS3.4 C.6.1.1 and C.6.2.1 name the unique and required keys; PS3.18 Tables 10.6.3-3 to -5 what QIDO-RS always answers.
"""

from dataclasses import dataclass

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
UNIQUE = {
    "PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID",
}  # fmt: skip
SEQUENCE = "RequestAttributesSequence"


@dataclass(frozen=True)
class Attribute:
    """``kind``: unique, required or optional (PS3.4 C.2.2.1). ``in_qido``: answered without being asked for."""

    level: str
    kind: str = "optional"
    is_matched: bool = True
    in_qido: bool = True


def _table() -> dict[str, Attribute]:
    unique, required = "unique", "required"
    return {
        "PatientName": Attribute("PATIENT", required), "PatientID": Attribute("PATIENT", unique),
        "IssuerOfPatientID": Attribute("PATIENT", in_qido=False), "PatientBirthDate": Attribute("PATIENT"),
        "PatientSex": Attribute("PATIENT"),
        "NumberOfPatientRelatedStudies": Attribute("PATIENT", is_matched=False, in_qido=False),
        "NumberOfPatientRelatedSeries": Attribute("PATIENT", is_matched=False, in_qido=False),
        "NumberOfPatientRelatedInstances": Attribute("PATIENT", is_matched=False, in_qido=False),
        "StudyDate": Attribute("STUDY", required), "StudyTime": Attribute("STUDY", required),
        "AccessionNumber": Attribute("STUDY", required), "StudyID": Attribute("STUDY", required),
        "StudyInstanceUID": Attribute("STUDY", unique), "ReferringPhysicianName": Attribute("STUDY"),
        "StudyDescription": Attribute("STUDY"), "ModalitiesInStudy": Attribute("STUDY"),
        "SOPClassesInStudy": Attribute("STUDY", in_qido=False),
        "NumberOfStudyRelatedSeries": Attribute("STUDY", is_matched=False),
        "NumberOfStudyRelatedInstances": Attribute("STUDY", is_matched=False),
        "Modality": Attribute("SERIES", required), "SeriesNumber": Attribute("SERIES", required),
        "SeriesInstanceUID": Attribute("SERIES", unique), "SeriesDescription": Attribute("SERIES"),
        "SeriesDate": Attribute("SERIES", in_qido=False), "SeriesTime": Attribute("SERIES", in_qido=False),
        "BodyPartExamined": Attribute("SERIES", in_qido=False),
        "PerformedProcedureStepStartDate": Attribute("SERIES"),
        "PerformedProcedureStepStartTime": Attribute("SERIES"),
        f"{SEQUENCE}.RequestedProcedureID": Attribute("SERIES"),
        f"{SEQUENCE}.ScheduledProcedureStepID": Attribute("SERIES"),
        "NumberOfSeriesRelatedInstances": Attribute("SERIES", is_matched=False),
        "InstanceNumber": Attribute("IMAGE", required), "SOPInstanceUID": Attribute("IMAGE", unique),
        "SOPClassUID": Attribute("IMAGE"), "Rows": Attribute("IMAGE", is_matched=False),
        "Columns": Attribute("IMAGE", is_matched=False), "BitsAllocated": Attribute("IMAGE", is_matched=False),
        "NumberOfFrames": Attribute("IMAGE", is_matched=False),
        "AvailableTransferSyntaxUID": Attribute("IMAGE", is_matched=False, in_qido=False),
    }  # fmt: skip


ATTRIBUTES = _table()
# Said of every answer, at each level.
OF_EVERY_ANSWER = ("InstanceAvailability", "RetrieveAETitle", "RetrieveURL")


def level_of(path: str) -> str:
    return ATTRIBUTES[path].level


def at_or_above(level: str) -> tuple[str, ...]:
    """The attributes that an answer of this level can carry."""
    reach = LEVELS[: LEVELS.index(level) + 1]
    return tuple(path for path, attribute in ATTRIBUTES.items() if attribute.level in reach)
