"""DICOM ECG waveform objects (12-lead, General, General 32-bit, Ambulatory) read to a Recording. [adapter]

PS3.3 A.34 and C.10.9. The rhythm group is read, never the median beat; a channel without sensitivity is refused.
"""

import warnings
from datetime import UTC, datetime, tzinfo
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian
from pydicom.valuerep import DT

from ecg.formats.dicom_channels import channel_lead, channel_scale, common_filter
from ecg.waveform import EcgError, Recording

ECG_SOP_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.9.1.{number}" for number in (1, 2, 3, 4))
MOST_CHANNELS = 64
# Inside a signal's own range a padding value is also an ordinary sample; only a run this long is a gap.
SHORTEST_GAP_S = 1.0
_KINDS = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}


def read(source: Path | str | bytes | Dataset, zone: tzinfo | None = None) -> Recording:
    """The rhythm strip of a DICOM ECG. ``zone`` is that of the device's clock, used where the file names none.

    Raises EcgError empty_file, not_dicom, truncated, not_an_ecg, no_waveform_sequence, no_rhythm, missing_attribute,
    unsupported_sample_format, missing_sensitivity, unknown_unit, duplicate_lead, bad_sampling_rate, no_samples.
    """
    # pydicom values are parsed when first looked at, and then it warns about what it forgives.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = source if isinstance(source, Dataset) else parse(source)
        try:
            return _recording(dataset, zone)
        except (EOFError, OSError, NotImplementedError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise EcgError("damaged_file", kind=type(error).__name__) from error


def parse(source: Path | str | bytes) -> Dataset:
    """The data set of a DICOM file, with or without preamble. Raises EcgError empty_file, not_dicom, truncated."""
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data:
        raise EcgError("empty_file")
    has_preamble = data[128:132] == b"DICM"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(BytesIO(data), force=True)
        except Exception as error:
            raise EcgError("truncated" if has_preamble else "not_dicom") from error
    if not has_preamble and "SOPClassUID" not in dataset and "WaveformSequence" not in dataset:
        raise EcgError("not_dicom")
    return dataset


def _recording(dataset: Dataset, zone: tzinfo | None) -> Recording:
    if str(dataset.get("SOPClassUID", "")) not in ECG_SOP_CLASSES:
        raise EcgError("not_an_ecg")
    if not dataset.get("WaveformSequence"):
        raise EcgError("no_waveform_sequence")
    groups = rhythm_groups(list(dataset.WaveformSequence))
    is_big_endian = _is_big_endian(dataset)
    rate = float(groups[0].SamplingFrequency)
    channels = [channel for group in groups for channel in group.ChannelDefinitionSequence]
    return Recording(
        samples_uv=_on_one_timeline(groups, [_group_uv(group, is_big_endian) for group in groups], rate),
        sampling_rate_hz=rate,
        leads=tuple(channel_lead(channel) for channel in channels),
        acquired_at=_acquired_at(dataset, zone),
        filter_low_hz=common_filter(channels, "FilterLowFrequency"),
        filter_high_hz=common_filter(channels, "FilterHighFrequency"),
        notch_hz=common_filter(channels, "NotchFilterFrequency"),
        device=" ".join(str(dataset.get(key) or "") for key in ("Manufacturer", "ManufacturerModelName")).strip(),
    )


def rhythm_groups(groups: list[Dataset]) -> list[Dataset]:
    """The multiplex groups that make up the rhythm recording, the widest first.

    A device that records three leads at a time writes several groups of one rate: they belong together while
    no lead stands twice. Raises EcgError no_rhythm, missing_attribute.
    """
    for group in groups:
        _require(group, "SamplingFrequency", "NumberOfWaveformSamples", "ChannelDefinitionSequence")
    candidates = [group for group in groups if _label(group) == "RHYTHM"] or [
        group for group in groups if "MEDIAN" not in _label(group) and group.get("WaveformOriginality") != "DERIVED"
    ]
    if not candidates:
        raise EcgError("no_rhythm")
    candidates.sort(key=lambda group: (-len(group.ChannelDefinitionSequence), -_seconds(group)))
    chosen, leads = [candidates[0]], {channel_lead(c) for c in candidates[0].ChannelDefinitionSequence}
    for group in candidates[1:]:
        more = {channel_lead(c) for c in group.ChannelDefinitionSequence}
        if group.SamplingFrequency == chosen[0].SamplingFrequency and not more & leads:
            chosen.append(group)
            leads |= more
    return chosen


def _label(group: Dataset) -> str:
    return str(group.get("MultiplexGroupLabel") or "").strip(" \0").upper()


def _seconds(group: Dataset) -> float:
    return float(group.NumberOfWaveformSamples) / max(float(group.SamplingFrequency), 1e-9)


def _require(group: Dataset, *keywords: str) -> None:
    for keyword in keywords:
        if group.get(keyword) is None:
            raise EcgError("missing_attribute", keyword=keyword)


def _group_uv(group: Dataset, is_big_endian: bool) -> NDArray[np.float64]:
    """The group's samples in microvolts (n_samples, n_channels), NaN where padded."""
    raw = _raw_samples(group, is_big_endian)
    gap = _gaps(group, raw, is_big_endian)
    values = raw.astype(np.float64)
    for column, channel in enumerate(group.ChannelDefinitionSequence):
        stored = _sign_extended(raw[:, column], int(channel.get("WaveformBitsStored") or raw.dtype.itemsize * 8))
        sensitivity_uv, baseline_uv = channel_scale(channel)
        # C.10.9.1.4.4: the baseline is in units of the sensitivity, after scaling.
        values[:, column] = stored * sensitivity_uv + baseline_uv
    values[gap] = np.nan
    return values


def _raw_samples(group: Dataset, is_big_endian: bool) -> NDArray[np.signedinteger]:
    """The stored integers (n_samples, n_channels) as they lie in the file (C.10.9.1.4.1: channels interleaved)."""
    _require(group, "NumberOfWaveformChannels", "WaveformBitsAllocated", "WaveformSampleInterpretation", "WaveformData")
    interpretation = str(group.WaveformSampleInterpretation)
    kind = _KINDS.get(interpretation)
    bits = int(group.WaveformBitsAllocated)
    if kind is None or bits != int(kind[1]) * 8:
        raise EcgError("unsupported_sample_format", interpretation=interpretation, bits=bits)
    rows, columns = int(group.NumberOfWaveformSamples), int(group.NumberOfWaveformChannels)
    if not 0 < columns <= MOST_CHANNELS or columns != len(group.ChannelDefinitionSequence):
        raise EcgError("bad_shape", leads=columns)
    size = rows * columns * int(kind[1])
    if len(group.WaveformData) < size:
        raise EcgError("truncated")
    dtype = np.dtype(kind).newbyteorder(">" if is_big_endian else "<")
    return np.frombuffer(group.WaveformData[:size], dtype).reshape(rows, columns)


def _sign_extended(column: NDArray[np.signedinteger], bits_stored: int) -> NDArray[np.float64]:
    """Values whose unused high bits were left zero get their sign back; all others are already right."""
    values = column.astype(np.int64)
    allocated = column.dtype.itemsize * 8
    is_signed = column.dtype.kind == "i"
    if is_signed and 1 < bits_stored < allocated and values.min() >= 0 and values.max() < 1 << bits_stored:
        values = np.where(values >= 1 << (bits_stored - 1), values - (1 << bits_stored), values)
    return values.astype(np.float64)


def _gaps(group: Dataset, raw: NDArray[np.signedinteger], is_big_endian: bool) -> NDArray[np.bool_]:
    """Where nothing was recorded, (n_samples, n_channels).

    The padding value counts everywhere when it lies outside the signal; when it lies inside (0 is a favourite and
    also the baseline) only as a run of a second or more. The most negative integer is never a sample.
    """
    gap = np.zeros(raw.shape, np.bool_)
    if raw.dtype.kind == "i" and raw.dtype.itemsize > 1:
        gap |= raw == np.iinfo(raw.dtype).min
    padding = _padding_value(group, raw.dtype, is_big_endian)
    if padding is None:
        return gap
    shortest = max(2, round(SHORTEST_GAP_S * float(group.SamplingFrequency)))
    for column in range(raw.shape[1]):
        is_padding = raw[:, column] == padding
        others = raw[~is_padding & ~gap[:, column], column]
        is_inside = others.size and others.min() < padding < others.max()
        gap[:, column] |= _long_runs(is_padding, shortest) if is_inside else is_padding
    return gap


def _padding_value(group: Dataset, dtype: np.dtype[Any], is_big_endian: bool) -> int | None:
    """(5400,100A) as an integer; the element's VR is OB or OW, so it comes as bytes, or US/SS from lenient writers."""
    value = group.get("WaveformPaddingValue")
    if isinstance(value, bytes):
        value = value[: dtype.itemsize] if not is_big_endian else value[-dtype.itemsize :]
        return int(np.frombuffer(value, dtype)[0]) if len(value) == dtype.itemsize else None
    return None if value is None else int(value)


def _long_runs(flags: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """Only those True samples that stand in runs of at least ``shortest``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    kept = np.zeros(flags.shape, np.bool_)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        kept[start:stop] = stop - start >= shortest
    return kept


def _on_one_timeline(groups: list[Dataset], parts: list[NDArray[np.float64]], rate: float) -> NDArray[np.float64]:
    """The groups side by side, each moved by its Multiplex Group Time Offset (0018,1068), in ms."""
    offsets = [round(float(group.get("MultiplexGroupTimeOffset") or 0) * rate / 1000) for group in groups]
    starts = [offset - min(offsets) for offset in offsets]
    rows = max(start + len(part) for start, part in zip(starts, parts, strict=True))
    if rows > 10 * sum(len(part) for part in parts):
        raise EcgError("bad_shape", leads=sum(part.shape[1] for part in parts))
    columns = []
    for start, part in zip(starts, parts, strict=True):
        column = np.full((rows, part.shape[1]), np.nan)
        column[start : start + len(part)] = part
        columns.append(column)
    return np.hstack(columns)


def _is_big_endian(dataset: Dataset) -> bool:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    return syntax == ExplicitVRBigEndian or dataset.original_encoding[1] is False


def _acquired_at(dataset: Dataset, zone: tzinfo | None) -> datetime | None:
    """Acquisition (else content) moment in UTC; None without a zone from file or caller, or when it is not a date.

    Type 1 in the standard: an object made here of a file without a moment says in (0099,xx01) that it is unknown.
    """
    if (0x0099, 0x0010) in dataset and dataset[0x0099, 0x0010].value == "TELEREAD":
        mark = dataset.get((0x0099, 0x1001))
        if mark is not None and mark.value == "UNKNOWN":
            return None
    text = str(dataset.get("AcquisitionDateTime") or "").strip()
    if not text and dataset.get("AcquisitionDate"):
        text = f"{dataset.AcquisitionDate}{dataset.get('AcquisitionTime') or ''}"
    try:
        moment = DT(text) if len(text) >= 8 else None
        offset = DT("20000101000000" + str(dataset.get("TimezoneOffsetFromUTC") or ""))
    except ValueError:
        return None
    if moment is None:
        return None
    known = moment.tzinfo or offset.tzinfo or zone
    plain = datetime(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second,
                     moment.microsecond, tzinfo=known or UTC)  # fmt: skip
    return plain.astimezone(UTC) if known else None
