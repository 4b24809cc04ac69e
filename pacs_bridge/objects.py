"""DICOM objects written from plain values: Encapsulated PDF, ECG waveforms, rejection notes. [adapter]

All as bytes of Part 10 files. PS3.3 A.35.4 (Key Object Selection, TID 2010), A.45.1 (Encapsulated PDF),
A.34.3-A.34.5 (12-lead, general and ambulatory ECG); PS3.16 CID 3001 (leads).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat, format_number_as_ds

from pacs_bridge.extract import TIME_MARK_CREATOR, TIME_MARK_ELEMENT, TIME_MARK_GROUP, TIME_UNKNOWN
from pacs_bridge.key_object import KEY_OBJECT_CLASS, TITLES
from pacs_bridge.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

ENCAPSULATED_PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
TWELVE_LEAD_CLASS = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL_ECG_CLASS = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY_ECG_CLASS = "1.2.840.10008.5.1.4.1.1.9.1.3"
RADIOLOGY_REPORT = ("11528-7", "LN", "Radiology Report")
ECG_REPORT = ("11524-6", "LN", "EKG Study Report")

_CODECS = {"ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gbk", "ISO_IR 100": "latin_1"}
_LONGEST = {"PN": 64, "LO": 64, "SH": 16, "ST": 1024}  # characters, PS3.5 Table 6.2-1
_MDC_LEADS = {
    "I": ("2:1", "Lead I"), "II": ("2:2", "Lead II"), "III": ("2:61", "Lead III"),
    "aVR": ("2:62", "aVR, augmented voltage, right"), "aVL": ("2:63", "aVL, augmented voltage, left"),
    "aVF": ("2:64", "aVF, augmented voltage, foot"), "V1": ("2:3", "Lead V1"), "V2": ("2:4", "Lead V2"),
    "V3": ("2:5", "Lead V3"), "V4": ("2:6", "Lead V4"), "V5": ("2:7", "Lead V5"), "V6": ("2:8", "Lead V6"),
    "V7": ("2:9", "Lead V7"), "V8": ("2:66", "Lead V8"), "V9": ("2:67", "Lead V9"), "V2R": ("2:10", "Lead V2R"),
    "V3R": ("2:11", "Lead V3R"), "V4R": ("2:12", "Lead V4R"), "V5R": ("2:13", "Lead V5R"),
    "V6R": ("2:14", "Lead V6R"), "X": ("2:16", "Lead X"), "Y": ("2:17", "Lead Y"), "Z": ("2:18", "Lead Z"),
}  # fmt: skip
_TWELVE_LEADS = frozenset(("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"))


class ObjectError(Exception):
    """What cannot be written. Codes: character_not_writable (character, character_set, keyword), value_too_long
    (keyword, limit), unknown_character_set, not_a_pdf, ecg_not_representable, bad_shape.
    """

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


@dataclass(frozen=True)
class StudyIdentity:
    """Whose study a new object joins. Names in DICOM form (``張^三`` or ``Zhang^San=张^三``) or as one word."""

    study_instance_uid: str
    patient_name: str
    patient_id: str | None
    patient_sex: str | None = None
    patient_birth_date: date | None = None
    issuer_of_patient_id: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_description: str = ""
    started_at: datetime | None = None  # aware, in the site's zone: DICOM writes local dates
    referring_physician: str = ""
    institution_name: str = ""


def encapsulated_pdf(
    pdf: bytes,
    *,
    study: StudyIdentity,
    sop_instance_uid: str,
    series_instance_uid: str,
    document_title: str,
    content_at: datetime,
    is_verified: bool,
    concept: tuple[str, str, str] = RADIOLOGY_REPORT,
    character_set: str = "ISO_IR 192",
    series_number: int = 9001,
    instance_number: int = 1,
    series_description: str = "",
) -> bytes:
    """A report as Encapsulated PDF Storage. ``content_at``: aware, in the site's zone. Raises ObjectError."""
    if not pdf.startswith(b"%PDF-"):
        raise ObjectError("not_a_pdf")
    dataset = _common(ENCAPSULATED_PDF_CLASS, sop_instance_uid, series_instance_uid, study, character_set)
    dataset.Modality = "DOC"
    dataset.SeriesNumber, dataset.InstanceNumber = series_number, instance_number
    _set_text(dataset, "SeriesDescription", series_description)
    dataset.ConversionType = "WSD"
    dataset.ContentDate, dataset.ContentTime = _local(content_at)
    dataset.AcquisitionDateTime = ""
    dataset.TimezoneOffsetFromUTC = content_at.strftime("%z")
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.VerificationFlag = "VERIFIED" if is_verified else "UNVERIFIED"
    _set_text(dataset, "DocumentTitle", document_title)
    dataset.ConceptNameCodeSequence = [_code(*concept)]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return _file(dataset)


