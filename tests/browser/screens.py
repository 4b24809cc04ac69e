"""Screenshots of every page of the running product, with demo data played through all states.

``python -m tests.browser.screens docs/screens`` starts the product on free ports, sends what the demo modalities
send, has it read, signed, returned and acknowledged, and writes one PNG per page and size. People are fictional.
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from pydicom.uid import generate_uid

from pacs_bridge.scu import store_files
from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.peers.dcmtk import storescp
from tests.peers.product import PASSWORD, PIN, Api, ApiError, Product, running_product, until
from worklist.demo import SENDERS, Sender, write_study

SIZES = ((1366, 768), (1920, 1080))
LARGEST_TRUE_COLOUR_BYTES = 160_000  # a page that holds images is saved with a palette instead
ZONE = ZoneInfo("Asia/Shanghai")
DR, CT, ECG = SENDERS
NORMAL_DR = {"findings": "胸廓对称，气管居中。双肺野清晰，未见实质性病变。双侧肺门影不大，纵隔未见增宽。心影大小、形态正常。双侧膈面光整，肋膈角锐利。", "impression": "心、肺、膈未见明显异常。"}
NODULES = {
    "findings": "胸廓对称，气管居中。双肺野内见多发大小不等类圆形结节影，以中下肺野为著，边缘较清。双侧肺门影不大，纵隔未见增宽。心影大小、形态正常。双侧膈面光整，肋膈角锐利。",
    "impression": "1. 双肺多发结节，较前新发，建议胸部 CT 增强并查找原发灶。\n2. 心、膈未见明显异常。",
}
HEAD = {
    "findings": "颅骨完整。脑实质密度均匀，左侧基底节区见片状稍低密度影。脑室系统对称，未见扩大。中线结构居中。",
    "impression": "1. 左侧基底节区稍低密度影，结合临床除外早期梗死，建议 MR 检查。\n2. 未见颅内出血。",
}
SINUS = {"findings": "窦性心律，各导联 P 波、QRS 波形态正常，ST 段未见偏移。", "impression": "窦性心律，正常心电图。"}

Shot = Callable[[Page], Any]


class Stage:
    """The demo county and what happens in it before the pictures are taken."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.product, self.folder = product, folder
        self.technician, self.reader, self.reviewer = (product.api(name) for name in ("tech", "radiologist", "reviewer"))
        self.cardiologist, self.clinician = product.api("cardiologist"), product.api("clinician")

    def order(self, sender: Sender, complaint: str, question: str, priority: str = "routine", pathway: str | None = None) -> str:
        made = self.technician.post("/api/orders", {
            "site": "QINGSHAN", "modality": sender.ae_title[3:], "body_part": sender.body_part, "complaint": complaint,
            "question": question, "priority": priority, "pathway": pathway, "requesting_doctor": "王晓岚",
            "patient": {"name": sender.name, "patient_id": sender.patient_id, "sex": sender.sex, "birth_date": f"{sender.birth_date}"},
        })  # fmt: skip
        return str(made["accession_number"])

    def send(self, sender: Sender, accession: str = "", days_ago: int = 0, most: int = 999) -> str:
        """One examination by C-STORE; its Study Instance UID."""
        folder = self.folder / generate_uid()
        folder.mkdir()
        paths = write_study(sender, datetime.now(ZONE) - timedelta(days=days_ago, minutes=4), folder)[:most]
        for path in paths if accession else ():
            dataset = pydicom.dcmread(path)
            dataset.AccessionNumber = accession
            dataset.save_as(path, enforce_file_format=True)
        store_files(paths, "127.0.0.1", self.product.dicom_port, called_ae="TELEREAD", calling_ae=sender.ae_title)
        return str(pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)

    def item(self, api: Api, study_uid: str, within_s: float = 40) -> Any:
        def look() -> Any:
            items = api.get(f"/api/worklist?study_instance_uid={study_uid}&state=SCHEDULED,IN%20PROGRESS")["items"]
            return items and items[0]["input_readiness"] == "READY" and items[0]

        return until(look, within_s, "the study to be READY")

    def write(self, api: Api, uid: str, template: str, sections: dict[str, str]) -> int:
        api.post(f"/api/workitems/{uid}/claim")
        saved = api.put(f"/api/workitems/{uid}/report", {"template": template, "sections": sections, "version": 0})
        return int(saved["version"])

    def sign(self, api: Api, study_uid: str, template: str, sections: dict[str, str], **more: str) -> Any:
        uid = self.item(api, study_uid)["workitem_uid"]
        version = self.write(api, uid, template, sections)
        return api.post(f"/api/workitems/{uid}/report/submit", {"pin": PIN, "version": version, **more})

    def verify(self, study_uid: str, version: int) -> Any:
        uid = self.item(self.reviewer, study_uid)["workitem_uid"]
        self.reviewer.post(f"/api/workitems/{uid}/claim")
        return self.reviewer.post(f"/api/workitems/{uid}/report/verify", {"pin": PIN, "version": version})


