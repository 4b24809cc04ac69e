"""From the request to the last image on the pages: what devices will show, fetched, being acquired, one missing."""

from pathlib import Path
from typing import Any

import pydicom
from playwright.sync_api import expect
from pydicom.uid import generate_uid

from tests.peers.dcmjs import script
from tests.peers.dcmtk import storescu
from tests.peers.instances import write_instance
from tests.peers.product import Product, until
from tests.peers.worklists import ask, read
from tests.worklist.test_mpps import begun, ended, message


def perform(product: Product, *messages: dict[str, Any]) -> None:
    with script(
        "mpps.js", "run", port=product.dicom_port, **{"from": "QS_CT", "to": "TELEREAD"}, messages=messages
    ) as peer:
        peer.wait("closed")
        assert [answer["status"] for answer in peer.all("answer")] == [0] * len(messages)


def test_a_request_is_fetched_performed_and_one_image_missing(
    product: Product, open_page: Any, tmp_path: Path
) -> None:
    tech = product.api("tech")
    product.api("admin").call("PATCH", "/api/admin/devices/QS_CT", {"character_set": "GBK", "quiet_time_s": 1})
    page = open_page("tech")
    page.locator("#modality button[data-value=CT]").click()
    page.fill("#patient-name", "赵䶮")
    page.locator("#patient-id").focus()
    expect(page.locator("#device-names .amber")).to_contain_text("Zhao Yan")
    made = tech.post("/api/orders", {
        "site": "QINGSHAN", "modality": "CT", "body_part": "HEAD", "complaint": "头痛", "question": "出血？",
        "patient": {"name": "赵䶮", "patient_id": "QS-7", "sex": "F", "birth_date": "1960-05-06"},
    })  # fmt: skip
    row = page.locator("#sent-rows tr", has_text="赵䶮")
    expect(row).to_contain_text("等待设备发送")
    _, answers = ask(product.dicom_port, tmp_path / "wl", ["StudyInstanceUID", "PatientName", "AccessionNumber"])
    entry = next(one for one in read(answers) if one.AccessionNumber == made["accession_number"])
    assert entry.PatientName == "Zhao^Yan"
    expect(row).to_contain_text("设备已取")
    study, step = str(entry.StudyInstanceUID), generate_uid()
    perform(product, message("create", step, begun(study, made["accession_number"])))
    expect(row).to_contain_text("正在检查")
    (tmp_path / "ct").mkdir()
    paths = [
        write_instance(
            tmp_path / "ct", StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SeriesNumber="2", PatientID="QS-7",
            PatientName="Zhao^Yan", PatientSex="F", PatientBirthDate="19600506", InstanceNumber=str(number),
            AccessionNumber=made["accession_number"],
        )
        for number in range(1, 5)
    ]  # fmt: skip
    listed = [str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths]
    assert storescu(product.dicom_port, "QS_CT", paths[:3]).returncode == 0
    expect(row).to_contain_text("正在检查，已到 3 幅", timeout=10_000)
    dose = {"ExposureDoseSequence": [{"CTDIvol": 41.5}], "CommentsOnRadiationDose": "Total DLP: 845.7"}
    perform(product, message("set", step, ended(listed, series=f"{study}.1") | dose))
    expect(row).to_contain_text("MPPS 列出 4 幅，收到 3 幅，缺 1 幅", timeout=10_000)
    expect(row).to_contain_text("赵䶮")

    (item,) = product.api("radiologist").get(f"/api/worklist?study_instance_uid={study}")["items"]
    reading = open_page("radiologist", path=f"/read/{item['workitem_uid']}")
    notice = reading.locator('[data-notice="receiving"]')
    expect(notice).to_contain_text("缺 1 幅")
    expect(notice).to_contain_text(f"…{listed[3][-8:]}")
    reading.locator("#tab-order").click()
    expect(reading.locator("#pane-order")).to_contain_text("CTDIvol 41.5 mGy · DLP 845.7 mGy·cm")

    row.get_by_role("button", name="不再等待").click()
    page.locator("dialog textarea, [role=dialog] textarea").fill("末层为噪声")
    page.locator("dialog .primary, [role=dialog] .primary").click()
    expect(row).to_contain_text("齐备", timeout=10_000)
    expect(reading.locator("#pane-order")).to_contain_text("放行", timeout=10_000)
    expect(notice).to_have_count(0)
    found = until(lambda: tech.get(f"/api/studies/{study}")["ready_evidence"], 5, "the evidence")
    assert (found["kind"], found["reason"], found["n_missing"]) == ("released", "末层为噪声", 1)
