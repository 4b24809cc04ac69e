"""Other attributes in the copy that leaves: pixels bit for bit, text readable, the old values kept. Peer: DCMTK."""

import subprocess
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.dataset import Dataset

from pacs_bridge.records import Problem
from tests.peers.dcmtk import require
from tests.peers.instances import corrected, new_instance

CHANGES = {
    "PatientName": "Wang^Fang=王^芳", "PatientID": "QS-42", "PatientBirthDate": "19491231", "PatientSex": "F",
    "AccessionNumber": "QS260302001", "AttributeModificationDateTime": "20260302013000.000000+0000",
}  # fmt: skip
ASCII = CHANGES | {"PatientName": "WANG^FANG"}
FILES = [
    "CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm", "rtplan.dcm",
    "color-pl.dcm", "nested_priv_SQ.dcm", "693_J2KR.dcm", "test-SR.dcm", "waveform_ecg.dcm",
]  # fmt: skip


def stored(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    assert found is not None, f"{name} is not in this pydicom"
    return Path(str(found))


def opened(content: bytes, tmp_path: Path) -> Dataset:
    path = tmp_path / "out.dcm"
    path.write_bytes(content)
    return pydicom.dcmread(path)


def said_by_dcmtk(path: Path, *options: str) -> str:
    """What DCMTK reads, in UTF-8; its exit status says whether the file is whole."""
    done = subprocess.run([require("dcmdump"), "-q", "+U8", "+L", *options, str(path)], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


@pytest.mark.parametrize("changes", [ASCII, CHANGES], ids=["ascii", "hanzi"])
@pytest.mark.parametrize("name", FILES)
def test_only_the_named_attributes_change(name: str, changes: dict[str, str], tmp_path: Path) -> None:
    path = stored(name)
    before, after = pydicom.dcmread(path), opened(corrected(path, changes), tmp_path)
    for keyword, value in changes.items():
        if keyword != "AttributeModificationDateTime":
            assert str(after[keyword].value) == value, keyword
    assert after.file_meta == before.file_meta
    ours = {0x00080005, 0x04000561, *(after[keyword].tag for keyword in changes if keyword in after)}
    # Every other element as it was; text is compared as text, because its bytes may be UTF-8 now.
    for element in before:
        if element.tag not in ours and element.VR != "SQ":
            assert after[element.tag].value == element.value, element.tag
    assert [e.tag for e in after] == sorted(e.tag for e in after)
    assert {e.tag for e in after} - {e.tag for e in before} <= ours
    assert said_by_dcmtk(tmp_path / "out.dcm", "+P", "0010,0020").count("QS-42") >= 1


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_and_all_after_them_are_the_stored_bytes(name: str, tmp_path: Path) -> None:
    path = stored(name)
    before, after = pydicom.dcmread(path), opened(corrected(path, CHANGES), tmp_path)
    for keyword in ("PixelData", "WaveformSequence"):
        if keyword == "PixelData" and keyword in before:
            assert after.PixelData == before.PixelData
    if not name.endswith("dfl.dcm") and "PixelData" in before:
        raw, out = path.read_bytes(), (tmp_path / "out.dcm").read_bytes()
        tail = raw[raw.rfind(before.PixelData[-64:]) :]
        assert out.endswith(tail)


def test_the_original_values_stand_in_their_sequence(tmp_path: Path) -> None:
    path = stored("CT_small.dcm")
    before = pydicom.dcmread(path)
    after = opened(corrected(path, CHANGES), tmp_path)
    (item,) = after.OriginalAttributesSequence
    (previous,) = item.ModifiedAttributesSequence
    assert (previous.PatientName, previous.PatientID) == (before.PatientName, before.PatientID)
    assert (item.ModifyingSystem, item.ReasonForTheAttributeModification) == ("TELEREAD", "CORRECT")
    assert item.AttributeModificationDateTime == "20260302013000.000000+0000"
    assert item.SourceOfPreviousValues in ("", None)
    (tmp_path / "once.dcm").write_bytes((tmp_path / "out.dcm").read_bytes())
    twice = opened(corrected(tmp_path / "once.dcm", {"PatientID": "QS-43"}), tmp_path)
    assert [one.ModifiedAttributesSequence[0].PatientID for one in twice.OriginalAttributesSequence] == [
        before.PatientID, "QS-42",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(Path(str(path)).name for path in get_charset_files("chr*.dcm")))
def test_text_of_every_character_set_survives(name: str, tmp_path: Path) -> None:
    """A name in hanzi makes the copy UTF-8: the other text says the same in it, and so does the old name."""
    path = next(Path(str(one)) for one in get_charset_files(name))
    before = pydicom.dcmread(path)
    before.decode()
    after = opened(corrected(path, {"PatientName": "王^芳", "PatientID": "42"}), tmp_path)
    after.decode()
    assert str(after.PatientName) == "王^芳"
    for element in before:
        if element.VR in ("LO", "SH", "ST", "LT", "UT") and element.tag != 0x00100020:
            assert after[element.tag].value == element.value, element.tag
    previous = after.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    previous.decode()
    assert previous.get("PatientName") == before.get("PatientName")
    if name != "chrSQEncoding.dcm":  # is UTF-8 already and stays as stored; DCMTK cannot convert its item
        assert "王^芳" in said_by_dcmtk(tmp_path / "out.dcm", "+P", "0010,0010")


@pytest.mark.parametrize("label", [None, "ISO_IR 100"])
def test_gb_bytes_under_a_false_label_become_readable(label: str | None, tmp_path: Path) -> None:
    """The listener shows such a name as doubtful; a copy in UTF-8 must not carry mojibake for good."""
    dataset = new_instance(side=8, SpecificCharacterSet=None, PatientName="X")
    dataset.save_as(tmp_path / "plain.dcm", enforce_file_format=True)
    raw = pydicom.dcmread(tmp_path / "plain.dcm")
    if label:
        raw.SpecificCharacterSet = label
    raw.add_new("StudyDescription", "LO", b"")
    element = raw["StudyDescription"]
    raw._dict[element.tag] = pydicom.dataelem.RawDataElement(
        element.tag, "LO", 8, "胸部平扫".encode("gb18030"), 0, False, True
    )
    raw.save_as(tmp_path / "false.dcm")
    after = opened(corrected(tmp_path / "false.dcm", {"PatientName": "王芳"}), tmp_path)
    assert (after.SpecificCharacterSet, after.StudyDescription) == ("ISO_IR 192", "胸部平扫")
    same = opened(corrected(tmp_path / "false.dcm", {"PatientName": "WANG"}), tmp_path)
    assert same.get("SpecificCharacterSet") == label  # nothing asks for another set: the bytes stay as they came


def test_a_set_that_holds_the_name_stays(tmp_path: Path) -> None:
    dataset = new_instance(side=8, SpecificCharacterSet="GB18030", PatientName="张三", StudyDescription="胸部")
    dataset.save_as(tmp_path / "gb.dcm", enforce_file_format=True)
    after = opened(corrected(tmp_path / "gb.dcm", {"PatientName": "王䶮"}), tmp_path)
    assert (after.SpecificCharacterSet, str(after.PatientName), after.StudyDescription) == ("GB18030", "王䶮", "胸部")
    assert "王䶮".encode("gb18030") in (tmp_path / "out.dcm").read_bytes()


def test_a_nested_text_is_written_again_too(tmp_path: Path) -> None:
    dataset = new_instance(side=8, SpecificCharacterSet="ISO_IR 100", PatientName="Jérôme")
    item, inner = Dataset(), Dataset()
    inner.SpecificCharacterSet = "GB18030"
    inner.CodeMeaning = "头部"
    item.RequestedProcedureDescription = "tête"
    item.RequestedProcedureCodeSequence = [inner]
    dataset.RequestAttributesSequence = [item]
    dataset.save_as(tmp_path / "nested.dcm", enforce_file_format=True)
    after = opened(corrected(tmp_path / "nested.dcm", {"PatientName": "王芳"}), tmp_path)
    request = after.RequestAttributesSequence[0]
    assert request.RequestedProcedureDescription == "tête"
    assert request.RequestedProcedureCodeSequence[0].CodeMeaning == "头部"
    assert after.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName == "Jérôme"
    assert "tête" in said_by_dcmtk(tmp_path / "out.dcm")


def test_a_value_may_be_emptied(tmp_path: Path) -> None:
    path = stored("CT_small.dcm")
    after = opened(corrected(path, {"PatientBirthDate": "", "AccessionNumber": ""}), tmp_path)
    assert (after.PatientBirthDate, after.AccessionNumber) == ("", "")


def test_what_is_longer_than_we_inflate_does_not_leave_as_a_half(tmp_path: Path) -> None:
    content = stored("image_dfl.dcm").read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    inflated = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    padding = b"\xfc\xff\xfc\xffOB\0\0" + (64 << 20).to_bytes(4, "little") + b"\0" * (64 << 20)
    (tmp_path / "long.dcm").write_bytes(content[:start] + packer.compress(inflated + padding) + packer.flush())
    with pytest.raises(Problem):
        corrected(tmp_path / "long.dcm", CHANGES)


def test_a_sequence_is_no_attribute_that_can_be_corrected() -> None:
    with pytest.raises(ValueError, match="RequestAttributesSequence"):
        corrected(stored("CT_small.dcm"), {"RequestAttributesSequence": "x"})