def ecg_waveform(
    samples: NDArray[np.int16],
    *,
    sensitivity_uv: Sequence[float],
    baseline_uv: Sequence[float],
    sampling_rate_hz: float,
    leads: Sequence[str],
    study: StudyIdentity,
    sop_instance_uid: str,
    series_instance_uid: str,
    acquired_at: datetime,
    filter_low_hz: float | None = None,
    filter_high_hz: float | None = None,
    notch_hz: float | None = None,
    padding_value: int | None = None,
    character_set: str = "ISO_IR 192",
    series_number: int = 1,
    instance_number: int = 1,
    is_time_known: bool = True,
) -> bytes:
    """A recording with its integers as they are: microvolts = sample * sensitivity + baseline, per channel.

    ``samples`` int16 (n_samples, n_leads); ``sensitivity_uv`` in µV per step and ``baseline_uv`` in µV, one per
    lead; ``acquired_at`` aware, in the site's zone; ``padding_value`` marks samples that were not recorded.
    Acquisition DateTime is Type 1 (PS3.3 C.10.8): where nobody knows it, ``acquired_at`` is when the file came,
    ``is_time_known`` is False, and the object says so, to people in an annotation and to us in a private element.
    12-lead where PS3.3 A.34.3.4 allows, else general or ambulatory ECG. Raises ObjectError.
    """
    n_samples, n_leads = _checked_shape(samples, sensitivity_uv, baseline_uv, leads)
    sop_class_uid = ecg_class(n_samples, leads, sampling_rate_hz)
    dataset = _common(sop_class_uid, sop_instance_uid, series_instance_uid, study, character_set)
    dataset.Modality = "ECG"
    dataset.SeriesNumber, dataset.InstanceNumber = series_number, instance_number
    dataset.ContentDate, dataset.ContentTime = _local(acquired_at)
    dataset.AcquisitionDateTime = acquired_at.strftime("%Y%m%d%H%M%S.%f%z")
    dataset.TimezoneOffsetFromUTC = acquired_at.strftime("%z")
    dataset.AcquisitionContextSequence = []
    if not is_time_known:
        _say_time_unknown(dataset)
    filters = {"FilterLowFrequency": filter_low_hz, "FilterHighFrequency": filter_high_hz,
               "NotchFilterFrequency": notch_hz}  # fmt: skip
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels = n_leads
    group.NumberOfWaveformSamples = n_samples
    group.SamplingFrequency = _ds(sampling_rate_hz)
    group.ChannelDefinitionSequence = [
        _channel(lead, sensitivity, baseline, filters)
        for lead, sensitivity, baseline in zip(leads, sensitivity_uv, baseline_uv, strict=True)
    ]
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    if padding_value is not None:
        group.add_new("WaveformPaddingValue", "OW", np.int16(padding_value).astype("<i2").tobytes())
    group.add_new("WaveformData", "OW", np.ascontiguousarray(samples, dtype="<i2").tobytes())
    dataset.WaveformSequence = [group]
    return _file(dataset)