def person(sender: Sender, name: str, number: str, sex: str, born: date, description: str = "", part: str = "") -> Sender:
    """Another invented person at the same device."""
    return replace(
        sender, name=name, patient_id=f"QS-00{number}", sex=sex, birth_date=born,
        description=description or sender.description, body_part=part or sender.body_part,
    )  # fmt: skip


def play(stage: Stage) -> dict[str, str]:
    """Every state at least once; the identifiers that the pages need."""
    for sender in SENDERS:
        stage.send(sender, days_ago=412)
    first_ct = stage.send(CT, stage.order(CT, "右侧肢体无力 50 分钟，言语不清，否认外伤", "除外脑出血", "stat", "stroke"))
    second_ct = stage.send(person(CT, "邓广林", "31207", "M", date(1975, 5, 2)))
    waiting_ct = stage.send(person(CT, "吕志刚", "31299", "M", date(1987, 1, 8)), stage.order(person(CT, "吕志刚", "31299", "M", date(1987, 1, 8)), "头部外伤 3 小时", "除外颅内出血", "urgent"))
    acknowledged = stage.send(person(DR, "丁梅", "40221", "F", date(1982, 4, 9)))
    returned = stage.send(DR, stage.order(DR, "痰中带血 2 周，消瘦", "排除占位"))
    preliminary = stage.send(person(DR, "何福生", "40777", "M", date(1981, 6, 30)), stage.order(person(DR, "何福生", "40777", "M", date(1981, 6, 30)), "跌倒 1 小时，胸部外伤", "除外骨折、气胸", "urgent"))
    ecg = stage.send(person(ECG, "陆永年", "18301", "M", date(1956, 9, 12)))
    reading_ecg = stage.send(ECG, stage.order(ECG, "胸痛 2 小时，大汗", "除外急性冠脉综合征", "stat", "chest_pain"))
    for name, number, born in (("常玉莲", "40310", date(1960, 8, 1)), ("白晓东", "40312", date(1992, 3, 3))):
        stage.send(person(DR, name, number, "F" if name == "常玉莲" else "M", born))
    stage.order(person(DR, "田小芹", "40999", "F", date(1957, 8, 19)), "咳嗽 1 周", "除外肺炎")
    suggested = person(DR, "崔可欣", "40555", "F", date(2020, 2, 6))
    stage.order(suggested, "发热、咳嗽 3 天", "除外肺炎", "urgent")
    stage.send(suggested)
    report = stage.sign(stage.reader, returned, "dr-chest", NODULES)
    done = stage.sign(stage.reader, acknowledged, "dr-chest", NORMAL_DR)
    stage.sign(stage.reader, preliminary, "dr-chest", NORMAL_DR, preliminary_reason="患者须立即转诊")
    heart = stage.sign(stage.cardiologist, ecg, "ecg-12lead", SINUS)
    head = stage.sign(stage.reader, second_ct, "ct-head", HEAD)
    stage.verify(second_ct, head["version"])
    stage.sign(stage.reader, waiting_ct, "ct-head", HEAD)  # waits for its second signature
    for one, action in ((done, "已知悉"), (heart, "随访观察")):
        stage.clinician.post(f"/api/reports/{one['report_uid']}/acknowledge", {"action": action})
    ct_uid = stage.item(stage.reader, first_ct)["workitem_uid"]
    ecg_uid = stage.item(stage.cardiologist, reading_ecg)["workitem_uid"]
    dr_uid = stage.item(stage.reader, preliminary)["workitem_uid"]
    return {"report": report["report_uid"], "code": report["verify_code"] or "", "ct": ct_uid, "ecg": ecg_uid, "dr": dr_uid}


def trouble(stage: Stage) -> None:
    """After the township's PACS went away: a report that is tried again, an object in quarantine, one arriving."""
    uid = stage.send(person(DR, "段小军", "40821", "M", date(1998, 11, 5)))
    stage.sign(stage.reader, uid, "dr-chest", NORMAL_DR)
    folder = stage.folder / "conflict"
    folder.mkdir()
    sender = person(DR, "韩秀枝", "42817", "F", date(1968, 3, 22))
    path = write_study(sender, datetime.now(ZONE), folder)[0]
    for name in (sender.name, "韩秀芝"):
        dataset = pydicom.dcmread(path)
        dataset.PatientName = f"={name}"
        dataset.save_as(path, enforce_file_format=True)
        store_files([path], "127.0.0.1", stage.product.dicom_port, called_ae="TELEREAD", calling_ae="QS_DR")
    late = person(CT, "彭永福", "31330", "M", date(1957, 3, 14), part="CHEST", description="演示体模 胸部平扫")
    stage.send(late, most=12)


@contextmanager
def signed_in(browser: Browser, product: Product, username: str, size: tuple[int, int]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="zh-CN")
    page = context.new_page()
    page.on("pageerror", lambda error: print(f"{username}: {error}", file=sys.stderr))
    page.goto(f"{product.url}/login")
    if username:
        page.fill("#username", username)
        page.fill("#password", PASSWORD)
        page.click("#login-submit")
        page.wait_for_url(lambda url: "/login" not in url)
    try:
        yield page
    finally:
        context.close()


