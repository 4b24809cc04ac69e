"""An index record taken from a stored object, its character set decoded, its gaps kept as gaps. [domain]"""

import mmap
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from pathlib import Path

from pydicom._uid_dict import UID_dictionary

from pacs_bridge import character_set, elements
from pacs_bridge.key_object import KEY_OBJECT_CLASS, rejection_of
from pacs_bridge.records import ObjectRecord, Problem

_TAGS = {
    "SpecificCharacterSet": 0x00080005, "SOPClassUID": 0x00080016, "SOPInstanceUID": 0x00080018,
    "StudyDate": 0x00080020, "SeriesDate": 0x00080021, "AcquisitionDate": 0x00080022, "ContentDate": 0x00080023,
    "AcquisitionDateTime": 0x0008002A, "StudyTime": 0x00080030, "SeriesTime": 0x00080031,
    "AcquisitionTime": 0x00080032, "ContentTime": 0x00080033, "AccessionNumber": 0x00080050, "Modality": 0x00080060,
    "InstitutionName": 0x00080080, "TimezoneOffsetFromUTC": 0x00080201, "StationName": 0x00081010,
    "StudyDescription": 0x00081030, "SeriesDescription": 0x0008103E, "PatientName": 0x00100010,
    "PatientID": 0x00100020, "PatientBirthDate": 0x00100030, "PatientSex": 0x00100040,
    "BodyPartExamined": 0x00180015, "StudyInstanceUID": 0x0020000D, "SeriesInstanceUID": 0x0020000E,
    "SeriesNumber": 0x00200011, "InstanceNumber": 0x00200013, "ReferringPhysicianName": 0x00080090,
    "StudyID": 0x00200010, "PerformedProcedureStepStartDate": 0x00400244,
    "PerformedProcedureStepStartTime": 0x00400245, "RequestAttributesSequence": 0x00400275,
    "TimeMarkCreator": 0x00990010, "TimeMark": 0x00991001,
    "NumberOfFrames": 0x00280008, "Rows": 0x00280010, "Columns": 0x00280011, "BitsAllocated": 0x00280100,
}  # fmt: skip
_WANTED = frozenset(_TAGS.values())
_ROWS, _COLUMNS, _PIXEL_DATA, _WAVEFORM_SEQUENCE = 0x00280010, 0x00280011, 0x7FE00010, 0x54000100
_META_TRANSFER_SYNTAX = 0x00020010
# Our own mark on a waveform whose moment nobody knows (objects.ecg_waveform); Type 1 forbids an empty one.
TIME_MARK_GROUP, TIME_MARK_ELEMENT, TIME_MARK_CREATOR, TIME_UNKNOWN = 0x0099, 0x01, "TELEREAD", "UNKNOWN"
_REQUEST_TAGS = {"ScheduledProcedureStepID": 0x00400009, "RequestedProcedureID": 0x00401001}

_STORAGE = "1.2.840.10008.5.1.4.1.1."
ECG_CLASSES = frozenset(_STORAGE + tail for tail in ("9.1.1", "9.1.2", "9.1.3", "9.1.4"))
# Objects with pixels that are no picture to read from: segmentation, parametric map, dose, surface.
_NOT_A_PICTURE = frozenset(_STORAGE + tail for tail in ("66.4", "66.5", "66.7", "30", "481.2"))
# Every storage class of PS3.6 Annex A, retired ones too; a media directory and commitment are no instances.
STORAGE_CLASSES = frozenset(
    uid for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class" and "Storage" in name and "Commitment" not in name and "Directory" not in name
)  # fmt: skip
TRANSFER_SYNTAXES = frozenset(uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax") | {
    "1.2.840.113619.5.2"
}
# PS3.5 9.1 asks for more; real devices write empty components and leading zeros. A UID is only data here.
_UID = re.compile(r"[0-9][0-9.]*")
_MAX_UID = 64
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?")
# What the index columns hold; a longer value is refused, never cut in silence.
_MAX_LENGTH = {
    "PatientID": 64, "PatientName": 256, "AccessionNumber": 64, "StudyDescription": 256, "SeriesDescription": 256,
    "Modality": 16, "BodyPartExamined": 64, "StationName": 64, "InstitutionName": 256,
}  # fmt: skip
# The same for what only queries ask for: a longer value is not indexed.
_MOST_INDEXED = {"StudyID": 64, "ReferringPhysicianName": 256, "PatientName": 256}
_DATE_TIMES = (
    ("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime"),
)  # fmt: skip


