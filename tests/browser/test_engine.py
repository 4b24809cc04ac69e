"""The engine in a real Chromium without GPU: canvas pixels against pydicom's own LUTs, from real files."""

import base64
import io
import tarfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from tests.peers import dcmtk
from tests.peers.data import shared_data
from tests.peers.frontend import Frontend, build_page, serving
from viewer.derive import derive_instance

HERE = Path(__file__).parent
LOSSLESS = "document.querySelector('canvas')?.dataset.quality === 'lossless'"


@pytest.fixture(scope="module")
def frontend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    dist = tmp_path_factory.mktemp("dist")
    with serving(dist, build_page(dist, HERE / "engine_page.ts")) as served:
        yield served


@pytest.fixture
def page(browser: Browser, frontend: Frontend) -> Iterator[Page]:
    frontend.documents.clear()
    frontend.frames.clear()
    frontend.requests.clear()
    frontend.bytes_per_s = None
    opened = browser.new_page(viewport={"width": 1400, "height": 1100})
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.append(said.text) if "Security Policy" in said.text else None)
    opened.goto(frontend.url)
    yield opened
    opened.close()
    assert problems == []


def publish(frontend: Frontend, work: Path, sources: list[Path], modality: str = "CT", **changes: Any) -> list[Any]:
    """Derives each file as the server does and serves the records as one study; gives the records."""
    instances = []
    for number, source in enumerate(sources):
        out = work / f"derived{number}"
        record = {**derive_instance(source, out), **changes}
        assert record["state"] == "ready", record["reason"]
        for index, frame in enumerate(record["frames"]):
            frontend.frames[frame["url"]] = (out / f"frame_{index + 1}.jphc").read_bytes()
        instances.append(record)
    series = {
        "series_instance_uid": "1.2.3", "number": 3, "modality": modality, "description": "", "body_part": "CHEST",
        "instances": instances,
    }  # fmt: skip
    frontend.documents["/display"] = {"study_instance_uid": "1.2", "series": [series]}
    return instances


def until(page: Page, condition: str, seconds: float = 20) -> None:
    """Waits from outside: the page's policy forbids what wait_for_function does inside it."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never came true: {condition}"
        page.wait_for_timeout(20)


def open_study(page: Page, wait: str = LOSSLESS) -> None:
    until(page, "'open_study' in window")
    page.evaluate("open_study('/display').then(() => null)")
    until(page, wait)


def shown(page: Page) -> np.ndarray:
    """(rows, columns, 3) uint8, the image at one image pixel per screen pixel."""
    page.evaluate("viewport.originalSize()")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    got = page.evaluate("pixels(viewport)")
    raw = np.frombuffer(base64.b64decode(got["rgb"]), np.uint8)
    return raw.reshape(got["rows"], got["columns"], 3)


def expected_grey(dataset: pydicom.Dataset, inverted: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """pydicom's grey over its own output range as 8 bit, rounded half up, and where it is on the edge of two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rescaled = apply_modality_lut(dataset.pixel_array, dataset)
        out = apply_voi_lut(rescaled, dataset).astype(np.float64)
        low, high = output_range(dataset)
    y = (out - low) / (high - low) * 255
    grey = np.floor(y + 0.5).astype(int)
    grey = grey if (dataset.PhotometricInterpretation == "MONOCHROME1") == inverted else 255 - grey
    return grey, np.abs(y + 0.5 - np.round(y + 0.5)) < 1e-6


def output_range(dataset: pydicom.Dataset) -> tuple[float, float]:
    """The range pydicom's apply_voi_lut maps to (its documentation and PS3.3 C.11.2.1.2)."""
    if "VOILUTSequence" in dataset:
        return 0.0, 2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    if "ModalityLUTSequence" in dataset:
        return 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    if "RescaleSlope" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        return low * slope + intercept, high * slope + intercept
    return low, high


def assert_same_grey(got: np.ndarray, dataset: pydicom.Dataset, inverted: bool = False) -> None:
    grey, edge = expected_grey(dataset, inverted)
    assert got.shape[:2] == grey.shape
    assert (got[..., 0] == got[..., 1]).all() and (got[..., 1] == got[..., 2]).all()
    wrong = (got[..., 0].astype(int) != grey) & ~edge
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} pixels differ, first at {np.argwhere(wrong)[0]}"
    assert np.ptp(grey) > 100, "a picture this flat would prove nothing"


