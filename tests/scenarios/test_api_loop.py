"""The whole loop through /api alone: DR with one signature, CT with two, ECG; back at the township's storescp."""

import hashlib
import json
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
import pytest
from pydicom.uid import generate_uid

from pacs_bridge.ups import items, text
from tests.peers.data import shared_data
from tests.peers.dcmtk import dcmsend, require, storescp, storescu
from tests.peers.product import PIN, Api, ApiError, Product, until

SECTIONS = {
    "findings": "胸廓对称，气管居中。双肺野清晰，未见实质性病变。心影大小 ≥ 正常上限，12 × 8 mm，37.2 ℃。",
    "impression": "1. 双肺未见明显异常。\n2. 建议随访。",
}


def relabel(source: Path, folder: Path, *, name: str, patient_id: str, character_set: str, **changes: Any) -> Path:
    """A real file under a fictional name, as a township's device would send it."""
    dataset = pydicom.dcmread(source)
    dataset.SpecificCharacterSet = character_set
    dataset.PatientName = f"={name}"
    dataset.PatientID = patient_id
    dataset.PatientSex, dataset.PatientBirthDate = "F", "19680322"
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.pop("TimezoneOffsetFromUTC", None)
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def arrived(api: Api, study_uid: str, within_s: float = 10) -> dict[str, Any]:
    """The study's open workitem, once it is READY."""

    def look() -> Any:
        items = api.get(f"/api/worklist?study_instance_uid={study_uid}&state=SCHEDULED,IN%20PROGRESS")["items"]
        return items and items[0]["input_readiness"] == "READY" and items[0]

    found: dict[str, Any] = until(look, within_s, "the study to be READY")
    return found


def read_and_sign(api: Api, uid: str, template: str, sections: dict[str, str] | None = None) -> dict[str, Any]:
    transaction = api.post(f"/api/workitems/{uid}/claim")["transaction_uid"]
    assert transaction.startswith("2.25.")
    saved = api.put(
        f"/api/workitems/{uid}/report", {"template": template, "sections": sections or SECTIONS, "version": 0}
    )
    prepared = api.post(f"/api/workitems/{uid}/report/prepare", {"version": saved["version"]})
    shown = api.get(prepared["pdf"])
    assert hashlib.sha256(shown).hexdigest() == prepared["digest"]
    body = {"pin": PIN, "version": saved["version"], "digest": prepared["digest"]}
    report: dict[str, Any] = api.post(f"/api/workitems/{uid}/report/submit", body)
    return report


