"""A stored ECG drawn to scale, for the screen and for the report. [app]"""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any

from ecg.draw import svg
from ecg.formats import dicom
from ecg.layout import sheet
from ecg.waveform import EcgError, Recording


def recording_of(blob_path: Callable[[str], Path], keys: Sequence[str], zone: tzinfo) -> Recording:
    """The first ECG among stored objects.

    Raises EcgError: the reader's code (missing_sensitivity …), or "no_waveform" where no object holds one.
    """
    problem: EcgError | None = None
    for key in keys:
        try:
            return dicom.read(blob_path(key), zone)
        except EcgError as error:
            problem = problem or error
    raise problem or EcgError("no_waveform")


def screen_sheet(
    blob_path: Callable[[str], Path],
    zone: tzinfo,
    keys: Sequence[str],
    *,
    layout: str,
    speed: float,
    gain: float,
    palette: str,
) -> dict[str, Any]:
    """The SVG and what stands beside it: scale, sampling, leads. Lengths in mm."""
    recording = recording_of(blob_path, keys, zone)
    drawn = sheet(recording, speed_mm_per_s=speed, gain_mm_per_mv=gain, layout=layout)
    return {
        "svg": svg(drawn, palette), "width_mm": drawn.width_mm, "height_mm": drawn.height_mm,
        "speed_mm_per_s": speed, "gain_mm_per_mv": gain, "layout": layout,
        "sampling_rate_hz": recording.sampling_rate_hz, "recorded_s": drawn.recorded_s, "shown_s": drawn.shown_s,
        "leads": list(recording.leads), "leads_not_shown": list(drawn.leads_not_shown),
        "derived_leads": sorted(recording.derived), "filter_low_hz": recording.filter_low_hz,
        "filter_high_hz": recording.filter_high_hz, "notch_hz": recording.notch_hz, "device": recording.device,
        "acquired_at": recording.acquired_at.isoformat() if recording.acquired_at else None,
    }  # fmt: skip


def paper_sheet(blob_path: Callable[[str], Path], zone: tzinfo, keys: Sequence[str]) -> str | None:
    """The SVG for the report, 273 × 122 mm; None where the ECG has no scale to be drawn to."""
    try:
        return svg(sheet(recording_of(blob_path, keys, zone)), "paper", font_family="Noto Sans SC")
    except EcgError:
        return None
