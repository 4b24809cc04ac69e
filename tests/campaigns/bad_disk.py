"""A disk that is full, and one that cannot be written: refused by the right status, nothing half listed, well again."""

import random
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3
from pydicom.data import get_testdata_file

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.scu import store_files
from tests.peers.instances import new_instance
from tests.peers.product import ApiError, Product, running_product, until
from tests.peers.small_disk import small_disk

SIZE_BYTES = 96 << 20
OUT_OF_RESOURCES = 0xA700
INSUFFICIENT_STORAGE = 507
# Where even the index cannot be written the association is refused for the time being (PS3.8 9.3.4: 2/3/1).
_KINDS_OF_NO = ("refused", "aborted", "unreachable", "timeout")


@dataclass
class Outcome:
    seed: int
    n_rounds: int
    n_refused: int = 0
    n_a700: int = 0
    n_accepted: int = 0
    n_http_507: int = 0
    n_read_only_refused: int = 0
    duration_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.n_rounds} rounds on a full disk: {self.n_refused} instances refused ({self.n_a700} by A700), "
            f"{self.n_http_507} uploads by 507; on a read-only disk {self.n_read_only_refused} refused; all "
            f"{self.n_accepted} accepted when there was room; {len(self.problems)} problems; seed {self.seed}, "
            f"{self.duration_s:.0f} s"
        )


def run_bad_disk(folder: Path, *, seed: int, n_rounds: int, say: Callable[[str], None]) -> Outcome:
    """Fill, send, make room, send again; then the same with the disk mounted read-only."""
    chance = random.Random(seed)
    outcome = Outcome(seed, n_rounds)
    started = time.monotonic()
    sent = folder / "sent"
    sent.mkdir(parents=True)
    with small_disk(folder / "disk", SIZE_BYTES) as disk, running_product(disk) as product:
        for number in range(n_rounds):
            _full(product, _new_files(sent, chance, 6), chance, outcome)
            say(f"round {number + 1}: {outcome.n_refused} refused so far, {len(outcome.problems)} problems")
        _read_only(product, disk, _new_files(sent, chance, 4), outcome)
        _verify(product, outcome)
    outcome.duration_s = time.monotonic() - started
    return outcome


def _new_files(folder: Path, chance: random.Random, count: int) -> dict[str, Path]:
    made = {}
    for _ in range(count):
        dataset = new_instance(side=chance.choice((48, 128)))
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        made[str(dataset.SOPInstanceUID)] = path
    return made


def _full(product: Product, files: dict[str, Path], chance: random.Random, outcome: Outcome) -> None:
    ballast = product.data_dir / "ballast"
    _fill(ballast, leave_bytes=chance.choice((0, 40_000, 200_000, 400_000, 600_000)))
    accepted = _send(product, files, outcome)
    _upload(product, outcome)
    _compare(product, files, accepted, outcome)
    ballast.unlink()
    again = _send(product, {uid: path for uid, path in files.items() if uid not in accepted}, None)
    outcome.n_accepted += len(accepted) + len(again)
    _compare(product, files, accepted | again, outcome)
    if accepted | again != files.keys():
        outcome.problems.append(f"{len(files) - len(accepted | again)} instances not taken though there was room")


def _fill(ballast: Path, leave_bytes: int) -> None:
    with ballast.open("wb", buffering=0) as stream:
        block = b"x" * 65536
        while block:
            try:
                if stream.write(block) < len(block):
                    raise OSError
            except OSError:
                block = block[: len(block) // 2]
        stream.truncate(max(0, stream.tell() - leave_bytes))


def _send(product: Product, files: dict[str, Path], outcome: Outcome | None) -> set[str]:
    """SOP Instance UIDs that were acknowledged."""
    accepted = set()
    for uid, path in files.items():
        (result,) = store_files([path], "127.0.0.1", product.dicom_port, "TELEREAD", "QS_CT")
        if result.outcome == "accepted":
            accepted.add(uid)
        elif outcome is not None:
            outcome.n_refused += 1
            outcome.n_a700 += result.status == OUT_OF_RESOURCES
            if result.outcome not in _KINDS_OF_NO or result.status not in (None, OUT_OF_RESOURCES, 0x0110):
                outcome.problems.append(f"refused as {result}")
    return accepted


def _upload(product: Product, outcome: Outcome) -> None:
    """The web says 507 for a full disk, or cannot even note who is there (503); never a fault of its own."""
    try:
        product.api("tech").upload("/api/ecg", {"a.dcm": _ecg()}, site="QINGSHAN")
    except ApiError as error:
        outcome.n_http_507 += error.status == INSUFFICIENT_STORAGE
        if error.status not in (INSUFFICIENT_STORAGE, 503):
            outcome.problems.append(f"an upload on a full disk: {error.status}")


def _ecg() -> bytes:
    return Path(str(get_testdata_file("waveform_ecg.dcm", download=False))).read_bytes()


def _compare(product: Product, files: dict[str, Path], accepted: set[str], outcome: Outcome) -> None:
    """Of these instances exactly the acknowledged ones are listed, and whole."""
    with closing(sqlite3.connect(product.data_dir / "teleread.sqlite3")) as connection:
        rows = dict(connection.execute("SELECT sop_instance_uid, blob_key FROM instance").fetchall())
    listed = files.keys() & rows.keys()
    outcome.problems += [f"acknowledged and not listed: {uid}" for uid in accepted - listed]
    # An answer may be lost after the commit: the sender sends again, and it is a duplicate.
    for uid in listed:
        path = FileBlobs(product.data_dir / "blobs").path(rows[uid])
        if not path.is_file() or blake3(path.read_bytes()).hexdigest() != rows[uid]:
            outcome.problems.append(f"listed, but not whole: {uid}")
    half = [path for path in (product.data_dir / "blobs" / "spool").glob("*/*") if path.is_file()]
    outcome.problems += [f"left in the spool: {path.name}" for path in half]


def _read_only(product: Product, disk: Path, files: dict[str, Path], outcome: Outcome) -> None:
    """As after an error of the medium, when the kernel lets nobody write any more."""
    blobs = product.data_dir / "blobs"
    subprocess.run(["mount", "--bind", str(blobs), str(blobs)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(blobs)], check=True)
        accepted = _send(product, files, None)
        outcome.n_read_only_refused = len(files) - len(accepted)
        outcome.problems += [f"acknowledged on a read-only disk: {uid}" for uid in accepted]
        _compare(product, files, set(), outcome)
        if product.is_healthy():
            outcome.problems.append("healthy on a disk that it cannot write")
    finally:
        subprocess.run(["umount", "-l", str(blobs)], check=True)
    until(product.is_healthy, 30, "the product to be healthy again")
    again = _send(product, files, None)
    outcome.n_accepted += len(again)
    if again != files.keys():
        outcome.problems.append("instances not taken though the disk can be written again")
    _compare(product, files, again, outcome)


def _verify(product: Product, outcome: Outcome) -> None:
    said = product.command("verify", "--json")
    if said.returncode != 0:
        outcome.problems.append(f"verify says {said.stdout[-500:]}{said.stderr[-300:]}")