def check_returned_pdf(pdf: Path, product: Product, n_signatures: int, *expected: str) -> None:
    """Independent tools find the text and the signatures; our own verifier agrees."""
    text = subprocess.run([require("pdftotext"), "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout
    squeezed = "".join(text.split())
    for words in expected:
        assert "".join(words.split()) in squeezed, words
    signatures = subprocess.run([require("pdfsig"), "-nocert", pdf], capture_output=True, text=True, check=False).stdout
    assert signatures.count("Signature is Valid") == n_signatures, signatures
    verified = product.command("verify-report", str(pdf), "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["n_signatures_required"] == n_signatures


def returned_pdf(folder: Path, n_files: int = 1) -> Path:
    """The newest report the township's PACS holds, unpacked by DCMTK."""
    files = until(lambda: len(list(folder.iterdir())) >= n_files and sorted(folder.iterdir(), key=_mtime), 15, "the report")
    until(lambda: pydicom.dcmread(files[-1], force=True).get("EncapsulatedDocument"), 5, "the whole report")
    target = folder.parent / f"{files[-1].name}.pdf"
    subprocess.run([require("dcm2pdf"), files[-1], target], check=True, capture_output=True)
    return target


def _mtime(path: Path) -> float:
    return path.stat().st_mtime


def test_dr_with_one_signature(product: Product, tmp_path: Path) -> None:
    tech, reader, clinician = product.api("tech"), product.api("radiologist"), product.api("clinician")
    order = tech.post("/api/orders", {
        "site": "QINGSHAN", "modality": "DR", "body_part": "CHEST", "complaint": "咳嗽 2 周，否认发热", "question": "除外肺炎",
        "priority": "urgent", "requesting_doctor": "王晓岚",
        "patient": {"name": "韩䶮芝", "patient_id": "QS-77", "sex": "F", "birth_date": "1968-03-22"},
    })  # fmt: skip
    study_uid = generate_uid()
    path = relabel(
        shared_data("dicom", "dr", "RG3_J2KR.dcm"), tmp_path, name="韩䶮芝", patient_id="QS-77", character_set="GB18030",
        StudyInstanceUID=study_uid, SeriesInstanceUID=generate_uid(), AccessionNumber=order["accession_number"],
        StudyDate=f"{datetime.now(ZoneInfo('Asia/Shanghai')):%Y%m%d}",
    )  # fmt: skip
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port) as pacs:
        assert storescu(product.dicom_port, "QS_DR", [path], "-xv").returncode == 0
        item = arrived(reader, study_uid)
        assert (item["patient"]["name"], item["lane"], item["order"]["question"]) == ("韩䶮芝", "emergency", "除外肺炎")
        assert item["originating_site"]["code"] == "QINGSHAN"
        report = read_and_sign(reader, item["workitem_uid"], "dr-chest")
        assert report["status"] == "FINAL"
        pdf = returned_pdf(pacs.directory)
        check_returned_pdf(pdf, product, 1, "韩䶮芝", "双肺野清晰", "双肺未见明显异常", "12 × 8 mm", "37.2 ℃")
        assert pdf.read_bytes() == reader.get(report["pdf"])
        sent = pydicom.dcmread(next(iter(pacs.directory.iterdir())))
        assert (sent.StudyInstanceUID, sent.PatientID) == (study_uid, "QS-77")
    (step,) = reader.get(f"/dicom-web/workitems/{item['workitem_uid']}")
    (output,) = items(items(step, "UnifiedProcedureStepPerformedProcedureSequence")[0], "OutputInformationSequence")
    (reference,) = items(output, "ReferencedSOPSequence")
    assert text(reference, "ReferencedSOPClassUID") == sent.SOPClassUID
    assert text(reference, "ReferencedSOPInstanceUID") == sent.SOPInstanceUID
    assert text(output, "SeriesInstanceUID") == sent.SeriesInstanceUID
    until(lambda: _status(reader, study_uid) == "delivered", 5, "the report to be delivered")
    clinician.post(f"/api/reports/{report['report_uid']}/acknowledge", {"action": "门诊随访"})
    assert _status(reader, study_uid) == "acknowledged"
    with pytest.raises(ApiError) as other_site:
        product.api("clinician2").get(f"/api/reports/{report['report_uid']}")
    assert other_site.value.status == 404


def _status(api: Api, study_uid: str) -> str:
    items = api.get(f"/api/worklist?study_instance_uid={study_uid}")["items"]
    return str(items[0]["status"])


def test_ct_with_two_signatures(product: Product, tmp_path: Path) -> None:
    reader, reviewer = product.api("radiologist"), product.api("reviewer")
    study_uid, series_uid = generate_uid(), generate_uid()
    source = shared_data("dicom", "ct", "CT_small.dcm")
    paths = [
        relabel(
            source, tmp_path, name="孙桂兰", patient_id="QS-88", character_set="ISO_IR 192", StudyInstanceUID=study_uid,
            SeriesInstanceUID=series_uid, InstanceNumber=number, ImagePositionPatient=[-158, -179, -75 + 5 * number],
        )
        for number in range(1, 6)
    ]  # fmt: skip
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port) as pacs:
        assert dcmsend(product.dicom_port, "QS_CT", paths).returncode == 0
        waiting = until(
            lambda: reader.get(f"/api/worklist?study_instance_uid={study_uid}")["items"], 3, "the study in the list"
        )[0]
        assert (waiting["status"], waiting["order"]["made_from_object"]) == ("receiving", True)
        reader.post(f"/api/workitems/{waiting['workitem_uid']}/claim")
        saved = reader.put(
            f"/api/workitems/{waiting['workitem_uid']}/report", {"template": "ct-head", "sections": SECTIONS, "version": 0}
        )
        with pytest.raises(ApiError) as early:
            reader.post(f"/api/workitems/{waiting['workitem_uid']}/report/submit", {"pin": PIN, "version": saved["version"]})
        assert (early.value.status, early.value.code) == (409, "study_not_ready")
        arrived(reader, study_uid, within_s=23)
        first = reader.post(
            f"/api/workitems/{waiting['workitem_uid']}/report/submit", {"pin": PIN, "version": saved["version"]}
        )
        assert first["status"] == "SUBMITTED"
        assert not list(pacs.directory.iterdir())
        second = arrived(reviewer, study_uid)
        assert second["step"] == "verification"
        with pytest.raises(ApiError) as reader_cannot:
            reader.post(f"/api/workitems/{second['workitem_uid']}/claim")
        assert reader_cannot.value.status == 403
        reviewer.post(f"/api/workitems/{second['workitem_uid']}/claim")
        final = reviewer.post(
            f"/api/workitems/{second['workitem_uid']}/report/verify", {"pin": PIN, "version": first["version"]}
        )
        assert (final["status"], final["author"], final["verifier"]) == ("FINAL", "陈知远", "周敏仪")
        check_returned_pdf(returned_pdf(pacs.directory), product, 2, "孙桂兰", "双肺未见明显异常")


def test_ecg_as_object_and_as_files(product: Product, tmp_path: Path) -> None:
    reader, tech2, clinician2 = product.api("cardiologist"), product.api("tech2"), product.api("clinician2")
    made = tech2.upload(
        "/api/ecg", _georgia(), patient_name="田宝贵", patient_id="BS-9", sex="M", birth_date="1945-01-02", complaint="黑矇 1 天",
        priority="stat", pathway="chest_pain", requesting_doctor="孙百川",
    )  # fmt: skip
    with storescp(tmp_path / "pacs", "BS_PACS", port=product.return_port + 1) as pacs:
        item = arrived(reader, made["study_instance_uid"])
        assert (item["kind"], item["lane"], item["patient"]["name"]) == ("ecg", "chest_pain", "田宝贵")
        sheet = reader.get(f"/api/studies/{made['study_instance_uid']}/ecg")
        assert (sheet["speed_mm_per_s"], sheet["gain_mm_per_mv"], sheet["sampling_rate_hz"]) == (25.0, 10.0, 500.0)
        report = read_and_sign(reader, item["workitem_uid"], "ecg-12lead", {"findings": "窦性心律", "impression": "正常心电图"})
        assert report["status"] == "FINAL"
        check_returned_pdf(returned_pdf(pacs.directory), product, 1, "田宝贵", "窦性心律", "正常心电图", "25 mm/s")
    clinician2.post(f"/api/reports/{report['report_uid']}/acknowledge")
    with pytest.raises(ApiError) as radiologist:
        product.api("radiologist").get(f"/api/workitems/{item['workitem_uid']}")
    assert radiologist.value.status == 404


def _georgia() -> dict[str, bytes]:
    folder = shared_data("ecg", "wfdb12", "cinc2021_georgia")
    header = sorted(folder.rglob("*.hea"))[0]
    return {path.name: path.read_bytes() for path in header.parent.glob(f"{header.stem}.*")}