def saved(dataset: pydicom.Dataset, path: Path) -> Path:
    dataset.save_as(path)
    return path


def ct_with(tmp_path: Path, **tags: Any) -> tuple[pydicom.Dataset, Path]:
    """A real head CT (signed 16 bit) with the window attributes given."""
    dataset = pydicom.dcmread(shared_data("dicom", "ct", "CT_small.dcm"))
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset, saved(dataset, tmp_path / "ct.dcm")


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (-600, 1500), (36.5, 80)])
def test_signed_ct_is_shown_as_pydicom_windows_it(
    page: Page, frontend: Frontend, tmp_path: Path, function: str, center: float, width: float
) -> None:
    dataset, path = ct_with(tmp_path, WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    publish(frontend, tmp_path, [path])
    open_study(page)
    assert_same_grey(shown(page), dataset)
    canvas = page.locator("canvas")
    assert float(canvas.get_attribute("data-window-center") or "nan") == center
    assert float(canvas.get_attribute("data-window-width") or "nan") == width


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        (("dr", "RG3_J2KR.dcm"), "CR"),  # MONOCHROME1, 10 bit, J2K
        (("dr", "gdcm-CR-MONO1-10-chest.dcm"), "CR"),  # MONOCHROME1
        (("dr", "dx_image.dcm"), "DX"),  # MONOCHROME1 with Presentation LUT Shape INVERSE, 8 bit
        (("syntaxes", "vlut_04.dcm"), "OT"),  # VOI LUT Sequence
    ],
)
def test_radiographs_are_shown_as_pydicom_maps_them(
    page: Page, frontend: Frontend, tmp_path: Path, name: tuple[str, str], modality: str
) -> None:
    path = shared_data("dicom", *name)
    dataset = pydicom.dcmread(path)
    page.set_viewport_size({"width": 1900, "height": 1900})
    publish(frontend, tmp_path, [path], modality, pixel_aspect=1.0)
    open_study(page)
    assert_same_grey(shown(page), dataset)


