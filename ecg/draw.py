"""A sheet drawn to SVG, one user unit a millimetre: on screen inline or as an image, on paper in the report. [domain]

Only presentation attributes, no style, script, id or reference: allowed by a strict Content-Security-Policy, and any
number of sheets may stand in one page.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from ecg.layout import Pulse, Sheet, Trace

MOST_POINTS_PER_S = 500
FONT_MM, SMALL_FONT_MM = 3.2, 2.6
FONT_FAMILY = (
    "'Segoe UI','Microsoft YaHei UI','Microsoft YaHei','PingFang SC','Noto Sans CJK SC','Noto Sans SC',sans-serif"
)
WORDS_ZH = {"missing": "缺失", "derived": "推算", "outside": "超出纸面"}


@dataclass(frozen=True)
class Palette:
    """Colours of a sheet (ui.md, "ECG dark paper"); ``*_opacity`` 0..1, widths in mm."""

    ground: str
    fine: str
    fine_opacity: float
    coarse: str
    coarse_opacity: float
    trace: str
    trace_width_mm: float
    label: str
    faint: str
    warning: str


PALETTES: Mapping[str, Palette] = {
    "dark": Palette("#0D1012", "#E2685C", 0.11, "#E2685C", 0.42, "#E9EEF2", 0.3, "#DFE5EA", "#A2AEB9", "#F0B04A"),
    "paper": Palette("#FFF9F8", "#F4CFCA", 1.0, "#D98D84", 1.0, "#111111", 0.25, "#111111", "#485664", "#8A5200"),
}


def svg(
    sheet: Sheet,
    palette: str = "paper",
    *,
    ruler: bool = True,
    caption: str = "",
    title: str = "",
    words: Mapping[str, str] = WORDS_ZH,
    font_family: str = FONT_FAMILY,
) -> str:
    """The sheet as a stand-alone SVG document.

    ``caption`` is written at the bottom left (scale and filter), ``title`` names the picture to screen readers,
    ``words`` has "missing", "derived", "outside" (the trace leaves the sheet) in the reader's language.
    Raises KeyError for an unknown palette.
    Each lead is ``<g class="ecg-lead" data-lead data-state data-start-s data-seconds data-x-mm data-baseline-mm>``.
    """
    colours = PALETTES[palette]
    width, height = _mm(sheet.width_mm), _mm(sheet.height_mm)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}"'
        f' class="ecg-sheet" role="img" aria-label="{_text(title or "ECG")}" data-layout="{_text(sheet.layout)}"'
        f' data-speed-mm-per-s="{sheet.speed_mm_per_s:g}" data-gain-mm-per-mv="{sheet.gain_mm_per_mv:g}"'
        f' data-start-s="{sheet.start_s:g}" data-shown-s="{sheet.shown_s:g}" data-in-step="{int(sheet.is_in_step)}"'
        f' font-family="{escape(font_family, quote=True)}">'
    )
    parts = [head, *_grid(sheet, colours), *_pulses(sheet, colours)]
    parts += [_trace(trace, sheet, colours, words) for trace in sheet.traces]
    parts += _ruler(sheet, colours) if ruler else []
    if caption:
        parts.append(_words(2.0, sheet.height_mm - 2.0, caption, SMALL_FONT_MM, colours.faint))
    return "".join([*parts, "</svg>"])


def _grid(sheet: Sheet, colours: Palette) -> Iterable[str]:
    """Ground, 1 mm lines, 5 mm lines and the frame; lines, not a pattern, so nothing needs an id."""
    width, height = _mm(sheet.width_mm), _mm(sheet.height_mm)
    columns, rows = range(int(sheet.width_mm) + 1), range(int(sheet.height_mm) + 1)
    yield f'<rect class="ecg-ground" width="{width}" height="{height}" fill="{colours.ground}"/>'
    for name, is_coarse, colour, opacity, stroke in (
        ("fine", False, colours.fine, colours.fine_opacity, "0.08"),
        ("coarse", True, colours.coarse, colours.coarse_opacity, "0.12"),
    ):
        lines = [f"M{x} 0v{height}" for x in columns if (x % 5 == 0) is is_coarse]
        lines += [f"M0 {y}h{width}" for y in rows if (y % 5 == 0) is is_coarse]
        yield (
            f'<path class="ecg-grid-{name}" fill="none" stroke="{colour}" stroke-opacity="{opacity:g}"'
            f' stroke-width="{stroke}" d="{"".join(lines)}"/>'
        )


def _pulses(sheet: Sheet, colours: Palette) -> Iterable[str]:
    paths = "".join(_pulse_path(pulse) for pulse in sheet.pulses)
    yield f'<path class="ecg-pulse" {_stroke(colours)} d="{paths}"/>'


def _pulse_path(pulse: Pulse) -> str:
    lead_mm = min(2.0, pulse.x_mm)
    return (
        f"M{_mm(pulse.x_mm - lead_mm)} {_mm(pulse.baseline_mm)}h{_mm(lead_mm)}v{_mm(-pulse.height_mm)}"
        f"h{_mm(pulse.width_mm)}v{_mm(pulse.height_mm)}h{_mm(lead_mm)}"
    )


def _trace(trace: Trace, sheet: Sheet, colours: Palette, words: Mapping[str, str]) -> str:
    """The lead's group: its line, its name, a mark where its column begins, a word where it is absent or computed."""
    is_absent = trace.state in ("missing", "empty")
    body = ""
    if not is_absent:
        points = [reduced(line, sheet.sampling_rate_hz) for line in trace.lines]
        body = f'<path {_stroke(colours)} d="{"".join(path_data(line) for line in points)}"/>'
    if not trace.is_rhythm and trace.x_mm > min(other.x_mm for other in sheet.traces):
        body += (
            f'<path class="ecg-column" stroke="{colours.trace}" stroke-width="{colours.trace_width_mm:g}" fill="none"'
            f' d="M{_mm(trace.x_mm)} {_mm(trace.baseline_mm - 3)}v1.5m0 3v1.5"/>'
        )
    body += _words(trace.x_mm + 1, trace.label_y_mm, trace.lead, FONT_MM, colours.label, is_bold=True)
    beside = trace.x_mm + 2.5 + 0.62 * FONT_MM * len(trace.lead)
    if is_absent or trace.leaves_sheet:
        # A saturated lead lies wholly outside: without the word its cell would look like one with nothing to show.
        word = words["missing" if is_absent else "outside"]
        body += _words(beside, trace.label_y_mm, word, SMALL_FONT_MM, colours.warning)
    elif trace.state == "derived":
        body += _words(beside, trace.label_y_mm, words["derived"], SMALL_FONT_MM, colours.faint)
    return (
        f'<g class="ecg-lead" data-lead="{_text(trace.lead)}" data-state="{trace.state}"'
        f' data-rhythm="{int(trace.is_rhythm)}" data-start-s="{trace.start_s:g}" data-seconds="{trace.seconds:g}"'
        f' data-x-mm="{_mm(trace.x_mm)}" data-baseline-mm="{_mm(trace.baseline_mm)}">{body}</g>'
    )


