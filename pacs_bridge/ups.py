"""A piece of reading work as a Unified Procedure Step (PS3.4 Annex CC), in the DICOM JSON model. [domain]

Attributes are DICOM JSON (PS3.18 Annex F) throughout: the same for DIMSE and for UPS-RS.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

Attributes = dict[str, Any]

PUSH, WATCH, PULL, EVENT, QUERY = (f"1.2.840.10008.5.1.4.34.6.{number}" for number in range(1, 6))
GLOBAL, FILTERED = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
CHANGE_STATE, REQUEST_CANCEL, SUBSCRIBE, UNSUBSCRIBE, SUSPEND = range(1, 6)
STATE_REPORT, CANCEL_REQUESTED, PROGRESS_REPORT, SCP_STATUS_CHANGE, ASSIGNED = range(1, 6)
RESTARTED, GOING_DOWN = "RESTARTED", "GOING DOWN"  # SCP Status (0074,1242)

# CC.2.1.4, CC.2.2.4, CC.2.3.4, CC.2.5.4, CC.2.6.4; 01xx: PS3.7 Annex C.
SUCCESS, NOT_SUPPORTED, CREATED_MODIFIED = 0x0000, 0x0001, 0xB300
ALREADY_CANCELED, ALREADY_COMPLETED = 0xB304, 0xB306
NO_LONGER_UPDATED, WRONG_TRANSACTION, ALREADY_IN_PROGRESS, NEVER_SCHEDULED = 0xC300, 0xC301, 0xC302, 0xC303
FINAL_STATE_NOT_MET, NO_SUCH_UPS, UNKNOWN_RECEIVER, NOT_SCHEDULED = 0xC304, 0xC307, 0xC308, 0xC309
NOT_IN_PROGRESS, CANCEL_COMPLETED, NO_CONTACT, WILL_NOT_CANCEL, NOT_APPROPRIATE = 0xC310, 0xC311, 0xC312, 0xC313, 0xC314
INVALID_VALUE, DUPLICATE, INVALID_ARGUMENT, INVALID_INSTANCE = 0x0106, 0x0111, 0x0115, 0x0117
MISSING_ATTRIBUTE, MISSING_VALUE, NO_SUCH_ACTION, NOT_AUTHORISED = 0x0120, 0x0121, 0x0123, 0x0124

INTERPRETATION = ("110005", "DCM", "Interpretation")
VERIFICATION = ("110007", "DCM", "Report Verification")
ADDENDUM = ("addendum", "99TELEREAD", "Addendum to a signed report")  # PS3.16 CID 9231 has none
UNSPECIFIED_REASON = ("110513", "DCM", "Discontinued for unspecified reason")
CODE_OF_STEP = {"interpretation": INTERPRETATION, "verification": VERIFICATION, "addendum": ADDENDUM}
PRIORITIES = {"stat": "HIGH", "asap": "HIGH", "urgent": "HIGH", "routine": "MEDIUM"}
NO_TRANSACTION = "no Transaction UID was provided"
WORKLIST_LABEL = "TELEREAD"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"


class UpsRefused(Exception):
    """A request that is not done: its DIMSE status and why, without any value of the request."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status, self.comment = status, comment[:64]


@dataclass(frozen=True)
class SeriesReference:
    """A series of the input, and its instances as (class, instance)."""

    series_instance_uid: str
    instances: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class OutputReference:
    """The object that a signed report became, and the AE title of whoever it is sent to."""

    series_instance_uid: str
    sop_instance_uid: str
    retrieve_ae_title: str


@dataclass(frozen=True)
class UpsRecord:
    """What is told of a piece of reading work. Moments are aware; names are DICOM PN texts."""

    workitem_uid: str
    step: str
    state: str
    priority: str
    label: str
    created_at: datetime
    changed_at: datetime
    due_at: datetime
    readiness: str
    study_instance_uid: str
    patient_name: str
    patient_id: str
    issuer: str
    birth_date: str
    sex: str
    accession_number: str
    requested_procedure: str = ""
    reason_for_request: str = ""
    requesting_physician: str = ""
    organization: str = ""
    scheduled_performer: tuple[str, str] | None = None  # user name, name
    actual_performer: tuple[str, str] | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cancel_reason: str = ""
    replaces: str | None = None
    series: tuple[SeriesReference, ...] = ()
    retrieve_ae_title: str = ""
    retrieve_url: str = ""
    output: OutputReference | None = None  # the signed report's PDF
    extra: Mapping[str, Any] = field(default_factory=dict)  # what the performer has set


