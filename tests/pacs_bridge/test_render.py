"""Grey levels against pydicom's apply_modality_lut and apply_voi_lut, and against DCMTK's dcm2pnm."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pacs_bridge.pixels import decode_frame
from pacs_bridge.render import modality_values, render, window_of
from tests.peers.dcmtk import require
from tests.peers.pictures import picture, picture_bytes
from viewer.image_metadata import display_of

pytestmark = pytest.mark.filterwarnings("ignore")
STORED = np.arange(-1200, 3000, dtype=np.int16).reshape(60, 70)


def dataset(**values: object) -> Dataset:
    made = Dataset()
    made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation = 60, 70, 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation, made.PixelData = 15, 1, STORED.tobytes()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def lut(first: int, bits: int, values: list[int]) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item["LUTDescriptor"].VR = "SS"
    item.LUTData = values
    item["LUTData"].VR = "US"
    return item


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (-600, 1500), (100.5, 2), (0, 3), (50, 4000)])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (0.5, 10), (2.0, -7.25)])
def test_windows(function: str, center: float, width: float, slope: float, intercept: float) -> None:
    source = dataset(WindowCenter=center, WindowWidth=width, VOILUTFunction=function,
                     RescaleSlope=slope, RescaleIntercept=intercept)  # fmt: skip
    values = apply_modality_lut(STORED, source)
    expected = apply_voi_lut(values, source, prefer_lut=False)
    low, high = slope * -32768 + intercept, slope * 32767 + intercept  # the range pydicom maps a window onto
    grey = (expected - low) / (high - low) * 255.0
    assert np.abs(render(STORED, display_of(source)) - grey).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("first", "bits", "values"), [
    (-1000, 16, [0, 1000, 65535, 7]), (0, 8, list(range(256))), (-500, 12, [(n * n) % 4096 for n in range(3000)]),
    (100, 10, list(range(1023, -1, -1))),
])  # fmt: skip
def test_voi_tables(first: int, bits: int, values: list[int]) -> None:
    source = dataset(VOILUTSequence=[lut(first, bits, values)])
    expected = apply_voi_lut(STORED, source) / (2**bits - 1) * 255.0
    # pydicom keeps the index of an 8-bit table in 8 bits: inputs past its end wrap there, PS3.3 holds the last entry
    kept = (first + len(values) > STORED) | (bits != 8)
    grey = render(STORED, display_of(source))
    assert np.abs(grey - expected)[kept].max() <= 0.5 + 1e-6
    assert set(np.abs(grey[~kept] - values[-1] / (2**bits - 1) * 255.0)) <= {0.0}


def test_modality_table() -> None:
    source = dataset(ModalityLUTSequence=[lut(-1000, 16, [(n * 31) % 60000 for n in range(3500)])])
    display = display_of(source)
    assert np.array_equal(modality_values(STORED, display["modality_lut"]), apply_modality_lut(STORED, source))


@pytest.mark.parametrize(("photometric", "shape", "is_inverted"), [
    ("MONOCHROME2", None, False), ("MONOCHROME1", None, True), ("MONOCHROME2", "INVERSE", True),
    ("MONOCHROME1", "INVERSE", True), ("MONOCHROME2", "IDENTITY", False),
])  # fmt: skip
def test_polarity(photometric: str, shape: str | None, is_inverted: bool) -> None:
    """MONOCHROME1 with INVERSE is one inversion said twice (DX, PS3.3 C.8.11.3.1), as every real DX of ours has it."""
    source = dataset(PhotometricInterpretation=photometric, PresentationLUTShape=shape, WindowCenter=0, WindowWidth=500)
    grey = render(STORED, display_of(source))
    assert (grey[0, 0], grey[-1, -1]) == ((255, 0) if is_inverted else (0, 255))


def test_padding_is_black_in_both_polarities() -> None:
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        source = dataset(PhotometricInterpretation=photometric, PixelPaddingValue=-1200, PixelPaddingRangeLimit=-1190,
                         WindowCenter=0, WindowWidth=500)  # fmt: skip
        source["PixelPaddingValue"].VR = source["PixelPaddingRangeLimit"].VR = "SS"
        grey = render(STORED, display_of(source))
        assert grey.ravel()[:11].max() == 0
        assert (grey.ravel()[11] == 255) == (photometric == "MONOCHROME1")


def test_the_automatic_window_runs_from_black_to_white() -> None:
    source = dataset()
    grey = render(STORED, {**display_of(source), "auto_window": window_of(-1200.0, 2999.0)})
    assert (grey.min(), grey.max(), grey[0, 0], grey[-1, -1]) == (0, 255, 0, 255)
    assert np.array_equal(grey, render(STORED, display_of(source)))


DX = ["dr/dx_image.dcm", "dr/RG3_JLSL", "dr/gdcm-CR-MONO1-10-chest.dcm", "syntaxes/vlut_04.dcm",
      "dicomdir/media/77654033/CR1/6154", "syntaxes/MR_small.dcm",
      "ct/ge_head_variable_tilt_28.tar.xz:1"]  # fmt: skip


@pytest.mark.parametrize("name", DX)
def test_real_images_look_as_in_dcmtk(name: str, tmp_path: Path) -> None:
    """dcm2pnm knows DICOM's grey pipeline on its own: polarity, window and table must agree, but for rounding."""
    require("dcmdjpls")
    source = picture(name)
    display = display_of(source)
    (tmp_path / "in").write_bytes(picture_bytes(name))
    subprocess.run(["dcmdjpls", tmp_path / "in", tmp_path / "raw"], check=True, capture_output=True)
    option = ["+Wm"] if not display["voi"] else ["+Wl", "1"] if display["voi"][0]["kind"] == "table" else ["+Wi", "1"]
    subprocess.run(["dcm2pnm", *option, "+op", "-O", tmp_path / "raw", tmp_path / "out.pgm"], check=True,
                   capture_output=True)  # fmt: skip
    data = (tmp_path / "out.pgm").read_bytes()
    expected = np.frombuffer(data[-source.Rows * source.Columns :], np.uint8).reshape(source.Rows, source.Columns)
    stored = decode_frame(source)
    padding = display["pixel_padding"] or [1, 0]
    kept = (stored < padding[0]) | (stored > padding[1])
    difference = np.abs(render(stored, display).astype(int) - expected.astype(int))[kept]
    assert difference.max() <= 2
