"""Bad input on the running product: each has its outcome on the wire and its sentence in both languages."""

import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import EncapsulatedPDFStorage  # type: ignore[attr-defined]

from pacs_bridge.extract import read_file_meta
from pacs_bridge.scu import store_files
from tests.peers.data import shared_data
from tests.peers.dcmtk import echoscu, require, storescp, storescu
from tests.peers.instances import new_instance, write_instance
from tests.peers.product import PASSWORD, PIN, Api, ApiError, Product, until
from tests.peers.raw_modality import RawModality
from worklist.base.i18n import translate

SECTIONS = {"findings": "双肺野清晰，未见实质性病变。", "impression": "未见明显异常。"}
SOC_SIZ = b"\xff\x4f\xff\x51"  # how a JPEG 2000 codestream begins, ISO/IEC 15444-1 A.4
HAN = re.compile("[\u4e00-\u9fff]")


def data_set(path: Path) -> bytes:
    content = path.read_bytes()
    return content[read_file_meta(content)[1] :]


def in_both_languages(call: Callable[[str], Any], status: int, code: str) -> tuple[str, str]:
    """The refusal's sentence in Chinese and in English; ``call(language)`` must be refused each time."""
    sentences = []
    for language in ("zh", "en"):
        with pytest.raises(ApiError) as refused:
            call(language)
        assert (refused.value.status, refused.value.code) == (status, code), refused.value.body
        sentences.append(refused.value.body["error"]["message"])
    assert HAN.search(sentences[0])
    english = sentences[1].replace("影像所见", "")  # the paper's own heading
    assert not HAN.search(english.replace("𠮷", ""))
    return sentences[0], sentences[1]


def quarantined(product: Product, language: str = "zh") -> list[dict[str, Any]]:
    answer = product.api("admin").call("GET", "/api/admin/quarantine", language=language)
    rows: list[dict[str, Any]] = answer["objects"]
    return rows


def arrived(product: Product, study_uid: str, username: str = "radiologist") -> dict[str, Any]:
    """The study's open workitem once it is READY."""

    def look() -> Any:
        rows = product.api(username).get(f"/api/worklist?study_instance_uid={study_uid}&state=SCHEDULED,IN%20PROGRESS")
        return rows["items"] and rows["items"][0]["input_readiness"] == "READY" and rows["items"][0]

    found: dict[str, Any] = until(look, 15, "the study to be READY")
    return found


def sent_study(product: Product, folder: Path, ae_title: str = "QS_DR", **tags: Any) -> dict[str, Any]:
    """One new instance, sent and READY: its workitem."""
    study_uid = generate_uid()
    path = write_instance(folder, StudyInstanceUID=study_uid, Modality="CR", **tags)
    assert storescu(product.dicom_port, ae_title, [path]).returncode == 0
    return arrived(product, study_uid)


def claimed(product: Product, folder: Path, sections: dict[str, str] | None = None) -> tuple[str, dict[str, Any]]:
    """A study that the radiologist holds, and its saved draft."""
    reader = product.api("radiologist")
    uid = sent_study(product, folder)["workitem_uid"]
    reader.post(f"/api/workitems/{uid}/claim")
    body = {"template": "dr-chest", "sections": sections or SECTIONS, "version": 0}
    return uid, reader.put(f"/api/workitems/{uid}/report", body)


def submit(product: Product, uid: str, version: int, username: str = "radiologist") -> dict[str, Any]:
    path = f"/api/workitems/{uid}/report/submit"
    report: dict[str, Any] = product.api(username).post(path, {"pin": PIN, "version": version})
    return report


def text_of(pdf: bytes, folder: Path) -> str:
    path = folder / "report.pdf"
    path.write_bytes(pdf)
    found = subprocess.run([require("pdftotext"), "-layout", path, "-"], capture_output=True, text=True, check=True)
    return found.stdout


@contextmanager
def database(product: Product) -> Iterator[sqlite3.Connection]:
    path = product.data_dir / "teleread.sqlite3"
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        yield connection


# --- objects


