"""The loop as three people live it: technician, reader and reviewer, clinician, in Chromium; DCMTK at both ends."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect
from pydicom.uid import generate_uid

from tests.browser.chromium import chromium
from tests.peers.data import shared_data
from tests.peers.dcmtk import dcmsend, storescp, storescu
from tests.peers.product import PASSWORD, PIN, Product
from tests.scenarios.test_api_loop import check_returned_pdf, relabel, returned_pdf

FINDINGS = "胸廓对称，气管居中。<script>alert(1)</script> 双肺野清晰。"
IMPRESSION = "心、肺、膈未见明显异常。"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


class Person:
    """Somebody at their own browser; what the page complains of fails the test."""

    def __init__(self, browser: Browser, product: Product, username: str) -> None:
        self.product = product
        self.complaints: list[str] = []
        self.page: Page = browser.new_context(viewport={"width": 1366, "height": 768}, locale="zh-CN").new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self.complaints.append(line.text) if "Security" in line.text else None)
        self.page.goto(f"{product.url}/login")
        self.page.fill("input[name=username]", username)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def row(self, name: str) -> Any:
        return self.page.locator("#rows .row.item", has_text=name)

    def claim_and_read(self, name: str) -> None:
        self.row(name).first.click()
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/read/*")

    def type_report(self, findings: str = FINDINGS, impression: str = IMPRESSION) -> None:
        self.page.fill("#findings", findings)
        self.page.fill("#impression", impression)
        expect(self.page.locator("#saved-state")).to_contain_text("已保存", timeout=7000)

    def sign(self) -> str:
        """Sign what the dialog shows; the digest that stood there."""
        self.page.click("#sign")
        digest = self.page.locator("#digest").inner_text().replace(" ", "")
        self.page.fill("input[name=pin]", PIN)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#digest")).to_have_count(0, timeout=10_000)
        return digest

    def done(self) -> None:
        assert self.complaints == []
        self.page.context.close()


def send(product: Product, ae_title: str, folder: Path, source: Path, n_files: int = 1, **labels: Any) -> str:
    """One study as a township's device sends it with DCMTK; its UID."""
    study_uid, series_uid = generate_uid(), generate_uid()
    paths = [
        relabel(
            source, folder, StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, InstanceNumber=number, **labels,
            StudyDate=f"{datetime.now(ZoneInfo('Asia/Shanghai')):%Y%m%d}",
        )
        for number in range(1, n_files + 1)
    ]  # fmt: skip
    if n_files == 1:
        assert storescu(product.dicom_port, ae_title, paths, "-xv").returncode == 0
    else:
        assert dcmsend(product.dicom_port, ae_title, paths).returncode == 0
    return study_uid


def test_dr_from_the_order_to_the_acknowledgement(product: Product, browser: Browser, tmp_path: Path) -> None:
    technician, reader = Person(browser, product, "tech"), Person(browser, product, "radiologist")
    clinician = Person(browser, product, "clinician")
    form = technician.page
    form.fill("#patient-name", "鲁秀英")
    form.fill("#patient-id", "QS-501")
    form.locator("#sex button", has_text="女").click()
    form.fill("#birth-date", "1968-03-22")
    form.fill("#complaint", "咳嗽、痰中带血 2 周，否认发热")
    form.fill("#question", "排除占位")
    form.fill("#requesting-doctor", "王晓岚")
    form.locator("#priority button", has_text="急诊").click()
    form.click("#order-submit")
    accession = form.locator("#accession-number").inner_text()
    assert accession.startswith("QS")

    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port) as pacs:
        send(
            product, "QS_DR", tmp_path, shared_data("dicom", "dr", "RG3_J2KR.dcm"), name="鲁秀英", patient_id="QS-501",
            character_set="GB18030", AccessionNumber=accession,
        )  # fmt: skip
        expect(reader.row("鲁秀英")).to_be_visible(timeout=2000)  # live, without a reload
        expect(form.locator("#sent-rows", has_text="鲁秀英")).to_be_visible(timeout=2000)
        reader.claim_and_read("鲁秀英")
        expect(reader.page.locator("#purpose-words, #complaint-words").first).to_be_visible()
        expect(reader.page.locator("#complaint")).to_contain_text("痰中带血")
        expect(reader.page.locator("canvas[data-quality=lossless]").first).to_be_visible(timeout=30_000)
        reader.type_report()
        digest = reader.sign()
        pdf = returned_pdf(pacs.directory)
        check_returned_pdf(pdf, product, 1, "鲁秀英", "<script>alert(1)</script>", IMPRESSION, "排除占位", accession)
        # The signed file begins with the very bytes whose digest stood before the doctor.
        signed = pdf.read_bytes()
        assert digest in {hashlib.sha256(signed[:end]).hexdigest() for end in _revisions(signed)}

    portal = clinician.page
    portal.locator("#report-list .report-item", has_text="鲁秀英").click()
    expect(portal.locator("#report-impression")).to_contain_text("未见明显异常")
    portal.wait_for_timeout(2500)
    portal.click("#acknowledge")
    expect(portal.locator("#report-list .report-item", has_text="鲁秀英")).not_to_have_class("new", timeout=5000)
    reader.page.goto(f"{product.url}/")
    reader.page.locator("#my-work").get_by_text("今日已签发").click()
    expect(reader.row("鲁秀英")).to_contain_text("已签收", timeout=5000)
    for person in (technician, reader, clinician):
        person.done()


