"""A WFDB (PhysioNet) record, header and signal files as uploaded, read to exact integers and microvolts. [adapter]

Header format: WFDB Applications Guide, header(5). The library that reads the signal files is slow to import,
so it is imported when a record is there; every name in a header is checked before the library may open it.
"""

import re
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path
from typing import Any

import numpy as np

from ecg.waveform import STANDARD_LEADS, DigitalRecording, EcgError, Recording, lead_name

UV_PER_UNIT = {"v": 1e6, "mv": 1e3, "uv": 1.0, "µv": 1.0, "μv": 1.0, "nv": 1e-3}
MISSING = {"80": -128, "508": -128, "310": -512, "311": -512, "212": -2048, "16": -32768, "61": -32768,
           "160": -32768, "516": -32768, "24": -(1 << 23), "524": -(1 << 23), "32": -(1 << 31), "8": None}  # fmt: skip
BITS = {"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "24": 24, "524": 24, "32": 32}
MOST_SIGNALS = 64
# No WFDB format but FLAC keeps a sample in less than a byte; a header that asks for more than this lies.
MOST_SAMPLES_PER_BYTE = 16
_SAFE_NAME = re.compile(r"[\w-][\w.-]{0,99}")
# The record line: name, segments, number of signals, frequency, number of samples, then time and date.
_RECORD = re.compile(r"([^\s/]+)(/\d+)?\s+(\d+)(?:\s+([\d.]+\S*)(?:\s+(\d+)\b(?!:))?)?(.*)")
# A signal line: file, format with frame, skew and offset, then gain(baseline)/units.
_SIGNAL = re.compile(r"(\S+)\s+(\d+)\S*(?:\s+(-?[\d.]+(?:e[+-]?\d+)?)(?:\(-?\d+\))?(?:/(\S+))?)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class WfdbRecord:
    """One record. ``age_years`` and ``sex`` (M, F) come from the header's comments, None where it names none.

    ``base_date`` and ``base_time`` are the header's wall clock, without a zone.
    """

    name: str
    digital: DigitalRecording
    recording: Recording
    age_years: int | None
    sex: str | None
    base_date: date | None
    base_time: time | None
    comments: tuple[str, ...]


def read(files: Mapping[str, bytes], header: str | None = None, zone: tzinfo | None = None) -> WfdbRecord:
    """The record of ``header`` (the only ``.hea`` of ``files`` when None); ``zone`` is that of the header's clock.

    Raises EcgError no_header, several_records, bad_header, unsafe_file_name, missing_file, missing_sensitivity,
    unknown_unit, unsupported_multi_segment, unsupported_mixed_rates, no_ecg_signals, truncated, damaged_file,
    duplicate_lead, no_samples, bad_sampling_rate.
    """
    header = header or _only_header(files)
    text = files[header].decode("utf-8", "replace")
    names = check_header(text, files)
    with tempfile.TemporaryDirectory(prefix="wfdb-") as folder:
        Path(folder, "record.hea").write_text(plain_header(text), "utf-8")
        for name in names:
            Path(folder, name).write_bytes(files[name])
        record = _read_folder(Path(folder, "record"))
    digital = _digital(record, calibrated=_calibrated(text))
    comments = tuple(str(comment).strip() for comment in record.comments or ())
    base_date, base_time = base_clock(text)
    return WfdbRecord(
        name=header.rsplit(".", 1)[0],
        digital=digital,
        recording=digital.recording(_acquired_at(base_date, base_time, zone)),
        age_years=_age_years(comments),
        sex=_sex(comments),
        base_date=base_date,
        base_time=base_time,
        comments=comments,
    )


def check_header(text: str, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The signal files a header names, all of them present and plain names. Raises EcgError as ``read``."""
    lines = _header_lines(text)
    first = _RECORD.match(lines[0]) if lines else None
    if first is None:
        raise EcgError("bad_header")
    if first[2]:
        raise EcgError("unsupported_multi_segment")
    n_signals, n_samples = int(first[3]), int(first[5] or 0)
    signals = [_SIGNAL.match(line) for line in lines[1 : 1 + n_signals]]
    if not 0 < n_signals <= MOST_SIGNALS or len(signals) != n_signals or None in signals:
        raise EcgError("bad_header")
    names = tuple(dict.fromkeys(signal[1] for signal in signals if signal))
    for name in names:
        if not _SAFE_NAME.fullmatch(name) or ".." in name or name == "record.hea":
            raise EcgError("unsafe_file_name", file=name[:100])
    for name in names:
        if name not in files:
            raise EcgError("missing_file", file=name)
    if n_samples * n_signals > MOST_SAMPLES_PER_BYTE * sum(len(files[name]) for name in names):
        raise EcgError("truncated")
    return names


def plain_header(text: str) -> str:
    """The header with a record line the library accepts: some sets write the date in words and before the time."""
    first = _RECORD.match(_header_lines(text)[0])
    if first is None:
        raise EcgError("bad_header")
    line = " ".join(part for part in ("record", first[3], first[4], first[5]) if part)
    body = [line for line in text.splitlines() if line.strip()]
    at = next(i for i, candidate in enumerate(body) if not candidate.lstrip().startswith("#"))
    return "\n".join([*body[:at], line, *body[at + 1 :]]) + "\n"


def base_clock(text: str) -> tuple[date | None, time | None]:
    """Date (``25/05/2020``, ``25-May-2020``) and time of the record line; None each where absent or impossible."""
    lines = _header_lines(text)
    first = _RECORD.match(lines[0]) if lines else None
    rest = first[6] if first else ""
    clock = re.search(r"\b(\d{1,2}):(\d{2}):(\d{2})\b", rest)
    day = re.search(r"\b(\d{1,2})([/-])(\d{1,2}|[A-Za-z]{3})\2(\d{4})\b", rest)
    try:
        base_time = time(int(clock[1]), int(clock[2]), int(clock[3])) if clock else None
        return _day(day[1], day[3], day[4]) if day else None, base_time
    except ValueError:
        return None, None


def _day(day: str, month: str, year: str) -> date:
    """Months by English name whatever the system's language; raises ValueError."""
    names = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    return date(int(year), int(month) if month.isdigit() else names.index(month.lower()) + 1, int(day))


def _header_lines(text: str) -> list[str]:
    """The lines that are neither empty nor comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _only_header(files: Mapping[str, bytes]) -> str:
    headers = [name for name in files if name.lower().endswith(".hea")]
    if len(headers) != 1:
        raise EcgError("several_records" if headers else "no_header")
    return headers[0]


def _calibrated(text: str) -> tuple[bool, ...]:
    """Per signal line whether it states a gain; 0 or none means uncalibrated, and 200 would be a guess (header(5))."""
    signals = [_SIGNAL.match(line) for line in _header_lines(text)[1:]]
    return tuple(bool(signal and signal[3] and float(signal[3]) != 0) for signal in signals)


def _read_folder(path: Path) -> Any:
    """The library's record object with its stored integers in ``e_d_signal``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports use deprecated calls
        import wfdb  # noqa: PLC0415

        try:
            return wfdb.rdrecord(str(path), physical=False, smooth_frames=False)
        except Exception as error:
            raise EcgError("damaged_file", kind=type(error).__name__) from error


def _digital(record: Any, calibrated: tuple[bool, ...]) -> DigitalRecording:
    """The voltage signals of a record; others (pressure, respiration) are left out."""
    chosen = [i for i in range(record.n_sig) if (record.units[i] or "mV").lower() in UV_PER_UNIT]
    if not chosen:
        raise EcgError("no_ecg_signals" if record.n_sig > 1 else "unknown_unit", lead=str(record.sig_name[0] or ""),
                       unit=str(record.units[0])[:16])  # fmt: skip
    leads = _names([lead_name(str(record.sig_name[i] or "")) for i in chosen])
    for lead, i in zip(leads, chosen, strict=True):
        if not calibrated[i]:
            raise EcgError("missing_sensitivity", lead=lead)
    frames = {record.samps_per_frame[i] for i in chosen}
    columns = [record.e_d_signal[i] for i in chosen]
    if len(frames) != 1:
        raise EcgError("unsupported_mixed_rates")
    if len({len(column) for column in columns}) != 1 or len(columns[0]) < (record.sig_len or 0):
        raise EcgError("truncated")
    return DigitalRecording(
        samples=np.column_stack(columns),
        sampling_rate_hz=float(record.fs) * frames.pop(),
        leads=leads,
        sensitivity_uv=tuple(
            UV_PER_UNIT[(record.units[i] or "mV").lower()] / float(record.adc_gain[i]) for i in chosen
        ),
        baseline=tuple(int(record.baseline[i]) for i in chosen),
        missing=tuple(MISSING.get(str(record.fmt[i])) for i in chosen),
        bits_stored=max(BITS.get(str(record.fmt[i]), 16) for i in chosen),
    )


def _names(leads: list[str]) -> tuple[str, ...]:
    """Leads without a name, or all called ``ECG``, are numbered; a standard lead twice stays, and is refused later."""
    named = [lead or "ECG" for lead in leads]
    return tuple(
        lead if named.count(lead) == 1 or lead in STANDARD_LEADS else f"{lead} {named[: i + 1].count(lead)}"
        for i, lead in enumerate(named)
    )


def _acquired_at(day: date | None, clock: time | None, zone: tzinfo | None) -> datetime | None:
    if day is None or clock is None or zone is None:
        return None
    return datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)


def _age_years(comments: tuple[str, ...]) -> int | None:
    """``Age: 63``, ``<age>: 51``, or the bare ``69 M`` of MIT-BIH; 0..130."""
    text = "\n".join(comments)
    found = re.search(r"\bage\b>?\s*[:=]\s*(\d{1,3})\b", text, re.IGNORECASE) or re.match(r"(\d{1,3}) [MF]\b", text)
    age = int(found[1]) if found else None
    return age if age is not None and age <= 130 else None


def _sex(comments: tuple[str, ...]) -> str | None:
    text = "\n".join(comments)
    found = re.search(r"\b(?:sex|gender)\b>?\s*[:=]\s*(m|f|male|female)\b", text, re.IGNORECASE)
    found = found or re.match(r"\d{1,3} ([MF])\b", text)
    return found[1][0].upper() if found else None
