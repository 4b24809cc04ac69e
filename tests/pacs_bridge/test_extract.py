"""Records taken from real and broken files; expected values from the standard's examples and the data's manifest."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from pacs_bridge.extract import STORAGE_CLASSES, extract, parse_datetime
from pacs_bridge.records import ObjectRecord, Problem
from tests.peers.data import shared_data

SHANGHAI = ZoneInfo("Asia/Shanghai")


def read(source: Path | bytes, fallback: str = "GB18030") -> ObjectRecord:
    return extract(source, fallback_character_set=fallback, zone=SHANGHAI)


def made(tmp_path: Path, **values: object) -> Path:
    """A small object with the given elements; None deletes."""
    dataset = Dataset()
    defaults = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "SOPInstanceUID": "1.2.1", "StudyInstanceUID": "1.2.2",
        "SeriesInstanceUID": "1.2.3", "PatientName": "A", "PatientID": "1", "Modality": "OT",
    }  # fmt: skip
    for keyword, value in {**defaults, **values}.items():
        if isinstance(value, bytes):
            vr = "PN" if keyword == "PatientName" else "LO"
            dataset[keyword] = pydicom.DataElement(keyword, vr, value, validation_mode=0)
            dataset[keyword]._value = value
        elif value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    path = tmp_path / "made.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def with_name(tmp_path: Path, raw: bytes, character_set: str | list[str] | None) -> Path:
    """The object with these very bytes as Patient's Name, whatever they are."""
    raw += b" " * (len(raw) % 2)
    stand_in = b"Q" * len(raw)
    path = made(tmp_path, PatientName=stand_in.decode(), SpecificCharacterSet=character_set)
    data = path.read_bytes()
    assert data.count(stand_in) == 1
    path.write_bytes(data.replace(stand_in, raw))
    return path


# PS3.5 Annexes H, I, J, K; the ideographic group is the one to show.
@pytest.mark.parametrize(("name", "expected"), [
    ("chrH31.dcm", "山田太郎"), ("chrH32.dcm", "山田太郎"), ("chrI2.dcm", "洪吉洞"), ("chrX1.dcm", "王小東"),
    ("chrX2.dcm", "王小东"), ("chrGB2312.dcm", "张小东"), ("chrKoreanMulti.dcm", "김희중"),
    ("chrFren.dcm", "Buc Jérôme"), ("chrRuss.dcm", "Люкceмбypг"), ("chrGreek.dcm", "Διονυσιος"),
    ("chrArab.dcm", "قباني لنزار"), ("chrHbrw.dcm", "שרון דבורה"), ("chrJapMulti.dcm", "やまだ たろう"),
])  # fmt: skip
def test_names_of_the_standard(name: str, expected: str) -> None:
    record = read(shared_data("dicom", "charset", name))
    assert (record.patient_name, record.patient_name_is_doubtful) == (expected, False)


@pytest.mark.parametrize(("text", "codec", "label", "doubtful"), [
    ("张^三", "gb18030", "GB18030", False),
    ("䶮㛃^𠮷", "gb18030", "GB18030", False),
    ("䶮㛃^𠮷", "utf-8", "ISO_IR 192", False),
    ("朱^镕基", "gbk", "GBK", False),
    ("张^三", "gbk", None, True),  # no label
    ("朱^镕基", "gbk", "ISO_IR 100", True),  # false Latin-1 label; 镕 has a trail byte below 0x80
    ("联^通", "gbk", "ISO_IR 100", True),  # looks like two-byte UTF-8 too
    ("欧阳^小明", "utf-8", "ISO_IR 100", True),
    ("王^小明", "utf-8", None, True),
    ("张^三", "gbk", "ISO_IR 192", True),  # false UTF-8 label
])  # fmt: skip
def test_chinese_names_however_they_are_labelled(
    tmp_path: Path, text: str, codec: str, label: str | None, doubtful: bool
) -> None:
    record = read(with_name(tmp_path, text.encode(codec), label))
    assert (record.patient_name, record.patient_name_is_doubtful) == (text.replace("^", ""), doubtful)


@pytest.mark.parametrize("text", ["Buc^Jérôme", "Müller^Änne", "Åse^Bjørn", "Sørensen^Þór"])
def test_true_latin_names_stay_latin(tmp_path: Path, text: str) -> None:
    record = read(with_name(tmp_path, text.encode("latin-1"), "ISO_IR 100"))
    assert (record.patient_name, record.patient_name_is_doubtful) == (text.replace("^", " "), False)


def test_iso_2022_ir_58(tmp_path: Path) -> None:
    raw = b"Zhang^San=\x1b$)A\xd5\xc5^\x1b$)A\xc8\xfd"
    assert read(with_name(tmp_path, raw, ["", "ISO 2022 IR 58"])).patient_name == "张三"


def test_bytes_that_are_no_text_are_seen_and_doubtful(tmp_path: Path) -> None:
    record = read(with_name(tmp_path, b"A\xff\xff\xff", "ISO_IR 192"))
    assert "\ufffd" in record.patient_name
    assert record.patient_name_is_doubtful
    assert "?" not in record.patient_name


def test_a_blank_patient_id_is_no_problem(tmp_path: Path) -> None:
    record = read(made(tmp_path, PatientID="", PatientName=""))
    assert (record.patient_id, record.patient_name) == (None, "")


