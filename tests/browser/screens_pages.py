"""Every page and dialog that a picture is taken of: who looks, and what is done before."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import FilePayload, Page, expect

from tests.browser.screens_stage import HEAD, SINUS

Prepare = Callable[[Page], Any]


@dataclass(frozen=True)
class Picture:
    """``is_page``: a page of its own, shown in both sizes; otherwise a state of one, or only a ``part`` of it."""

    name: str
    username: str
    prepare: Prepare
    is_page: bool = False
    part: str = ""


def go(page: Page, path: str) -> None:
    parts = urlsplit(page.url)
    page.goto(f"{parts.scheme}://{parts.netloc}/{path}")


def address(path: str) -> Prepare:
    def show(page: Page) -> None:
        go(page, path)
        page.wait_for_timeout(2000)

    return show


def press(*keys: str) -> Prepare:
    def show(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)

    return show


def then(*steps: Prepare) -> Prepare:
    def show(page: Page) -> None:
        for step in steps:
            step(page)

    return show


def click(selector: str, text: str | None = None) -> Prepare:
    def show(page: Page) -> None:
        place = page.locator(selector, has_text=text) if text else page.locator(selector)
        place.first.click()
        page.wait_for_timeout(400)

    return show


def shown(selector: str) -> Prepare:
    return lambda page: page.wait_for_selector(selector, timeout=20_000)


def wrong_password(page: Page) -> None:
    page.fill("#username", "radiologist2")
    page.fill("#password", "not-the-password")
    page.click("#login-submit")
    page.wait_for_selector("#login-error:not([hidden])")


def typed_order(page: Page, name: str = "冯玉珍", number: str = "QS-0018862") -> None:
    page.wait_for_selector("#sent-rows tr")
    for field, value in (("patient-name", name), ("patient-id", number), ("birth-date", "1964-06-02")):
        page.fill(f"#{field}", value)
    page.click('#sex [data-value="F"]')
    page.click('#modality [data-value="ECG"]')
    page.fill("#question", "除外急性冠脉综合征")
    page.fill("#requesting-doctor", "王晓岚")
    page.fill("#complaint", "胸闷、胸痛 2 小时，无放射痛，否认高血压")


def registered_order(page: Page) -> None:
    typed_order(page)
    page.click("#order-submit")
    page.wait_for_selector("#order-result:not([hidden])")


def incomplete_order(page: Page) -> None:
    page.wait_for_selector("#sent-rows tr")
    page.fill("#birth-date", "1964-13-40")
    page.click("#order-submit")


def upload_asks(page: Page) -> None:
    page.wait_for_selector("#sent-rows tr")
    names = ("E0001.hea", "E0001.mat")
    page.set_input_files("#files", [FilePayload(name=name, mimeType="", buffer=bytes(120_000)) for name in names])
    page.wait_for_selector(".dialog")


def upload_refused(page: Page) -> None:
    page.wait_for_selector("#sent-rows tr")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "E0002.pdf")
        path.write_bytes(b"%PDF-1.7 no ecg")
        page.set_input_files("#files", path)
        page.fill("#upload-patient_name", "冯玉珍")
        page.locator(".dialog footer .btn.primary").click()
        page.wait_for_selector(".upload-error")


def tab(name: str) -> Prepare:
    def show(page: Page) -> None:
        page.wait_for_selector('[data-site="QINGSHAN"]')
        page.click('[data-site="QINGSHAN"]')
        page.click(f"#tab-{name}")
        page.wait_for_selector(f"#pane-{name} tbody tr")
        page.wait_for_timeout(800)

    return show


def repairing(study_uid: str, name: str) -> Prepare:
    """The study that is wrong, and beside it a request of whom it may belong to."""

    def show(page: Page) -> None:
        go(page, f"admin/repair#{study_uid}")
        page.wait_for_selector("#study-left .person-card")
        page.fill("#side-right input", name)
        page.click("#side-right form button")
        page.click("#found-right [data-order]")
        page.wait_for_selector("#study-right .waiting-order")
        page.wait_for_selector("#history table")

    return show


def opened(path: str, selector: str) -> Prepare:
    """A page beside the first one, and something in it."""
    return then(lambda page: go(page, path), shown(selector))


def portal_of(name: str) -> Prepare:
    def show(page: Page) -> None:
        page.locator(".report-item", has_text=name).first.click()
        page.wait_for_selector("#main-picture canvas, #main-picture svg")
        page.wait_for_timeout(2600)  # opened: the receipt shows on the page

    return show


def reading(workitem_uid: str) -> Prepare:
    def show(page: Page) -> None:
        go(page, f"read/{workitem_uid}")
        page.wait_for_selector("canvas[data-quality=lossless], #ecg-sheet svg", timeout=20_000)
        page.wait_for_timeout(1500)

    return show


def written(sections: dict[str, str]) -> Prepare:
    """Claimed by whoever looks, and the text in its place."""

    def show(page: Page) -> None:
        if page.locator("#claim").is_visible():
            page.click("#claim")
        for name, text in sections.items():
            expect(page.locator(f"#{name}")).to_be_editable(timeout=10_000)
            page.fill(f"#{name}", text)
        expect(page.locator("#saved-state")).not_to_be_empty(timeout=10_000)
        page.wait_for_timeout(2500)

    return show


def signing(page: Page) -> None:
    page.locator("#sign:not([disabled])").wait_for()
    page.keyboard.press("Control+Enter")


def searched(page: Page) -> None:
    page.wait_for_selector(".row.item")
    page.fill("#search", "zzz")
    page.wait_for_timeout(1500)


def site_pages(known: dict[str, str]) -> list[Picture]:
    """The technician's, the clinician's and the public pages."""
    return [
        Picture("login", "", lambda page: expect(page.locator("#login-health")).not_to_be_empty(), is_page=True),
        Picture("login-refused", "", wrong_password, part=".login-form"),
        Picture("technician", "tech", typed_order, is_page=True),
        Picture("technician-incomplete", "tech", incomplete_order, part=".intake"),
        Picture("technician-match", "tech", then(shown(".attention-card"), click(".attention-card .btn"), shown(".dialog")), part=".dialog"),
        Picture("technician-upload", "tech", upload_asks, part=".dialog"),
        Picture("technician-upload-refused", "tech", upload_refused, part=".intake"),
        Picture("technician-empty", "tech2", lambda page: page.wait_for_timeout(1500)),
        Picture("portal", "clinician", portal_of("韩秀芝"), is_page=True),
        Picture("portal-ecg", "clinician", portal_of("陆永年"), is_page=True),
        Picture("portal-preliminary", "clinician", portal_of("何福生"), is_page=True),
        Picture("portal-in-progress", "clinician", then(click('[data-filter="in_progress"]'), click(".report-item"), lambda page: page.wait_for_timeout(1500))),
        Picture("portal-empty", "clinician2", lambda page: page.wait_for_timeout(1500)),
        Picture("report", "radiologist", address(f"reports/{known['report']}"), is_page=True),
        Picture("report-pdf", "radiologist", then(address(f"reports/{known['report']}"), click("#report-pdf-link"), lambda page: page.wait_for_timeout(1500)), part=".dialog"),
        Picture("verify", "", address(f"verify/{known['code']}"), is_page=True),
        Picture("verify-unknown", "", address("verify/AAAA-BBBB-CCCC-DDDD")),
        Picture("error-not-found", "clinician", address("reports/1.2.3")),
        Picture("error-forbidden", "tech", address("admin")),
        Picture("statistics", "manager", shown(".kpi"), is_page=True),
        Picture("technician-registered", "tech", registered_order, part=".intake"),
    ]  # fmt: skip


def reader_pages(known: dict[str, str]) -> list[Picture]:
    rows = shown(".row.item")
    pause: Prepare = lambda page: page.wait_for_timeout(1500)  # noqa: E731
    return [
        Picture("worklist", "radiologist", rows, is_page=True),
        Picture("worklist-preview", "radiologist", then(rows, click(".row.item", "崔可欣"), press("p"), pause), part=".preview"),
        Picture("worklist-none-found", "radiologist", searched),
        Picture("worklist-reassign", "radiologist", then(rows, click(".row.item", "白晓东"), press("z"), shown(".dialog")), part=".dialog"),
        Picture("worklist-reviewer", "reviewer", then(rows, click('[data-mine="verify"]'), pause)),
        Picture("keys", "radiologist", then(reading(known["dr"]), press("Shift+Slash"), shown(".dialog")), part=".dialog"),
        Picture("break-glass", "radiologist", then(rows, click("#user-menu summary"), click("#break-glass"), shown(".dialog")), part=".dialog"),
        Picture("user-menu", "radiologist", then(rows, click("#user-menu summary"))),
        Picture("read-dr", "radiologist", reading(known["dr"]), is_page=True),
        Picture("read-unclaimed", "radiologist2", reading(known["ct"])),
        Picture("read-ct", "radiologist", then(reading(known["ct"]), written(HEAD)), is_page=True),
        Picture("read-ecg", "cardiologist", then(reading(known["ecg"]), written(SINUS)), is_page=True),
        Picture("read-held", "radiologist2", reading(known["ct"])),
        Picture("read-order", "radiologist", then(reading(known["ct"]), click("#tab-order")), part="#report-panel"),
        Picture("read-priors", "radiologist", then(reading(known["ct"]), click("#tab-priors")), part="#report-panel"),
        Picture("read-phrases", "radiologist", then(reading(known["dr"]), click("#insert-phrase")), part="#report-panel"),
        Picture("read-more", "radiologist", then(reading(known["dr"]), click("#more-actions")), part="#report-panel"),
        Picture("read-sign", "radiologist", then(reading(known["dr"]), signing, shown(".dialog iframe"), pause), part=".dialog"),
        Picture("read-refused", "radiologist2", then(reading(known["refused"]), signing, shown(".toast.error")), part="#report-panel"),
        Picture("read-verify", "reviewer", reading(known["verify"])),
        Picture("read-return", "reviewer", then(reading(known["verify"]), press("F7"), shown(".dialog")), part=".dialog"),
        Picture("read-conflict", "radiologist", reading(known["conflict"])),
        Picture("read-conflict-dialog", "radiologist", then(reading(known["conflict"]), click('[data-notice="conflict"] button'), shown(".dialog")), part=".dialog"),
    ]  # fmt: skip


def admin_pages(known: dict[str, str]) -> list[Picture]:
    sites, users, repaired = tab("sites"), tab("users"), repairing(known["mistaken"], "田小芹")
    dialog = shown(".dialog")
    return [
        Picture("admin-sites", "admin", sites, is_page=True),
        Picture("admin-site-form", "admin", then(sites, click("#edit-site"), dialog), part=".dialog"),
        Picture("admin-device-form", "admin", then(sites, click("#add-device"), dialog), part=".dialog"),
        Picture("admin-deliveries", "admin", then(tab("deliveries"), click("#delivery-rows tr", "DICOM PDF")), is_page=True),
        Picture("admin-deliveries-all", "admin", then(tab("deliveries"), click('#queue-filter [data-filter="all"]'), click("#delivery-rows tr", "韩秀芝"))),
        Picture("admin-commitments", "admin", then(tab("deliveries"), click("#show-commitments"), shown("#commitment-rows tr")), is_page=True),
        Picture("admin-users", "admin", users, is_page=True),
        Picture("admin-user-form", "admin", then(users, click('[data-user="radiologist"] .actions .link >> nth=-1'), dialog), part=".dialog"),
        Picture("admin-password", "admin", then(users, click('[data-user="radiologist"] .actions .link >> nth=1'), dialog), part=".dialog"),
        Picture("admin-revoke", "admin", then(users, click('[data-user="radiologist"] .actions .link >> nth=0'), dialog), part=".dialog"),
        Picture("admin-tokens", "admin", tab("tokens"), is_page=True),
        Picture("admin-token-revoke", "admin", then(tab("tokens"), click('#token-rows tr[data-user="reviewer"] .link'), dialog), part=".dialog"),
        Picture("admin-quarantine", "admin", tab("quarantine"), is_page=True),
        Picture("admin-quarantine-header", "admin", then(tab("quarantine"), click("#quarantine-rows .link >> nth=0"), dialog), part=".dialog"),
        Picture("admin-quarantine-settle", "admin", then(tab("quarantine"), click("#quarantine-rows .link >> nth=-1"), dialog), part=".dialog"),
        Picture("admin-persons", "admin", then(opened("admin/persons", "#linked article"), shown("#proposals article")), is_page=True),
        Picture("admin-repair", "admin", repaired, is_page=True),
        Picture("admin-repair-move", "admin", then(repaired, click("#acts .primary"), dialog), part=".dialog"),
        Picture("admin-audit", "admin", opened("admin/audit", "#audit-rows tr"), is_page=True),
    ]  # fmt: skip


def pages(known: dict[str, str]) -> list[Picture]:
    """In the order in which they are taken; ``known`` are the identifiers of the stage."""
    arriving = Picture("read-arriving", "radiologist2", reading(known["arriving"]))  # first: it is complete after 20 s
    return [arriving, *reader_pages(known), *site_pages(known), *admin_pages(known)]
