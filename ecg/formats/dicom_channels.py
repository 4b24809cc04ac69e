"""What one channel of a DICOM waveform is: its lead, its microvolts per step, its filter. [adapter]

PS3.3 C.10.9.1.4; lead codes of CID 3001: SCPECG 5.6.3-9-N and MDC 2:N share the numbers N of EN 1064.
"""

import math
import re
from collections.abc import Iterable

from pydicom import Dataset

from ecg.waveform import EcgError, lead_name

UV_PER_UNIT = {"nV": 1e-3, "uV": 1.0, "µV": 1.0, "μV": 1.0, "mV": 1e3, "V": 1e6, "MDC_DIM_X_V": 1e6}
UV_PER_MDC = {"265986": 1e6, "266002": 1e3, "266003": 1.0}  # MDC_DIM_X_V, _MILLI_V, _MICRO_V in ISO 11073-10101
LEAD_NUMBERS = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 9: "V7",
    10: "V2R", 11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z",
    19: "CC5", 20: "CM5", 21: "LA", 22: "RA", 23: "LL", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR",
    66: "V8", 67: "V9", 68: "V8R", 69: "V9R", 70: "D", 71: "A", 72: "J",
    86: "MCL1", 87: "MCL2", 88: "MCL3", 89: "MCL4", 90: "MCL5", 91: "MCL6",
}  # fmt: skip


def channel_lead(channel: Dataset) -> str:
    """The channel's lead, by code before meaning before label. Raises EcgError missing_attribute."""
    sources = channel.get("ChannelSourceSequence") or []
    source = sources[0] if sources else Dataset()
    code = str(source.get("CodeValue") or "").strip(" \0")
    by_number = re.fullmatch(r"(?:5\.6\.3-9-|2:)(\d+)", code)
    if by_number and int(by_number[1]) in LEAD_NUMBERS:
        return LEAD_NUMBERS[int(by_number[1])]
    words = (code if code.upper().startswith("MDC_") else "", source.get("CodeMeaning"), channel.get("ChannelLabel"))
    for word in words:
        name = lead_name(str(word or ""))
        if name:
            return name
    raise EcgError("missing_attribute", keyword="ChannelSourceSequence")


def channel_scale(channel: Dataset) -> tuple[float, float]:
    """Microvolts per step, microvolts at sample 0; never a guess. Raises EcgError missing_sensitivity, unknown_unit."""
    lead = channel_lead(channel)
    sensitivity = _number(channel, "ChannelSensitivity")
    units = channel.get("ChannelSensitivityUnitsSequence") or []
    if not sensitivity or not units:
        raise EcgError("missing_sensitivity", lead=lead)
    unit = str(units[0].get("CodeValue") or "").strip(" \0")
    scheme = str(units[0].get("CodingSchemeDesignator") or "")
    uv_per_unit = UV_PER_MDC.get(unit) if scheme == "MDC" and unit in UV_PER_MDC else UV_PER_UNIT.get(unit)
    if uv_per_unit is None:
        raise EcgError("unknown_unit", lead=lead, unit=unit[:16])
    correction = _number(channel, "ChannelSensitivityCorrectionFactor")
    baseline = _number(channel, "ChannelBaseline") or 0.0
    return sensitivity * (1.0 if correction is None else correction) * uv_per_unit, baseline * uv_per_unit


def common_filter(channels: Iterable[Dataset], keyword: str) -> float | None:
    """The value all channels agree on, None where one differs or is silent."""
    values = {_number(channel, keyword) for channel in channels}
    return values.pop() if len(values) == 1 else None


def _number(channel: Dataset, keyword: str) -> float | None:
    """A decimal string as a finite float, None where absent, empty or no number."""
    try:
        value = float(channel.get(keyword))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
