"""Every page and component drawn with sample data, to be looked at beside the design pictures.

``python -m tests.browser.gallery OUT [page …]`` writes OUT/<page>-<width>.png at 1366×768, 1920×1080 and at 200 % zoom.
The people are invented; the radiograph and the slice come from the packages pydicom-data and pydicom.
"""

import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from PIL import Image
from playwright.sync_api import sync_playwright
from pydicom import dcmread
from pydicom.data import get_testdata_file

from worklist.base.i18n import translate

ROOT = Path(__file__).parents[2]
SIZES = ((1366, 768), (1920, 1080), (683, 384))  # the last is 1366×768 at 200 %
ROLES = {
    "worklist": ("reader", "陈知远"), "read_dr": ("reader", "陈知远"), "read_ct": ("reader", "陈知远"),
    "technician": ("technician", "李青禾"), "portal": ("clinician", "王晓岚"), "report": ("clinician", "王晓岚"),
    "admin": ("admin", "赵启航"), "statistics": ("manager", "许静姝"),
}  # fmt: skip
TEMPLATES = {"read_dr": "read.html", "read_ct": "read.html", "components_dark": "", "components_light": ""}
PAGES = ("login", "worklist", "read_dr", "read_ct", "technician", "portal", "report", "admin", "statistics",
         "verify", "error", "components_dark", "components_light")  # fmt: skip
SHOWN_REPORT = {
    "masked_name": "郑**", "sex": "M", "exam": "CT 胸部增强", "date": "2026-11-18", "status": "final", "revision": 1,
    "site": "青山镇卫生院", "sha256": "3a7f51c0" * 8,
    "signatures": [
        {"role": "reporting", "name": "陈知远", "at": "2026-11-18 15:12"},
        {"role": "reviewing", "name": "周敏仪", "at": "2026-11-18 15:38"},
    ],
}  # fmt: skip
NOTICE = "11-20 22:00–22:30 服务器维护，期间检查照常接收、排队送达"
COMPONENTS = """{% extends "base.html" %}{% block theme %}THEME{% endblock %}{% block page %}components{% endblock %}
{% block body_class %}plain{% endblock %}{% block frame %}<main class="gallery" id="content"></main>{% endblock %}"""


def write_image(path: Path, name: str) -> None:
    """A stored image stretched over its own range, as JPEG."""
    pixels = dcmread(get_testdata_file(name)).pixel_array.astype(float)
    low, high = numpy.percentile(pixels, (1, 99.5))
    Image.fromarray((numpy.clip((pixels - low) / (high - low), 0, 1) * 255).astype("uint8")).save(path)


def render(page: str, language: str, out: Path) -> Path:
    """One page as a file of its own, with the styles and the sample script beside it."""
    folders = [ROOT / package / "templates" for package in ("worklist", "reports", "viewer")]
    loader = ChoiceLoader([FileSystemLoader(folder) for folder in folders])
    environment = Environment(loader=loader, autoescape=True)
    role, name = ROLES.get(page, ("reader", "陈知远"))
    actor = SimpleNamespace(account_id=7, username="chenzhiyuan", name=name, role=role, site_code="QINGSHAN")
    values: dict[str, Any] = {
        "t": lambda key, **more: translate(key, language, **more), "lang": language, "csrf_token": "x",
        "asset": {"css": "gallery.css", "main": "gallery.js"}.__getitem__, "actor": actor,
        "request": SimpleNamespace(cookies={}), "workitem_uid": "1.2.3", "report_uid": "1.2.4",
        "site_name": "清河县远程诊断中心", "outcome": "valid", "report": SHOWN_REPORT, "timezone": "Asia/Shanghai",
        "status": 404, "code": "not_found", "message": None, "username": "chenzhiyuan",
        "error": translate("errors.invalid_credentials", language, remaining=3),
        "notice": {"date": date(2026, 11, 18).isoformat(), "text": NOTICE},
    }  # fmt: skip
    if page.startswith("components"):
        template = environment.from_string(COMPONENTS.replace("THEME", page.removeprefix("components_")))
    else:
        template = environment.get_template(TEMPLATES.get(page, f"{page}.html"))
    path = out / f"{page}.html"
    html = template.render(**values).replace("<body ", f'<body data-sample="{page}" ')
    path.write_text(html, "utf-8")
    return path


def build(out: Path) -> None:
    frontend = ROOT / "viewer" / "frontend"
    command = ["node", "build.mjs", "--out", str(out), "--main", str(ROOT / "tests" / "browser" / "gallery.ts")]
    subprocess.run(command, cwd=frontend, check=True, timeout=120)
    for kind in ("js", "css"):
        next(out.glob(f"main-*.{kind}")).rename(out / f"gallery.{kind}")


def main(target: Path, pages: tuple[str, ...], language: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(folder)
        build(out)
        write_image(out / "dr.jpg", "RG1_UNCR.dcm")
        write_image(out / "ct.jpg", "CT_small.dcm")
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                  "--allow-file-access-from-files"],
        )  # fmt: skip
        for page_name in pages:
            address = render(page_name, language, out).as_uri()
            for width, height in SIZES:
                page = browser.new_page(viewport={"width": width, "height": height})
                page.on("console", lambda message: print(message.text, file=sys.stderr))
                page.on("pageerror", lambda error: print(error, file=sys.stderr))
                page.goto(address)
                page.wait_for_timeout(300)
                name = f"{page_name}-{width}{'' if language == 'zh' else '-en'}.png"
                page.screenshot(path=target / name, full_page=width < 1000)
                page.close()
        browser.close()


if __name__ == "__main__":
    chosen = tuple(name for name in sys.argv[2:] if name not in ("zh", "en")) or PAGES
    main(Path(sys.argv[1]), chosen, "en" if "en" in sys.argv[2:] else "zh")
