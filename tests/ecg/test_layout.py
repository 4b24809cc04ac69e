"""Millimetres of a sheet: columns, pulses, windows in time, missing leads, other layouts."""

import numpy as np
import pytest

from ecg.formats import dicom
from ecg.layout import LAYOUTS, best_layout, sheet
from ecg.waveform import STANDARD_LEADS, EcgError, Recording, select_leads
from tests.peers.data import shared_data


def ramp(seconds: float, rate: float = 500.0, leads: tuple[str, ...] = STANDARD_LEADS) -> Recording:
    """Every lead is its own time in microvolts per millisecond: 1 uV = 1 ms, so a sample tells when it was."""
    t_ms = np.arange(round(seconds * rate)) / rate * 1000
    return Recording(np.column_stack([t_ms] * len(leads)), rate, leads)


def times_s(trace, gain: float = 10.0) -> np.ndarray:
    """The moments of a ramp's samples, read back from their height."""
    return (trace.baseline_mm - np.concatenate(trace.lines)[:, 1]) / gain


def test_paper_sheet_has_exact_columns_and_pulses() -> None:
    page = sheet(ramp(10.0))
    assert (page.width_mm, page.height_mm, page.shown_s) == (273, 122, 10)
    assert sorted({t.x_mm for t in page.traces}) == [20.0, 82.5, 145.0, 207.5]
    assert {t.width_mm for t in page.traces if not t.is_rhythm} == {62.5}
    rhythm = page.traces[-1]
    assert (rhythm.lead, rhythm.x_mm, rhythm.width_mm) == ("II", 20.0, 250.0)
    assert len(page.pulses) == 4
    assert {(p.width_mm, p.height_mm) for p in page.pulses} == {(5.0, 10.0)}
    assert all(p.baseline_mm == int(p.baseline_mm) for p in page.pulses)
    assert (page.ruler.width_mm, page.ruler.seconds) == (25.0, 1.0)
    assert page.ruler.x_mm + page.ruler.width_mm <= page.width_mm


def test_columns_follow_each_other_in_time_and_leads_of_a_column_are_simultaneous() -> None:
    page = sheet(ramp(10.0))
    for trace in page.traces[:-1]:
        column = STANDARD_LEADS.index(trace.lead) // 3
        assert trace.start_s == 2.5 * column
        assert times_s(trace)[0] == pytest.approx(2.5 * column)
        x = np.concatenate(trace.lines)[:, 0]
        np.testing.assert_allclose((x - trace.x_mm) / 25, times_s(trace) - trace.start_s, atol=1e-9)
        assert x.max() <= trace.x_mm + 62.5 + 1e-9


@pytest.mark.parametrize("rate", [250.0, 360.0, 500.0, 512.0, 600.0, 1000.0])
def test_rates_that_do_not_divide_a_column(rate: float) -> None:
    for trace in sheet(ramp(10.0, rate)).traces:
        x = np.concatenate(trace.lines)[:, 0]
        np.testing.assert_allclose(trace.start_s + (x - trace.x_mm) / 25, times_s(trace), atol=1e-9)
        assert x.min() - trace.x_mm < 25 / rate


def test_order_of_layouts() -> None:
    shown = {name: [t.lead for t in sheet(ramp(10.0), layout=name).traces] for name in LAYOUTS}
    assert shown["6x2"] == ["I", "V1", "II", "V2", "III", "V3", "aVR", "V4", "aVL", "V5", "aVF", "V6"]
    assert shown["12x1"] == list(STANDARD_LEADS)
    assert shown["3x4+3R"][-3:] == ["II", "V1", "V5"]
    assert shown["cabrera"][::2] == ["aVL", "I", "-aVR", "II", "aVF", "III"]
    assert {t.width_mm for t in sheet(ramp(10.0), layout="6x2").traces} == {125.0}
    assert {t.width_mm for t in sheet(ramp(10.0), layout="12x1").traces} == {250.0}


def test_minus_avr_is_avr_upside_down() -> None:
    traces = {t.lead: t for t in sheet(ramp(10.0), layout="cabrera").traces}
    assert times_s(traces["-aVR"])[100] == -times_s(traces["aVL"])[100]


def test_eight_leads_become_twelve_and_say_which_are_computed() -> None:
    recording = dicom.read(shared_data("ecg", "dicom", "anonymous_ecg.dcm"))
    eight = select_leads(recording, ("I", "II", *STANDARD_LEADS[6:]))
    states = {t.lead: t.state for t in sheet(eight).traces}
    assert {lead for lead, state in states.items() if state == "derived"} == {"III", "aVR", "aVL", "aVF"}
    assert {lead for lead, state in states.items() if state == "measured"} == {"I", "II", *STANDARD_LEADS[6:]}


