"""The pages of a site and of its administration in Chromium, on the running product with real files."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
import pytest
from playwright.sync_api import Browser, Page, expect
from pydicom.uid import generate_uid

from tests.peers.data import shared_data
from tests.peers.dcmjs import script
from tests.peers.dcmtk import echoscu, storescp, storescu
from tests.peers.product import PASSWORD, Product, until
from tests.scenarios.test_api_loop import arrived, read_and_sign, relabel

DR = ("dicom", "dr", "RG3_J2KR.dcm")


def send_dr(product: Product, folder: Path, name: str, patient_id: str, **changes: Any) -> str:
    study_uid = generate_uid()
    path = relabel(
        shared_data(*DR), folder, name=name, patient_id=patient_id, character_set="GB18030",
        StudyInstanceUID=study_uid, SeriesInstanceUID=generate_uid(), **changes,
    )  # fmt: skip
    assert storescu(product.dicom_port, "QS_DR", [path], "-xv").returncode == 0
    return study_uid


def type_order(page: Page, name: str, patient_id: str, complaint: str) -> str:
    """A request typed with the keyboard alone; the accession number that the page shows."""
    page.locator("#patient-name").focus()
    for words in (name, patient_id):
        page.keyboard.type(words)
        page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")  # sex: female
    page.keyboard.press("Enter")
    page.keyboard.type("19570819")
    for _ in range(3):  # birth date, examination DR, body part chest
        page.keyboard.press("Enter")
    page.keyboard.type(complaint)
    page.keyboard.press("F9")
    expect(page.locator("#order-result")).to_contain_text(name)
    return page.locator("#accession-number").inner_text()


def test_an_order_is_typed_and_its_study_arrives_live(product: Product, open_page: Any, tmp_path: Path) -> None:
    page = open_page("tech")
    began = time.monotonic()
    number = type_order(page, "田小芹", "QS-0099", "咳嗽 1 周，胸痛 2 小时")
    assert time.monotonic() - began < 60
    assert number.startswith("QS") and len(number) == 13
    order = product.api("tech").get("/api/orders")["orders"][0]
    assert (order["accession_number"], order["modality"], order["body_part"]) == (number, "DR", "CHEST")
    assert (order["patient"]["sex"], order["patient"]["birth_date"]) == ("F", "1957-08-19")
    assert (order["priority"], order["pathway"]) == ("routine", None)  # a hint never sets anything by itself
    row = page.locator("#sent-rows tr", has_text="田小芹")
    expect(row).to_contain_text("等待设备发送")
    page.evaluate("window.sameDocument = true")
    send_dr(product, tmp_path, "田小芹", "QS-0099", AccessionNumber=number, PatientBirthDate="19570819")
    expect(row).to_contain_text("待领取", timeout=5000)
    expect(row).to_contain_text("齐备")
    expect(row).to_contain_text(number)
    assert page.evaluate("window.sameDocument") is True
    assert page.locator("#sent-rows tr", has_text="田小芹").count() == 1


def test_the_triage_hint_is_taken_by_hand(open_page: Any) -> None:
    page = open_page("tech")
    page.fill("#complaint", "否认胸痛")
    expect(page.locator("#triage-hint")).to_be_hidden()
    page.fill("#complaint", "右侧肢体无力 50 分钟，言语不清")
    expect(page.locator("#triage-hint")).to_contain_text("右侧肢体无力 50 分钟")
    expect(page.locator('#priority [data-value="routine"]')).to_have_attribute("aria-pressed", "true")
    page.locator("#triage-hint button").click()
    expect(page.locator('#priority [data-value="stroke"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#triage-hint")).to_be_hidden()


def test_a_missing_field_is_named_and_nothing_is_sent(product: Product, open_page: Any) -> None:
    page = open_page("tech")
    before = len(product.api("tech").get("/api/orders")["orders"])
    page.fill("#patient-name", "无名")
    page.fill("#birth-date", "1957-13-40")
    page.click("#order-submit")
    assert page.locator("#order-form [aria-invalid=true]").count() == 3  # number, birth date, complaint
    expect(page.locator("#order-form .field-error", has_text="1957-08-19")).to_be_visible()
    assert len(product.api("tech").get("/api/orders")["orders"]) == before


def test_a_suggested_order_is_confirmed_by_a_person(product: Product, open_page: Any, tmp_path: Path) -> None:
    order = product.api("tech").post("/api/orders", {
        "modality": "DR", "body_part": "CHEST", "complaint": "发热 3 天", "priority": "urgent",
        "patient": {"name": "邓广林", "patient_id": "QS-0301", "sex": "F", "birth_date": "1968-03-22"},
    })  # fmt: skip
    page = open_page("tech")
    day = f"{datetime.now(ZoneInfo('Asia/Shanghai')):%Y%m%d}"
    study_uid = send_dr(product, tmp_path, "邓广林", "QS-0301", AccessionNumber="", StudyDate=day, AcquisitionDate=day)
    card = page.locator(".attention-card", has_text="邓广林")
    expect(card).to_be_visible(timeout=5000)
    card.locator("button").click()
    expect(page.locator(".dialog .compare")).to_contain_text("QS-0301")
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator("#sent-rows tr[data-study]", has_text="邓广林")).to_contain_text(order["accession_number"], timeout=5000)
    item = product.api("tech").get(f"/api/worklist?study_instance_uid={study_uid}")["items"][0]
    assert (item["order"]["order_uid"], item["lane"]) == (order["order_uid"], "emergency")


def test_a_wfdb_pair_is_uploaded(product: Product, open_page: Any) -> None:
    folder = shared_data("ecg", "wfdb12", "cinc2021_georgia")
    header = sorted(folder.rglob("*.hea"))[0]
    page = open_page("tech2")
    page.set_input_files("#files", sorted(header.parent.glob(f"{header.stem}.*")))
    page.fill("#upload-patient_name", "冯玉珍")
    page.fill("#upload-patient_id", "BS-0062")
    page.select_option("#upload-sex", "F")
    page.select_option("#upload-urgency", "chest_pain")
    page.locator(".dialog footer .btn.primary").click()
    row = page.locator("#sent-rows tr", has_text="冯玉珍")
    expect(row).to_contain_text("胸痛", timeout=10_000)
    expect(page.locator("#uploads .upload")).to_contain_text("已接收")
    item = next(one for one in product.api("cardiologist").get("/api/worklist")["items"] if one["patient"]["name"] == "冯玉珍")
    assert (item["kind"], item["lane"], item["originating_site"]["code"]) == ("ecg", "chest_pain", "BAISHUI")


def test_a_study_of_somebody_else_is_moved_and_nobody_confirms_its_report_unaware(
    product: Product, open_page: Any, tmp_path: Path
) -> None:
    reader, tech = product.api("radiologist"), product.api("tech")
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port):
        study_uid = send_dr(product, tmp_path, "丁梅", "QS-0501")
        report = read_and_sign(reader, arrived(reader, study_uid)["workitem_uid"], "dr-chest")
    order = tech.post("/api/orders", {
        "modality": "DR", "body_part": "CHEST", "complaint": "胸痛 2 天",
        "patient": {"name": "林小满", "patient_id": "QS-0502", "sex": "F", "birth_date": "1982-04-09"},
    })  # fmt: skip
    clinic = open_page("clinician", path=f"/portal#study={study_uid}")
    expect(clinic.locator("#report-impression")).to_contain_text("双肺未见明显异常")
    expect(clinic.locator("#report-warning .banner.red")).to_have_count(0)
    admin = open_page("admin", path=f"/admin/repair#{study_uid}")
    admin.fill("#side-right input", "林小满")
    admin.click("#side-right form button")
    admin.click(f'#found-right [data-order="{order["order_uid"]}"]')
    expect(admin.locator("#study-right .waiting-order")).to_contain_text("胸痛 2 天")
    admin.click("#acts .primary")
    admin.fill(".dialog textarea", "登记时选错")
    admin.click(".dialog footer .primary")
    expect(admin.locator(".dialog .field-error:visible")).to_contain_text("请选择申请单")  # none is taken by itself
    admin.check(f'.dialog [value="{order["order_uid"]}"]')
    admin.click(".dialog footer .primary")
    expect(admin.locator("#study-left .person-card h3")).to_contain_text("林小满")
    expect(admin.locator("#study-left")).to_contain_text(order["accession_number"])
    expect(clinic.locator('[data-notice="identity"]')).to_contain_text("这次检查属于“林小满”", timeout=5000)
    clinic.click("#acknowledge")
    clinic.keyboard.press("Enter")  # the way back has the focus
    expect(clinic.locator(".dialog")).to_have_count(0)
    deliveries = product.api("clinician").get(f"/api/reports/{report['report_uid']}/deliveries")["deliveries"]
    assert {one["acknowledged_at"] for one in deliveries} == {None}
    sent = open_page("tech")
    product.api("admin").post(f"/api/repair/studies/{study_uid}/reject", {"code": "113038", "reason": "登记时选错"})
    row = sent.locator(f'#sent-rows tr[data-study="{study_uid}"]')
    expect(row.locator('[data-rejection="113038"]')).to_contain_text("1 幅影像被拒收：检查登记（工作列表）选错", timeout=5000)
    expect(row.locator('[data-rejection="113038"]')).to_contain_text("登记时选错")
    expect(clinic.locator('#report-warning [data-rejection="113038"]')).to_be_visible(timeout=5000)


def test_the_audit_trail_is_narrowed_by_a_click(product: Product, open_page: Any) -> None:
    page = open_page("admin", path="/admin/audit")
    page.locator('#audit-rows [data-act="account.login"]').first.get_by_role("button", name="account.login").click()
    expect(page.locator("#audit-rows tr:not([data-act='account.login'])")).to_have_count(0)
    with page.expect_download() as saved:
        page.click("#audit-export")
    lines = saved.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("id,at,actor") and all(",account.login," in line for line in lines[1:]) and len(lines) > 1
    page.select_option('[name="act"]', "audit.")
    expect(page.locator("#audit-rows [data-act='audit.export']").first).to_be_visible()
    expect(page.locator("#audit-rows tr:not([data-act^='audit.'])")).to_have_count(0)
    page.fill('[name="day"]', "2020-01-01")
    expect(page.locator("#audit-state")).to_contain_text("没有符合条件的记录")
    page.click('#audit-filter [type="reset"]')
    expect(page.locator("#audit-rows tr").first).to_be_visible()


def test_a_refused_upload_names_its_file(open_page: Any, tmp_path: Path) -> None:
    page = open_page("tech2")
    (tmp_path / "报告.pdf").write_bytes(b"%PDF-1.7 no ecg")
    page.set_input_files("#files", tmp_path / "报告.pdf")
    page.fill("#upload-patient_name", "冯玉珍")
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator(".upload-error")).to_contain_text("报告.pdf")
    expect(page.locator(".upload-error")).to_contain_text("不是支持的格式")


def test_the_clinician_opens_and_acknowledges(product: Product, open_page: Any, tmp_path: Path) -> None:
    page = open_page("clinician")
    reader = product.api("radiologist")
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port):
        study_uid = send_dr(product, tmp_path, "郑立群", "QS-0244")
        expect(page.locator(".report-item", has_text="郑立群")).to_be_visible(timeout=5000)
        report = read_and_sign(reader, arrived(reader, study_uid)["workitem_uid"], "dr-chest")
    entry = page.locator(".report-item.new", has_text="郑立群")
    expect(entry).to_be_visible(timeout=5000)
    entry.click()
    expect(page.locator("#report-impression")).to_contain_text("双肺未见明显异常")
    expect(page.locator("#report-status")).to_contain_text("1 人签名")

    def portal() -> Any:
        return next(one for one in reader.get(f"/api/reports/{report['report_uid']}/deliveries")["deliveries"] if one["channel"] == "portal")

    assert portal()["state"] == "ACCEPTED"  # not opened before two seconds on screen
    expect(page.locator("#main-picture .quality")).to_contain_text("无损", timeout=10_000)
    opened = until(lambda: portal()["opened_by"] and portal(), 6, "the receipt of opening")
    assert (opened["opened_by"], opened["state"]) == ("王晓岚", "OPENED")
    page.select_option("#action-taken", "referred")
    page.click("#acknowledge")
    expect(page.locator("#signoff")).to_contain_text("已签收 王晓岚", timeout=5000)
    acknowledged = portal()
    assert (acknowledged["state"], acknowledged["acknowledged_by"], acknowledged["action_taken"]) == ("ACKED", "王晓岚", "referred")
    expect(page.locator(".report-item:not(.new)", has_text="郑立群")).to_contain_text("已签收")
    page.click("#report-pdf-link")
    expect(page.locator(".dialog iframe")).to_be_visible()


def test_a_reader_sees_how_far_a_report_got(product: Product, open_page: Any, tmp_path: Path) -> None:
    reader = product.api("radiologist")
    study_uid = send_dr(product, tmp_path, "吕志刚", "QS-0245")
    report = read_and_sign(reader, arrived(reader, study_uid)["workitem_uid"], "dr-chest")
    page = open_page("radiologist")
    page.goto(f"{product.url}/reports/{report['report_uid']}")
    expect(page.locator("#report-patient")).to_have_text("吕志刚")
    expect(page.locator('#report-deliveries [data-channel="portal"]')).to_contain_text("已接收")
    expect(page.locator("#signoff")).to_be_hidden()
    product.api("clinician").post(f"/api/reports/{report['report_uid']}/acknowledge", {"action": "noted"})
    expect(page.locator('#report-deliveries [data-channel="portal"]')).to_contain_text("已签收", timeout=5000)


def test_an_administrator_sends_a_report_again(product: Product, open_page: Any, tmp_path: Path) -> None:
    reader = product.api("radiologist")
    study_uid = send_dr(product, tmp_path, "段小军", "QS-0246")
    read_and_sign(reader, arrived(reader, study_uid)["workitem_uid"], "dr-chest")  # nobody listens at the township
    page = open_page("admin")
    page.click("#tab-deliveries")
    row = page.locator("#delivery-rows tr", has_text="段小军")
    expect(row).to_contain_text("重试", timeout=15_000)
    row.click()
    expect(page.locator("#delivery-detail")).to_contain_text("对端连不上")
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port) as pacs:
        page.click("#resend")
        until(pacs.files, 15, "the report at the township")
        page.click('#queue-filter [data-filter="all"]')
        expect(page.locator("#delivery-rows tr", has_text="段小军").filter(has_text="DICOM PDF")).to_contain_text("已接收", timeout=8000)
        page.click("#tab-sites")
        page.click('[data-site="QINGSHAN"]')
        page.click("#echo")
        expect(page.locator(".echo")).to_contain_text("ms", timeout=8000)


def test_an_administrator_sees_commitments_and_has_one_told_again(
    product: Product, open_page: Any, tmp_path: Path
) -> None:
    admin, reader = product.api("admin"), product.api("radiologist")
    trust = {"services": ["echo", "store", "worklist", "mpps", "commitment"], "exception_reason": "no TLS there"}
    admin.post("/api/admin/devices", {"ae_title": "QS_PACS", "site": "QINGSHAN", "modality": "WS", "name": "PACS",
                                      "address_range": "127.0.0.1/32"})  # fmt: skip
    for title in ("QS_PACS", "QS_CT"):
        admin.call("PATCH", f"/api/admin/devices/{title}", trust)
    study_uid = send_dr(product, tmp_path, "宋玉芬", "QS-0249")
    with storescp(tmp_path / "pacs", "QS_PACS", port=product.return_port):  # takes reports, knows no commitment
        read_and_sign(reader, arrived(reader, study_uid)["workitem_uid"], "dr-chest")
        asked = {"port": product.dicom_port, "from": "QS_CT", "to": "TELEREAD", "transaction": "2.25.77", "lingerMs": 0,
                 "references": [["1.2.840.10008.5.1.4.1.1.2", "2.25.78"]]}  # fmt: skip
        with script("commitment.js", "ask", **asked) as device:
            device.wait("closed")
        page = open_page("admin")
        page.click("#tab-deliveries")
        page.click("#show-commitments")
        ours = page.locator("#commitment-rows tr", has_text="我们请求对方").first  # a report that waited may arrive now too
        expect(ours).to_contain_text("等待对方确认", timeout=15_000)
        expect(ours).to_contain_text("对端不接受", timeout=15_000)
    theirs = page.locator("#commitment-rows tr", has_text="对方请求我们")
    expect(theirs).to_contain_text("没有此对象", timeout=15_000)
    expect(theirs).to_contain_text("未能告知", timeout=25_000)  # it gave no address, and did not wait
    page.click('#commitment-filter [data-filter="failed"]')
    expect(page.locator("#commitment-rows tr")).to_have_count(1)
    theirs.locator("button").click()
    expect(page.locator(".toast")).to_contain_text("QS_CT")
    page.click("#show-deliveries")
    page.click('#queue-filter [data-filter="all"]')
    row = page.locator("#delivery-rows tr", has_text="宋玉芬").filter(has_text="DICOM PDF")
    expect(row).to_contain_text("等待归档确认", timeout=8000)


def test_an_administrator_revokes_a_token(product: Product, open_page: Any) -> None:
    api = product.api("reviewer_ecg")
    assert api.get("/api/session")["username"] == "reviewer_ecg"
    page = open_page("admin")
    page.click("#tab-tokens")
    page.locator('#token-rows tr[data-user="reviewer_ecg"] .link').click()
    page.locator(".dialog footer .btn.danger").click()
    expect(page.locator('#token-rows tr[data-user="reviewer_ecg"]')).to_have_count(0)
    with pytest.raises(Exception, match="401"):
        api.get("/api/session")


def test_an_administrator_settles_quarantine(product: Product, open_page: Any, tmp_path: Path) -> None:
    study_uid = send_dr(product, tmp_path, "何福生", "QS-0247")
    first = next(tmp_path.glob("*.dcm"))
    sop = first.stem
    other = relabel(
        first, tmp_path, name="何福升", patient_id="QS-0247", character_set="GB18030", StudyInstanceUID=study_uid,
    )  # fmt: skip
    changed = pydicom.dcmread(other)
    setattr(changed, "SOPInstanceUID", sop)  # noqa: B010  pydicom types it as a UID
    changed.file_meta.MediaStorageSOPInstanceUID = changed.SOPInstanceUID
    changed.save_as(other, enforce_file_format=True)
    assert storescu(product.dicom_port, "QS_DR", [other], "-xv").returncode == 0
    technician = open_page("tech")
    expect(technician.locator("#sent-rows tr", has_text="何福生")).to_contain_text("冲突", timeout=5000)
    page = open_page("admin")
    expect(page.locator("#badge-quarantine")).to_have_text("1", timeout=8000)
    page.click("#tab-quarantine")
    row = page.locator("#quarantine-rows tr")
    expect(row).to_have_count(1)
    row.locator("button", has_text="头信息").click()
    expect(page.locator(".header-table")).to_contain_text("PatientName")
    page.keyboard.press("Escape")
    row.locator("button", has_text="处理").click()
    page.fill(".dialog textarea", "与机房核对，后到的是误发")
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator("#quarantine-rows tr")).to_have_count(0)
    kept = product.api("admin").get("/api/admin/quarantine?all=1")["objects"][0]
    assert kept["resolution"] == "与机房核对，后到的是误发"
    expect(technician.locator("#sent-rows tr", has_text="何福生")).not_to_contain_text("冲突", timeout=5000)


def test_an_administrator_adds_people_and_devices(product: Product, open_page: Any) -> None:
    page = open_page("admin")
    page.click('[data-site="HEPING"]')
    page.click("#add-device")
    page.fill("#form-ae_title", "HP_ECG")
    page.select_option("#form-modality", "ECG")
    page.fill("#form-address_range", "nonsense")
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator(".dialog .field-error")).to_contain_text("nonsense")
    page.fill("#form-address_range", "10.21.9.4/32")
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator('[data-device="HP_ECG"]')).to_contain_text("10.21.9.4/32")
    page.click("#tab-users")
    page.click("#add-user")
    for name, value in (("username", "tech3"), ("name", "江守义"), ("password", "another-Pass-9")):
        page.fill(f"#form-{name}", value)
    page.select_option("#form-site", "HEPING")
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator('[data-user="tech3"]')).to_contain_text("和平乡卫生院")
    made = next(one for one in product.api("admin").get("/api/admin/users")["users"] if one["username"] == "tech3")
    assert (made["role"], made["site"], made["enabled"]) == ("technician", "HEPING", True)


def test_a_workstation_gets_queries_with_a_written_exception_only(product: Product, open_page: Any) -> None:
    echoscu(product.dicom_port, "BS_WS")
    page = open_page("admin")
    page.click('[data-site="BAISHUI"]')
    page.click("#add-device")
    page.fill("#form-ae_title", "BS_WS")
    page.select_option("#form-modality", "WS")
    boxes = page.locator("#form-services input:checked")
    assert boxes.evaluate_all("all => all.map((one) => one.value)") == ["echo", "store"]
    page.fill("#form-address_range", "127.0.0.1/32")
    page.check('#form-services [value="find"]')
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator(".dialog .field-error")).to_contain_text("须登记设备的客户端证书")
    page.fill("#form-exception_reason", "旧工作站不支持 TLS")
    page.fill("#form-host", "127.0.0.1")
    page.fill("#form-port", str(product.dicom_port))
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator('[data-device="BS_WS"]')).to_contain_text("例外")
    page.locator('[data-device="BS_WS"] .actions .link').click()
    expect(page.locator("#device-refusals")).to_contain_text("AE 标题或地址未登记")
    page.locator(".dialog", has_text="BS_WS@127.0.0.1").get_by_text("测试连通").click()
    expect(page.locator(".dialog .echo")).to_contain_text("拒收", timeout=10_000)  # we are not called BS_WS


def test_every_page_in_english(product: Product, open_page: Any) -> None:
    words = {
        "tech": "Sent today", "clinician": "Reports", "admin": "Delivery queue", "manager": "Definition",
    }  # fmt: skip
    for username, expected in words.items():
        page = open_page(username)
        page.click("#user-menu summary")
        with page.expect_navigation():
            page.click("#switch-language")
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(page.locator("body")).to_contain_text(expected)
        page.wait_for_timeout(800)
        assert "ui." not in page.inner_text("body") and "page." not in page.inner_text("body")
        page.click("#user-menu summary")
        with page.expect_navigation():
            page.click("#switch-language")
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")


def test_statistics_say_their_n_and_definition(open_page: Any) -> None:
    page = open_page("manager")
    expect(page.locator('.kpi[data-code="in_time"] .note')).to_contain_text("n =")
    page.locator('.kpi[data-code="waiting"]').click()
    expect(page.locator("#definition")).to_contain_text("首次判读尚未签出的检查数")
    page.click('#period [data-period="month"]')
    expect(page.locator('[data-site="QINGSHAN"]')).to_be_visible()


def test_the_login_page_helps(product: Product, browser: Browser) -> None:
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(f"{product.url}/login")
    expect(page.locator("#login-health")).to_have_text("接收与回传正常")
    page.click("#login-submit")
    expect(page.locator("#login-error")).to_contain_text("输入账号")
    page.fill("#username", "tech")
    page.fill("#password", "wrong")
    page.click("#reveal-password")
    expect(page.locator("#password")).to_have_attribute("type", "text")
    page.click("#login-submit")
    expect(page.locator("#login-error")).to_contain_text("用户名或密码错误")
    page.goto(f"{product.url}/login")
    page.click('.languages a[lang="en"]')
    expect(page.locator("#login-submit")).to_have_text("Log in")
    context.close()


def test_log_out_empties_every_tab(product: Product, open_page: Any) -> None:
    page = open_page("clinician")
    other = page.context.new_page()
    other.goto(f"{product.url}/portal")
    expect(other.locator("#report-list")).to_be_visible()
    page.click("#user-menu summary")
    page.click("#logout")
    page.wait_for_url(lambda url: "/login" in url)
    other.wait_for_url(lambda url: "/login" in url)
    assert "郑立群" not in page.content() + other.content()


def test_an_ended_session_asks_for_the_password_and_loses_nothing(product: Product, open_page: Any) -> None:
    page = open_page("tech2")
    page.fill("#complaint", "腰痛 3 月")
    page.route("**/api/orders", lambda route: route.fulfill(
        status=401, content_type="application/json", body='{"error": {"code": "session_expired", "message": "", "details": {}}}',
    ), times=1)  # fmt: skip
    page.fill("#patient-name", "常玉莲")
    page.fill("#patient-id", "BS-0066")
    page.fill("#birth-date", "1960-01-02")
    page.click("#order-submit")
    page.fill('.dialog input[type="password"]', PASSWORD)
    page.locator(".dialog footer .btn.primary").click()
    expect(page.locator("#accession-number")).to_contain_text("BS", timeout=5000)
    made = product.api("tech2").get("/api/orders")["orders"][0]
    assert (made["patient"]["name"], made["complaint"]) == ("常玉莲", "腰痛 3 月")