def save(page: Page, path: Path) -> None:
    """The window as a small PNG; what still moves has a moment to come to rest."""
    page.wait_for_timeout(700)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.save(path, optimize=True)
    if path.stat().st_size > LARGEST_TRUE_COLOUR_BYTES:
        image.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}  {path.stat().st_size // 1000} kB", flush=True)


def typed_order(page: Page) -> None:
    page.wait_for_selector("#sent-rows tr")
    for name, value in (("patient-name", "冯玉珍"), ("patient-id", "QS-0018862"), ("birth-date", "1964-06-02")):
        page.fill(f"#{name}", value)
    page.click('#sex [data-value="F"]')
    page.click('#modality [data-value="ECG"]')
    page.fill("#question", "除外急性冠脉综合征")
    page.fill("#requesting-doctor", "王晓岚")
    page.fill("#complaint", "胸闷、胸痛 2 小时，无放射痛，否认高血压")


def tab(name: str) -> Shot:
    def show(page: Page) -> None:
        page.wait_for_selector('[data-site="QINGSHAN"]')
        page.click('[data-site="QINGSHAN"]')
        page.click(f"#tab-{name}")
        page.wait_for_selector(f"#pane-{name} tbody tr")

    return show


def lossless(page: Page) -> None:
    page.wait_for_selector("canvas[data-quality=lossless]", timeout=20_000)
    page.wait_for_timeout(1500)


def portal_of(name: str) -> Shot:
    def show(page: Page) -> None:
        page.locator(".report-item", has_text=name).first.click()
        page.wait_for_selector("#main-picture canvas, #main-picture svg")
        page.wait_for_timeout(2600)  # opened: the receipt shows on the page

    return show


def reading(workitem_uid: str) -> Shot:
    def show(page: Page) -> None:
        page.goto(f"{page.url.split('/', 3)[0]}//{page.url.split('/', 3)[2]}/read/{workitem_uid}")
        page.wait_for_selector("canvas[data-quality=lossless], #ecg-sheet svg", timeout=20_000)
        page.wait_for_timeout(1500)

    return show


def address(path: str) -> Shot:
    def show(page: Page) -> None:
        page.goto(f"{page.url.split('/', 3)[0]}//{page.url.split('/', 3)[2]}/{path}")
        page.wait_for_load_state("networkidle") if path.startswith("verify") else page.wait_for_timeout(2500)

    return show


def pages(shown: dict[str, str]) -> list[tuple[str, str, Shot]]:
    """(name of the picture, who looks, what is done before)."""
    return [
        ("login", "", lambda page: page.wait_for_function("document.getElementById('login-health').textContent")),
        ("technician", "tech", typed_order),
        ("worklist", "radiologist", lambda page: page.wait_for_selector(".row.item")),
        ("read-dr", "radiologist", reading(shown["dr"])),
        ("read-ct", "radiologist", reading(shown["ct"])),
        ("read-ecg", "cardiologist", reading(shown["ecg"])),
        ("portal", "clinician", portal_of("韩秀芝")),
        ("portal-ecg", "clinician", portal_of("陆永年")),
        ("portal-preliminary", "clinician", portal_of("何福生")),
        ("report", "radiologist", address(f"reports/{shown['report']}")),
        ("admin-sites", "admin", tab("sites")),
        ("admin-deliveries", "admin", tab("deliveries")),
        ("admin-users", "admin", tab("users")),
        ("admin-tokens", "admin", tab("tokens")),
        ("admin-quarantine", "admin", tab("quarantine")),
        ("statistics", "manager", lambda page: page.wait_for_selector(".kpi")),
        ("verify", "", address(f"verify/{shown['code']}")),
    ]


IN_ENGLISH = ("login", "technician", "worklist", "portal", "admin-deliveries")


def switch_language(page: Page) -> None:
    if page.locator("#user-menu").count() == 0:
        return page.click('.languages a[lang="en"]')
    page.click("#user-menu summary")
    with page.expect_navigation():
        page.click("#switch-language")
    return None


def take(browser: Browser, product: Product, target: Path, chosen: set[str], shown: dict[str, str]) -> None:
    for name, username, prepare in pages(shown):
        if chosen and name not in chosen:
            continue
        for size in SIZES:
            with signed_in(browser, product, username, size) as page:
                prepare(page)
                save(page, target / f"{name}-{size[0]}.png")
        if name in IN_ENGLISH:
            with signed_in(browser, product, username, SIZES[0]) as page:
                switch_language(page)
                prepare(page)
                save(page, target / f"{name}-1366-en.png")
                if username:
                    switch_language(page)


def main(target: Path, chosen: set[str]) -> None:
    """Raises what goes wrong: a picture that is not there is a page that does not work."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        with running_product(folder / "product") as product:
            stage = Stage(product, folder)
            with storescp(folder / "pacs", "QS_PACS", port=product.return_port):
                shown = play(stage)
                time.sleep(3)
            trouble(stage)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            take(browser, product, target, chosen, shown)
            browser.close()
    total = sum(path.stat().st_size for path in target.glob("*.png"))
    print(f"{total / 1e6:.1f} MB in {target}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), set(sys.argv[2:]))
    except ApiError as error:
        sys.exit(f"{error}")
