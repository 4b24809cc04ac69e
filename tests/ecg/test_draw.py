"""The drawn sheet: read back from the SVG to microvolts, and measured with a ruler of pixels on rendered paper."""

import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import typst
from PIL import Image

from ecg.draw import reduced, svg
from ecg.formats import dicom, wfdb_record
from ecg.layout import LAYOUTS, sheet
from ecg.waveform import Recording
from tests.peers.data import shared_data

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")
PX_PER_MM = 10  # 254 dpi


def recording_of(name: str) -> Recording:
    if name.endswith(".dcm"):
        return dicom.read(shared_data("ecg", "dicom", name))
    header = shared_data("ecg", *f"{name}.hea".split("/"))
    return wfdb_record.read({path.name: path.read_bytes() for path in header.parent.glob(f"{header.stem}.*")}).recording


def drawn_points(group: ET.Element) -> np.ndarray:
    """All vertices (n, 2) in mm of a lead's path, by the SVG grammar of M, l and h."""
    points: list[np.ndarray] = []
    for command, text in re.findall(r"([Mlh])([^Mlh]*)", group.find(f"{SVG}path").get("d")):
        numbers = [float(n) for n in NUMBER.findall(text)]
        if command == "M":
            points.append(np.array([numbers]))
        elif command == "l":
            points.append(points[-1][-1] + np.cumsum(np.array(numbers).reshape(-1, 2), axis=0))
    return np.concatenate(points)


def leads_of(document: str) -> list[ET.Element]:
    return [group for group in ET.fromstring(document).iter(f"{SVG}g") if group.get("class") == "ecg-lead"]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize(
    "name", ["ecgtoolkit_example.dcm", "anonymous_ecg.dcm", "wfdb12/cinc2021_georgia/E07500", "wfdb12/ptbdb/s0010_re"]
)
def test_millimetres_give_the_samples_back(name: str, layout: str) -> None:
    """Every vertex lies within 0.05 mm of the sample of its moment, at 25 mm/s and 10 mm/mV."""
    recording = recording_of(name)
    for group in leads_of(svg(sheet(recording, layout=layout))):
        points = drawn_points(group)
        t_s = float(group.get("data-start-s")) + (points[:, 0] - float(group.get("data-x-mm"))) / 25
        index = np.rint(t_s * recording.sampling_rate_hz).astype(int)
        lead = group.get("data-lead")
        uv = -recording.lead_uv("aVR")[index] if lead == "-aVR" else recording.lead_uv(lead)[index]
        height = (float(group.get("data-baseline-mm")) - points[:, 1]) / 10 * 1000
        assert np.abs(height - uv).max() / 100 <= 0.05
        assert np.abs(index / recording.sampling_rate_hz - t_s).max() * 25 <= 0.05
        if recording.sampling_rate_hz <= 500:
            assert (np.diff(index) == 1).all()


def test_above_500_hz_no_peak_is_lost() -> None:
    recording = recording_of("anonymous_ecg.dcm")
    for lead in recording.leads:
        line = np.column_stack([np.arange(10000) / 40, recording.lead_uv(lead)])
        less = reduced(line, 1000.0)
        assert len(less) <= 5003
        assert {*map(tuple, less)} <= {*map(tuple, line)}
        assert (np.diff(less[:, 0]) > 0).all()
        for start in range(0, 10000, 4):
            part = line[start : start + 4, 1]
            kept = less[(less[:, 0] >= start / 40) & (less[:, 0] < (start + 4) / 40), 1]
            assert (kept.min(), kept.max()) == (part.min(), part.max())


def test_a_spike_of_one_sample_is_drawn() -> None:
    samples = np.zeros((10000, 1))
    samples[4321] = 5000.0
    rhythm = leads_of(svg(sheet(Recording(samples, 1000, ("II",)))))[-1]
    assert drawn_points(rhythm)[:, 1].min() == float(rhythm.get("data-baseline-mm")) - 50


def test_document_is_plain_enough_for_a_strict_policy() -> None:
    """Presentation attributes only; nothing that runs, loads, styles or can collide with another sheet of the page."""
    document = svg(sheet(recording_of("ecgtoolkit_example.dcm")), "dark", caption="25 mm/s · 10 mm/mV")
    root = ET.fromstring(document)
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("273mm", "122mm", "0 0 273 122")
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {"svg", "rect", "path", "g", "text"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in names if name in {"style", "id", "href"} or name.startswith("on")}
    assert len(document) < 200_000


