"""Work that changes hands, emergency access and the dark hours of the server, in Chromium on the running product."""

import re
import sqlite3
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, expect
from pydicom.uid import generate_uid

from tests.browser.test_reader_pages import DR, LOSSLESS, SIGN, claimed, read_path, saved_sections, send_dr, write
from tests.peers.data import shared_data
from tests.peers.dcmtk import dcmsend, storescu
from tests.peers.product import PASSWORD, PIN, Product, until
from tests.scenarios.test_api_loop import arrived, read_and_sign, relabel

TEXT = {"findings": "颅内未见出血，中线居中。", "impression": "颅内未见出血。"}


def item_of(product: Product, item: dict[str, Any], username: str = "radiologist") -> dict[str, Any]:
    return dict(product.api(username).get(f"/api/workitems/{item['workitem_uid']}"))


def drafted(product: Product, item: dict[str, Any], template: str = "dr-chest") -> dict[str, Any]:
    """Claimed by the radiologist, with a saved text."""
    claimed(product, item)
    body = {"template": template, "sections": TEXT, "version": 0}
    product.api("radiologist").put(f"/api/workitems/{item['workitem_uid']}/report", body)
    return item


def new_person(product: Product, username: str, role: str, name: str, **more: Any) -> None:
    body = {"username": username, "name": name, "role": role, "site": "COUNTY", "kinds": ["image"], "password": PASSWORD}
    product.api("admin").post("/api/admin/users", body | more)


def answer(page: Page, reason: str) -> None:
    """Fill in the reason that a dialog asks for, and go on."""
    page.fill('.dialog [name="reason"]', reason)
    page.locator('.dialog [type="submit"]').click()


def open_row(page: Page, name: str) -> None:
    page.locator(".row.item", has_text=name).click()
    page.keyboard.press("Enter")
    page.wait_for_url("**/read/*")


def test_the_reviewer_sends_a_report_back_to_its_author(product: Product, open_page: Any, tmp_path: Path) -> None:
    study_uid = generate_uid()
    path = relabel(
        shared_data("dicom", "ct", "CT_small.dcm"), tmp_path, name="傅安平", patient_id="QS-501",
        character_set="ISO_IR 192", StudyInstanceUID=study_uid, SeriesInstanceUID=generate_uid(),
    )  # fmt: skip
    assert dcmsend(product.dicom_port, "QS_CT", [path]).returncode == 0
    item = drafted(product, arrived(product.api("radiologist"), study_uid, within_s=40), "ct-head")
    version = item_of(product, item)["report"]["version"]
    product.api("radiologist").post(f"/api/workitems/{item['workitem_uid']}/report/submit", {"pin": PIN, "version": version})
    reviewer = open_page("reviewer")
    reviewer.locator('[data-mine="verify"]').click()
    open_row(reviewer, "傅安平")
    expect(reviewer.locator("#return-report")).to_be_visible(timeout=10_000)
    reading = reviewer.url
    reviewer.keyboard.press("F7")
    reviewer.locator('.dialog [type="submit"]').click()
    expect(reviewer.locator(".dialog .field-error")).to_contain_text("须写明原因")
    answer(reviewer, "右侧基底节区漏描述")
    reviewer.wait_for_url(lambda url: url != reading, timeout=10_000)
    author = open_page("radiologist")
    author.locator('[data-mine="returned_for_edit"]').click()
    expect(author.locator(".row.item", has_text="傅安平")).to_contain_text("被退回修改")
    open_row(author, "傅安平")
    expect(author.locator("#report-returned")).to_contain_text("右侧基底节区漏描述", timeout=10_000)
    expect(author.locator("#findings")).to_have_value(TEXT["findings"])
    expect(author.locator("#findings")).to_be_editable()
    expect(author.locator("#return-report")).to_be_hidden()


