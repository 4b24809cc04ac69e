"""Metadata as DICOM JSON, beside pydicom's own conversion and on files with every kind of fault."""

import json
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_charset_files, get_testdata_file

from pacs_bridge.dicom_json import BULK_MARK, corrected_json, instance_json
from tests.peers.data import shared_data

pytestmark = pytest.mark.filterwarnings("ignore")  # what pydicom says of broken values


def is_same(ours: object, theirs: object) -> bool:
    """Equal but for what we say better: an empty sequence or name has no Value, a gap among values is null."""
    if isinstance(theirs, dict) and theirs.get("vr") == "SQ":
        items = theirs.get("Value", [])
        mine = ours.get("Value", []) if isinstance(ours, dict) else None
        return mine is not None and len(mine) == len(items) and all(
            is_same(mine[n].get(tag), items[n][tag]) for n in range(len(items)) for tag in items[n] if not tag.endswith("0000")
        )
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if "BulkDataURI" in ours:
            return True
        wanted = [None if value in ("", {"Alphabetic": ""}) else value for value in theirs.get("Value", [])]
        if theirs["vr"] == "PN":
            wanted = [value if value and any(part.strip("^") for part in value.values()) else None for value in wanted]
        if not any(value is not None for value in wanted):
            wanted = []
        return ours["vr"] == theirs["vr"] and ours.get("Value", []) == wanted and ours.get("InlineBinary") == theirs.get("InlineBinary")
    return ours == theirs


@pytest.mark.parametrize("name", [
    "CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm", "examples_palette.dcm",
    "MR_small_bigendian.dcm", "image_dfl.dcm", "priv_SQ.dcm", "693_J2KR.dcm", "liver.dcm", "UN_sequence.dcm",
])  # fmt: skip
def test_equal_to_pydicom(name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    theirs = dcmread(path).to_json_dict(bulk_data_threshold=1024, bulk_data_element_handler=lambda _: "bulk")
    ours = json.loads(instance_json(path))
    wrong = {
        tag: (ours.get(tag), value) for tag, value in theirs.items()
        if tag not in ("00080005", "7FE00010") and not tag.endswith("0000") and not is_same(ours.get(tag), value)
    }  # fmt: skip
    assert wrong == {}


@pytest.mark.parametrize(("name", "group", "words"), [
    ("chrH31.dcm", "Ideographic", "山田^太郎"), ("chrX1.dcm", "Ideographic", "王^小東"), ("chrX2.dcm", "Ideographic", "王^小东"),
    ("chrGerm.dcm", "Alphabetic", "Äneas^Rüdiger"), ("chrI2.dcm", "Ideographic", "洪^吉洞"),
    ("chrH32.dcm", "Alphabetic", "ﾔﾏﾀﾞ^ﾀﾛｳ"), ("chrArab.dcm", "Alphabetic", "قباني^لنزار"),
])  # fmt: skip
def test_always_utf8_whatever_the_source_set(name: str, group: str, words: str) -> None:
    found = json.loads(instance_json(Path(get_charset_files(name)[0])))
    assert found["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert found["00100010"]["Value"][0][group] == words


def test_every_file_of_the_shared_data_gives_json_or_is_no_dicom_file() -> None:
    refused = []
    for path in sorted(shared_data("dicom").rglob("*.dcm")):
        try:
            json.loads(instance_json(path))
        except Exception as error:
            refused.append((path.name, type(error).__name__))
    # Its file meta names a value representation that does not exist: pydicom's reader gives it up.
    assert [name for name, _ in refused] == ["TC0675_meta_ts_vr_5a5a_len_1GB_declared.dcm"]


def test_pixels_and_waveforms_are_references_also_inside_sequences() -> None:
    found = json.loads(instance_json(Path(str(get_testdata_file("waveform_ecg.dcm")))))
    assert found["54000100"]["Value"][0]["54001010"]["BulkDataURI"] == f"{BULK_MARK}54000100/1/54001010"
    assert json.loads(instance_json(Path(str(get_testdata_file("CT_small.dcm")))))["7FE00010"]["vr"] == "OW"


def test_corrections_replace_what_the_object_says() -> None:
    text = instance_json(Path(str(get_testdata_file("CT_small.dcm"))))
    found = json.loads(corrected_json(text, {"PatientName": "Zhang^San=张^三", "PatientID": "Q1", "AccessionNumber": ""}))
    assert found["00100010"]["Value"] == [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}]
    assert (found["00100020"]["Value"], found["00080050"]) == (["Q1"], {"vr": "SH"})
