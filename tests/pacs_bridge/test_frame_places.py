"""Where frames and bulk values lie in a file, beside what pydicom reads there."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from pacs_bridge.bulk_data import bulk_of
from pacs_bridge.frame_places import frame_places
from pacs_bridge.pixel_error import PixelError
from tests.peers.data import shared_data

pytestmark = pytest.mark.filterwarnings("ignore")  # what pydicom says of broken values


def pieces(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [b"".join(data[at : at + length] for at, length in frame) for frame in frame_places(path).frames]


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "examples_ybr_color.dcm",
        "rtdose.dcm",
        "liver.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_native_frames_are_the_bytes_of_pixel_data(name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    dataset = dcmread(path)
    frames = pieces(path)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        assert frames == list(
            generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1)))
        )
    else:
        assert dataset.PixelData.startswith(b"".join(frames))
        assert len(frames) == int(dataset.get("NumberOfFrames", 1))


@pytest.mark.parametrize("name", [
    "JPEG2000.dcm", "693_J2KR.dcm", "MR_small_RLE.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_16bit_2frame.dcm",
    "emri_small_RLE.dcm", "emri_small_jpeg_2k_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_jpeg2k.dcm", "JPEG-LL.dcm",
])  # fmt: skip
def test_compressed_frames_are_those_of_pydicom(name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    dataset = dcmread(path)
    n_frames = int(dataset.get("NumberOfFrames", 1))
    assert pieces(path) == list(generate_frames(dataset.PixelData, number_of_frames=n_frames))


def test_every_file_of_the_shared_data_has_places_or_a_code() -> None:
    for path in sorted(shared_data("dicom").rglob("*.dcm")):
        try:
            places = frame_places(path)
        except PixelError as error:
            assert error.code in ("missing_pixel_data", "undecodable", "truncated"), path.name
        else:
            size = path.stat().st_size
            assert all(at + length <= size for frame in places.frames for at, length in frame), path.name


def test_bulk_values_by_path() -> None:
    ecg = Path(str(get_testdata_file("waveform_ecg.dcm")))
    found = bulk_of(ecg, "54000100/1/54001010")
    assert found is not None
    assert found.parts == (dcmread(ecg).WaveformSequence[0].WaveformData,)
    ct = Path(str(get_testdata_file("CT_small.dcm")))
    ((place,),) = bulk_of(ct, "7FE00010").parts  # type: ignore[union-attr]
    assert ct.read_bytes()[place[0] : place[0] + place[1]] == dcmread(ct).PixelData
    assert [bulk_of(ct, where) for where in ("7FE00011", "00100010/1/00100020", "../x", "54000100/1/54001010")] == [
        None
    ] * 4


def test_words_of_a_big_endian_object_leave_in_little_endian() -> None:
    big, little = (Path(str(get_testdata_file(name))) for name in ("MR_small_bigendian.dcm", "MR_small.dcm"))
    found = bulk_of(big, "7FE00010")
    assert found is not None
    assert found.parts == (dcmread(little).PixelData,)


def test_text_is_no_bulk_data(tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    assert [bulk_of(path, tag) for tag in ("00100010", "00100020", "00080018")] == [None] * 3
    implicit = Path(str(get_testdata_file("MR_small_implicit.dcm")))
    assert bulk_of(implicit, "00100010") is None
    assert bulk_of(implicit, "7FE00010") is not None


def test_a_file_of_empty_fragments_ends(tmp_path: Path) -> None:
    content = Path(str(get_testdata_file("JPEG2000.dcm"))).read_bytes()
    start = content.rindex(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    path = tmp_path / "fragments.dcm"
    path.write_bytes(content[:start] + b"\xfe\xff\x00\xe0\0\0\0\0" * 1_100_000 + b"\xfe\xff\xdd\xe0\0\0\0\0")
    with pytest.raises(PixelError) as refused:
        frame_places(path)
    assert refused.value.code == "undecodable"
