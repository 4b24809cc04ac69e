"""``make bench``: measures what a person waits for and what the machine gives, into docs/benchmarks.md."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.benchmarks import document, pages, queries
from tests.benchmarks.processes import cpu_share, pss_bytes, tree
from tests.benchmarks.streams import measure_streams
from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.peers.dcmtk import storescp
from tests.peers.product import PIN, Product, running_product, until

N = 5  # repetitions of what varies
N_STREAMS = 200
IDLE_S = 20.0
SECTIONS = {"findings": "胸廓对称，气管居中。双肺野清晰，未见实质性病变。", "impression": "心、肺、膈未见明显异常。"}

Row = tuple[str, str, str, int]  # what, target, value, repetitions


def main() -> int:
    """Measure everything and write the table."""
    rows: list[Row] = []

    def add(what: str, target: str, value: str, count: int = 1) -> None:
        rows.append((what, target, value, count))
        print(f"{what}: {value} (target {target}, n = {count})", flush=True)

    os.environ["TELEREAD_KEEP"] = "1"  # the second start needs what the first one made
    with tempfile.TemporaryDirectory(prefix="teleread-bench-") as folder:
        work = Path(folder)
        (work / "files").mkdir()
        with _started(work) as (product, first_s):
            add("first start (demo county made) → /healthz 200", "—", _s(first_s))
            _arrival(product, work, add)
            _reports(product, work, add)
            _streams(product, work, add)
        _starts_and_idle(work, add)
    document.replace_section("bench", _table(rows))
    return queries.main([])


@contextmanager
def _started(work: Path) -> Any:
    """A running product and how long it took from the command to /healthz 200 (looked at every 0.1 s)."""
    began = time.monotonic()
    with running_product(work / "product") as product:
        yield product, time.monotonic() - began


def _arrival(product: Product, work: Path, add: Callable[..., None]) -> None:
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = pages.watched_worklist(browser, product)
        seen, ready, names = [], [], [f"测速{number}" for number in "甲乙丙丁戊己"]
        for name in names:
            study_uid, answered = pages.send_study(product, work / "files", name, Modality="CR")
            seen.append(pages.seen_after_s(page, name, answered))
            ready.append(_ready_at(product, study_uid) - answered)
        add("last C-STORE response → row drawn in an open worklist", "≤ 2 s", _median(seen), len(seen))
        add("last C-STORE response → READY, DR (quiet time 0 s)", "≤ 1 s", _median(ready), len(ready))
        study_uid, answered = pages.send_study(product, work / "files", "测速断层", "QS_CT", 40)
        waited = _ready_at(product, study_uid) - answered
        add("last C-STORE response → READY, CT of 40 images (quiet time 20 s)", "≤ 21 s", _s(waited))
        page.context.close()
        pixels = [pages.first_pixels_s(browser, product, name) for name in names]
        add("claim → first pixels, new browser, nothing cached", "≤ 0.7 s", _median(pixels), len(pixels))
        browser.close()


def _ready_at(product: Product, study_uid: str) -> float:
    """When the study became READY, epoch seconds."""

    def look() -> Any:
        items = product.api("radiologist").get(f"/api/worklist?study_instance_uid={study_uid}")["items"]
        return items and items[0]["ready_at"]

    return datetime.fromisoformat(until(look, 40, "the study to be READY", pause_s=0.05)).timestamp()


def _draft(product: Product, work: Path, name: str) -> tuple[str, int]:
    """A new claimed study with a draft: its workitem and the draft's version."""
    reader = product.api("radiologist")
    study_uid, _ = pages.send_study(product, work / "files", name, Modality="CR")
    _ready_at(product, study_uid)
    uid = reader.get(f"/api/worklist?study_instance_uid={study_uid}")["items"][0]["workitem_uid"]
    reader.post(f"/api/workitems/{uid}/claim")
    body = {"template": "dr-chest", "sections": SECTIONS, "version": 0}
    return uid, reader.put(f"/api/workitems/{uid}/report", body)["version"]