def test_missing_leads_are_empty_cells_in_their_place() -> None:
    page = sheet(ramp(10.0, leads=("I", "II", "V1", "V4R")))
    v3 = next(t for t in page.traces if t.lead == "V3")
    assert (v3.state, v3.x_mm, v3.lines) == ("missing", 145.0, ())
    assert page.leads_not_shown == ("V4R",)
    chest = sheet(ramp(10.0, leads=("V1", "V2")))
    assert next(t for t in chest.traces if t.lead == "II").state == "missing"
    assert (chest.traces[-1].lead, chest.traces[-1].state) == ("V1", "measured")


def test_gaps_break_the_line_and_a_lead_without_samples_is_empty() -> None:
    samples = np.zeros((5000, 2))
    samples[1000:1100, 0] = np.nan
    samples[:, 1] = np.nan
    traces = {t.lead: t for t in sheet(Recording(samples, 500, ("II", "V1"))).traces}
    assert [len(line) for line in traces["II"].lines] == [1000, 3900]
    assert traces["V1"].state == "empty"


def test_long_recordings_are_paged_and_short_ones_fill_their_columns() -> None:
    later = sheet(ramp(58.0), start_s=20.0)
    assert times_s(later.traces[0])[0] == pytest.approx(20.0)
    assert times_s(later.traces[-1])[-1] == pytest.approx(30.0)
    short = sheet(ramp(5.0))
    assert not short.is_in_step
    assert [t.start_s for t in short.traces[:4]] == [0.0, 2.5, 2.5, 2.5]
    assert times_s(short.traces[3])[-1] == pytest.approx(4.998)
    assert sheet(ramp(9.9)).is_in_step
    assert sheet(ramp(10.0), start_s=0.0).is_in_step


def test_scales() -> None:
    slow = sheet(ramp(10.0), speed_mm_per_s=50, gain_mm_per_mv=5, width_mm=None)
    assert (slow.width_mm, slow.shown_s) == (523.0, 10.0)
    assert {(p.width_mm, p.height_mm) for p in slow.pulses} == {(10.0, 5.0)}
    assert slow.ruler.seconds == 0.5
    narrow = sheet(ramp(10.0), speed_mm_per_s=50)
    assert narrow.shown_s == pytest.approx(4.8)
    assert max(np.concatenate(t.lines)[:, 0].max() for t in narrow.traces) <= 270


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"layout": "4x3"}, "unknown_layout"), ({"speed_mm_per_s": 26}, "bad_scale"),
        ({"gain_mm_per_mv": 0}, "bad_scale"), ({"start_s": 10.0}, "bad_start"), ({"start_s": -1}, "bad_start"),
        ({"start_s": float("nan")}, "bad_start"), ({"width_mm": 60}, "too_small"), ({"height_mm": 15}, "too_small"),
        ({"height_mm": 1e9}, "too_small"),
    ],
)  # fmt: skip
def test_refusals(arguments: dict[str, object], code: str) -> None:
    with pytest.raises(EcgError) as caught:
        sheet(ramp(10.0), **arguments)
    assert caught.value.code == code


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_pulses_stay_on_the_sheet_and_rows_apart(layout: str, gain: float) -> None:
    pulses = sheet(ramp(10.0), layout=layout, gain_mm_per_mv=gain).pulses
    baselines = [pulse.baseline_mm for pulse in pulses]
    assert baselines[0] - pulses[0].height_mm >= 0
    assert (np.diff(baselines) >= 7).all()
    assert baselines[-1] <= 122 - 5


def test_a_tall_r_in_the_top_row_finds_room() -> None:
    """2.4 mV in V4 is 24 mm, the even top baseline lies at 15: the rows move, the scale does not."""
    recording = ramp(10.0, leads=("I", "II", "V4"))
    samples = np.zeros((5000, 3))
    samples[4000, 2], samples[4500, 2] = 2400.0, -300.0
    page = sheet(Recording(samples, 500, recording.leads))
    tall = next(t for t in page.traces if t.lead == "V4")
    y = np.concatenate(tall.lines)[:, 1]
    assert not tall.leaves_sheet
    assert tall.baseline_mm - y.min() == pytest.approx(24.0)
    assert [p.baseline_mm for p in page.pulses] == [24.0, 51.0, 78.0, 105.0]
    samples[4000, 2] = 40000.0
    railed = sheet(Recording(samples, 500, recording.leads))
    assert [p.baseline_mm for p in railed.pulses] == [15.0, 45.0, 75.0, 105.0]
    assert next(t for t in railed.traces if t.lead == "V4").leaves_sheet


def test_best_layout() -> None:
    assert best_layout(ramp(1.0)) == "3x4+1R"
    holter = ramp(10.0, leads=("MLII", "V5"))
    assert best_layout(holter) == "stack"
    assert [t.lead for t in sheet(holter, layout="stack").traces] == ["MLII", "V5"]