def tag(keyword: str) -> str:
    """The name of an attribute in DICOM JSON."""
    found = tag_for_keyword(keyword)
    if found is None:
        raise KeyError(keyword)
    return f"{found:08X}"


def put(into: Attributes, keyword: str, *values: Any) -> None:
    """An attribute; without a value, or with "" alone, an empty one."""
    name = tag(keyword)
    kept = [one for one in values if one not in ("", None)]
    vr = dictionary_VR(int(name, 16))
    if vr == "PN":
        kept = [person(one) for one in kept]
    into[name] = {"vr": vr, "Value": kept} if kept else {"vr": vr}


def values(attributes: Mapping[str, Any], keyword: str) -> list[Any]:
    """The values of an attribute; [] where it is absent or empty."""
    found = attributes.get(tag(keyword))
    held = found.get("Value") if isinstance(found, dict) else None
    return [one for one in held if one not in (None, "")] if isinstance(held, list) else []


def text(attributes: Mapping[str, Any], keyword: str) -> str:
    """The first value as text; "" where there is none."""
    found = values(attributes, keyword)
    return str(found[0]).strip() if found and not isinstance(found[0], dict) else ""


def items(attributes: Mapping[str, Any], keyword: str) -> list[Attributes]:
    """The items of a sequence."""
    return [one for one in values(attributes, keyword) if isinstance(one, dict)]


def person(name: str) -> dict[str, str]:
    """A person's name as DICOM JSON has it, from its groups with "="."""
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    return {group: part for group, part in groups if part}


def code(concept: Sequence[str]) -> Attributes:
    """A code sequence item from value, scheme and meaning."""
    found: Attributes = {}
    put(found, "CodeValue", concept[0])
    put(found, "CodingSchemeDesignator", concept[1])
    put(found, "CodeMeaning", concept[2])
    return found


def code_of(attributes: Mapping[str, Any], keyword: str) -> tuple[str, str] | None:
    """Value and scheme of the first item of a code sequence."""
    found = items(attributes, keyword)
    return (text(found[0], "CodeValue"), text(found[0], "CodingSchemeDesignator")) if found else None


def moment(at: datetime) -> str:
    """A DT value with its offset."""
    return at.strftime("%Y%m%d%H%M%S.%f%z")


def attributes_of(record: UpsRecord) -> Attributes:
    """The whole data set of an N-GET; the Transaction UID is never in it."""
    found: Attributes = {}
    put(found, "SpecificCharacterSet", "ISO_IR 192")
    put(found, "SOPClassUID", PUSH)
    put(found, "SOPInstanceUID", record.workitem_uid)
    _put_schedule(found, record)
    _put_patient(found, record)
    _put_request(found, record)
    put(found, "ProcedureStepState", record.state)
    put(found, "ProcedureStepProgressInformationSequence")
    _put_performed(found, record)
    _put_cancellation(found, record)
    return found | _extra(found, record)


def _put_schedule(found: Attributes, record: UpsRecord) -> None:
    put(found, "ScheduledProcedureStepPriority", PRIORITIES.get(record.priority, "MEDIUM"))
    put(found, "ScheduledProcedureStepModificationDateTime", moment(record.changed_at))
    put(found, "ProcedureStepLabel", record.label[:64])
    put(found, "WorklistLabel", WORKLIST_LABEL)
    put(found, "ScheduledProcessingParametersSequence")
    put(found, "ScheduledStationNameCodeSequence")
    put(found, "ScheduledStationClassCodeSequence")
    put(found, "ScheduledStationGeographicLocationCodeSequence")
    performers = [_performer(record.scheduled_performer, record)] if record.scheduled_performer else []
    put(found, "ScheduledHumanPerformersSequence", *performers)
    put(found, "ScheduledProcedureStepStartDateTime", moment(record.created_at))
    put(found, "ExpectedCompletionDateTime", moment(record.due_at))
    put(found, "ScheduledWorkitemCodeSequence", code(CODE_OF_STEP[record.step]))
    put(found, "CommentsOnTheScheduledProcedureStep")
    put(found, "InputReadinessState", record.readiness)
    put(found, "InputInformationSequence", *(_input(record, series) for series in record.series))
    put(found, "StudyInstanceUID", record.study_instance_uid)


