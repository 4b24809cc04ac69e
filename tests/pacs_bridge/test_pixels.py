"""Stored values against pydicom's plugins and DCMTK, over every real file; broken ones refused with a code."""

import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import openjpeg
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from pacs_bridge.pixels import PixelError, bit_plane, decode_frame, decode_frames
from tests.peers.dcmtk import require
from tests.peers.pictures import picture, picture_bytes, picture_names

pytestmark = pytest.mark.filterwarnings("ignore")
PICTURES = picture_names()
LOSSY_JPEG = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}
ODD_BUFFERS = {"malformed/fuzz/TC0287_buf_2x.dcm"}  # pydicom sees two frames where the header says one
ODD_HIGH_BIT = {"malformed/fuzz/TC0301_bits_highbit_eq_ba.dcm", "malformed/fuzz/TC0935_minmax_hb255.dcm"}
NOT_SHOWN = {"malformed/JPEG2000-embedded-sequence-delimiter.dcm"}
REFUSED = {  # real or well-formed, and still not for the screen
    "identity/GH178.dcm": "missing_pixel_data",
    "malformed/dwv-test_no-number-rows.dcm": "missing_rows",
    "malformed/MR_truncated.dcm": "truncated",
    "malformed/JPEG2000-embedded-sequence-delimiter.dcm": "size_mismatch",
    "malformed/fuzz/TC0297_cols_zero.dcm": "invalid_columns",
    "malformed/fuzz/TC0339_mf_nf_million.dcm": "truncated",
    "malformed/fuzz/TC0401_invalid_ts.dcm": "unsupported_transfer_syntax",
    "malformed/fuzz/TC0829_px_giant_dims.dcm": "too_large",
    "malformed/fuzz/TC0851_rle_seg_expand_bomb.dcm": "undecodable",
    "malformed/fuzz/TC0327_mono2_spp3.dcm": "invalid_samples_per_pixel",
}


def stacked(dataset: Dataset) -> np.ndarray:
    frames = list(decode_frames(dataset))
    return frames[0] if len(frames) == 1 else np.stack(frames)


def by_pydicom(dataset: Dataset) -> np.ndarray | None:
    """YBR converted and palettes applied by pydicom itself; None where its plugins refuse."""
    try:
        values = dataset.pixel_array
    except Exception:
        return None
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(values, dataset)
        values = (colours >> 8 if colours.dtype == np.uint16 and colours.max() > 255 else colours).astype(np.uint8)
    return values


@pytest.mark.parametrize("name", PICTURES)
def test_stored_values_are_pydicoms(name: str) -> None:
    dataset = picture(name)
    expected = by_pydicom(dataset)
    if expected is None:
        pytest.skip("no second opinion: pydicom and its plugins refuse it, or it has no pixels")
    if name in ODD_BUFFERS | ODD_HIGH_BIT | NOT_SHOWN:
        pytest.skip("refused or cut on purpose: see the tables above")
    values = stacked(dataset)
    assert values.shape == expected.shape
    difference = np.abs(values.astype(np.int64) - expected.astype(np.int64))
    is_lossy_jpeg = dataset.file_meta.TransferSyntaxUID in LOSSY_JPEG
    assert difference.max() <= (1 if is_lossy_jpeg else 0)  # two inverse DCTs may round apart


DCMTK = {
    "1.2.840.10008.1.2.4.50": "dcmdjpeg", "1.2.840.10008.1.2.4.51": "dcmdjpeg", "1.2.840.10008.1.2.4.57": "dcmdjpeg",
    "1.2.840.10008.1.2.4.70": "dcmdjpeg", "1.2.840.10008.1.2.4.80": "dcmdjpls", "1.2.840.10008.1.2.4.81": "dcmdjpls",
    "1.2.840.10008.1.2.5": "dcmdrle",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in PICTURES if "fuzz" not in name])