def test_lead_names_from_files_cannot_break_out() -> None:
    name = "\"'><script>"
    document = svg(sheet(Recording(np.zeros((500, 1)), 500, (name,)), layout="stack"), title="<b>\x00\x1b")
    assert leads_of(document)[0].get("data-lead") == name
    assert "<script" not in document
    assert ET.fromstring(document).get("aria-label") == "<b>"


def test_missing_and_computed_leads_say_so() -> None:
    words = {"missing": "not recorded", "derived": "computed", "outside": "off the sheet"}
    document = svg(sheet(Recording(np.zeros((5000, 2)), 500, ("I", "II"))), words=words)
    said = {group.get("data-lead"): [text.text for text in group.iter(f"{SVG}text")] for group in leads_of(document)}
    assert said["V3"] == ["V3", "not recorded"]
    assert said["aVF"] == ["aVF", "computed"]


def test_a_saturated_lead_does_not_look_like_an_empty_cell() -> None:
    document = svg(sheet(dicom.read(shared_data("ecg", "bad", "dicom_flat_II_saturated_V2_padded_V4.dcm"))))
    said = {group.get("data-lead"): [text.text for text in group.iter(f"{SVG}text")] for group in leads_of(document)}
    assert said["V2"] == ["V2", "超出纸面"]
    assert said["V1"] == ["V1"]


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Brightness (y, x) 0..255 of the paper sheet as typst sets and poppler renders it, at 254 dpi."""
    folder = tmp_path_factory.mktemp("paper")
    document = svg(sheet(recording_of("ecgtoolkit_example.dcm")))
    (folder / "sheet.svg").write_text(document, "utf-8")
    (folder / "sheet.typ").write_text(
        '#set page(width: 273mm, height: 122mm, margin: 0mm)\n#image("sheet.svg", width: 273mm, height: 122mm)\n'
    )
    (folder / "sheet.pdf").write_bytes(typst.compile(str(folder / "sheet.typ")))
    command = ["pdftoppm", "-r", "254", "-png", "-singlefile", str(folder / "sheet.pdf"), str(folder / "sheet")]
    subprocess.run(command, check=True)
    return np.asarray(Image.open(Path(folder, "sheet.png")).convert("L"), float)


def line_positions(brightness: np.ndarray, darker_than: float) -> np.ndarray:
    """Centres in px of the dark lines along a row or column of pixels."""
    dark = np.flatnonzero(brightness < darker_than)
    return np.array([run.mean() for run in np.split(dark, np.flatnonzero(np.diff(dark) > 1) + 1)])


def test_grid_on_paper(paper: np.ndarray) -> None:
    """25 mm are 250 px within 2, in both directions; half a millimetre from the edge there is only grid."""
    for strip in (paper[3:7].mean(axis=0), paper[:, 3:7].mean(axis=1)):
        coarse = line_positions(strip, (strip.min() + np.median(strip)) / 2)
        assert len(coarse) >= 24
        assert np.abs((coarse[5:] - coarse[:-5]) - 25 * PX_PER_MM).max() <= 2


def test_pulses_on_paper(paper: np.ndarray) -> None:
    """The four pulses are 100 px high and 50 px wide, each within 2."""
    part = paper[:, 7 * PX_PER_MM : 18 * PX_PER_MM] < 90
    for page_pulse in sheet(recording_of("ecgtoolkit_example.dcm")).pulses:
        base = round(page_pulse.baseline_mm * PX_PER_MM)
        rows = part[base - 110 : base + 10]
        edges = line_positions(255.0 * ~rows[60], 128)
        assert len(edges) == 2
        assert abs(edges[1] - edges[0] - 50) <= 2
        middle = round(float(edges.mean()))
        top = line_positions(255.0 * ~rows[:, middle], 128)[0]
        foot = line_positions(255.0 * ~rows[:, round(float(edges[0])) - 8], 128)[-1]
        assert abs(foot - top - 100) <= 2


def test_r_peak_on_paper(paper: np.ndarray) -> None:
    """V6's highest sample in its column is where the ink is highest: the trace is to scale after two renderers."""
    recording = recording_of("ecgtoolkit_example.dcm")
    trace = next(t for t in sheet(recording).traces if t.lead == "V6")
    part = recording.lead_uv("V6")[3750:5000]
    x = (trace.x_mm + part.argmax() / 500 * 25) * PX_PER_MM
    y = (trace.baseline_mm - part.max() / 100) * PX_PER_MM
    column = paper[round(y) - 30 : round(y) + 30, round(x) - 3 : round(x) + 4].min(axis=1)
    assert abs(np.flatnonzero(column < 90)[0] - 30) <= 3