def extract(source: Path | bytes, *, fallback_character_set: str, zone: tzinfo) -> ObjectRecord:
    """The record of a Part 10 file. ``zone``: of the originating site, for moments that carry no offset.

    Raises Problem with one of the codes listed there; where the identifying part was readable,
    ``problem.record`` holds it (unknown_sop_class, truncated in or after the pixels).
    """
    if isinstance(source, bytes):
        return _extract(source, fallback_character_set, zone)
    with source.open("rb") as stream:
        try:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            raise Problem("not_dicom") from None
        with mapped:
            return _extract(mapped, fallback_character_set, zone)


def _extract(data: elements.Data, fallback: str, zone: tzinfo) -> ObjectRecord:
    transfer_syntax_uid, start = read_file_meta(data)
    found, present, cut = _read_values(data, start, transfer_syntax_uid)
    reader = _Reader(found, fallback, elements.encoding_of(transfer_syntax_uid))
    try:
        record = _record(reader, present, transfer_syntax_uid, zone)
    except Problem as problem:
        raise cut or problem from None
    if cut is not None:
        raise Problem(cut.code, cut.params, record)
    if record.sop_class_uid == KEY_OBJECT_CLASS:
        record = replace(record, rejection=rejection_of(bytes(data[:])))
    if record.sop_class_uid not in STORAGE_CLASSES:
        raise Problem("unknown_sop_class", {"sop_class_uid": record.sop_class_uid}, record)
    return record


def read_file_meta(data: elements.Data) -> tuple[str, int]:
    """(Transfer Syntax UID, offset of the data set). Raises Problem not_dicom, truncated, unknown_transfer_syntax."""
    if data[128:132] != b"DICM":
        raise Problem("not_dicom")
    meta = elements.walk(data, 132, elements.EXPLICIT_LITTLE, (_META_TRANSFER_SYNTAX,), group=2)
    uid = meta.values.get(_META_TRANSFER_SYNTAX, b"").rstrip(b"\0 ").decode("ascii", "replace")
    if uid not in TRANSFER_SYNTAXES:
        raise Problem("unknown_transfer_syntax", {"transfer_syntax_uid": uid[:_MAX_UID]})
    return uid, meta.end


def _read_values(
    data: elements.Data, start: int, transfer_syntax_uid: str
) -> tuple[dict[int, bytes], frozenset[int], Problem | None]:
    """(raw values, tags present, why the walk stopped early or None)."""
    whole = True
    if transfer_syntax_uid in elements.DEFLATED:
        data, whole = elements.inflate(data, start)
        start = 0
    found: dict[int, bytes] = {}
    present: set[int] = set()
    try:
        elements.walk_into(found, present, data, start, elements.encoding_of(transfer_syntax_uid), _WANTED)
    except Problem as problem:
        return found, frozenset(present), problem if whole or problem.code != "truncated" else None
    return found, frozenset(present), None