def _revisions(pdf: bytes) -> list[int]:
    """Where each revision of the file ends: behind its %%EOF, with or without a line end."""
    ends, at = [], pdf.find(b"%%EOF")
    while at >= 0:
        ends += [at + 5, at + 6, at + 7]
        at = pdf.find(b"%%EOF", at + 5)
    return ends


def test_ct_is_read_by_one_and_verified_by_another(product: Product, browser: Browser, tmp_path: Path) -> None:
    reader, second = Person(browser, product, "radiologist"), Person(browser, product, "radiologist2")
    reviewer = Person(browser, product, "reviewer")
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port) as pacs:
        send(
            product, "QS_CT", tmp_path, shared_data("dicom", "ct", "CT_small.dcm"), 4, name="彭永福", patient_id="QS-502",
            character_set="ISO_IR 192",
        )  # fmt: skip
        expect(reader.row("彭永福")).to_contain_text("传输中", timeout=2000)
        reader.claim_and_read("彭永福")
        expect(second.row("彭永福")).to_contain_text("陈知远", timeout=3000)
        expect(reader.page.locator("canvas[data-quality=lossless]").first).to_be_visible(timeout=30_000)
        reader.type_report("头颅平扫未见出血。", "未见急性出血。")
        expect(reader.page.locator("#sign")).to_be_enabled(timeout=25_000)
        reader.page.wait_for_timeout(21_000)  # the device's quiet time
        reader.sign()
        expect(reviewer.row("彭永福")).to_contain_text("待审核", timeout=3000)
        reviewer.claim_and_read("彭永福")
        expect(reviewer.page.locator("#findings")).to_have_value("头颅平扫未见出血。", timeout=5000)
        reviewer.sign()
        check_returned_pdf(returned_pdf(pacs.directory), product, 2, "彭永福", "未见急性出血")
    for person in (reader, second, reviewer):
        person.done()


def test_ecg_is_drawn_to_scale_and_reported(product: Product, browser: Browser, tmp_path: Path) -> None:
    cardiologist = Person(browser, product, "cardiologist")
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port) as pacs:
        path = relabel(
            shared_data("ecg", "dicom", "anonymous_ecg.dcm"), tmp_path, name="马国强", patient_id="QS-503",
            character_set="GB18030", StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
        )  # fmt: skip
        assert storescu(product.dicom_port, "QS_ECG", [path]).returncode == 0
        expect(cardiologist.row("马国强")).to_be_visible(timeout=2000)
        cardiologist.claim_and_read("马国强")
        sheet = cardiologist.page.locator("#ecg-sheet svg")
        expect(sheet).to_be_visible(timeout=5000)
        assert sheet.get_attribute("data-speed-mm-per-s") == "25"
        leads = sheet.locator("g.ecg-lead")
        assert leads.count() == 13  # 3 × 4 and the rhythm
        assert float(leads.nth(1).get_attribute("data-seconds") or 0) == 2.5
        cardiologist.type_report("窦性心律。", "正常心电图。")
        cardiologist.sign()
        check_returned_pdf(returned_pdf(pacs.directory), product, 1, "马国强", "正常心电图", "25 mm/s")
    cardiologist.done()