@pytest.mark.parametrize(("name", "reason"), [
    ("not_dicom_text.dicom", "malformed"), ("MR_truncated.dcm", "truncated"), ("GH220.dcm", "missing_study_instance_uid"),
    ("fuzz/TC0859_missing_sop_class.dcm", "missing_sop_class_uid"), ("rtplan_truncated.dcm", "truncated"),
    ("fuzz/TC1179_uid_traversal_win.dcm", "invalid_uid"), ("fuzz/TC0765_patientname_4096.dcm", "value_too_long"),
])  # fmt: skip
def test_a_bad_object_is_kept_and_told_to_the_administrator(product: Product, name: str, reason: str) -> None:
    path = shared_data("dicom", "malformed", *name.split("/"))
    sent = path.read_bytes() if name.startswith("not_dicom") else data_set(path)
    uid = generate_uid()
    with RawModality(product.dicom_port) as modality:
        assert modality.store(sent, uid) == 0x0000  # its bytes are safe, whatever they are
    rows = [
        next(row for row in quarantined(product, language) if row["sop_instance_uid"] == uid) for language in ("zh", "en")
    ]
    assert {row["reason"] for row in rows} in ({reason}, {"truncated"} if reason == "malformed" else set())
    assert HAN.search(rows[0]["reason_text"])
    assert not HAN.search(rows[1]["reason_text"])
    assert rows[0]["site"] == "QINGSHAN"


def test_an_unknown_sop_class_is_kept(product: Product) -> None:
    dataset = new_instance(side=16)
    uid, private_class = str(dataset.SOPInstanceUID), "1.2.826.0.1.3680043.9.3811.9"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = private_class
    folder = product.folder / "unknown.dcm"
    dataset.save_as(folder)
    with RawModality(product.dicom_port, sop_class=private_class) as modality:
        assert modality.store(data_set(folder), uid) == 0x0000
    assert next(row for row in quarantined(product) if row["sop_instance_uid"] == uid)["reason"] == "unknown_sop_class"


def test_without_a_patient_id_it_can_be_read(product: Product, tmp_path: Path) -> None:
    item = sent_study(product, tmp_path, PatientID="", PatientName="=无名氏")
    assert (item["patient"]["patient_id"], item["patient"]["name"], item["n_priors"]) == (None, "无名氏", 0)


def test_every_real_malformed_file_leaves_a_working_product(product: Product) -> None:
    """Sent as a careless modality would; whatever is acknowledged is listed, or in quarantine, and can be opened."""
    paths = [path for path in sorted(shared_data("dicom", "malformed").rglob("*")) if path.is_file()]
    results = store_files(paths, "127.0.0.1", product.dicom_port, "TELEREAD", "BS_DR")
    assert {result.outcome for result in results} <= {"accepted", "warning", "unreadable", "no_context"}, [
        (result.path.name, result.outcome, result.status) for result in results
    ]
    accepted = [result.sop_instance_uid for result in results if result.outcome == "accepted"]
    assert len(accepted) > 20
    kept = {row["sop_instance_uid"] for row in quarantined(product)}
    with database(product) as connection:
        until(lambda: not _pending(connection), 60, "every image to be derived or failed")
        filed = {uid for (uid,) in connection.execute("SELECT sop_instance_uid FROM instance")}
        studies = [uid for (uid,) in connection.execute("SELECT study_instance_uid FROM study")]
        dead = connection.execute("SELECT kind, last_error FROM outbox_job WHERE dead_at IS NOT NULL").fetchall()
    assert [uid for uid in accepted if uid not in kept | filed] == []
    assert dead == []
    for study_uid in studies:
        for instance in _display(product, study_uid):
            assert instance["state"] in ("ready", "failed")
            assert instance["state"] == "ready" or HAN.search(translate(f"image.{instance['reason']}", "zh"))


