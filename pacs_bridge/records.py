"""What one received object says about itself, as plain records named as DICOM names them. [domain]"""

from dataclasses import dataclass
from datetime import date, datetime

from pacs_bridge.key_object import RejectionNote


@dataclass(frozen=True)
class ObjectRecord:
    """The index columns of one object. Text is Unicode; UIDs are syntactically valid; what is absent is None or "".

    ``patient_name`` is the best representation (ideographic, else alphabetic), ready to show. It is doubtful
    when the declared character set could not have been true and a fallback was used to read it.
    """

    patient_id: str | None  # ≤ 64 characters; None: absent or blank
    patient_name: str  # ≤ 256 characters; "": absent or blank
    patient_name_is_doubtful: bool
    patient_sex: str | None  # M, F, O
    patient_birth_date: date | None
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    accession_number: str | None  # ≤ 64 characters
    study_description: str  # ≤ 256 characters
    series_description: str  # ≤ 256 characters
    series_number: int | None
    instance_number: int | None
    modality: str  # ≤ 16 characters, upper case
    body_part: str  # ≤ 64 characters
    kind: str  # "ecg" for the ECG waveform classes, else "image"
    acquired_at: datetime | None  # aware, UTC
    is_displayable: bool  # carries pixels or a waveform that a page can draw
    station_name: str = ""
    institution_name: str = ""  # a label only: the site is known by its device
    # What queries ask for beyond that. Dates and times as DICOM writes them (YYYYMMDD, HHMMSS.F), "" where absent or
    # none; text longer than its column is "" too, because no object is refused for it.
    patient_name_sent: str = ""  # all groups and components: Zheng^Liqun=郑^立群
    study_date: str = ""
    study_time: str = ""
    study_id: str = ""
    referring_physician_name: str = ""
    series_date: str = ""
    series_time: str = ""
    performed_start_date: str = ""
    performed_start_time: str = ""
    requested_procedure_id: str = ""  # of the first Request Attributes item
    scheduled_step_id: str = ""
    rows: int | None = None
    columns: int | None = None
    bits_allocated: int | None = None
    number_of_frames: int | None = None
    rejection: RejectionNote | None = None  # a key object whose title takes other instances out of use


class Problem(Exception):  # a finding about an object, carried as a value as often as raised
    """Why an object cannot be filed and goes to quarantine. ``record`` is what could be read all the same.

    Codes: not_dicom, truncated, malformed, deflate_ratio, unknown_transfer_syntax, unknown_sop_class,
    missing_sop_class_uid, missing_sop_instance_uid, missing_study_instance_uid, missing_series_instance_uid,
    invalid_uid, value_too_long, sop_instance_mismatch, sop_class_mismatch. ``params`` name keywords and limits,
    never values.
    """

    def __init__(
        self, code: str, params: dict[str, str | int] | None = None, record: ObjectRecord | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.params = params or {}
        self.record = record
