"""DICOMweb beside Orthanc's plugin in the same run, by the same ``wrk``; by hand: ``python -m tests.benchmarks.dicomweb``.

Both hold the same 250 CT slices and 30 more studies. Ours asks who it is (Bearer), whether they see the study, and
writes the audit row; Orthanc's is open. Frames are asked for one after another through the series, as a reader does.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pacs_bridge.scu import store_files
from tests.benchmarks import document
from tests.benchmarks.ingest import make_loads
from tests.peers.dcmtk import require
from tests.peers.orthanc import running_orthanc
from tests.peers.product import running_product, until

ROUNDS, SECONDS, N_SLICES, N_STUDIES = 5, 5, 250, 30
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
RAW = 'multipart/related; type="application/octet-stream"'
KINDS = ("QIDO studies, limit=25", f"series metadata, {N_SLICES} slices", "raw CT frame (512 × 512, 16 bit)")
TARGETS = (5.0, 5.0, 1.2)
SCRIPT = """
local paths = {{{paths}}}
local n = 0
request = function()
  n = n % #paths + 1
  return wrk.format("GET", paths[n])
end
"""


def send(files: list[Path], port: int, called: str) -> None:
    results = store_files(files, "127.0.0.1", port, called, "QS_CT")
    assert {result.outcome for result in results} == {"accepted"}, results[0]


def requests_per_s(url: str, paths: list[str], headers: dict[str, str], work: Path) -> float:
    """``wrk -t1 -c4`` over the paths in turn; anything but 2xx is a failure."""
    script = work / "paths.lua"
    script.write_text(SCRIPT.format(paths=",".join(json.dumps(path) for path in paths)), "utf-8")
    sent = [argument for name, value in headers.items() for argument in ("-H", f"{name}: {value}")]
    command = [require("wrk"), "-t1", "-c4", f"-d{SECONDS}s", "--timeout", "20s", "-s", str(script), *sent, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return max(float(found[1]), 1 / SECONDS)  # not one answer within the time: at most this many


def load_of(url: str, study: str, series: str, headers: dict[str, str]) -> dict[str, list[str]]:
    """The three kinds of requests as paths."""
    base = f"/dicom-web/studies/{study}/series/{series}"
    asked = urllib.request.Request(f"{url}{base}/metadata", headers={**headers, "Accept": "application/dicom+json"})
    with urllib.request.urlopen(asked, timeout=120) as answer:
        items: list[dict[str, Any]] = json.load(answer)
    assert len(items) == N_SLICES
    frames = [f"{base}/instances/{item['00080018']['Value'][0]}/frames/1" for item in items]
    return dict(zip(KINDS, (["/dicom-web/studies?limit=25"], [f"{base}/metadata"], frames), strict=True))


def measure(work: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Requests per second by kind and server."""
    ct = make_loads(work / "sources")[0]
    ct.count = N_SLICES
    series_files = [path for share in ct.write(work / "series") for path in share]
    ct.count = 1
    studies = [share[0] for number in range(N_STUDIES) for share in ct.write(work / f"study{number}")[:1]]
    rates: dict[str, dict[str, list[float]]] = {kind: {"teleread": [], "Orthanc": []} for kind in KINDS}
    with running_product(work / "product") as product, running_orthanc(work / "orthanc", Plugins=[PLUGIN]) as orthanc:
        for files in (series_files, *([path] for path in studies)):
            send(files, product.dicom_port, "TELEREAD")
            send(files, orthanc.dicom_port, "ORTHANC")
        from pydicom import dcmread

        first = dcmread(series_files[0], stop_before_pixels=True)
        uids = str(first.StudyInstanceUID), str(first.SeriesInstanceUID)
        bearer = {"Authorization": f"Bearer {product.api('radiologist').token}"}
        until(lambda: product.api("radiologist").get(f"/api/studies/{uids[0]}/display")["series"], 60, "the study")
        _quiet(product.url, uids[0], bearer)
        servers: list[tuple[str, str, dict[str, str]]] = [("teleread", product.url, bearer), ("Orthanc", orthanc.url, {})]
        loads = {name: load_of(url, *uids, headers) for name, url, headers in servers}
        for _ in range(rounds):
            for kind in KINDS:
                for name, url, headers in servers:
                    accept = {"Accept": RAW if "frame" in kind else "application/dicom+json"}
                    rates[kind][name].append(requests_per_s(url, loads[name][kind], {**headers, **accept}, work))
    return rates


def _quiet(url: str, study: str, bearer: dict[str, str]) -> None:
    """Until the worker has derived everything: it shares the cores."""

    def is_done() -> bool:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/api/studies/{study}/display", headers=bearer)) as answer:
            series = json.load(answer)["series"]
        return all(item["state"] == "ready" for one in series for item in one["instances"])

    until(is_done, 300, "the images to be derived", pause_s=1.0)


def add_rows(add: Callable[..., None], rates: dict[str, dict[str, list[float]]]) -> None:
    for (kind, by_server), target in zip(rates.items(), TARGETS, strict=True):
        ours, theirs = (statistics.median(by_server[name]) for name in ("teleread", "Orthanc"))
        value = f"{ours:.0f}/s, Orthanc {theirs:.0f}/s: {ours / theirs:.1f} ×"
        add(f"DICOMweb, {kind}; wrk -t1 -c4", f"≥ {target} × Orthanc's plugin", value, len(by_server["teleread"]))


def main() -> int:
    """Measure, print the rows, and with enough rounds write them down."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.dicomweb", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="teleread-dicomweb-") as folder:
        (Path(folder) / "sources").mkdir()
        rates = measure(Path(folder), options.rounds)
    rows: list[str] = []
    add_rows(lambda what, target, value, n: rows.append(f"| {what} | {target} | {value} | {n} |"), rates)
    print("\n".join(rows))
    if options.rounds >= ROUNDS:
        head = f"{document.now()} UTC, commit {document.commit()}, {document.machine()}, load {os.getloadavg()[0]:.1f}. Medians."
        document.replace_section("dicomweb", "\n".join([head, "", "| what | target | measured | n |", "|---|---|---|---|", *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