def test_stored_values_are_dcmtks(name: str, tmp_path: Path) -> None:
    dataset = picture(name)
    tool = DCMTK.get(str(getattr(dataset.get("file_meta", dataset.file_meta), "TransferSyntaxUID", "")))
    if tool is None or "PixelData" not in dataset:
        pytest.skip("nothing for DCMTK to decompress")
    (tmp_path / "in").write_bytes(picture_bytes(name))
    done = subprocess.run([require(tool), str(tmp_path / "in"), str(tmp_path / "out")], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("DCMTK refuses this one")
    plain = pydicom.dcmread(tmp_path / "out")
    expected = by_pydicom(plain)
    assert expected is not None
    if plain.BitsAllocated == 16 and plain.PixelRepresentation == 0:  # DCMTK leaves overshoot above BitsStored in
        cells = np.frombuffer(plain.PixelData, "<u2")[: expected.size].reshape(expected.shape)
        expected = np.minimum(cells, (1 << plain.BitsStored) - 1)
    values = stacked(dataset)
    difference = np.abs(values.astype(np.int64) - expected.astype(np.int64))
    is_lossy = tool == "dcmdjpeg" and dataset.file_meta.TransferSyntaxUID in LOSSY_JPEG
    # DCMTK interpolates halved chroma its own way: colour edges differ, the mean may not
    limit, mean = (255, 1.0) if is_lossy and values.shape[-1] == 3 else (2, 1.0) if is_lossy else (0, 0.0)
    assert difference.max() <= limit
    assert difference.mean() <= mean


@pytest.mark.parametrize("name", PICTURES)
def test_no_file_does_harm(name: str) -> None:
    dataset = picture(name)
    try:
        values = stacked(dataset)
    except PixelError as error:
        assert error.code == error.code.lower()
        if name in REFUSED:
            assert error.code == REFUSED[name]
        return
    assert name not in REFUSED
    assert values.dtype in (np.uint8, np.uint16, np.int16, np.uint32, np.int32)


def test_the_same_image_in_seven_encodings_is_one_image() -> None:
    kinds = ["", "_RLE", "_bigendian", "_implicit", "_jp2klossless", "_jpeg_ls_lossless"]
    frames = [decode_frame(picture(f"syntaxes/MR_small{kind}.dcm")) for kind in kinds]
    assert all(np.array_equal(frames[0], frame) for frame in frames)
    assert np.array_equal(decode_frame(picture("dr/RG3_J2KR.dcm")), decode_frame(picture("dr/RG3_JLSL")))


def test_lossy_overshoot_is_clipped_not_wrapped() -> None:
    """RG3_JPLY decodes to 1024 in places with 10 bits declared: cutting bits would turn white into black."""
    lossy, lossless = (decode_frame(picture(f"dr/{name}")).astype(int) for name in ("RG3_JPLY", "RG3_JLSL"))
    assert lossy.max() == 1023
    assert np.abs(lossy - lossless).max() < 200


def test_lossy_htj2k_does_not_wrap() -> None:
    dataset = picture("syntaxes/HTJ2K_08_RGB.dcm")
    expected = openjpeg.decode(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    assert np.array_equal(decode_frame(dataset), expected)


def test_jpeg_2000_of_the_other_signedness() -> None:
    values = decode_frame(picture("syntaxes/J2K_pixelrep_mismatch.dcm"))
    assert (values.dtype, values.min(), values.max()) == (np.int16, -2000, 1896)


@pytest.mark.parametrize("name", ["syntaxes/JPEG-LL.dcm", "us-xa/I_000003.dcm", "dr/RG3_J2KR.dcm", "dr/RG3_JLSL",
                                  "syntaxes/HTJ2K_08_RGB.dcm", "syntaxes/MR_small_RLE.dcm"])  # fmt: skip
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95, 0.999])
def test_half_a_frame_is_refused_and_never_shown_as_a_whole(name: str, share: float) -> None:
    dataset = picture(name)
    count = int(dataset.get("NumberOfFrames") or 1)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=count))
    dataset.NumberOfFrames = 1
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    with pytest.raises(PixelError):
        decode_frame(dataset)


