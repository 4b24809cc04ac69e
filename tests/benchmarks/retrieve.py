"""What the listener's memory does while a study of thousands of images is moved and fetched; by hand.

``python -m tests.benchmarks.retrieve [images]``: DCMTK has an imported study moved to a DCMTK destination and
fetches it by C-GET. The memory is that of the listener and everything below it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import update

from tests.benchmarks import document
from tests.benchmarks.processes import pss_bytes, tree
from tests.peers.dcmtk import require
from tests.peers.instances import new_instance
from tests.peers.ports import free_port
from tests.peers.product import takes_connections, until
from tests.peers.roles import REPOSITORY, Roles, roles_of_a_county
from worklist.base.db import Database
from worklist.migrations.metadata import metadata
from worklist.tables import Device

N_IMAGES, SIDE = 5_000, 128
STUDY = "1.2.826.0.1.3680043.9.5000"
MOST_GROWTH_MB = 64


def main() -> int:
    """Measure and write the section; 1 when memory grew more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="?", type=int, default=N_IMAGES)
    n_images = parser.parse_args().images
    rows = ["| what | images | seconds | memory before | highest | growth (≤ 64 MB) |", "|---|---|---|---|---|---|"]
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="teleread-retrieve-") as folder, roles_of_a_county(Path(folder)) as roles:
        _allow(roles.data_dir, port := free_port())
        listener = _start(roles.environ, Path(folder))
        try:
            until(lambda: takes_connections(roles.dicom_port), 30, "the listener")
            _fill(roles, Path(folder) / "files", n_images)
            keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}"]
            own = ["-aet", "QS_CT", "-aec", "TELEREAD", *keys, "127.0.0.1", str(roles.dicom_port)]
            with _destination(port, Path(folder)):
                for name, command in (
                    ("C-MOVE", ["movescu", "-S", "-aem", "QS_WS", *own]),
                    ("C-GET", ["getscu", "-S", "--ignore", *own]),
                ):
                    seconds, before, highest = _measured(command, listener.pid)
                    worst = max(worst, highest - before)
                    rows.append(
                        f"| {name} | {n_images} | {seconds:.1f} | {before:.0f} MB | {highest:.0f} MB | {highest - before:.0f} MB |"
                    )
                    print(rows[-1], flush=True)
        finally:
            listener.send_signal(signal.SIGTERM)
            listener.wait(20)
    document.replace_section("retrieve", "\n".join(["", *rows, ""]))
    return 1 if worst > MOST_GROWTH_MB else 0


def _allow(data_dir: Path, port: int) -> None:
    metadata()  # every table is known: foreign keys cross the packages
    (database_file,) = data_dir.glob("*.sqlite3")
    database = Database(f"sqlite:///{database_file}")
    values = {"services": ["echo", "store", "move", "get"], "exception_reason": "bench", "address_range": "127.0.0.1/32"}
    with database.write() as session:
        session.execute(update(Device).where(Device.ae_title == "QS_CT").values(**values))
        site_id = session.query(Device.site_id).where(Device.ae_title == "QS_CT").scalar()
        session.add(Device(ae_title="QS_WS", site_id=site_id, modality="CT", host="127.0.0.1", port=port,
                           address_range="127.0.0.1/32"))  # fmt: skip
    database.dispose()


def _start(environ: dict[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "listener").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "worklist", "listen"], cwd=REPOSITORY, env=environ, stdout=log, stderr=log
        )


def _fill(roles: Roles, folder: Path, n_images: int) -> None:
    folder.mkdir()
    dataset = new_instance(side=SIDE, StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.1")
    for number in range(n_images):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.1.{number + 1}"
        dataset.InstanceNumber = number + 1
        dataset.save_as(folder / f"{number:05}.dcm", enforce_file_format=True)
    imported = roles.command("import", str(folder), "--site", "QINGSHAN")
    assert imported.returncode == 0, imported.stdout + imported.stderr


@contextmanager
def _destination(port: int, folder: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [require("storescp"), "--ignore", "-aet", "QS_WS", "-od", str(folder), str(port)],
        env={**os.environ, "TCP_NODELAY": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: takes_connections(port), 10, "storescp")
        yield
    finally:
        process.terminate()
        process.wait()


def _measured(command: list[str], listener_pid: int) -> tuple[float, float, float]:
    """Seconds, and the listener's memory in MB: before, and the highest seen ten times a second."""
    before = pss_bytes(tree(listener_pid)) / 1e6
    highest, done = before, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.1):
            highest = max(highest, pss_bytes(tree(listener_pid)) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began_s = time.monotonic()
    result = subprocess.run(
        command, env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True, text=True, check=False, timeout=1800
    )
    seconds = time.monotonic() - began_s
    done.set()
    watcher.join()
    assert result.returncode == 0, result.stderr[-2000:]
    return seconds, before, highest


if __name__ == "__main__":
    sys.exit(main())