def test_work_is_given_back_and_given_on(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = drafted(product, send_dr(product, tmp_path, "康文娟", "QS-511"))
    page = open_page("radiologist", read_path(item))
    page.click("#more-actions")
    page.locator("#more-menu").get_by_text("放弃领取").click()
    expect(page.locator(".dialog .consequence")).to_contain_text("草稿保留")
    page.locator('.dialog [type="submit"]').click()
    expect(page.locator(".dialog .field-error")).to_contain_text("须写明原因")
    answer(page, "交班")
    page.wait_for_url(f"{product.url}/")
    row = page.locator(".row.item", has_text="康文娟")
    expect(row).to_contain_text("待领取")
    row.click()
    page.keyboard.press("KeyZ")
    expect(page.locator('.dialog [name="to"]')).to_be_focused()
    page.select_option('.dialog [name="to"]', "radiologist2")
    answer(page, "该医师值班")
    expect(page.locator(".dialog")).to_have_count(0)
    expect(row).to_contain_text("派给 林书恒")
    other = open_page("radiologist2")
    expect(other.locator(".row.item", has_text="康文娟")).to_contain_text("派给我")
    open_row(other, "康文娟")
    expect(other.locator("#findings")).to_have_value(TEXT["findings"], timeout=10_000)


def test_images_that_do_not_do_go_back_to_the_technician(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = drafted(product, send_dr(product, tmp_path, "梁秀珍", "QS-512"))
    page = open_page("radiologist", read_path(item))
    page.click("#more-actions")
    page.locator("#more-menu").get_by_text("退回重拍").click()
    expect(page.locator(".dialog .consequence")).to_contain_text("退回技师")
    page.select_option('.dialog [name="category"]', "other")
    page.locator('.dialog [type="submit"]').click()
    expect(page.locator(".dialog .field-error")).to_contain_text("须写明原因")
    page.select_option('.dialog [name="category"]', "positioning")
    answer(page, "下颌遮挡肺尖")
    page.wait_for_url(f"{product.url}/")
    technician = open_page("tech")
    row = technician.locator("#sent-rows tr", has_text="梁秀珍")
    expect(row).to_contain_text("退回重拍 · 摆位不当 · 下颌遮挡肺尖")
    expect(row).to_contain_text("重新拍摄")
    clinician = open_page("clinician")
    clinician.locator('[data-filter="in_progress"]').click()
    expect(clinician.locator("body")).to_contain_text("摆位不当 · 下颌遮挡肺尖")


def test_five_wrong_pins_lock_signing(product: Product, open_page: Any, tmp_path: Path) -> None:
    new_person(product, "locksmith", "reader", "许知行", licence_number="110130000000991", licence_valid_until="2099-12-31")
    product.api("locksmith").post("/api/session/signing-key", {"password": PASSWORD, "pin": PIN})
    item = claimed(product, send_dr(product, tmp_path, "孟凡珍", "QS-521"), "locksmith")
    page = open_page("locksmith", read_path(item))
    write(page, "骨皮质连续。")
    page.locator(SIGN).wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".dialog iframe")).to_be_visible(timeout=15_000)
    for left in (4, 3, 2, 1):
        page.fill('[name="pin"]', f"not-the-pin-{left}")
        page.keyboard.press("Enter")
        expect(page.locator(".dialog .field-error")).to_contain_text(f"再错 {left} 次", timeout=10_000)
    page.fill('[name="pin"]', "not-the-pin-0")
    page.keyboard.press("Enter")
    expect(page.locator(".dialog .field-error")).to_contain_text("签名已锁定", timeout=10_000)
    expect(page.locator('[name="pin"]')).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator(".dialog")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".toast.error")).to_contain_text("签名已锁定", timeout=15_000)
    assert item_of(product, item, "locksmith")["report"]["status"] == "DRAFT"


def test_a_trainee_writes_and_does_not_sign(product: Product, open_page: Any, tmp_path: Path) -> None:
    new_person(product, "trainee", "trainee", "丁一鸣")
    item = send_dr(product, tmp_path, "贾素梅", "QS-531")
    page = open_page("trainee", read_path(item))
    page.click("#claim")
    write(page, "进修医师的草稿。")
    expect(page.locator("#sign")).to_be_hidden()
    expect(page.locator("#preliminary")).to_be_hidden()
    expect(page.locator("#sign-note")).to_contain_text("进修医师不能签发")
    page.keyboard.press("Control+Enter")
    until(lambda: saved_sections(product, item).get("findings") == "进修医师的草稿。", 6, "the trainee's draft")
    expect(page.locator(".dialog")).to_have_count(0)
    assert item_of(product, item)["report"]["status"] == "DRAFT"


