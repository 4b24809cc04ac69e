"""Uploads: recognised by content, zip files within limits, everything else refused with the file named."""

import zipfile
from io import BytesIO

import pytest

from ecg.formats import reader
from ecg.waveform import EcgError
from tests.peers.data import shared_data


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def refusal(files: dict[str, bytes]) -> EcgError:
    with pytest.raises(EcgError) as caught:
        reader.read_upload(files)
    return caught.value


@pytest.fixture
def ludb() -> dict[str, bytes]:
    return {name: shared_data("ecg", "ludb", "data", name).read_bytes() for name in ("1.hea", "1.dat", "1.avf")}


def test_dicom_and_wfdb_by_content(ludb: dict[str, bytes]) -> None:
    data = shared_data("ecg", "dicom", "ecgtoolkit_example.dcm").read_bytes()
    upload = reader.read_upload({"no_extension": data, **ludb})
    assert [(ecg.name, ecg.kind) for ecg in upload.ecgs] == [("1.hea", "wfdb"), ("no_extension", "dicom")]
    assert upload.ecgs[1].data == data
    assert upload.ecgs[0].wfdb.digital.samples.shape == (5000, 12)
    assert upload.ignored == ("1.avf",)


def test_zip_with_folders_of_the_same_names(ludb: dict[str, bytes]) -> None:
    other = {name: shared_data("ecg", "ludb", "data", name).read_bytes() for name in ("101.hea", "101.dat")}
    renamed = {"b/1.hea": other["101.hea"].replace(b"101", b"1"), "b/1.dat": other["101.dat"]}
    upload = reader.read_upload({"u.zip": zipped({f"a/{name}": data for name, data in ludb.items()} | renamed)})
    assert [ecg.name for ecg in upload.ecgs] == ["u.zip/a/1.hea", "u.zip/b/1.hea"]
    assert (upload.ecgs[0].recording.samples_uv != upload.ecgs[1].recording.samples_uv).any()


def test_dicom_without_preamble() -> None:
    data = shared_data("ecg", "bad", "dicom_no_preamble.dcm").read_bytes()
    assert reader.read_upload({"x": data}).ecgs[0].kind == "dicom"


@pytest.mark.parametrize(
    ("folder", "name", "code"),
    [
        ("bad", "random.bin", "unknown_format"), ("bad", "zero_bytes.dcm", "empty_file"),
        ("bad", "xml_billion_laughs.xml", "unknown_format"), ("bad", "dicom_truncated.dcm", "truncated"),
        ("scp", "ecgtoolkit_example.scp", "unknown_format"), ("muse", "braveheart_example1.xml", "unknown_format"),
        ("edf", "ludb_1_converted.edf", "unknown_format"), ("mitdb", "100.dat", "no_header"),
        ("ludb", "ludb.csv", "unknown_format"),
    ],
)  # fmt: skip
def test_refusals_name_the_file(folder: str, name: str, code: str) -> None:
    error = refusal({name: shared_data("ecg", folder, name).read_bytes()})
    assert (error.code, error.params["file"]) == (code, name)


def test_one_bad_recording_refuses_the_upload(ludb: dict[str, bytes]) -> None:
    truncated = shared_data("ecg", "bad", "dicom_truncated.dcm").read_bytes()
    assert refusal({**ludb, "t.dcm": truncated}).params["file"] == "t.dcm"
    assert refusal({"1.hea": ludb["1.hea"]}).params["file"] == "1.dat"


def test_zip_limits() -> None:
    zeros = bytes(reader.MOST_UNPACKED_BYTES // 2 + 1)
    bomb = zipped({"a": zeros, "b": zeros})
    assert len(bomb) < 1_000_000
    assert refusal({"bomb.zip": bomb}).code == "too_large"
    assert refusal({"many.zip": zipped({str(n): b"x" for n in range(51)})}).code == "too_many_files"
    assert refusal({"cut.zip": zipped({"a": b"x" * 1000})[:-10]}).code == "damaged_zip"
    assert refusal({"empty.zip": zipped({})}).code == "empty_upload"
    assert refusal({}).code == "empty_upload"
