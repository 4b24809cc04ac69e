"""What a doctor waits for at the screen, measured inside Chromium."""

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page
from pydicom.uid import generate_uid

from pacs_bridge.scu import store_files
from tests.peers.instances import new_instance
from tests.peers.product import PASSWORD, Product, until

EPOCH_NOW = "performance.timeOrigin + performance.now()"
# Notes, for every patient's name asked for, when the browser first drew a row with it.
_WATCH = """() => {
  window.seenAt = {};
  const look = () => {
    for (const row of document.querySelectorAll("#rows .row.item")) {
      const name = row.querySelector("b")?.textContent ?? "";
      if (!(name in window.seenAt)) {
        window.seenAt[name] = null;
        requestAnimationFrame(() => { window.seenAt[name] = performance.timeOrigin + performance.now(); });
      }
    }
  };
  new MutationObserver(look).observe(document.getElementById("rows"), { childList: true, subtree: true });
  look();
}"""
_FIRST_PIXELS = """() => {
  const [mark] = performance.getEntriesByName("teleread:first-pixels");
  return mark ? performance.timeOrigin + mark.startTime : null;
}"""


def log_in(browser: Browser, product: Product, username: str) -> Page:
    """A page in a context of its own (nothing cached), on the person's start page."""
    page = browser.new_context(viewport={"width": 1920, "height": 1080}, locale="zh-CN").new_page()
    page.goto(f"{product.url}/login")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/login" not in url)
    page.wait_for_selector("#rows", state="attached")
    return page


def watched_worklist(browser: Browser, product: Product) -> Page:
    page = log_in(browser, product, "radiologist")
    time.sleep(1.0)  # its stream is open and its list loaded
    page.evaluate(_WATCH)
    return page


def send_study(product: Product, folder: Path, name: str, ae_title: str = "QS_DR", n_images: int = 1, **tags: Any) -> tuple[str, float]:
    """One study under that name; its UID, and when (epoch, s) its last C-STORE was answered."""
    study_uid, series_uid = generate_uid(), generate_uid()
    paths = []
    for number in range(1, n_images + 1):
        dataset = new_instance(
            PatientName=f"={name}", PatientID=f"B-{name}", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid,
            InstanceNumber=number, **tags,
        )  # fmt: skip
        paths.append(folder / f"{dataset.SOPInstanceUID}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    answered: list[float] = []
    results = store_files(
        paths, "127.0.0.1", product.dicom_port, "TELEREAD", ae_title, progress=lambda _: answered.append(time.time())
    )
    assert {result.outcome for result in results} == {"accepted"}, results
    return study_uid, answered[-1]


def seen_after_s(page: Page, name: str, since: float) -> float:
    """Seconds from ``since`` (epoch) until the row was drawn; negative would mean before."""
    at = until(lambda: page.evaluate("(name) => window.seenAt[name] ?? null", name), 15, f"the row of {name}")
    return float(at) / 1000 - since


def first_pixels_s(browser: Browser, product: Product, name: str) -> float:
    """Claim in a fresh browser until the first pixels of the image stand on the canvas."""
    page = log_in(browser, product, "radiologist")
    row = page.locator("#rows .row.item", has_text=name).first
    row.click()
    began = page.evaluate(EPOCH_NOW)
    page.keyboard.press("Enter")
    page.wait_for_url("**/read/*")
    drawn = until(lambda: page.evaluate(_FIRST_PIXELS), 15, "the first pixels")
    page.context.close()
    return float(drawn - began) / 1000