def _ruler(sheet: Sheet, colours: Palette) -> list[str]:
    line = sheet.ruler
    ends = f"M{_mm(line.x_mm)} {_mm(line.y_mm - 1)}v2M{_mm(line.x_mm + line.width_mm)} {_mm(line.y_mm - 1)}v2"
    words = f"{line.width_mm:g} mm = {line.seconds:g} s"
    return [
        f'<path class="ecg-ruler" fill="none" stroke="{colours.faint}" stroke-width="0.2"'
        f' d="M{_mm(line.x_mm)} {_mm(line.y_mm)}h{_mm(line.width_mm)}{ends}"/>',
        _words(line.x_mm + line.width_mm / 2, line.y_mm - 1.3, words, SMALL_FONT_MM, colours.faint, anchor="middle"),
    ]


def reduced(line: NDArray[np.float64], sampling_rate_hz: float) -> NDArray[np.float64]:
    """At most about 500 points a second: above that the lowest and highest of each group of samples, in order of time.

    No peak is moved or lost; every point that stays is a sample. First and last stay too.
    """
    group = 2 * int(np.ceil(sampling_rate_hz / MOST_POINTS_PER_S))
    if group <= 2 or len(line) <= group:
        return line
    whole = len(line) // group * group
    y = line[:whole, 1].reshape(-1, group)
    starts = np.arange(0, whole, group)
    kept = np.concatenate([starts + y.argmin(axis=1), starts + y.argmax(axis=1), np.arange(whole, len(line)),
                           [0, len(line) - 1]])  # fmt: skip
    points: NDArray[np.float64] = line[np.unique(kept)]
    return points


def path_data(line: NDArray[np.float64]) -> str:
    """SVG path data of points (n, 2) in mm: the first absolute, then steps whose rounding to 0.01 mm never adds up."""
    hundredths = np.rint(line * 100).astype(np.int64)
    x, y = hundredths[0].tolist()
    if len(hundredths) == 1:
        return f"M{_short(x)} {_short(y)}h.01"  # with round caps a lone sample is a dot
    steps = np.diff(hundredths, axis=0).tolist()
    return f"M{_short(x)} {_short(y)}l" + " ".join(f"{_short(dx)} {_short(dy)}" for dx, dy in steps)


def _short(hundredths: int) -> str:
    """Hundredths as the shortest decimal: -12 becomes ``-.12``, 150 ``1.5``."""
    sign, whole, part = "-" if hundredths < 0 else "", abs(hundredths) // 100, abs(hundredths) % 100
    if not part:
        return f"{sign}{whole}"
    decimals = f"{part:02d}".rstrip("0")
    return f"{sign}{whole or ''}.{decimals}"


def _stroke(colours: Palette) -> str:
    return (
        f'fill="none" stroke="{colours.trace}" stroke-width="{colours.trace_width_mm:g}"'
        ' stroke-linejoin="round" stroke-linecap="round"'
    )


def _words(
    x_mm: float, y_mm: float, words: str, size_mm: float, colour: str, *, is_bold: bool = False, anchor: str = "start"
) -> str:
    weight = ' font-weight="600"' if is_bold else ""
    return (
        f'<text x="{_mm(x_mm)}" y="{_mm(y_mm)}" font-size="{size_mm:g}"{weight} fill="{colour}"'
        f' text-anchor="{anchor}">{_text(words)}</text>'
    )


def _mm(value: float) -> str:
    """Millimetres to 0.01 without trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"


def _text(words: str) -> str:
    """Safe in text and attributes; characters XML 1.0 forbids are dropped, since lead names come from files."""
    return escape("".join(c for c in words if c.isprintable()), quote=True)