def test_a_log_out_empties_every_tab(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = send_dr(product, tmp_path, "汪淑兰", "QS-541")
    page = open_page("radiologist2")
    other = page.context.new_page()
    other.goto(product.url + read_path(item))
    expect(other.locator("#patient-name")).to_have_text("汪淑兰")
    page.click("#user-menu summary")
    page.click("#logout")
    for tab in (page, other):
        tab.wait_for_url(f"{product.url}/login", timeout=10_000)
        assert "汪淑兰" not in tab.content()
    other.go_back()
    other.wait_for_load_state()
    expect(other.locator("body")).not_to_contain_text("汪淑兰")


def test_a_suggested_order_is_confirmed_by_a_person(product: Product, open_page: Any, tmp_path: Path) -> None:
    patient = {"name": "严凤兰", "patient_id": "QS-551", "sex": "F", "birth_date": "1968-03-22"}
    body = {"patient": patient, "modality": "DR", "complaint": "咳嗽 3 天", "question": "除外肺炎", "priority": "urgent"}
    order = product.api("tech").post("/api/orders", body)
    today = f"{datetime.now(ZoneInfo('Asia/Shanghai')):%Y%m%d}"
    item = send_dr(product, tmp_path, "严凤兰", "QS-551", AccessionNumber="", StudyDate=today, AcquisitionDate=today, Modality="DX")
    assert (item["lane"], item["order"]["made_from_object"]) == ("routine", True)
    page = open_page("radiologist", width=1680)
    page.locator(".row.item", has_text="严凤兰").click()
    hint = page.locator("#preview .suggested")
    expect(hint).to_contain_text("系统提示，待人确认")
    expect(hint).to_contain_text(order["accession_number"])
    hint.get_by_role("button", name="确认关联").click()
    expect(page.locator(".toast.success")).to_contain_text("已关联申请单")
    expect(page.locator("#preview")).to_contain_text("除外肺炎")
    expect(page.locator(".row.item", has_text="严凤兰")).to_have_attribute("data-lane", "emergency")
    after = item_of(product, item)
    assert (after["order"]["order_uid"], after["suggested_order"]) == (order["order_uid"], None)


def ask_break_glass(page: Page, site: str, accession: str, reason: str) -> None:
    page.click("#user-menu summary")
    page.click("#break-glass")
    page.select_option('.dialog [name="site"]', site)
    page.fill('.dialog [name="accession"]', accession)
    answer(page, reason)


def test_emergency_access_lets_a_cardiologist_look(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = send_dr(product, tmp_path, "蒋守礼", "QS-561", AccessionNumber="QSX561")
    page = open_page("cardiologist")
    expect(page.locator("#list-state")).to_be_visible()
    ask_break_glass(page, "QINGSHAN", "QSX561", "急")
    expect(page.locator(".dialog .consequence")).to_contain_text("记入审计")
    expect(page.locator(".dialog .field-error")).to_contain_text("至少 4 个字")
    page.select_option('.dialog [name="site"]', "BAISHUI")
    answer(page, "患者转来抢救")
    expect(page.locator(".dialog .field-error")).to_contain_text("没有此检查号")
    page.select_option('.dialog [name="site"]', "QINGSHAN")
    page.locator('.dialog [type="submit"]').click()
    page.wait_for_url(f"**{read_path(item)}")
    expect(page.locator("#patient-name")).to_have_text("蒋守礼")
    expect(page.locator(LOSSLESS).first).to_be_visible(timeout=30_000)
    expect(page.locator("#claim")).to_be_hidden()
    expect(page.locator("#sign-note")).to_contain_text("无此类阅片资质")
    events = product.api("admin").get(f"/api/admin/audit?object={item['study_instance_uid']}&actor=cardiologist")["events"]
    assert [event["act"] for event in events if event["act"].startswith("break_glass")] == ["break_glass.use"]
    with sqlite3.connect(product.data_dir / "teleread.sqlite3", timeout=10) as database:
        assert database.execute("SELECT reason FROM break_glass WHERE reason <> ''").fetchall() == [("患者转来抢救",)]
    database.close()


def test_emergency_access_shows_a_clinician_the_report(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = send_dr(product, tmp_path, "苏玉芬", "QS-571", AccessionNumber="QSX571")
    page = open_page("clinician2")
    ask_break_glass(page, "QINGSHAN", "QSX571", "患者转来抢救")
    page.wait_for_url("**/portal#study=*")
    expect(page.locator("#report-state")).to_contain_text("苏玉芬", timeout=5000)
    expect(page.locator("#report-body")).to_be_hidden()
    read_and_sign(product.api("radiologist"), item["workitem_uid"], "dr-chest", TEXT)
    ask_break_glass(page, "QINGSHAN", "QSX571", "患者转来抢救")
    page.wait_for_url("**/reports/*")
    expect(page.locator("#report-impression")).to_contain_text(TEXT["impression"])
    expect(page.locator("#signoff")).to_be_hidden()
    for role, is_offered in (("reviewer", True), ("tech", False), ("admin", False)):
        expect(open_page(role).locator("#break-glass")).to_have_count(int(is_offered))


def left_lying(product: Product, item: dict[str, Any]) -> None:
    """Nothing of this work was touched for twenty minutes."""
    with sqlite3.connect(product.data_dir / "teleread.sqlite3", timeout=10) as database:
        for table, column in (("workitem", "claimed_at"), ("report", "updated_at")):
            database.execute(
                f"UPDATE {table} SET {column} = datetime('now', '-20 minutes') WHERE workitem_uid = ?", (item["workitem_uid"],)
            )
    database.close()


def test_work_left_lying_is_taken_over(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = drafted(product, send_dr(product, tmp_path, "曾庆和", "QS-581"))
    holder = open_page("radiologist", read_path(item))
    expect(holder.locator("#take-over")).to_be_hidden()
    looking = open_page("radiologist2", read_path(item))
    expect(looking.locator("#take-over")).to_be_visible(timeout=10_000)
    page = open_page("radiologist2", width=1680)
    page.locator(".row.item", has_text="曾庆和").click()
    page.click("#take-over")
    answer(page, "急诊等待")
    expect(page.locator(".dialog .field-error")).to_contain_text(re.compile(r"陈知远 正在阅片，\d\d:\d\d"))
    left_lying(product, item)
    page.locator('.dialog [type="submit"]').click()
    page.wait_for_url("**/read/*")
    assert read_path(item) not in page.url
    expect(page.locator("#findings")).to_be_editable(timeout=10_000)
    expect(page.locator("#findings")).to_have_value(TEXT["findings"])
    expect(holder.locator('[data-notice="replaced"]')).to_be_visible(timeout=10_000)
    expect(holder.locator("#findings")).not_to_be_editable()


def test_a_wide_list_starts_with_its_first_row(product: Product, open_page: Any, tmp_path: Path) -> None:
    send_dr(product, tmp_path, "谭秋菊", "QS-591")
    page = open_page("radiologist", width=1920)
    chosen = page.locator('.row.item[aria-selected="true"]')
    expect(chosen).to_have_count(1)
    first = page.locator(".row.item").first
    uid = first.get_attribute("data-uid")
    assert chosen.get_attribute("data-uid") == uid
    expect(page.locator("#preview .thumbs")).to_be_visible()
    assert all(page.locator(".row.item .c-site").evaluate_all("all => all.map((one) => one.title === one.textContent)"))
    patient = {"name": "姚更生", "patient_id": "QS-592"}
    order = product.api("tech").post("/api/orders", {"patient": patient, "modality": "DR", "priority": "stat", "pathway": "stroke"})
    send_dr(product, tmp_path, "姚更生", "QS-592", AccessionNumber=order["accession_number"])
    expect(page.locator(".row.item", has_text="姚更生")).to_be_visible(timeout=5000)
    expect(first).not_to_have_attribute("data-uid", str(uid))
    assert chosen.get_attribute("data-uid") == uid
    page.keyboard.press("Shift+Slash")
    expect(page.locator(".dialog footer button")).to_be_focused()
    narrow = open_page("radiologist")
    expect(narrow.locator(".row.item").first).to_be_visible()
    expect(narrow.locator('.row.item[aria-selected="true"]')).to_have_count(0)


def test_the_list_says_that_it_is_old_and_recovers_by_itself(product: Product, open_page: Any, tmp_path: Path) -> None:
    page = open_page("radiologist")
    expect(page.locator("#stream-state")).to_contain_text("实时", timeout=10_000)
    page.evaluate("window.sameDocument = true")
    deadline = time.monotonic() + 60
    while not page.locator("#stale-banner").is_visible():
        assert time.monotonic() < deadline, "the list never said that it was old"
        if "serve" in product.children():  # it is started again and again: 20 s must pass without it
            product.kill("serve")
        page.wait_for_timeout(200)
    expect(page.locator("#stale-words")).to_contain_text(re.compile(r"列表 \d+ 秒未更新"))
    path = relabel(
        shared_data(*DR), tmp_path, name="石玉春", patient_id="QS-601", character_set="GB18030",
        StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid(),
    )  # fmt: skip
    assert storescu(product.dicom_port, "QS_DR", [path], "-xv").returncode == 0
    expect(page.locator("#stale-banner")).to_be_hidden(timeout=90_000)
    expect(page.locator(".row.item", has_text="石玉春")).to_contain_text("齐备", timeout=15_000)
    expect(page.locator("#stream-state")).to_contain_text("实时")
    assert page.evaluate("window.sameDocument") is True