def _say_time_unknown(dataset: Dataset) -> None:
    note = Dataset()
    note.ReferencedWaveformChannels = [1, 0]  # the whole group
    note.UnformattedTextValue = "Recording time unknown; the time given is when the file was received"
    dataset.WaveformAnnotationSequence = [note]
    block = dataset.private_block(TIME_MARK_GROUP, TIME_MARK_CREATOR, create=True)
    block.add_new(TIME_MARK_ELEMENT, "CS", TIME_UNKNOWN)


def rejection_note(
    code: str,
    references: Sequence[tuple[str, str, str]],
    *,
    study: StudyIdentity,
    sop_instance_uid: str,
    series_instance_uid: str,
    made_at: datetime,
    reason: str = "",
    character_set: str = "ISO_IR 192",
) -> bytes:
    """A note that takes instances of one study out of use (IHE IOCM). Raises ObjectError.

    ``references``: (Series Instance UID, SOP Class UID, SOP Instance UID); ``made_at``: aware, in the site's zone.
    """
    dataset = _common(KEY_OBJECT_CLASS, sop_instance_uid, series_instance_uid, study, character_set)
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "KO", 9000, 1
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.ContentDate, dataset.ContentTime = _local(made_at)
    dataset.TimezoneOffsetFromUTC = made_at.strftime("%z")
    evidence = Dataset()
    evidence.StudyInstanceUID = UID(study.study_instance_uid)
    by_series: dict[str, list[Dataset]] = {}
    for series_uid, sop_class_uid, instance_uid in references:
        by_series.setdefault(series_uid, []).append(_reference(sop_class_uid, instance_uid))
    evidence.ReferencedSeriesSequence = []
    for series_uid, items in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = UID(series_uid), items
        evidence.ReferencedSeriesSequence.append(series)
    dataset.CurrentRequestedProcedureEvidenceSequence = [evidence]
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ConceptNameCodeSequence = [_code(code, "DCM", TITLES[code])]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    dataset.ContentTemplateSequence = [template]
    dataset.ContentSequence = [_contained(*reference[1:]) for reference in references]
    if reason:
        text = Dataset()
        text.RelationshipType, text.ValueType, text.TextValue = "CONTAINS", "TEXT", reason
        text.ConceptNameCodeSequence = [_code("113012", "DCM", "Key Object Description")]
        dataset.ContentSequence.insert(0, text)
    return _file(dataset)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(sop_class_uid), UID(sop_instance_uid)
    return item