def _reports(product: Product, work: Path, add: Callable[..., None]) -> None:
    reader, shown, signed, both, accepted = product.api("radiologist"), [], [], [], []
    with storescp(work / "pacs", "QS_PACS", port=product.return_port):
        for number in range(2 * N):
            uid, version = _draft(product, work, f"报告{number}")
            path, is_prepared = f"/api/workitems/{uid}/report", number % 2 == 0
            if is_prepared:
                began = time.monotonic()
                reader.get(reader.post(f"{path}/prepare", {"version": version})["pdf"])
                shown.append(time.monotonic() - began)
            began, began_at = time.monotonic(), time.time()
            report = reader.post(f"{path}/submit", {"pin": PIN, "version": version})
            reader.get(report["pdf"])
            (signed if is_prepared else both).append(time.monotonic() - began)
            accepted.append(_accepted_at(product, report["report_uid"]) - began_at)
    add("open the sign dialog → the document in hand", "—", _median(shown), len(shown))
    add("submit → signed PDF in hand, document prepared in the dialog", "≤ 1.5 s", _median(signed), len(signed))
    add("submit → signed PDF in hand, nothing prepared", "≤ 1.5 s", _median(both), len(both))
    add("submit → 0x0000 from the township's storescp", "≤ 3 s", _median(accepted), len(accepted))


def _accepted_at(product: Product, report_uid: str) -> float:
    def look() -> Any:
        rows = product.api("radiologist").get(f"/api/reports/{report_uid}/deliveries")["deliveries"]
        return next((row["accepted_at"] for row in rows if row["channel"] == "dicom"), None)

    return datetime.fromisoformat(until(look, 20, "the delivery", pause_s=0.05)).timestamp()


def _streams(product: Product, work: Path, add: Callable[..., None]) -> None:
    reader = product.api("radiologist")
    uids = []
    for number in range(N):
        study_uid, _ = pages.send_study(product, work / "files", f"流{number}", Modality="CR")
        _ready_at(product, study_uid)
        uids.append(reader.get(f"/api/worklist?study_instance_uid={study_uid}")["items"][0]["workitem_uid"])

    def claiming(uid: str) -> Callable[[], str]:
        def act() -> str:
            reader.post(f"/api/workitems/{uid}/claim")
            return uid

        return act

    figures = measure_streams(product, product.api("radiologist2").token, N_STREAMS, [claiming(uid) for uid in uids])
    delays = sorted(figures.delays_s)
    p95 = delays[int(len(delays) * 0.95) - 1] if delays else float("nan")
    missing = figures.n_expected - len(delays)
    lost = f", {missing} not heard" if missing else ""
    add(f"{N_STREAMS} open streams: claim sent → heard by a stream, p95", "≤ 500 ms", f"{p95 * 1000:.0f} ms{lost}", N)
    add(f"{N_STREAMS} open streams: PSS of the web role per stream", "≤ 100 kB", f"{figures.per_stream_bytes / 1000:.0f} kB")


def _starts_and_idle(work: Path, add: Callable[..., None]) -> None:
    starts = []
    for number in range(3):
        with _started(work) as (product, start_s):
            starts.append(start_s)
            if number < 2:
                continue
            time.sleep(10)  # warmed up, nothing to do
            root = product.process.pid
            share = cpu_share(root, IDLE_S)
            processes = tree(root)
            add("second start → /healthz 200", "≤ 5 s", _median(starts), len(starts))
            add(f"idle: CPU of all {len(processes)} processes over {IDLE_S:.0f} s", "≤ 2 % of a core", f"{share:.1%}")
            add("idle: PSS of all processes", "≤ 600 MB", f"{pss_bytes(processes) / 1e6:.0f} MB")


def _s(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s (worst {max(values):.2f} s)"


def _table(rows: list[Row]) -> str:
    load = os.getloadavg()[0]
    head = (
        f"{document.now()} UTC, commit {document.commit()}, {document.machine()}, load {load:.1f} at the end. "
        "SQLite, everything on one machine. Medians.\n\n| what | target | measured | n |\n|---|---|---|---|\n"
    )
    return head + "\n".join(f"| {what} | {target} | {value} | {count} |" for what, target, value, count in rows)


if __name__ == "__main__":
    sys.exit(main())