@pytest.mark.parametrize(("change", "code"), [
    ({"SOPInstanceUID": None}, "missing_sop_instance_uid"),
    ({"StudyInstanceUID": ""}, "missing_study_instance_uid"),
    ({"SeriesInstanceUID": None}, "missing_series_instance_uid"),
    ({"SOPClassUID": None}, "missing_sop_class_uid"),
    ({"SOPClassUID": "1.2.3.999"}, "unknown_sop_class"),
    ({"AccessionNumber": "9" * 65}, "value_too_long"),
    ({"PatientID": "9" * 65}, "value_too_long"),
    ({"StudyDescription": "很" * 257, "SpecificCharacterSet": "GB18030"}, "value_too_long"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_filed_is_named(tmp_path: Path, change: dict[str, str | None], code: str) -> None:
    instance_uid = change.get("SOPInstanceUID", "1.2.1")
    if instance_uid is None or change.get("SOPClassUID", "") is None:
        path = made(tmp_path, PatientComments="x")
        keyword = next(iter(change))
        dataset = pydicom.dcmread(path)
        del dataset[keyword]
        dataset.save_as(path)
    else:
        path = made(tmp_path, **change)
    with pytest.raises(Problem) as raised:
        read(path)
    assert raised.value.code == code
    assert (raised.value.record is not None) == (code == "unknown_sop_class")


MALFORMED = {
    "not_dicom_text.dicom": "not_dicom", "no_meta.dcm": "not_dicom", "ExplVR_BigEndNoMeta.dcm": "not_dicom",
    "MR_truncated.dcm": "truncated", "rtplan_truncated.dcm": "truncated", "GH626.dcm": "truncated",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "truncated", "meta_missing_tsyntax.dcm": "unknown_transfer_syntax",
    "GH220.dcm": "missing_study_instance_uid", "fuzz/TC0969_midvalue_truncation.dcm": "truncated",
    "fuzz/TC0401_invalid_ts.dcm": "unknown_transfer_syntax",
    "fuzz/TC0711_encap_frag_len_maxuint_minus1.dcm": "truncated",
    "fuzz/TC0727_encap_no_delim.dcm": "truncated", "fuzz/TC1179_uid_traversal_win.dcm": "invalid_uid",
    "fuzz/TC0023_patientid_over_64KB.dcm": "value_too_long",
    "fuzz/TC0863_missing_study_uid.dcm": "missing_study_instance_uid",
}  # fmt: skip


@pytest.mark.parametrize(("name", "code"), MALFORMED.items())
def test_real_malformed_files(name: str, code: str) -> None:
    with pytest.raises(Problem) as raised:
        read(shared_data("dicom", "malformed", *name.split("/")))
    assert raised.value.code == code


@pytest.mark.filterwarnings("ignore")
def test_every_shared_file_agrees_with_pydicom_or_is_a_named_problem() -> None:
    n_read = 0
    for path in sorted(shared_data("dicom").rglob("*")):
        if not path.is_file() or path.suffix in {".xz", ".md"}:
            continue
        try:
            record = read(path)
        except Problem:
            continue
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert record.sop_instance_uid == str(dataset.SOPInstanceUID), path.name
        assert record.study_instance_uid == str(dataset.StudyInstanceUID), path.name
        assert record.series_instance_uid == str(dataset.SeriesInstanceUID), path.name
        assert record.sop_class_uid == str(dataset.SOPClassUID), path.name
        assert record.modality == str(dataset.get("Modality", "") or "").strip(), path.name
        n_read += 1
    assert n_read > 180


def test_cut_anywhere_it_is_never_taken_for_whole() -> None:
    """Only a cut exactly between two elements leaves a readable object, and that has lost its pixels."""
    data = shared_data("dicom", "ct", "CT_small.dcm").read_bytes()
    assert read(data).is_displayable
    n_readable = 0
    for n_bytes in range(0, len(data), 61):
        try:
            assert not read(data[:n_bytes]).is_displayable
            n_readable += 1
        except Problem as problem:
            assert problem.code.startswith("missing_") or problem.code in {
                "not_dicom", "truncated", "malformed", "unknown_transfer_syntax"
            }  # fmt: skip
    assert n_readable < 10


def test_moments() -> None:
    assert parse_datetime("20250304090506.5", SHANGHAI) == datetime(2025, 3, 4, 1, 5, 6, 500000, tzinfo=UTC)
    assert parse_datetime("20250304090506+0000", SHANGHAI) == datetime(2025, 3, 4, 9, 5, 6, tzinfo=UTC)
    assert parse_datetime("20251399", SHANGHAI) is None


def test_ct_record() -> None:
    path = shared_data("dicom", "ct", "CT_small.dcm")
    record, dataset = read(path), pydicom.dcmread(path)
    assert (record.modality, record.kind, record.is_displayable) == ("CT", "image", True)
    assert record.instance_number == int(dataset.InstanceNumber)
    # 1997-04-30 11:29:36 with (0008,0201) -0500, whatever the site's zone
    assert record.acquired_at == datetime(1997, 4, 30, 16, 29, 36, tzinfo=UTC)


def test_ecg_record() -> None:
    record = read(shared_data("ecg", "dicom", "anonymous_ecg.dcm"))
    assert (record.kind, record.modality, record.is_displayable) == ("ecg", "ECG", True)
    assert record.acquired_at == datetime(2013, 1, 25, 2, 59, 19, tzinfo=UTC)


def test_storage_classes_are_those_of_the_standard() -> None:
    assert {
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.104.1",
        "1.2.840.10008.5.1.4.1.1.9.1.4",
    } <= STORAGE_CLASSES
    assert not {"1.2.840.10008.1.1", "1.2.840.10008.1.20.1", "1.2.840.10008.1.3.10"} & STORAGE_CLASSES


def test_five_hundred_slices_in_a_second_are_no_burden() -> None:
    import time

    path = shared_data("dicom", "ct", "CT_small.dcm")
    started_s = time.perf_counter()
    for _ in range(200):
        read(path)
    assert (time.perf_counter() - started_s) / 200 < 0.01
