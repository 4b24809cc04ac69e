"""Where every trace, pulse, label and the ruler go on ECG paper, in millimetres from its top left. [domain]"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecg.waveform import STANDARD_LEADS, EcgError, Recording, with_derived_limb_leads

PAPER_WIDTH_MM, PAPER_HEIGHT_MM = 273.0, 122.0  # the grid of the A4 report
STRIP_S = 10.0
PULSE_UV, PULSE_S = 1000.0, 0.2
PULSE_X_MM, PULSE_LEAD_MM, TRACE_X_MM, RIGHT_MARGIN_MM = 10.0, 2.0, 20.0, 3.0
RULER_MM, RULER_ROOM_MM = 25.0, 10.0
MOST_SHEET_MM = 2000.0
SPEEDS_MM_PER_S = (5.0, 10.0, 12.5, 25.0, 50.0, 100.0)
GAINS_MM_PER_MV = (2.5, 5.0, 10.0, 20.0, 40.0)
RHYTHM_CHOICE = ("II", "V1", "V5", "MLII", "I")


class Arrangement(NamedTuple):
    """Rows of equal columns, then full-width rhythm strips; ``rhythm`` names the lead wanted in each strip."""

    rows: tuple[tuple[str, ...], ...]
    rhythm: tuple[str, ...] = ()


_THREE = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_CABRERA = ("aVL", "I", "-aVR", "II", "aVF", "III")
LAYOUTS = {
    "3x4": Arrangement(_THREE),
    "3x4+1R": Arrangement(_THREE, ("II",)),
    "3x4+3R": Arrangement(_THREE, ("II", "V1", "V5")),
    "6x2": Arrangement(tuple(zip(STANDARD_LEADS[:6], STANDARD_LEADS[6:], strict=True))),
    "6x2+1R": Arrangement(tuple(zip(STANDARD_LEADS[:6], STANDARD_LEADS[6:], strict=True)), ("II",)),
    "12x1": Arrangement(tuple((lead,) for lead in STANDARD_LEADS)),
    "cabrera": Arrangement(tuple(zip(_CABRERA, STANDARD_LEADS[6:], strict=True))),
}
STACK = "stack"  # one row per lead of the recording, for Holter and other recordings without the twelve


@dataclass(frozen=True)
class Pulse:
    """The calibration pulse of a row: up at ``x_mm``, ``width_mm`` (200 ms) wide, ``height_mm`` (1 mV) high."""

    x_mm: float
    baseline_mm: float
    width_mm: float
    height_mm: float


@dataclass(frozen=True)
class Ruler:
    """A line of ``width_mm`` that a reader can put a ruler to; it stands for ``seconds``."""

    x_mm: float
    y_mm: float
    width_mm: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Trace:
    """One lead in one cell. ``lines`` are polylines (n, 2) of x_mm, y_mm, broken where samples are missing.

    ``state``: ``measured``, ``derived`` (computed from I and II), ``missing`` (no such lead), ``empty`` (nothing
    recorded in this span). x_mm = cell x_mm + (t - start_s) * speed; y_mm = baseline_mm - mV * gain.
    """

    lead: str
    state: str
    is_rhythm: bool
    x_mm: float
    width_mm: float
    baseline_mm: float
    label_y_mm: float
    start_s: float
    seconds: float
    lines: tuple[NDArray[np.float64], ...]
    leaves_sheet: bool


@dataclass(frozen=True, eq=False)
class Sheet:
    """A drawn page of a recording, all in mm. ``shown_s`` from ``start_s`` is the time span of the rhythm strip.

    ``is_in_step`` is False where columns of a short recording had to begin earlier than the column before ended.
    """

    width_mm: float
    height_mm: float
    speed_mm_per_s: float
    gain_mm_per_mv: float
    layout: str
    start_s: float
    shown_s: float
    recorded_s: float
    sampling_rate_hz: float
    is_in_step: bool
    pulses: tuple[Pulse, ...]
    traces: tuple[Trace, ...]
    ruler: Ruler
    leads_not_shown: tuple[str, ...]


def best_layout(recording: Recording) -> str:
    """``3x4+1R`` where I and II and any chest lead are there, else ``stack``."""
    has_limbs = {"I", "II"} <= set(recording.leads)
    return "3x4+1R" if has_limbs and any(lead in recording.leads for lead in STANDARD_LEADS[6:]) else STACK


def sheet(
    recording: Recording,
    *,
    speed_mm_per_s: float = 25.0,
    gain_mm_per_mv: float = 10.0,
    layout: str = "3x4+1R",
    width_mm: float | None = PAPER_WIDTH_MM,
    height_mm: float = PAPER_HEIGHT_MM,
    start_s: float = 0.0,
) -> Sheet:
    """The page of ``recording`` that begins at ``start_s``.

    A page shows 10 s, less when ``width_mm`` has no room at this speed; ``width_mm`` None takes what 10 s need.
    III, aVR, aVL and aVF are computed where absent. Raises EcgError unknown_layout, bad_scale, bad_start, too_small.
    """
    arrangement = _arrangement(layout, recording)
    if speed_mm_per_s not in SPEEDS_MM_PER_S or gain_mm_per_mv not in GAINS_MM_PER_MV:
        raise EcgError("bad_scale", speed=speed_mm_per_s, gain=gain_mm_per_mv)
    if not 0 <= start_s < recording.duration_s:
        raise EcgError("bad_start", start_s=start_s)
    if width_mm is None:
        width_mm = TRACE_X_MM + STRIP_S * speed_mm_per_s + RIGHT_MARGIN_MM
    shown_s = _shown_s(width_mm, height_mm, speed_mm_per_s, arrangement)
    full = with_derived_limb_leads(recording)
    baselines = _even_baselines_mm(height_mm, len(arrangement.rows) + len(arrangement.rhythm), gain_mm_per_mv)
    page = _Page(full, speed_mm_per_s, gain_mm_per_mv, width_mm, height_mm, start_s, shown_s, baselines)
    page = page.with_room(page.traces(arrangement))
    traces = page.traces(arrangement)
    shown = {trace.lead.lstrip("-") for trace in traces}
    return Sheet(
        width_mm=width_mm,
        height_mm=height_mm,
        speed_mm_per_s=speed_mm_per_s,
        gain_mm_per_mv=gain_mm_per_mv,
        layout=layout,
        start_s=start_s,
        shown_s=shown_s,
        recorded_s=recording.duration_s,
        sampling_rate_hz=recording.sampling_rate_hz,
        is_in_step=page.is_in_step(arrangement),
        pulses=page.pulses(),
        traces=traces,
        ruler=Ruler(width_mm - 5 - RULER_MM, height_mm - 4, RULER_MM, RULER_MM / speed_mm_per_s),
        leads_not_shown=tuple(lead for lead in recording.leads if lead not in shown),
    )


def _arrangement(layout: str, recording: Recording) -> Arrangement:
    if layout == STACK:
        return Arrangement(tuple((lead,) for lead in recording.leads))
    if layout not in LAYOUTS:
        raise EcgError("unknown_layout", layout=layout[:16])
    wanted = LAYOUTS[layout]
    choices = (*RHYTHM_CHOICE, *recording.leads)
    spare = next(lead for lead in choices if lead in recording.leads)
    return wanted._replace(rhythm=tuple(lead if lead in recording.leads else spare for lead in wanted.rhythm))


def _shown_s(width_mm: float, height_mm: float, speed: float, arrangement: Arrangement) -> float:
    """Seconds of the whole width: 10, or what fits, in columns of whole 0.1 s. Raises EcgError too_small."""
    rows, columns = len(arrangement.rows) + len(arrangement.rhythm), len(arrangement.rows[0])
    room_s = (width_mm - TRACE_X_MM - RIGHT_MARGIN_MM) / speed
    column_s = min(STRIP_S / columns, np.floor(room_s / columns * 10 + 1e-6) / 10)
    if column_s < 0.5 or height_mm / rows < 5 or max(width_mm, height_mm) > MOST_SHEET_MM:
        raise EcgError("too_small", width_mm=width_mm, height_mm=height_mm)
    return float(column_s * columns)


def _even_baselines_mm(height_mm: float, rows: int, gain: float) -> tuple[float, ...]:
    """One baseline per row on whole millimetres, so a flat line lies on a grid line.

    Rows are equal; where these are low, the first keeps its pulse on the sheet and the last stays off the ruler.
    """
    pitch = np.floor(height_mm / rows)
    pulse_mm = PULSE_UV / 1000 * gain
    top, bottom = pulse_mm + 2, height_mm - RULER_ROOM_MM
    if rows > 1 and pitch <= 2 * pulse_mm and bottom - top >= 5 * (rows - 1):
        return tuple(np.floor(np.linspace(top, bottom, rows)).tolist())
    return tuple(np.floor(pitch * (np.arange(rows) + 0.5)).tolist())


class _Cell(NamedTuple):
    """One place on the page: ``row_mm`` is the height of its row, ``seconds`` its span from ``start_s``."""

    baseline_mm: float
    row_mm: float
    x_mm: float
    start_s: float
    seconds: float


class _Page(NamedTuple):
    """What all traces of a page share."""

    recording: Recording
    speed: float
    gain: float
    width_mm: float
    height_mm: float
    start_s: float
    shown_s: float
    baselines: tuple[float, ...]

    def with_room(self, traces: tuple[Trace, ...]) -> "_Page":
        """The page with its rows drawn closer together where a peak of ``traces`` would leave the sheet by a little.

        At most six tenths of a row are given at either end; what reaches further (a saturated lead) moves nothing.
        """
        first, last = self.baselines[0], self.baselines[-1]
        most = 0.6 * (last - first) / max(len(self.baselines) - 1, 1)
        lines = [line[:, 1] for trace in traces for line in trace.lines]
        above = max((-y.min() for y in lines if -most < y.min() < 0), default=0.0)
        below = max((y.max() - self.height_mm for y in lines if 0 < y.max() - self.height_mm < most), default=0.0)
        ends = first + np.ceil(above), last - np.ceil(below)
        return self._replace(baselines=tuple(np.floor(np.linspace(*ends, len(self.baselines))).tolist()))

    def pulses(self) -> tuple[Pulse, ...]:
        """One per row: 1 mV and 200 ms at this gain and speed."""
        width, height = PULSE_S * self.speed, PULSE_UV / 1000 * self.gain
        # A wide pulse (100 mm/s) begins further left so that it still ends before the trace.
        x = min(PULSE_X_MM, TRACE_X_MM - PULSE_LEAD_MM - width - 1)
        return tuple(Pulse(max(x, 0.0), baseline, width, height) for baseline in self.baselines)

    def column_starts_s(self, columns: int) -> tuple[float, ...]:
        """When each column begins; one with less than half of its span recorded shows the last full span instead."""
        span = self.shown_s / columns
        last = max(self.recording.duration_s - span, self.start_s)
        wanted = [self.start_s + span * column for column in range(columns)]
        return tuple(start if start <= last + span / 2 else last for start in wanted)

    def is_in_step(self, arrangement: Arrangement) -> bool:
        """Whether every column begins where the one before ends."""
        starts = self.column_starts_s(len(arrangement.rows[0]))
        return bool(np.allclose(np.diff(starts), self.shown_s / len(starts)))

    def traces(self, arrangement: Arrangement) -> tuple[Trace, ...]:
        """All cells row by row, then the rhythm strips."""
        columns = len(arrangement.rows[0])
        span, starts = self.shown_s / columns, self.column_starts_s(columns)
        cells = [
            self.trace(lead, self.cell(row, TRACE_X_MM + column * span * self.speed, starts[column], span))
            for row, leads in enumerate(arrangement.rows)
            for column, lead in enumerate(leads)
        ]
        strips = [
            self.trace(lead, self.cell(row, TRACE_X_MM, self.start_s, self.shown_s), is_rhythm=True)
            for row, lead in enumerate(arrangement.rhythm, start=len(arrangement.rows))
        ]
        return (*cells, *strips)

    def cell(self, row: int, x_mm: float, start_s: float, seconds: float) -> _Cell:
        """A place in row ``row``."""
        return _Cell(self.baselines[row], self.height_mm / len(self.baselines), x_mm, start_s, seconds)

    def trace(self, lead: str, cell: _Cell, is_rhythm: bool = False) -> Trace:
        """One lead in its cell."""
        baseline, row_mm, x_mm, start_s, seconds = cell
        name, sign = lead.removeprefix("-"), -1.0 if lead.startswith("-") and lead not in self.recording.leads else 1.0
        name = lead if lead in self.recording.leads else name
        lines: tuple[NDArray[np.float64], ...] = ()
        if name in self.recording.leads:
            t_s, uv = _span(self.recording, name, start_s, seconds)
            y_mm = baseline - sign * uv / 1000 * self.gain
            lines = _polylines(x_mm + (t_s - start_s) * self.speed, y_mm)
            state = "derived" if name in self.recording.derived or sign < 0 else "measured"
        state = "missing" if name not in self.recording.leads else state if lines else "empty"
        return Trace(
            lead=lead,
            state=state,
            is_rhythm=is_rhythm,
            x_mm=x_mm,
            width_mm=seconds * self.speed,
            baseline_mm=baseline,
            label_y_mm=max(baseline - min(8.0, row_mm / 2 - 1.5), 3.5),
            start_s=start_s,
            seconds=seconds,
            lines=lines,
            leaves_sheet=any(line[:, 1].min() < 0 or line[:, 1].max() > self.height_mm for line in lines),
        )


def _span(
    recording: Recording, lead: str, start_s: float, seconds: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and microvolts of the samples from ``start_s`` up to and with ``start_s + seconds``.

    The sample at the very end belongs to both neighbours, so a column is drawn to its full width.
    """
    rate = recording.sampling_rate_hz
    first = int(np.ceil(start_s * rate - 1e-6))
    stop = int(np.floor((start_s + seconds) * rate + 1e-6)) + 1
    uv = recording.lead_uv(lead)[first:stop]
    return (first + np.arange(len(uv))) / rate, uv


def _polylines(x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The points broken at NaN; a lone sample between gaps becomes a polyline of one point."""
    points = np.column_stack([x_mm, y_mm])
    kept = np.flatnonzero(np.isfinite(y_mm))
    if not kept.size:
        return ()
    return tuple(points[run] for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1))