def _input(record: UpsRecord, series: SeriesReference) -> Attributes:
    """Table CC.2.5-2c: a series of the study and where it is retrieved."""
    references = []
    for sop_class, instance in series.instances:
        reference: Attributes = {}
        put(reference, "ReferencedSOPClassUID", sop_class)
        put(reference, "ReferencedSOPInstanceUID", instance)
        references.append(reference)
    found: Attributes = {}
    put(found, "TypeOfInstances", "DICOM")
    put(found, "StudyInstanceUID", record.study_instance_uid)
    put(found, "SeriesInstanceUID", series.series_instance_uid)
    put(found, "ReferencedSOPSequence", *references)
    by_ae: Attributes = {}
    put(by_ae, "RetrieveAETitle", record.retrieve_ae_title)
    put(found, "DICOMRetrievalSequence", by_ae)
    if record.retrieve_url:
        by_rs: Attributes = {}
        study = f"{record.retrieve_url}/studies/{record.study_instance_uid}"
        put(by_rs, "RetrieveURL", f"{study}/series/{series.series_instance_uid}")
        put(found, "WADORSRetrievalSequence", by_rs)
    return found


def _performer(who: tuple[str, str], record: UpsRecord) -> Attributes:
    found: Attributes = {}
    put(found, "HumanPerformerCodeSequence", code((who[0][:16], "99TELEREAD", who[0])))
    put(found, "HumanPerformerName", who[1])
    put(found, "HumanPerformerOrganization", record.organization[:64])
    return found


def _put_patient(found: Attributes, record: UpsRecord) -> None:
    put(found, "PatientName", record.patient_name)
    put(found, "PatientID", record.patient_id)
    put(found, "IssuerOfPatientID", record.issuer)
    put(found, "OtherPatientIDsSequence")
    put(found, "PatientBirthDate", record.birth_date)
    put(found, "PatientSex", record.sex)
    for keyword in ("AdmissionID", "IssuerOfAdmissionIDSequence", "AdmittingDiagnosesDescription",
                    "AdmittingDiagnosesCodeSequence"):  # fmt: skip
        put(found, keyword)


def _put_request(found: Attributes, record: UpsRecord) -> None:
    issuer: Attributes = {}
    put(issuer, "LocalNamespaceEntityID", record.issuer)
    request: Attributes = {}
    put(request, "StudyInstanceUID", record.study_instance_uid)
    put(request, "AccessionNumber", record.accession_number)
    put(request, "IssuerOfAccessionNumberSequence", issuer)
    put(request, "OrderPlacerIdentifierSequence")
    put(request, "OrderFillerIdentifierSequence")
    put(request, "RequestedProcedureID", record.accession_number)
    put(request, "RequestedProcedureDescription", record.requested_procedure[:64])
    put(request, "RequestedProcedureCodeSequence")
    put(request, "ReasonForTheRequestedProcedure", record.reason_for_request[:64])
    put(request, "RequestingPhysician", record.requesting_physician)
    put(found, "ReferencedRequestSequence", request)
    if record.replaces:
        replaced: Attributes = {}
        put(replaced, "ReferencedSOPClassUID", PUSH)
        put(replaced, "ReferencedSOPInstanceUID", record.replaces)
        put(found, "ReplacedProcedureStepSequence", replaced)


def _put_performed(found: Attributes, record: UpsRecord) -> None:
    if record.actual_performer is None or record.started_at is None:
        return put(found, "UnifiedProcedureStepPerformedProcedureSequence")
    done: Attributes = {}
    put(done, "ActualHumanPerformersSequence", _performer(record.actual_performer, record))
    station = (record.retrieve_ae_title, "99TELEREAD", record.retrieve_ae_title)
    put(done, "PerformedStationNameCodeSequence", code(station))
    put(done, "PerformedProcedureStepStartDateTime", moment(record.started_at))
    put(done, "PerformedWorkitemCodeSequence", code(CODE_OF_STEP[record.step]))
    if record.ended_at is not None:
        put(done, "PerformedProcedureStepEndDateTime", moment(record.ended_at))
    put(done, "OutputInformationSequence", *([_output(record, record.output)] if record.output else []))
    return put(found, "UnifiedProcedureStepPerformedProcedureSequence", done)