def _pending(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM instance WHERE derived_state = 'pending'").fetchone()
    return int(row[0])


def _display(product: Product, study_uid: str) -> list[dict[str, Any]]:
    import gzip
    import json

    answer = product.api("radiologist").get(f"/api/studies/{study_uid}/display")
    shown = json.loads(gzip.decompress(answer)) if isinstance(answer, bytes) else answer
    return [instance for series in shown["series"] for instance in series["instances"]]


def test_one_undecodable_image_does_not_spoil_its_study(product: Product, tmp_path: Path) -> None:
    study_uid, series_uid = generate_uid(), generate_uid()
    good = write_instance(tmp_path, StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, InstanceNumber=1)
    bad = new_instance(StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, InstanceNumber=2)
    bad.file_meta.TransferSyntaxUID = JPEG2000Lossless
    real = shared_data("dicom", "malformed", "emri_small_jpeg_2k_lossless_too_short.dcm").read_bytes()
    bad.PixelData = encapsulate([real[real.index(SOC_SIZ) :][:600]])
    bad["PixelData"].is_undefined_length = True
    bad.save_as(tmp_path / "bad.dcm", enforce_file_format=True)
    results = store_files([good, tmp_path / "bad.dcm"], "127.0.0.1", product.dicom_port, "TELEREAD", "QS_DR")
    assert [result.outcome for result in results] == ["accepted", "accepted"]
    item = arrived(product, study_uid)
    shown = until(
        lambda: (found := _display(product, study_uid)) and all(one["state"] != "pending" for one in found) and found,
        20, "both images",
    )  # fmt: skip
    assert {one["number"]: one["state"] for one in shown} == {1: "ready", 2: "failed"}
    reason = next(one["reason"] for one in shown if one["state"] == "failed")
    sentences = [translate(f"image.{reason}", language) for language in ("zh", "en")]
    assert HAN.search(sentences[0])
    assert not HAN.search(sentences[1])
    reader = product.api("radiologist")
    reader.post(f"/api/workitems/{item['workitem_uid']}/claim")  # and the study can be read
    frame = next(one["frames"][0]["url"] for one in shown if one["state"] == "ready")
    assert reader.get(frame)[:4] == SOC_SIZ


# --- ECG


def _ecg_without_sensitivity(folder: Path) -> tuple[Path, str]:
    from pydicom.data import get_testdata_file

    dataset = pydicom.dcmread(str(get_testdata_file("waveform_ecg.dcm", download=False)))
    for group in dataset.WaveformSequence:
        for channel in group.ChannelDefinitionSequence:
            for keyword in ("ChannelSensitivity", "ChannelSensitivityUnitsSequence", "ChannelSensitivityCorrectionFactor"):
                channel.pop(keyword, None)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = folder / "ecg.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path, str(dataset.StudyInstanceUID)


def test_an_ecg_without_sensitivity_is_not_drawn_but_can_be_reported(product: Product, tmp_path: Path) -> None:
    path, study_uid = _ecg_without_sensitivity(tmp_path)
    assert storescu(product.dicom_port, "BS_ECG", [path]).returncode == 0
    item, reader = arrived(product, study_uid, "cardiologist"), product.api("cardiologist")
    in_both_languages(
        lambda language: reader.call("GET", f"/api/studies/{study_uid}/ecg", language=language), 422, "missing_sensitivity"
    )
    uid = item["workitem_uid"]
    reader.post(f"/api/workitems/{uid}/claim")
    sections = {"findings": "记录无定标，不能测量。", "impression": "请重新采集。"}
    saved = reader.put(f"/api/workitems/{uid}/report", {"template": "ecg-12lead", "sections": sections, "version": 0})
    report = submit(product, uid, saved["version"], "cardiologist")
    text = text_of(reader.get(report["pdf"]), tmp_path)
    assert "记录无定标" in text
    assert "mm/mV" not in text  # no scale is claimed for a drawing that is not there


@pytest.mark.parametrize("name", [
    "random.bin", "zero_bytes.dcm", "dicom_truncated.dcm", "dicom_no_waveformsequence.dcm", "xml_billion_laughs.xml",
    "scp_truncated.scp", "edf_nrec_minus1.edf",
])  # fmt: skip
def test_a_bad_ecg_file_is_refused_with_its_reason(product: Product, name: str) -> None:
    content = shared_data("ecg", "bad", name).read_bytes()
    boundary = "--teleread"
    head = f'{"--"}{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    data = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    sentences = []
    for language in ("zh", "en"):
        with pytest.raises(ApiError) as refused:
            product.api("tech").call(
                "POST", "/api/ecg", data=data, content_type=f"multipart/form-data; boundary={boundary}", language=language
            )
        assert refused.value.status in (415, 422), refused.value.body
        sentences.append(refused.value.body["error"]["message"])
    assert HAN.search(sentences[0])
    assert not HAN.search(sentences[1])


# --- associations


@pytest.mark.parametrize(("calling", "called", "reason"), [
    ("QS_DR", "SOMEBODY", "Called AE Title Not Recognized"), ("NOBODY", "TELEREAD", "Calling AE Title Not Recognized"),
])  # fmt: skip
def test_a_stranger_is_rejected_and_audited(product: Product, calling: str, called: str, reason: str) -> None:
    answer = echoscu(product.dicom_port, calling, called)
    assert answer.returncode != 0
    assert reason in answer.stdout + answer.stderr
    rows = product.api("admin").get(f"/api/admin/audit?actor={calling}")["events"]
    assert rows[0]["result"] == ("called_ae_unknown" if calling == "QS_DR" else "calling_ae_unknown")


# --- report text


def test_a_report_of_20000_characters_is_whole_on_paper(product: Product, tmp_path: Path) -> None:
    line = "双肺野清晰，气管居中，纵隔无移位。"
    findings = (line * 2000)[:20_000]
    uid, saved = claimed(product, tmp_path, {"findings": findings, "impression": "未见明显异常。"})
    in_both_languages(
        lambda language: product.api("radiologist").call(
            "PUT", f"/api/workitems/{uid}/report", language=language,
            body={"template": "dr-chest", "version": saved["version"], "sections": SECTIONS | {"findings": findings + "。"}},
        ), 422, "section_too_long",
    )  # fmt: skip
    report = submit(product, uid, saved["version"])
    text = text_of(product.api("radiologist").get(report["pdf"]), tmp_path)
    assert text.count("纵") == findings.count("纵")


def test_markup_in_findings_is_only_text(product: Product, tmp_path: Path) -> None:
    hostile = '<script>alert(1)</script> #read("/etc/passwd") #set page(width: 1pt) $x$ \\ `a` *b* _c_ @d <e> //f /*g*/ = h'
    uid, saved = claimed(product, tmp_path, {"findings": hostile, "impression": '#image("/etc/hostname")'})
    report = submit(product, uid, saved["version"])
    text = "".join(text_of(product.api("radiologist").get(report["pdf"]), tmp_path).split())
    assert "".join(hostile.split()) in text
    assert '#image("/etc/hostname")' in text
    assert "root:" not in text


@pytest.mark.parametrize(("character", "code", "named"), [
    ("𠮷", "missing_glyph", "𠮷"), ("\ue000", "forbidden_character", "U+E000"),
])  # fmt: skip
def test_a_character_that_cannot_be_printed_is_named(
    product: Product, tmp_path: Path, character: str, code: str, named: str
) -> None:
    uid, saved = claimed(product, tmp_path)
    reader, sections = product.api("radiologist"), SECTIONS | {"findings": f"患者{character}野氏"}
    body: dict[str, Any] = {"template": "dr-chest", "sections": sections, "version": saved["version"]}
    method, path = "PUT", f"/api/workitems/{uid}/report"
    if code == "missing_glyph":  # what no font has is known when the page is set
        version = reader.put(path, body)["version"]
        method, path, body = "POST", f"{path}/submit", {"pin": PIN, "version": version}
    sentences = in_both_languages(
        lambda language: reader.call(method, path, body, language=language), 422, code
    )
    assert all(named in sentence for sentence in sentences)
    item = reader.get(f"/api/workitems/{uid}")
    assert (item["state"], item["report"]["status"]) == ("IN PROGRESS", "DRAFT")


# --- the way back


def _dicom_delivery(product: Product, report_uid: str) -> dict[str, Any]:
    rows = product.api("admin").get("/api/admin/deliveries?state=all")["deliveries"]
    found: dict[str, Any] = next(
        row for row in rows if row["report_uid"] == report_uid and row["channel"] == "dicom"
    )
    return found


def test_a_return_address_that_is_down_gets_the_report_later(product: Product, tmp_path: Path) -> None:
    uid, saved = claimed(product, tmp_path)
    report = submit(product, uid, saved["version"])
    waiting = until(
        lambda: (row := _dicom_delivery(product, report["report_uid"]))["state"] == "RETRY" and row, 15, "the first try"
    )
    assert (waiting["last_error"], waiting["n_attempts"]) == ("unreachable", 1)
    assert datetime.fromisoformat(waiting["next_attempt_at"]) > datetime.now(UTC)
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port) as pacs:
        product.api("admin").post(f"/api/admin/deliveries/{waiting['delivery_id']}/resend")
        done = until(
            lambda: (row := _dicom_delivery(product, report["report_uid"]))["state"] == "ACCEPTED" and row, 15, "arrival"
        )
        assert (len(pacs.files()), done["last_error"]) == (1, None)
    in_both_languages(  # only the portal's own acknowledgement follows
        lambda language: product.api("admin").call(
            "POST", f"/api/admin/deliveries/{next(one['delivery_id'] for one in done['other_channels'])}/resend", {},
            language=language,
        ), 404, "not_found",
    )  # fmt: skip