def _contained(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "WAVEFORM" if sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.9.") else "IMAGE"
    item.ReferencedSOPSequence = [_reference(sop_class_uid, sop_instance_uid)]
    return item


def ecg_class(n_samples: int, leads: Sequence[str], sampling_rate_hz: float) -> str:
    """The narrowest ECG class that may hold the recording, PS3.3 A.34.3.4, A.34.4.4, A.34.5.4.

    Raises ObjectError ecg_not_representable (below 50 Hz, above 1000 Hz, too many leads).
    """
    n_leads = len(leads)
    if 200 <= sampling_rate_hz <= 1000:
        if n_leads <= 13 and n_samples <= 16384 and _TWELVE_LEADS.issuperset(leads):
            return TWELVE_LEAD_CLASS
        if n_leads <= 24:
            return GENERAL_ECG_CLASS
    if 50 <= sampling_rate_hz <= 1000 and n_leads <= 12:
        return AMBULATORY_ECG_CLASS
    raise ObjectError("ecg_not_representable", sampling_rate_hz=round(sampling_rate_hz), n_leads=n_leads)


def _checked_shape(
    samples: NDArray[np.int16], sensitivity_uv: Sequence[float], baseline_uv: Sequence[float], leads: Sequence[str]
) -> tuple[int, int]:
    fits = samples.dtype.kind == "i" and samples.dtype.itemsize == 2 and samples.ndim == 2 and samples.shape[0] > 0
    if not fits or not samples.shape[1] == len(leads) == len(sensitivity_uv) == len(baseline_uv) > 0:
        raise ObjectError("bad_shape")
    return int(samples.shape[0]), int(samples.shape[1])


def _channel(lead: str, sensitivity_uv: float, baseline_uv: float, filters: dict[str, float | None]) -> Dataset:
    channel = Dataset()
    channel.ChannelLabel = lead
    code, meaning = _MDC_LEADS.get(lead, ("", ""))
    channel.ChannelSourceSequence = [
        _code(code, "MDC", meaning) if code else _code(lead[:16], "99TELEREAD", f"Lead {lead}")
    ]
    channel.ChannelSensitivity = _ds(sensitivity_uv)
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = 1
    channel.ChannelBaseline = _ds(baseline_uv)
    channel.ChannelSampleSkew = 0
    channel.WaveformBitsStored = 16
    for keyword, value_hz in filters.items():
        if value_hz is not None:
            setattr(channel, keyword, _ds(value_hz))
    return channel


def _ds(value: float) -> DSfloat:
    """A number in the 16 characters of a DS."""
    return DSfloat(format_number_as_ds(float(value)))


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _local(moment: datetime) -> tuple[str, str]:
    if moment.tzinfo is None:
        raise ValueError("moments must be aware")
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")


def _common(
    sop_class_uid: str, sop_instance_uid: str, series_instance_uid: str, study: StudyIdentity, character_set: str
) -> Dataset:
    """Patient, General Study, General Series, General Equipment and SOP Common modules."""
    if character_set not in _CODECS:
        raise ObjectError("unknown_character_set", character_set=character_set)
    dataset = Dataset()
    dataset.SpecificCharacterSet = character_set
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID(sop_class_uid), UID(sop_instance_uid)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(study.study_instance_uid), UID(series_instance_uid)
    dataset.StudyDate, dataset.StudyTime = _local(study.started_at) if study.started_at else ("", "")
    dataset.PatientSex = study.patient_sex or ""
    dataset.PatientBirthDate = f"{study.patient_birth_date:%Y%m%d}" if study.patient_birth_date else ""
    dataset.Manufacturer = "teleread"
    texts = {
        "PatientName": study.patient_name, "PatientID": study.patient_id or "",
        "AccessionNumber": study.accession_number, "StudyID": study.study_id,
        "ReferringPhysicianName": study.referring_physician,
    }  # fmt: skip
    for keyword, text in texts.items():
        _set_text(dataset, keyword, text, always=True)
    _set_text(dataset, "IssuerOfPatientID", study.issuer_of_patient_id)
    _set_text(dataset, "StudyDescription", study.study_description)
    _set_text(dataset, "InstitutionName", study.institution_name)
    return dataset


def _set_text(dataset: Dataset, keyword: str, text: str, *, always: bool = False) -> None:
    """Set a text attribute; empty optional ones stay absent. Raises ObjectError when it cannot be written whole."""
    if not text and not always:
        return
    element = Dataset()
    setattr(element, keyword, "")
    vr = element[keyword].VR
    longest = max((len(group) for group in text.split("=")), default=0) if vr == "PN" else len(text)
    if longest > _LONGEST[vr]:
        raise ObjectError("value_too_long", keyword=keyword, limit=_LONGEST[vr])
    if vr != "ST" and "\\" in text:  # would be read as two values
        raise ObjectError("character_not_writable", character="\\", character_set="", keyword=keyword)
    _check_writable(keyword, text, dataset.SpecificCharacterSet)
    setattr(dataset, keyword, text)


def _check_writable(keyword: str, text: str, character_set: str) -> None:
    """pydicom would write "?" with a warning; here the character is named."""
    try:
        text.encode(_CODECS[character_set])
    except UnicodeEncodeError as error:
        raise ObjectError(
            "character_not_writable", character=text[error.start], character_set=character_set, keyword=keyword
        ) from None


def _file(dataset: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    buffer: Any = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return bytes(buffer.getvalue())