class _Reader:
    """Values by keyword, decoded. Text that cannot be what its label says sets nothing but its own doubt."""

    def __init__(self, values: dict[int, bytes], fallback: str, encoding: elements.Encoding) -> None:
        self._values = values
        self._fallback = fallback
        self._encoding = encoding
        terms = self.ascii("SpecificCharacterSet").split("\\")
        self._character_sets = tuple(term.strip() for term in terms) if any(terms) else ()

    def ascii(self, keyword: str) -> str:
        """A value of the default repertoire, padding gone; other bytes become U+FFFD."""
        return self._values.get(_TAGS[keyword], b"").decode("ascii", "replace").strip(" \0")

    def text(self, keyword: str) -> character_set.Text:
        raw = self._values.get(_TAGS[keyword], b"").rstrip(b" \0")
        return character_set.decode(raw, self._character_sets, self._fallback)

    def line(self, keyword: str) -> str:
        """One line of text within the column's length. Raises Problem value_too_long."""
        return _fit(keyword, _printable(self.text(keyword).value.split("\\")[0]))

    def indexed(self, keyword: str) -> str:
        """One value for queries; "" where it is longer than its column."""
        value = _printable(self.text(keyword).value.split("\\")[0])
        return value if len(value) <= _MOST_INDEXED[keyword] else ""

    def short(self, keyword: str) -> int | None:
        """A US value."""
        raw = self._values.get(_TAGS[keyword], b"")[:2]
        return int.from_bytes(raw, "little" if self._encoding.little else "big") if len(raw) == 2 else None

    def requested(self) -> dict[str, str]:
        """IDs of the first Request Attributes item; "" where it has none."""
        raw = self._values.get(_TAGS["RequestAttributesSequence"])
        found = elements.first_item(raw, self._encoding, _REQUEST_TAGS.values()) if raw else {}
        texts = {}
        for keyword, tag in _REQUEST_TAGS.items():
            value = found.get(tag, b"").rstrip(b" \0")
            texts[keyword] = _printable(character_set.decode(value, self._character_sets, self._fallback).value)
        return {keyword: text if len(text) <= 64 else "" for keyword, text in texts.items()}

    def uid(self, keyword: str, missing: str) -> str:
        """Raises Problem ``missing`` or invalid_uid."""
        uid = self.ascii(keyword)
        if not uid:
            raise Problem(missing)
        if len(uid) > _MAX_UID or not _UID.fullmatch(uid):
            raise Problem("invalid_uid", {"keyword": keyword})
        return uid

    def integer(self, keyword: str) -> int | None:
        """An IS value; a decimal one, as some devices write, counts when it is whole. None when not a number."""
        try:
            number = float(self.ascii(keyword).split("\\")[0])
        except ValueError:
            return None
        return int(number) if number.is_integer() and abs(number) < 2**31 else None


