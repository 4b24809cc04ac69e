"""Copies in a plain syntax: equal to DCMTK's own conversion; what cannot be made is one failure, and no more."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from pacs_bridge.retrieval import EXPLICIT, IMPLICIT, Leaving, Mismatch, Tally, read_wanted
from pacs_bridge.suboperations import batches
from pacs_bridge.transcode import transcode
from pacs_bridge.transcode_pool import TranscodeFailed, TranscodePool
from tests.peers import dcmtk
from tests.peers.data import shared_data
from tests.peers.instances import corrected, new_instance

MOST = 1 << 28


def content(path: Path) -> dict[str, object]:
    """What a data set says, file meta and lengths aside."""
    dataset = pydicom.dcmread(path)
    found = {str(element.tag): element.value for element in dataset.iterall() if element.VR != "SQ" and element.tag.element}
    return found | {"pixels": dataset.pixel_array.tobytes() if "PixelData" in dataset else b""}


@pytest.mark.parametrize(("option", "target"), [("+te", EXPLICIT), ("+ti", IMPLICIT)])
@pytest.mark.parametrize("stored", ["+tb", "+td"], ids=["big endian", "deflated"])
def test_plain_syntaxes_are_turned_as_dcmtk_turns_them(tmp_path: Path, stored: str, option: str, target: str) -> None:
    source, theirs, ours = tmp_path / "source.dcm", tmp_path / "theirs.dcm", tmp_path / "ours.dcm"
    original = shared_data("dicom", "ct", "CT_small.dcm")
    assert dcmtk.run("dcmconv", stored, str(original), str(source)).returncode == 0
    assert dcmtk.run("dcmconv", option, str(source), str(theirs)).returncode == 0
    transcode(source, ours, target, MOST)
    assert pydicom.dcmread(ours).file_meta.TransferSyntaxUID == target
    assert content(ours) == content(theirs)


def test_an_overlay_in_the_pixels_becomes_one_of_its_own(tmp_path: Path) -> None:
    dataset = new_instance(side=16)
    mask = np.zeros((16, 16), np.uint16)
    mask[3:9, 5] = 1
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 0, 12, 11
    pixels = (dataset.pixel_array.astype(np.uint16) & 0x0FFF) | mask << 12
    dataset.PixelData = pixels.tobytes()
    for element, vr, value in ((0x10, "US", 16), (0x11, "US", 16), (0x40, "CS", "G"), (0x50, "SS", [1, 1]),
                               (0x100, "US", 16), (0x102, "US", 12)):  # fmt: skip
        dataset.add_new((0x6000, element), vr, value)
    dataset.save_as(tmp_path / "native.dcm", enforce_file_format=True)
    assert dcmtk.run("dcmcrle", str(tmp_path / "native.dcm"), str(tmp_path / "rle.dcm")).returncode == 0
    transcode(tmp_path / "rle.dcm", tmp_path / "out.dcm", EXPLICIT, MOST)
    out = pydicom.dcmread(tmp_path / "out.dcm")
    assert (out.overlay_array(0x6000) == mask).all()
    assert (out.pixel_array == (pixels & 0x0FFF)).all()


def test_the_pool_outlives_what_kills_its_process(tmp_path: Path) -> None:
    pool, target = TranscodePool(timeout_s=20), tmp_path / "out.dcm"
    good = shared_data("dicom", "dr", "RG3_J2KR.dcm")
    try:
        pool.transcode(good, target, EXPLICIT)
        with pytest.raises(TranscodeFailed, match="unreadable"):
            pool.transcode(shared_data("dicom", "malformed", "not_dicom_text.dicom"), target, EXPLICIT)
        with pytest.raises(TranscodeFailed, match="size_mismatch"):
            pool.transcode(
                shared_data("dicom", "malformed", "JPEG2000-embedded-sequence-delimiter.dcm"), target, EXPLICIT
            )
        assert pool._process is not None
        pool._process.kill()
        pool._process.join()
        pool.transcode(good, target, EXPLICIT)
        assert (pydicom.dcmread(target).pixel_array == pydicom.dcmread(good).pixel_array).all()
    finally:
        pool.close()


def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    pool = TranscodePool(timeout_s=0.01)
    with pytest.raises(TranscodeFailed, match="time_out"):
        pool.transcode(shared_data("dicom", "dr", "RG3_J2KR.dcm"), tmp_path / "out.dcm", EXPLICIT)
    assert pool._process is None


def test_a_correction_that_the_character_set_lacks_leaves_in_unicode(tmp_path: Path) -> None:
    path = tmp_path / "latin.dcm"
    new_instance(side=16, SpecificCharacterSet="ISO_IR 100", PatientName="Müller", PatientID="1").save_as(
        path, enforce_file_format=True
    )
    (tmp_path / "plain.dcm").write_bytes(corrected(path, {"PatientID": "2"}))
    plain = pydicom.dcmread(tmp_path / "plain.dcm")
    assert (plain.PatientID, plain.PatientName, plain.SpecificCharacterSet) == ("2", "Müller", "ISO_IR 100")
    (tmp_path / "han.dcm").write_bytes(corrected(path, {"PatientName": "钱守义", "StudyDescription": ""}))
    han = pydicom.dcmread(tmp_path / "han.dcm")
    assert (han.PatientName, han.SpecificCharacterSet, han.StudyDescription) == ("钱守义", "ISO_IR 192", "")
    assert pydicom.dcmread(path).PatientID == "1"


def test_a_batch_never_needs_more_than_128_contexts() -> None:
    leaving = [Leaving("", f"1.2.{number}", f"1.3.{number}", "1.2.840.10008.1.2.4.90", "1") for number in range(100)]
    cut = list(batches(leaving))
    assert [one for batch in cut for one in batch] == leaving
    assert [len(batch) for batch in cut] == [42, 42, 16]  # three contexts each: as stored, explicit, implicit


def test_a_tally_ends_in_the_status_of_what_happened() -> None:
    for outcomes, status in (
        ((), 0x0000), (("accepted",), 0x0000), (("accepted", "warning"), 0xB000), (("accepted", "refused"), 0xB000),
        (("refused", "no_context"), 0xA702),
    ):  # fmt: skip
        tally = Tally(len(outcomes))
        for number, outcome in enumerate(outcomes):
            tally.count(f"1.{number}", outcome)
        assert (tally.final_status(), tally.remaining) == (status, 0)


def test_relational_retrieve_wants_the_key_of_its_level_alone() -> None:
    identifier = pydicom.Dataset()
    identifier.QueryRetrieveLevel, identifier.SOPInstanceUID = "IMAGE", ["1.2", "1.3"]
    assert read_wanted(identifier, is_patient_root=True, is_relational=True).instances == ("1.2", "1.3")
    with pytest.raises(Mismatch, match="PatientID"):
        read_wanted(identifier, is_patient_root=True, is_relational=False)