def test_a_slice_of_a_real_series_with_the_lung_preset(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    with tarfile.open(shared_data("dicom", "ct", "cmb-crc-01068_lung_100.tar.xz")) as archive:
        member = archive.extractfile("cmb-crc-01068_lung_100/1-050.dcm")
        assert member
        dataset = pydicom.dcmread(io.BytesIO(member.read()))
    publish(frontend, tmp_path, [saved(dataset, tmp_path / "lung.dcm")])
    open_study(page)
    page.keyboard.press("1")
    dataset.WindowCenter, dataset.WindowWidth = -600, 1500
    assert_same_grey(shown(page), dataset)


def test_a_modality_table_goes_before_the_window(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    path = shared_data("dicom", "dr", "CR-ModalitySequenceLUT.dcm")
    dataset = pydicom.dcmread(path)
    page.set_viewport_size({"width": 2100, "height": 1700})
    (record,) = publish(frontend, tmp_path, [path], "CR", pixel_aspect=1.0)
    assert record["modality_lut"]["kind"] == "table"
    open_study(page)
    # The file has no window: the one the engine opens with is the record's, and pydicom is given the same.
    dataset.WindowCenter, dataset.WindowWidth = record["auto_window"]["center"], record["auto_window"]["width"]
    assert_same_grey(shown(page), dataset)


def test_an_overlay_plane_and_a_shutter_stand_where_the_file_says(
    page: Page, frontend: Frontend, tmp_path: Path
) -> None:
    dataset, path = ct_with(tmp_path, WindowCenter=40, WindowWidth=400)
    bits = np.zeros(64, np.uint8)
    bits[[0, 9, 63]] = 1  # 8 × 8, lowest bit first: (0, 0), (1, 1), (7, 7)
    packed = base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode()
    plane = {"rows": 8, "columns": 8, "origin": [31, 51], "bits_base64": packed}
    shutter = {"rectangular": {"left": 11, "right": 100, "upper": 21, "lower": 110}}
    publish(frontend, tmp_path, [path], overlays=[plane], shutter=shutter)
    open_study(page)
    got = shown(page)[..., 0]
    grey, edge = expected_grey(dataset)
    expected = np.zeros_like(grey)
    expected[20:110, 10:100] = grey[20:110, 10:100]
    for row, column in ((30, 50), (31, 51), (37, 57)):
        expected[row, column] = 255
    assert ((got == expected) | edge).all()


def test_colour_passes_through(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    path = shared_data("dicom", "us-xa", "gdcm-US-RGB-8-esopecho.dcm")
    dataset = pydicom.dcmread(path)
    publish(frontend, tmp_path, [path], "US", pixel_aspect=1.0)
    open_study(page)
    pixels = dataset.pixel_array
    assert (shown(page) == (pixels[0] if pixels.ndim == 4 else pixels)).all()


@pytest.mark.parametrize("name", ["SC_rgb_16bit.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle_32bit.dcm"])
def test_deep_colour_is_shown_as_dcmtk_shows_it(page: Page, frontend: Frontend, tmp_path: Path, name: str) -> None:
    path = Path(str(get_testdata_file(name, download=False)))
    source = tmp_path / "plain.dcm" if "rle" in name else path
    if "rle" in name:
        assert dcmtk.run("dcmdrle", str(path), str(source)).returncode == 0
    assert dcmtk.run("dcm2pnm", "+op", str(source), str(tmp_path / "shown.ppm")).returncode == 0
    expected = np.asarray(Image.open(tmp_path / "shown.ppm"))
    publish(frontend, tmp_path, [path], "OT", pixel_aspect=1.0)
    open_study(page)
    assert (shown(page) == expected).all()
    page.keyboard.press("i")
    assert (shown(page) == 255 - expected).all()


def test_invert_and_reset_come_back_to_the_same_pixels(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    path = shared_data("dicom", "dr", "gdcm-CR-MONO1-10-chest.dcm")
    dataset = pydicom.dcmread(path)
    publish(frontend, tmp_path, [path], "CR", pixel_aspect=1.0)
    open_study(page)
    assert_same_grey(shown(page), dataset)
    page.keyboard.press("i")
    assert_same_grey(shown(page), dataset, inverted=True)
    box = page.locator("canvas").bounding_box()
    assert box
    page.mouse.move(700, 500)
    page.mouse.down()
    page.mouse.move(900, 600, steps=4)
    page.mouse.up()
    assert page.evaluate("viewport.voi.width") != 1024
    page.keyboard.press("0")
    assert_same_grey(shown(page), dataset)


def test_partial_comes_first_and_is_marked_then_lossless(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    path = shared_data("dicom", "dr", "RG3_J2KR.dcm")
    publish(frontend, tmp_path, [path], "CR", pixel_aspect=1.0)
    frontend.bytes_per_s = 600_000
    open_study(page, "document.querySelector('canvas')?.dataset.quality === 'partial'")
    mark = page.locator(".quality")
    assert "部分" in mark.inner_text() and "分辨率" in mark.inner_text()
    assert "partial" in (mark.get_attribute("class") or "")
    until(page, LOSSLESS)
    until(page, "document.querySelector('.quality').textContent.includes('无损')")
    assert page.evaluate("qualities.filter((q, i) => q !== qualities[i - 1])")[-2:] == ["partial", "lossless"]
    assert page.evaluate("performance.getEntriesByName('teleread:first-pixels').length") == 1
    page.set_viewport_size({"width": 1900, "height": 1900})
    assert_same_grey(shown(page), pydicom.dcmread(path))


def stack(tmp_path: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        dataset = pydicom.dcmread(shared_data("dicom", "ct", "CT_small.dcm"))
        dataset.SOPInstanceUID = f"1.2.826.0.1.{number + 1}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber = number + 1
        paths.append(saved(dataset, tmp_path / f"{number}.dcm"))
    return paths


def test_a_broken_frame_says_so_on_its_own_tile_and_can_be_fetched_again(
    page: Page, frontend: Frontend, tmp_path: Path
) -> None:
    records = publish(frontend, tmp_path, stack(tmp_path, 3))
    url = records[1]["frames"][0]["url"]
    good = frontend.frames[url]
    frontend.frames[url] = good[: len(good) // 2]
    open_study(page)
    page.keyboard.press("ArrowDown")
    until(page, "document.querySelector('canvas').dataset.quality === 'failed'")
    assert "第 2 帧无法解码" in page.locator(".state").inner_text()
    page.keyboard.press("ArrowDown")
    until(page, LOSSLESS)
    assert page.locator(".state").is_hidden()
    page.keyboard.press("ArrowUp")
    frontend.frames[url] = good
    page.get_by_role("button", name="重取此帧").click()
    until(page, LOSSLESS)


def test_damaged_bytes_are_never_called_lossless(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    records = publish(frontend, tmp_path, stack(tmp_path, 1))
    url = records[0]["frames"][0]["url"]
    frontend.frames[url] = b"\x07" * len(frontend.frames[url])
    open_study(page, "document.querySelector('canvas')?.dataset.quality === 'failed'")
    assert "数据" in page.locator(".state").inner_text()


def test_the_wheel_moves_one_slice_within_one_frame_of_the_screen(
    page: Page, frontend: Frontend, tmp_path: Path
) -> None:
    publish(frontend, tmp_path, stack(tmp_path, 5))
    open_study(page)
    until(page, "viewport.lossless === 5")
    frames = page.evaluate(
        """async () => {
          const canvas = document.querySelector('canvas');
          await new Promise(requestAnimationFrame);
          canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: 100, bubbles: true, cancelable: true}));
          let frames = 0;
          while (canvas.dataset.slice !== '2' && frames < 10) { frames++; await new Promise(requestAnimationFrame); }
          return frames;
        }"""
    )
    assert frames <= 1
    assert page.locator("canvas").get_attribute("data-sop") == "1.2.826.0.1.2"


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ({"row_mm": 0.5, "column_mm": 0.5, "type": "patient"}, "mm 患者平面"),
        ({"row_mm": 0.5, "column_mm": 0.5, "type": "detector"}, "mm 探测器平面"),
        ({"row_mm": 0.5, "column_mm": 0.5, "type": "fiducial"}, "mm 已校准"),
        ({"row_mm": None, "column_mm": None, "type": "none"}, "px"),
    ],
)
def test_a_length_says_by_what_right_it_is_in_millimetres(
    page: Page, frontend: Frontend, tmp_path: Path, spacing: dict[str, Any], words: str
) -> None:
    publish(frontend, tmp_path, stack(tmp_path, 1), spacing=spacing)
    open_study(page)
    shown(page)
    page.keyboard.press("l")
    page.mouse.move(660, 540)
    page.mouse.down()
    page.mouse.move(720, 540, steps=3)
    page.mouse.up()
    measured = page.evaluate("viewport.marks.list")
    assert len(measured) == 1
    assert measured[0]["value"] == pytest.approx(60 if words == "px" else 30, abs=1e-6)
    text = page.locator(".mark text").text_content() or ""
    assert text.startswith("①") and text.replace("\u00a0", " ").endswith(words)
    page.keyboard.press("Delete")
    until(page, "document.querySelectorAll('.mark').length === 0")


def test_a_decoder_that_did_not_come_is_asked_for_again(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    publish(frontend, tmp_path, stack(tmp_path, 1))
    page.route("**/openjph*.wasm", lambda route: route.abort())
    open_study(page, "document.querySelector('canvas')?.dataset.quality === 'failed'")
    assert "未能启动解码器" in page.locator(".viewport .state").inner_text()
    page.unroute_all()
    page.locator(".viewport .state button").click()
    until(page, LOSSLESS)


def test_an_ecg_sheet_has_its_size_in_millimetres(page: Page, frontend: Frontend, tmp_path: Path) -> None:
    until(page, "'EcgSheet' in window")
    sizes = page.evaluate(
        """() => {
          const sheet = new EcgSheet(document.getElementById('sheet'));
          sheet.root.className += ' wide';
          sheet.show('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 273 122"><path d="M0 0H273"/></svg>');
          const fitted = sheet.drawing.getBoundingClientRect().width / sheet.root.clientWidth;
          sheet.trueSize();
          return [fitted, sheet.drawing.getBoundingClientRect().width];
        }"""
    )
    assert sizes[0] == pytest.approx(1, abs=0.01)
    assert sizes[1] == pytest.approx(273 * 96 / 25.4, abs=0.1)