def _printable(text: str) -> str:
    """Without control characters, which no page and no index should get; outer blanks gone."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\u3000").strip()


def _fit(keyword: str, value: str) -> str:
    if len(value) > _MAX_LENGTH[keyword]:
        raise Problem("value_too_long", {"keyword": keyword, "length": len(value), "limit": _MAX_LENGTH[keyword]})
    return value


def _record(reader: _Reader, present: frozenset[int], transfer_syntax_uid: str, zone: tzinfo) -> ObjectRecord:
    sop_class_uid = reader.uid("SOPClassUID", "missing_sop_class_uid")
    name = reader.text("PatientName")
    sex = reader.ascii("PatientSex").upper()
    requested = reader.requested()
    return ObjectRecord(
        patient_id=reader.line("PatientID") or None,
        patient_name=_fit("PatientName", _printable(character_set.person_name(name.value))),
        patient_name_is_doubtful=name.doubtful,
        patient_sex=sex if sex in ("M", "F", "O") else None,
        patient_birth_date=parse_date(reader.ascii("PatientBirthDate")),
        sop_instance_uid=reader.uid("SOPInstanceUID", "missing_sop_instance_uid"),
        study_instance_uid=reader.uid("StudyInstanceUID", "missing_study_instance_uid"),
        series_instance_uid=reader.uid("SeriesInstanceUID", "missing_series_instance_uid"),
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        accession_number=reader.line("AccessionNumber") or None,
        study_description=reader.line("StudyDescription"),
        series_description=reader.line("SeriesDescription"),
        series_number=reader.integer("SeriesNumber"),
        instance_number=reader.integer("InstanceNumber"),
        modality=reader.line("Modality").upper(),
        body_part=reader.line("BodyPartExamined"),
        kind="ecg" if sop_class_uid in ECG_CLASSES else "image",
        acquired_at=_acquired_at(reader.ascii, zone),
        is_displayable=_is_displayable(sop_class_uid, present),
        station_name=reader.line("StationName"),
        institution_name=reader.line("InstitutionName"),
        patient_name_sent=reader.indexed("PatientName"),
        study_date=plain_date(reader.ascii("StudyDate")),
        study_time=plain_time(reader.ascii("StudyTime")),
        study_id=reader.indexed("StudyID"),
        referring_physician_name=reader.indexed("ReferringPhysicianName"),
        series_date=plain_date(reader.ascii("SeriesDate")),
        series_time=plain_time(reader.ascii("SeriesTime")),
        performed_start_date=plain_date(reader.ascii("PerformedProcedureStepStartDate")),
        performed_start_time=plain_time(reader.ascii("PerformedProcedureStepStartTime")),
        requested_procedure_id=requested["RequestedProcedureID"],
        scheduled_step_id=requested["ScheduledProcedureStepID"],
        rows=reader.short("Rows"),
        columns=reader.short("Columns"),
        bits_allocated=reader.short("BitsAllocated"),
        number_of_frames=reader.integer("NumberOfFrames"),
    )


def _is_displayable(sop_class_uid: str, present: frozenset[int]) -> bool:
    if sop_class_uid in ECG_CLASSES:
        return _WAVEFORM_SEQUENCE in present
    return sop_class_uid not in _NOT_A_PICTURE and {_ROWS, _COLUMNS, _PIXEL_DATA} <= present


def parse_date(value: str) -> date | None:
    """A DA value (also the old 1993.08.22 form), or None when it is none."""
    digits = value.replace(".", "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])) if re.fullmatch(r"\d{8}", digits) else None
    except ValueError:
        return None


def plain_date(value: str) -> str:
    """A DA value as YYYYMMDD, "" where it is none."""
    day = parse_date(value)
    return f"{day.year:04}{day.month:02}{day.day:02}" if day is not None else ""


def plain_time(value: str) -> str:
    """A TM value (also the old 10:30:00 form) as HH[MM[SS[.F]]], "" where it is none."""
    text = value.replace(":", "")
    return text if _TIME.fullmatch(text) else ""


def _acquired_at(ascii_value: Callable[[str], str], zone: tzinfo) -> datetime | None:
    """The best moment the object names, in UTC. Offset in the value, else (0008,0201), else the site's zone."""
    if ascii_value("TimeMarkCreator") == TIME_MARK_CREATOR and ascii_value("TimeMark") == TIME_UNKNOWN:
        return None
    default = _offset(ascii_value("TimezoneOffsetFromUTC")) or zone
    if (moment := parse_datetime(ascii_value("AcquisitionDateTime"), default)) is not None:
        return moment
    for date_keyword, time_keyword in _DATE_TIMES:
        if (day := parse_date(ascii_value(date_keyword))) is not None:
            clock = re.sub(r"[:.].*$|[^\d].*$", "", ascii_value(time_keyword).replace(":", ""))
            fraction = re.search(r"\.(\d{1,6})", ascii_value(time_keyword))
            text = f"{day:%Y%m%d}{clock}" + (f".{fraction.group(1)}" if fraction else "")
            return parse_datetime(text, default) or parse_datetime(f"{day:%Y%m%d}", default)
    return None


def parse_datetime(value: str, default_zone: tzinfo) -> datetime | None:
    """A DT value YYYYMMDD[HH[MM[SS[.F]]]][&ZZXX] in UTC, or None when it is none or has no day."""
    parts = re.fullmatch(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(?:\.(\d{1,6}))?([+-]\d{4})?", value)
    if parts is None:
        return None
    day, hour, minute, second, fraction, offset = parts.groups()
    try:
        moment = datetime(
            int(day[:4]), int(day[4:6]), int(day[6:]), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0").ljust(6, "0")), tzinfo=_offset(offset) or default_zone,
        )  # fmt: skip
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _offset(value: str | None) -> timezone | None:
    if not value or not re.fullmatch(r"[+-]\d{4}", value):
        return None
    minutes = int(value[1:3]) * 60 + int(value[3:5])
    return timezone(timedelta(minutes=-minutes if value[0] == "-" else minutes)) if minutes <= 14 * 60 else None