@pytest.mark.timeout(180)
def test_a_worker_killed_between_send_and_answer_sends_again_and_it_arrives_once(
    product: Product, tmp_path: Path
) -> None:
    received: list[str] = []
    go_on = threading.Event()

    def keep(event: Any) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        go_on.wait(30)
        return 0x0000

    pacs = AE("QS_PACS")
    pacs.add_supported_context(EncapsulatedPDFStorage)
    server = pacs.start_server(
        ("127.0.0.1", product.return_port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    try:
        uid, saved = claimed(product, tmp_path)
        report = submit(product, uid, saved["version"])
        delivery_id = _dicom_delivery(product, report["report_uid"])["delivery_id"]
        with database(product) as connection:  # reports of other tests may be on their way too
            (ours,) = connection.execute("SELECT sop_instance_uid FROM delivery WHERE id = ?", (delivery_id,)).fetchone()
        until(lambda: ours in received, 20, "the report to reach the PACS")
        product.kill("work")  # the object has arrived, its answer has not left
        go_on.set()
        done = until(
            lambda: (row := _dicom_delivery(product, report["report_uid"]))["state"] == "ACCEPTED" and row, 90,
            "the second try", pause_s=0.5,
        )  # fmt: skip
    finally:
        go_on.set()
        server.shutdown()
    assert received.count(ours) == 2  # one SOP Instance UID: to the PACS it is one object
    assert done["n_attempts"] == 2
    product.wait_healthy()


# --- the machine


@pytest.mark.timeout(120)
def test_a_locked_database_is_an_answer_not_a_loss(product: Product, tmp_path: Path) -> None:
    item = sent_study(product, tmp_path)
    path = write_instance(tmp_path)
    uid = pydicom.dcmread(path).SOPInstanceUID
    reader = product.api("radiologist")
    with database(product) as other:
        modality = RawModality(product.dicom_port)
        other.execute("BEGIN EXCLUSIVE")
        try:
            with modality:
                assert modality.store(data_set(path), uid) == 0xA700
            in_both_languages(
                lambda language: reader.call(
                    "POST", f"/api/workitems/{item['workitem_uid']}/claim", {}, language=language
                ), 503, "database_busy",
            )  # fmt: skip
            rejected = echoscu(product.dicom_port, "QS_DR")
            assert "Temporary Congestion" in rejected.stdout + rejected.stderr
        finally:
            other.execute("ROLLBACK")
    with RawModality(product.dicom_port) as modality:
        assert modality.store(data_set(path), uid) == 0x0000  # sent again, it is kept
    assert reader.post(f"/api/workitems/{item['workitem_uid']}/claim")["transaction_uid"]
    with database(product) as connection:
        assert connection.execute("SELECT count(*) FROM instance WHERE sop_instance_uid = ?", (uid,)).fetchone() == (1,)
    (refusal,) = until(lambda: refused_for_the_database(product), 15, "the refusal in the audit trail")
    assert (refusal["actor"], refusal["details"]) == ("QS_DR", {"address": "127.0.0.1", "cause": "SQLITE_BUSY"})
    assert "association of QS_DR from 127.0.0.1 refused (database_unavailable)" in product.log()


def refused_for_the_database(product: Product) -> list[Any]:
    rows = product.api("admin").get("/api/admin/audit?actor=QS_DR")["events"]
    return [row for row in rows if row["result"] == "database_unavailable"]


def test_an_expired_login_keeps_what_was_saved(product: Product, tmp_path: Path) -> None:
    made = Api(product.url).post("/api/login", {"username": "radiologist2", "password": PASSWORD})
    reader = Api(product.url, made["token"])
    uid = sent_study(product, tmp_path)["workitem_uid"]
    reader.post(f"/api/workitems/{uid}/claim")
    path = f"/api/workitems/{uid}/report"
    saved = reader.put(path, {"template": "dr-chest", "sections": SECTIONS, "version": 0})
    with database(product) as connection:
        past = f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%d %H:%M:%S.%f}"
        connection.execute(
            "UPDATE login_session SET expires_at = ? WHERE kind = 'token' AND ended_at IS NULL AND account_id ="
            " (SELECT id FROM account WHERE username = 'radiologist2')", (past,),
        )  # fmt: skip
    more = {"template": "dr-chest", "version": saved["version"], "sections": SECTIONS | {"impression": "建议随访。"}}
    in_both_languages(
        lambda language: reader.call("PUT", path, more, language=language), 401, "session_expired"
    )
    again = Api(product.url, Api(product.url).post("/api/login", {"username": "radiologist2", "password": PASSWORD})["token"])
    item = again.get(f"/api/workitems/{uid}")
    assert (item["state"], item["report"]["version"], item["report"]["sections"]) == ("IN PROGRESS", saved["version"], SECTIONS)
    assert again.put(path, more)["version"] == saved["version"] + 1  # and the doctor goes on