def _output(record: UpsRecord, output: OutputReference) -> Attributes:
    """The report's object; it is retrieved from the site's own PACS, where it is filed with the study."""
    reference: Attributes = {}
    put(reference, "ReferencedSOPClassUID", ENCAPSULATED_PDF)
    put(reference, "ReferencedSOPInstanceUID", output.sop_instance_uid)
    found: Attributes = {}
    put(found, "TypeOfInstances", "DICOM")
    put(found, "StudyInstanceUID", record.study_instance_uid)
    put(found, "SeriesInstanceUID", output.series_instance_uid)
    put(found, "ReferencedSOPSequence", reference)
    by_ae: Attributes = {}
    put(by_ae, "RetrieveAETitle", output.retrieve_ae_title)
    put(found, "DICOMRetrievalSequence", by_ae)
    return found


def _put_cancellation(found: Attributes, record: UpsRecord) -> None:
    if record.state == "CANCELED" and record.ended_at is not None:
        put(found, "ProcedureStepProgressInformationSequence", cancellation({}, record.ended_at, record.cancel_reason))


def _extra(found: Attributes, record: UpsRecord) -> Attributes:
    """What the performer has set; what we know ourselves goes before it."""
    extra = dict(record.extra)
    for keyword in ("ProcedureStepProgressInformationSequence", "UnifiedProcedureStepPerformedProcedureSequence"):
        theirs, ours = items(extra, keyword), items(found, keyword)
        if theirs and ours:
            extra[tag(keyword)] = {"vr": "SQ", "Value": [theirs[0] | ours[0], *theirs[1:]]}
        elif ours:
            extra.pop(tag(keyword), None)
    return extra


def cancellation(progress: Attributes, at: datetime, reason: str) -> Attributes:
    """A progress item with what the final state CANCELED asks for (Table CC.2.5-3)."""
    found = dict(progress)
    if not text(found, "ProcedureStepCancellationDateTime"):
        put(found, "ProcedureStepCancellationDateTime", moment(at))
    if reason and not text(found, "ReasonForCancellation"):
        put(found, "ReasonForCancellation", reason)
    if not items(found, "ProcedureStepDiscontinuationReasonCodeSequence"):
        put(found, "ProcedureStepDiscontinuationReasonCodeSequence", code(UNSPECIFIED_REASON))
    return found


def state_report(attributes: Mapping[str, Any], state: str | None = None) -> Attributes:
    """Event information of a UPS State Report (CC.2.4.1). ``state``: where it is not the one of the attributes."""
    found: Attributes = {}
    put(found, "ProcedureStepState", state or text(attributes, "ProcedureStepState"))
    put(found, "InputReadinessState", text(attributes, "InputReadinessState"))
    if (state or text(attributes, "ProcedureStepState")) == "CANCELED":
        for progress in items(attributes, "ProcedureStepProgressInformationSequence")[:1]:
            for keyword in ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence"):
                if tag(keyword) in progress:
                    found[tag(keyword)] = progress[tag(keyword)]
    return found


def assigned_report(attributes: Mapping[str, Any]) -> Attributes:
    """Event information of UPS Assigned."""
    found: Attributes = {}
    if items(attributes, "ScheduledStationNameCodeSequence"):
        found[tag("ScheduledStationNameCodeSequence")] = attributes[tag("ScheduledStationNameCodeSequence")]
    for performer in items(attributes, "ScheduledHumanPerformersSequence")[:1]:
        for keyword in ("HumanPerformerCodeSequence", "HumanPerformerOrganization"):
            if tag(keyword) in performer:
                found[tag(keyword)] = performer[tag(keyword)]
    return found


def cancel_report(information: Mapping[str, Any], requesting_ae: str) -> Attributes:
    """Event information of UPS Cancel Requested, from the request's own."""
    found: Attributes = {}
    put(found, "RequestingAE", requesting_ae[:16])
    for keyword in ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence", "ContactURI",
                    "ContactDisplayName"):  # fmt: skip
        if tag(keyword) in information:
            found[tag(keyword)] = information[tag(keyword)]
    return found


def progress_report(attributes: Mapping[str, Any]) -> Attributes:
    """Event information of a UPS Progress Report."""
    name = tag("ProcedureStepProgressInformationSequence")
    return {name: attributes.get(name, {"vr": "SQ"})}


def status_report(status: str) -> Attributes:
    """Event information of SCP Status Change. Steps and subscriptions are rows: a restart is a warm one, always."""
    found: Attributes = {}
    put(found, "SCPStatus", status)
    if status == RESTARTED:
        put(found, "SubscriptionListStatus", "WARM START")
        put(found, "UnifiedProcedureStepListStatus", "WARM START")
    return found
