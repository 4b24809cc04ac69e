"""What a report on paper says: plain values, as the reader wrote them. [domain]"""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Section:
    """A part of the report text. ``is_conclusion`` sets it bold: the impression; ``code`` names it in refusals."""

    label: str
    text: str
    is_conclusion: bool = False
    code: str = ""


@dataclass(frozen=True)
class KeyImage:
    """A picture for paper: JPEG or PNG bytes, and what it shows."""

    picture: bytes
    caption: str


@dataclass(frozen=True)
class ReportDocument:
    """Everything a page says, as the reader wrote it. Moments are aware; they are printed in ``zone``."""

    title: str
    organisation: str  # county and centre, as on the letterhead
    patient_name: str
    patient_id: str
    patient_sex: str | None  # DICOM (0010,0040): M, F, O
    patient_birth_date: date | None
    accession_number: str
    site_name: str
    requesting_doctor: str
    exam: str
    device: str
    acquired_at: datetime | None
    clinical: str
    sections: tuple[Section, ...]
    author_name: str
    written_at: datetime
    verify_url: str
    verify_code: str
    zone: ZoneInfo
    version: int = 1
    n_signatures_required: int = 1
    is_preliminary: bool = False
    language: str = "zh"  # zh | en
    patient_age: str = ""  # empty: from birth date and acquisition
    key_images: tuple[KeyImage, ...] = ()
    is_ecg: bool = False  # landscape sheet at true scale
    ecg_svg: str | None = None  # width and height in mm, at most 273 x 122
    ecg_settings: str = ""  # 25 mm/s　10 mm/mV　0.05–150 Hz …
    ecg_remark: str = ""
    measurements: tuple[tuple[str, str], ...] = ()
