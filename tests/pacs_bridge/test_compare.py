"""The same image in other clothes is the same; one changed pixel or name is not."""

from pathlib import Path

import pydicom
import pytest

from pacs_bridge.compare import same_content
from tests.peers.data import shared_data

SAME = ["_RLE", "_bigendian", "_implicit", "_jp2klossless", "_jpeg_ls_lossless"]


@pytest.fixture
def plain() -> Path:
    return shared_data("dicom", "syntaxes", "MR_small.dcm")


@pytest.mark.parametrize("kind", SAME)
def test_the_same_image_in_another_transfer_syntax_is_the_same(plain: Path, kind: str) -> None:
    assert same_content(plain, shared_data("dicom", "syntaxes", f"MR_small{kind}.dcm"))


@pytest.mark.parametrize("kind", ["", *SAME])
def test_one_other_pixel_makes_another_image(plain: Path, tmp_path: Path, kind: str) -> None:
    changed = pydicom.dcmread(plain)
    changed.PixelData = bytes([changed.PixelData[0] ^ 1]) + changed.PixelData[1:]
    changed.save_as(tmp_path / "changed.dcm")
    assert not same_content(shared_data("dicom", "syntaxes", f"MR_small{kind}.dcm"), tmp_path / "changed.dcm")


def test_another_name_makes_another_object(plain: Path, tmp_path: Path) -> None:
    changed = pydicom.dcmread(plain)
    changed.PatientName = "Other^Person"
    changed.save_as(tmp_path / "changed.dcm")
    assert not same_content(plain, tmp_path / "changed.dcm")


def test_group_lengths_are_not_content(plain: Path, tmp_path: Path) -> None:
    changed = pydicom.dcmread(plain)
    changed.add_new(0x00080000, "UL", 4711)
    changed.save_as(tmp_path / "changed.dcm")
    assert same_content(plain, tmp_path / "changed.dcm")


def test_a_frame_fewer_makes_another_image(tmp_path: Path) -> None:
    whole = shared_data("dicom", "syntaxes", "emri_small.dcm")
    cut = pydicom.dcmread(whole)
    one = cut.Rows * cut.Columns * 2
    cut.PixelData = cut.PixelData[:-one]
    cut.save_as(tmp_path / "cut.dcm")
    assert not same_content(whole, tmp_path / "cut.dcm")


def test_two_lossy_encodings_are_never_equal(tmp_path: Path) -> None:
    lossy = shared_data("dicom", "syntaxes", "JPGExtended.dcm")
    changed = pydicom.dcmread(lossy)
    changed.PixelData = changed.PixelData[:-2] + b"\0\0"
    changed.save_as(tmp_path / "changed.dcm")
    assert not same_content(lossy, tmp_path / "changed.dcm")


def test_what_cannot_be_read_is_different(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.dcm").write_bytes(b"nothing of DICOM")
    assert not same_content(plain, tmp_path / "broken.dcm")
