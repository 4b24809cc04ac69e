"""Written objects, judged by dciodvfy, DCMTK and pydicom."""

from datetime import date, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.waveforms import multiplex_array

from pacs_bridge import objects
from pacs_bridge.extract import extract
from tests.peers import dcmtk

CHINA = timezone(timedelta(hours=8))
MOMENT = datetime(2025, 3, 4, 9, 5, 6, tzinfo=CHINA)
PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
STUDY = objects.StudyIdentity(
    study_instance_uid="1.2.3.4", patient_name="䶮㛃^𠮷", patient_id="0001", patient_sex="F",
    patient_birth_date=date(1960, 2, 29), accession_number="A1", study_id="S1", started_at=MOMENT,
    study_description="胸部正位", institution_name="青山镇卫生院",
)  # fmt: skip


def pdf_object(pdf: bytes = PDF, study: objects.StudyIdentity = STUDY, character_set: str = "ISO_IR 192") -> bytes:
    return objects.encapsulated_pdf(
        pdf, study=study, sop_instance_uid="1.2.3.6", series_instance_uid="1.2.3.5", document_title="诊断报告",
        content_at=MOMENT, is_verified=True, character_set=character_set,
    )  # fmt: skip


def judged(path: Path) -> list[str]:
    """The errors dciodvfy finds in a file."""
    result = dcmtk.run("dciodvfy", str(path))
    return [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("character_set", ["ISO_IR 192", "GB18030"])
@pytest.mark.parametrize("padding", [b"", b"\n"])
def test_a_pdf_goes_in_and_comes_out(tmp_path: Path, character_set: str, padding: bytes) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(pdf_object(PDF + padding, character_set=character_set))
    dataset = pydicom.dcmread(path)
    assert str(dataset.PatientName) == "䶮㛃^𠮷"
    assert dataset.InstitutionName == "青山镇卫生院"
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == PDF + padding
    assert len(dataset.EncapsulatedDocument) % 2 == 0
    assert dcmtk.run("dcm2pdf", str(path), str(tmp_path / "out.pdf")).returncode == 0
    assert (tmp_path / "out.pdf").read_bytes().rstrip(b"\0") == PDF + padding
    assert judged(path) == []
    record = extract(path, fallback_character_set="GB18030", zone=CHINA)
    assert (record.patient_name, record.patient_name_is_doubtful, record.is_displayable) == ("䶮㛃𠮷", False, False)


def test_what_the_character_set_lacks_is_named_not_replaced() -> None:
    with pytest.raises(objects.ObjectError) as raised:
        pdf_object(character_set="GBK")
    assert raised.value.code == "character_not_writable"
    assert raised.value.params["character"] == "䶮"


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(objects.ObjectError) as raised:
        pdf_object(study=objects.StudyIdentity("1.2", "A", "1", accession_number="12345678901234567"))
    assert raised.value.params == {"keyword": "AccessionNumber", "limit": 16}


def test_only_a_pdf_is_taken_for_one() -> None:
    with pytest.raises(objects.ObjectError, match="not_a_pdf"):
        pdf_object(b"<html>")


LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def ecg_object(samples: np.ndarray, leads: tuple[str, ...], rate_hz: float) -> bytes:
    return objects.ecg_waveform(
        samples, sensitivity_uv=[4.88] * len(leads), baseline_uv=[-2.5] * len(leads), sampling_rate_hz=rate_hz,
        leads=leads, study=STUDY, sop_instance_uid="1.2.3.8", series_instance_uid="1.2.3.7", acquired_at=MOMENT,
        filter_low_hz=0.05, filter_high_hz=150, notch_hz=50, padding_value=-32768,
    )  # fmt: skip


def test_an_ecg_keeps_its_integers(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, (5000, 12)).astype(np.int16)
    path = tmp_path / "ecg.dcm"
    path.write_bytes(ecg_object(samples, LEADS, 500))
    dataset = pydicom.dcmread(path)
    assert dataset.SOPClassUID == objects.TWELVE_LEAD_CLASS
    assert np.array_equal(multiplex_array(dataset, 0, as_raw=True), samples)
    assert np.allclose(multiplex_array(dataset, 0, as_raw=False), samples * 4.88 - 2.5)
    sources = [channel.ChannelSourceSequence[0].CodeValue for channel in
               dataset.WaveformSequence[0].ChannelDefinitionSequence]  # fmt: skip
    assert sources == ["2:1", "2:2", "2:61", "2:62", "2:63", "2:64", *[f"2:{n}" for n in range(3, 9)]]
    assert judged(path) == []
    record = extract(path, fallback_character_set="GB18030", zone=CHINA)
    assert (record.kind, record.is_displayable, record.acquired_at) == ("ecg", True, MOMENT)


@pytest.mark.parametrize(("n_samples", "leads", "rate_hz", "sop_class"), [
    (16384, LEADS, 1000, objects.TWELVE_LEAD_CLASS),
    (16385, LEADS, 1000, objects.GENERAL_ECG_CLASS),
    (5000, ("I", "ES"), 360, objects.GENERAL_ECG_CLASS),
    (1000, ("MLII", "V1"), 128, objects.AMBULATORY_ECG_CLASS),
])  # fmt: skip
def test_the_narrowest_class_that_may_hold_it(
    tmp_path: Path, n_samples: int, leads: tuple[str, ...], rate_hz: float, sop_class: str
) -> None:
    path = tmp_path / "ecg.dcm"
    path.write_bytes(ecg_object(np.zeros((n_samples, len(leads)), np.int16), leads, rate_hz))
    assert pydicom.dcmread(path).SOPClassUID == sop_class
    assert judged(path) == []


def test_what_no_class_may_hold_is_refused() -> None:
    with pytest.raises(objects.ObjectError, match="ecg_not_representable"):
        ecg_object(np.zeros((10, 1), np.int16), ("I",), 2000)


def test_the_object_is_explicit_little_endian() -> None:
    meta = pydicom.dcmread(BytesIO(pdf_object())).file_meta
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
