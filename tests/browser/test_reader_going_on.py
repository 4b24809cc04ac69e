"""What is pressed on the reading page goes on, or says why not; in Chromium on the running product."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.browser.test_reader_pages import LOSSLESS, claimed, read_path, saved_sections, send_dr, write
from tests.browser.test_reader_pages_2 import TEXT, answer, drafted, item_of
from tests.peers.product import Product, until


def give_back(page: Page) -> None:
    page.click("#more-actions")
    page.locator("#more-menu").get_by_text("放弃领取").click()


class Held:
    """Requests that wait until they are let go."""

    def __init__(self, page: Page, address: str) -> None:
        self.routes: list[Route] = []
        self.is_open = False
        page.route(address, self.hold)

    def hold(self, route: Route) -> None:
        if self.is_open:
            route.continue_()
        else:
            self.routes.append(route)

    def let_go(self) -> None:
        self.is_open = True
        for route in self.routes:
            route.continue_()


def test_what_is_pressed_before_the_page_knows_its_work_waits(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = drafted(product, send_dr(product, tmp_path, "邱淑华", "QS-512"))
    page = open_page("radiologist")
    held = Held(page, f"**/api/workitems/{item['workitem_uid']}")
    page.goto(product.url + read_path(item))
    expect(page.locator("#report-panel")).to_be_visible()
    expect(page.locator("#more-actions")).to_be_hidden()
    page.keyboard.press("Control+Enter")
    held.let_go()
    expect(page.locator(".dialog iframe")).to_be_visible(timeout=15_000)
    page.keyboard.press("Escape")
    page.keyboard.press("F7")
    expect(page.locator(".toast.info")).to_contain_text("此检查现在不能这样操作")
    give_back(page)
    expect(page.locator(".dialog .consequence")).to_contain_text("草稿保留")


def test_what_keeps_a_text_from_being_saved_is_said_and_the_action_goes_on(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = drafted(product, send_dr(product, tmp_path, "常玉珍", "QS-513"))
    page = open_page("radiologist", read_path(item))
    consequence = page.locator(".dialog .consequence")
    address = f"**/api/workitems/{item['workitem_uid']}/report"
    refused: list[Route] = []
    page.route(address, lambda route: (refused.append(route), route.abort()))
    write(page, "两肺纹理清晰。")
    for _ in range(2):
        n_before = len(refused)
        give_back(page)
        until(lambda n=n_before: page.wait_for_timeout(50) or len(refused) > n + 1, 15, "both tries")
        expect(page.locator("#saved-state")).to_contain_text("保存失败")
        expect(page.locator(".toast.error")).to_contain_text("保存失败，内容仍在本页服务器无响应")
        expect(page.locator(".toast.error")).to_have_count(1)
        expect(page.locator(".dialog")).to_have_count(0)
    page.unroute_all()
    held = Held(page, address)
    give_back(page)
    until(lambda: page.wait_for_timeout(50) or held.routes, 5, "the saving")
    page.fill("#findings", "两肺纹理清晰，心影不大。")  # typed while the text before it is on its way
    held.let_go()
    expect(consequence).to_contain_text("草稿保留")
    expect(page.locator(".toast.error")).to_have_count(0)
    assert saved_sections(product, item)["findings"] == "两肺纹理清晰，心影不大。"
    page.keyboard.press("Escape")
    version = item_of(product, item)["report"]["version"]
    theirs = {"template": "dr-chest", "sections": TEXT, "version": version}
    page.route(f"**/api/workitems/{item['workitem_uid']}", lambda route: route.abort())  # the event of it comes too late
    product.api("radiologist").put(f"/api/workitems/{item['workitem_uid']}/report", theirs)
    page.fill("#findings", "两肺纹理清晰，心影增大。")
    page.unroute_all()
    give_back(page)
    expect(consequence).to_contain_text("别处")
    page.locator('.dialog [type="submit"]').click()
    expect(consequence).to_contain_text("草稿保留")
    assert saved_sections(product, item)["findings"] == "两肺纹理清晰，心影增大。"
    releasing = Held(page, "**/release")
    answer(page, "交班")
    until(lambda: page.wait_for_timeout(50) or releasing.routes, 5, "the release")
    page.keyboard.press("Escape")  # nobody can go back from what may be done already
    expect(page.locator(".dialog")).to_have_count(1)
    releasing.let_go()
    page.wait_for_url(f"{product.url}/")


def test_what_is_typed_before_the_templates_come_is_saved_and_signed(product: Product, open_page: Any, tmp_path: Path) -> None:
    new = claimed(product, send_dr(product, tmp_path, "阮玉兰", "QS-515"))
    old = drafted(product, send_dr(product, tmp_path, "阮玉竹", "QS-516"), "dr-chest")
    for item in (old, new):
        page = open_page("radiologist")
        templates = Held(page, "**/api/templates?*")
        page.goto(product.url + read_path(item))
        write(page, "模板未到时所写。")
        page.wait_for_timeout(1500)
        page.keyboard.press("Control+Enter")
        templates.let_go()
        expect(page.locator(".dialog iframe")).to_be_visible(timeout=15_000)
        expect(page.locator(".toast.error")).to_have_count(0)
        assert saved_sections(product, item)["findings"] == "模板未到时所写。"


def test_a_saving_whose_answer_is_lost_comes_again(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = claimed(product, send_dr(product, tmp_path, "温秀琴", "QS-514"))
    page = open_page("radiologist", read_path(item))
    address = f"**/api/workitems/{item['workitem_uid']}/report"

    def saved_as(findings: str) -> None:
        until(lambda: page.wait_for_timeout(50) or saved_sections(product, item).get("findings") == findings, 8, findings)
        expect(page.locator("#saved-state")).to_contain_text("已保存")

    def lose_answer(route: Route) -> None:
        answers.append(route.fetch().status)
        route.abort()

    page.evaluate("""() => {
        const seen = new MutationObserver(() => window.wasTold ||= document.querySelector(".toast.error, .dialog") !== null);
        seen.observe(document.body, {childList: true, subtree: true, characterData: true});
    }""")
    page.route(address, lambda route: route.abort(), times=1)
    write(page, "从未到达一次。")
    saved_as("从未到达一次。")
    answers: list[int] = []
    page.route(address, lose_answer, times=1)
    page.fill("#findings", "到达而无回音一次。")
    saved_as("到达而无回音一次。")
    page.route(address, lose_answer, times=2)
    page.fill("#findings", "到达而无回音两次。")
    expect(page.locator("#saved-state")).to_contain_text("保存失败", timeout=8000)
    page.fill("#findings", "其后所写。")
    saved_as("其后所写。")
    assert answers == [200, 200, 200]
    assert item_of(product, item)["report"]["version"] == 4
    assert not page.evaluate("window.wasTold")


def test_a_measurement_outlives_a_change_of_layout(product: Product, open_page: Any, tmp_path: Path) -> None:
    item = claimed(product, send_dr(product, tmp_path, "白淑英", "QS-514"))
    page = open_page("radiologist", read_path(item))
    expect(page.locator(LOSSLESS)).to_be_visible(timeout=10_000)
    page.keyboard.press("Insert")
    expect(page.locator(".toast.info")).to_contain_text("没有测量")
    page.keyboard.press("KeyL")
    box = page.locator(".viewport").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for step in (0, 40):
        page.mouse.move(x, y + step)
        page.mouse.down()
        page.mouse.move(x + 60, y + step, steps=3)
        page.mouse.up()
    words = page.locator("#measures .n")
    expect(words).to_have_text(["①", "②"])
    for panes in (2, 4, 1):
        page.keyboard.press("KeyG")
        expect(page.locator("#viewports > .viewport")).to_have_count(panes)
        expect(words).to_have_text(["①", "②"])
    expect(page.locator(".viewport .mark")).to_have_count(2)
    page.keyboard.press("Insert")
    expect(page.locator("#findings")).to_have_value(re.compile("mm|px"))