def made(cells: np.ndarray, **values: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = values.pop("syntax", ExplicitVRLittleEndian)
    dataset.Rows, dataset.Columns = cells.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = cells.itemsize * 8
    dataset.PixelRepresentation = 0
    dataset.PixelData = cells.tobytes()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    if "HighBit" not in dataset:
        dataset.HighBit = dataset.BitsStored - 1
    return dataset


def test_overlay_bits_above_the_pixels_are_cut_off_and_can_be_had() -> None:
    pixels = np.arange(16, dtype="<u2").reshape(4, 4) * 255
    overlay = np.eye(4, dtype="<u2")
    dataset = made(pixels | overlay << 15, BitsStored=12)
    assert np.array_equal(decode_frame(dataset), pixels)
    bits = np.unpackbits(np.frombuffer(bit_plane(dataset, 15), np.uint8), bitorder="little")
    assert np.array_equal(bits.reshape(4, 4), overlay)


def test_sign_is_carried_up_from_the_highest_stored_bit() -> None:
    expected = np.array([[-2048, -1], [0, 2047]], np.int16)
    dirty = (expected.view("<u2") & 0x0FFF) | 0x5000
    assert np.array_equal(decode_frame(made(dirty, BitsStored=12, PixelRepresentation=1)), expected)


def test_pixels_that_do_not_start_at_bit_zero() -> None:
    """PS3.5 8.1.1: HighBit 15 and BitsStored 12 leave the four low bits to others."""
    expected = np.array([[-2048, -1], [0, 2047]], np.int16)
    cells = expected.view("<u2") << 4 | 0x0009
    assert np.array_equal(decode_frame(made(cells, BitsStored=12, HighBit=15, PixelRepresentation=1)), expected)


def test_signed_bytes() -> None:
    expected = np.array([[-128, -1], [0, 127]], np.int8)
    assert np.array_equal(decode_frame(made(expected, PixelRepresentation=1)), expected.astype(np.int16))


def test_big_endian_bytes_travel_swapped_in_words() -> None:
    expected = np.arange(6, dtype=np.uint8).reshape(2, 3)
    dataset = made(np.frombuffer(expected.tobytes(), np.uint16).byteswap().view(np.uint8).reshape(2, 3))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset["PixelData"].VR = "OW"
    assert np.array_equal(decode_frame(dataset), expected)


def test_one_bit_frames_cross_byte_borders() -> None:
    frames = np.random.default_rng(5).integers(0, 2, (3, 3, 3), np.uint8)
    packed = np.packbits(frames.ravel(), bitorder="little")
    dataset = made(frames[0], BitsAllocated=1, BitsStored=1, NumberOfFrames=3, PixelData=packed.tobytes())
    assert np.array_equal(np.stack(list(decode_frames(dataset))), frames)


def test_padding_after_the_pixels_is_not_pixels() -> None:
    cells = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert np.array_equal(decode_frame(made(cells, PixelData=cells.tobytes() + b"\xff" * 7)), cells)


@pytest.mark.parametrize(("values", "code"), [
    ({"Rows": 0}, "invalid_rows"), ({"Rows": None}, "missing_rows"), ({"BitsStored": 17}, "invalid_bits"),
    ({"BitsAllocated": 64, "BitsStored": 64}, "unsupported_bits_allocated"), ({"HighBit": 3}, "invalid_bits"),
    ({"PhotometricInterpretation": "CMYK"}, "unsupported_photometric"), ({"NumberOfFrames": 2}, "truncated"),
    ({"PixelRepresentation": 7}, "invalid_pixel_representation"), ({"SamplesPerPixel": 3}, "invalid_samples_per_pixel"),
    ({"Rows": 65535, "Columns": 65535}, "too_large"), ({"syntax": "1.2.840.10008.1.2.4.102"},
                                                       "unsupported_transfer_syntax"),
    ({"syntax": RLELossless, "PixelData": encapsulate([b"\1" + bytes(63)])}, "undecodable"),
])  # fmt: skip
def test_refusals_have_their_code(values: dict, code: str) -> None:
    with pytest.raises(PixelError) as caught:
        decode_frame(made(np.zeros((4, 4), "<u2"), **values))
    assert caught.value.code == code


def test_frame_numbers_past_the_end() -> None:
    with pytest.raises(PixelError, match="missing_frame"):
        decode_frame(made(np.zeros((4, 4), "<u2")), 1)


def test_any_byte_may_be_wrong() -> None:
    """Each real compressed file with bytes changed at random places: a PixelError or an array, in bounded time."""
    rng = np.random.default_rng(20)
    for name in ("syntaxes/MR_small_RLE.dcm", "syntaxes/MR_small_jpeg_ls_lossless.dcm", "syntaxes/JPGExtended.dcm",
                 "syntaxes/MR_small_jp2klossless.dcm", "syntaxes/SC_rgb_jpeg_app14_dcmd.dcm"):  # fmt: skip
        dataset = picture(name)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        for _ in range(60):
            dirty = bytearray(frame)
            for at in rng.integers(0, len(dirty), 4):
                dirty[at] = rng.integers(0, 256)
            dataset.PixelData = encapsulate([bytes(dirty)])
            with suppress(PixelError):
                assert decode_frame(dataset).shape[:2] == (dataset.Rows, dataset.Columns)


def test_pydicoms_raw_reader_agrees_on_multi_frame(tmp_path: Path) -> None:
    (tmp_path / "xa").write_bytes(picture_bytes("us-xa/XA_rubo_96f_jpeg8bit.dcm"))
    last = pixel_array(tmp_path / "xa", index=95, raw=True)
    assert np.array_equal(decode_frame(picture("us-xa/XA_rubo_96f_jpeg8bit.dcm"), 95), last)
