"""Colour of other depths than 8 bits: values as pydicom has them, on the screen as DCMTK's dcmj2pnm shows them."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pacs_bridge.pixels import PixelError, decode_frame, decode_frames
from pacs_bridge.render import eight_bits
from pacs_bridge.transcode import transcode
from tests.peers import dcmtk
from viewer.derive import derive_instance
from viewer.dicomweb_pixels import PNG, Look, decoded, picture

pytestmark = pytest.mark.filterwarnings("ignore")
KINDS = [f"SC_rgb{form}_{bits}bit{frames}.dcm"
         for form in ("", "_expb", "_rle") for bits in (16, 32) for frames in ("", "_2frame")]  # fmt: skip
DCMTK_REFUSES = ("SC_rgb_32bit", "SC_rgb_expb_32bit")  # native pixels of 32 bits in OW: it wants OL or OB
ROWS, COLUMNS = 48, 64


def real(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str), name
    return Path(found)


def made(path: Path, bits: int, allocated: int, photometric: str = "RGB", *, planar: int = 0, high: int = 0) -> np.ndarray:
    """A picture with smooth and noisy rows, written to ``path``; its cells."""
    highest = (1 << bits) - 1
    down, across = np.mgrid[:ROWS, :COLUMNS]
    ramps = (across / (COLUMNS - 1), down / (ROWS - 1), (across + down) / (ROWS + COLUMNS - 2))
    cells = np.stack([np.rint(ramp * highest) for ramp in ramps], axis=-1).astype(f"<u{max(1, allocated // 8)}")
    cells[::7] = np.random.default_rng(bits).integers(0, highest + 1, cells[::7].shape)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", f"1.2.826.0.1.{bits}.{allocated}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.826.0.2", "1.2.826.0.3", "OT"
    dataset.PatientName, dataset.PatientID = "Colour", "1"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 3
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = photometric, planar
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, high or bits - 1
    dataset.PixelRepresentation = 0
    stored = cells << (high - bits + 1) if high else cells
    if photometric == "YBR_FULL_422":
        stored = np.stack([stored[:, 0::2, 0], stored[:, 1::2, 0], stored[:, 0::2, 1], stored[:, 0::2, 2]], axis=-1)
    data = np.packbits(stored.ravel(), bitorder="little") if allocated == 1 else stored
    dataset.PixelData = np.ascontiguousarray(data.transpose(2, 0, 1) if planar else data).tobytes()
    dataset["PixelData"].VR = "OW" if allocated > 8 else "OB"
    dataset.save_as(path, enforce_file_format=True)
    return cells


def by_dcmtk(path: Path, number: int = 1) -> np.ndarray:
    target = path.with_name("shown.ppm")
    done = dcmtk.run("dcmj2pnm", "+op", "+F", str(number), str(path), str(target))
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(target))


def shown(source: Path, work: Path, number: int = 1) -> np.ndarray:
    """The picture a DICOMweb client is given."""
    if not (work / "derived").exists():
        manifest = derive_instance(source, work / "derived")
        assert manifest["state"] == "ready", manifest["reason"]
    return np.asarray(Image.open(io.BytesIO(picture(work / "derived", number, Look(media=PNG)))))


@pytest.mark.parametrize("name", KINDS)
def test_real_files_are_pydicoms_values_and_dcmtks_picture(name: str, tmp_path: Path) -> None:
    source = real(name)
    dataset = pydicom.dcmread(source)
    expected = dataset.pixel_array
    frames = list(decode_frames(dataset))
    assert np.array_equal(np.stack(frames) if len(frames) > 1 else frames[0], expected)
    assert frames[0].dtype == (np.uint16 if dataset.BitsStored == 16 else np.uint32)
    plain = tmp_path / "plain.dcm"
    if "rle" in name:
        assert dcmtk.run("dcmdrle", str(source), str(plain)).returncode == 0
    for number, frame in enumerate(frames, 1):
        got = shown(source, tmp_path, number)
        assert np.array_equal(got, eight_bits(frame, dataset.BitsStored))
        if not name.startswith(DCMTK_REFUSES):
            assert np.array_equal(got, by_dcmtk(plain if "rle" in name else source, number))
        if dataset.BitsAllocated == 16:
            assert decoded(tmp_path / "derived", number, 16) == frame.astype("<u2").tobytes()


@pytest.mark.parametrize("name", [name for name in KINDS if "rle" in name])
def test_a_peer_without_rle_is_sent_every_bit(name: str, tmp_path: Path) -> None:
    transcode(real(name), tmp_path / "plain.dcm", ExplicitVRLittleEndian, 1 << 24)
    assert np.array_equal(pydicom.pixel_array(tmp_path / "plain.dcm"), pydicom.pixel_array(real(name)))


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize(("bits", "allocated"),
                         [(1, 8), (2, 8), (5, 8), (7, 8), (8, 16), (10, 16), (12, 16), (16, 32), (20, 32), (32, 32)])  # fmt: skip
def test_every_depth_is_shown_as_dcmtk_shows_it(bits: int, allocated: int, planar: int, tmp_path: Path) -> None:
    source = tmp_path / "made.dcm"
    cells = made(source, bits, allocated, planar=planar)
    assert np.array_equal(decode_frame(pydicom.dcmread(source)), cells)
    assert np.array_equal(pydicom.pixel_array(source), cells)
    assert np.array_equal(shown(source, tmp_path), by_dcmtk(source))
    if allocated == 16:
        assert decoded(tmp_path / "derived", 1, 16) == cells.tobytes()


def test_colour_of_single_bits(tmp_path: Path) -> None:
    source = tmp_path / "made.dcm"
    cells = made(source, 1, 1)
    assert np.array_equal(decode_frame(pydicom.dcmread(source)), cells)
    assert np.array_equal(shown(source, tmp_path), by_dcmtk(source))


def test_colour_that_does_not_start_at_bit_zero(tmp_path: Path) -> None:
    source = tmp_path / "made.dcm"
    cells = made(source, 12, 16, high=15)
    assert np.array_equal(shown(source, tmp_path), by_dcmtk(source))
    assert np.array_equal(shown(source, tmp_path), eight_bits(cells, 12))


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize(("bits", "allocated"), [(10, 16), (12, 16), (16, 16), (16, 32), (32, 32)])
def test_deep_luminance_and_chrominance(photometric: str, bits: int, allocated: int, tmp_path: Path) -> None:
    """pydicom converts 8 bits alone; DCMTK all, rounding at another place."""
    source = tmp_path / "made.dcm"
    made(source, bits, allocated, photometric)
    difference = np.abs(shown(source, tmp_path).astype(int) - by_dcmtk(source))
    assert difference.max() <= 1
    assert difference.mean() < 0.15


def test_shallow_luminance_and_chrominance_are_refused(tmp_path: Path) -> None:
    """pydicom takes 128 for no colour, DCMTK the half of what is stored: whoever is right, one picture is wrong."""
    source = tmp_path / "made.dcm"
    made(source, 5, 8, "YBR_FULL")
    theirs = pydicom.pixel_array(source)
    assert np.abs(eight_bits(theirs & 31, 5).astype(int) - by_dcmtk(source)).max() > 50
    with pytest.raises(PixelError, match="unsupported_colour_depth"):
        decode_frame(pydicom.dcmread(source))


ENCODERS = {
    "dcmtk-rle": ("dcmcrle",), "dcmtk-jpegls": ("dcmcjpls",), "dcmtk-jpegls-line": ("dcmcjpls", "+il"),
    "dcmtk-jpeg-lossless": ("dcmcjpeg",), "gdcm-jpegls": ("gdcmconv", "--jpegls"), "gdcm-rle": ("gdcmconv", "--rle"),
    "gdcm-jpeg-lossless": ("gdcmconv", "--jpeg"), "gdcm-jpeg2000": ("gdcmconv", "--j2k"),
}  # fmt: skip


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_others_compressed_without_loss(encoder: str, bits: int, tmp_path: Path) -> None:
    cells = made(tmp_path / "made.dcm", bits, 16)
    source = tmp_path / "packed.dcm"
    done = dcmtk.run(*ENCODERS[encoder], str(tmp_path / "made.dcm"), str(source))
    if encoder == "gdcm-jpeg2000" and bits == 16:
        assert done.returncode != 0  # GDCM writes 16-bit colour in no JPEG 2000
        return
    assert done.returncode == 0, done.stderr
    assert np.array_equal(decode_frame(pydicom.dcmread(source)), cells)
    assert np.array_equal(shown(source, tmp_path), by_dcmtk(tmp_path / "made.dcm"))
    assert decoded(tmp_path / "derived", 1, 16) == cells.tobytes()
    transcode(source, tmp_path / "plain.dcm", ExplicitVRLittleEndian, 1 << 24)
    raw = tmp_path / "raw.dcm"  # GDCM 3.0 mixes the planes of 16-bit colour up when it reads RLE, its own too
    assert dcmtk.run(*(["dcmdrle"] if "rle" in encoder else ["gdcmconv", "--raw"]), str(source), str(raw)).returncode == 0
    assert pydicom.dcmread(tmp_path / "plain.dcm").PixelData == cells.tobytes()
    assert np.array_equal(pydicom.pixel_array(raw), cells)


def test_twelve_bit_jpeg(tmp_path: Path) -> None:
    made(tmp_path / "made.dcm", 12, 16)
    source, plain = tmp_path / "packed.dcm", tmp_path / "plain.dcm"
    assert dcmtk.run("dcmcjpeg", "+ee", "+s4", "+q", "95", str(tmp_path / "made.dcm"), str(source)).returncode == 0
    assert dcmtk.run("dcmdjpeg", str(source), str(plain)).returncode == 0
    values = decode_frame(pydicom.dcmread(source))
    theirs = pydicom.dcmread(plain).pixel_array
    assert values.dtype == np.uint16
    assert np.abs(values.astype(int) - theirs).max() <= 4  # of 4095: two inverse DCTs and colour conversions


def test_the_thumbnail_of_deep_colour_is_the_small_picture(tmp_path: Path) -> None:
    full = shown(real("SC_rgb_rle_16bit.dcm"), tmp_path).astype(int)
    thumbnail = np.asarray(Image.open(tmp_path / "derived" / "thumbnail.jpg")).astype(int)
    preview = np.asarray(Image.open(tmp_path / "derived" / "preview.jpg")).astype(int)
    assert thumbnail.shape == preview.shape == full.shape
    assert max(np.abs(one - full).mean() for one in (thumbnail, preview)) < 5  # JPEG at the edges of pure colours
