"""Listener, one of its processes, worker: killed while instances arrive; what was acknowledged must be there.

Two senders send over short associations. What got no 0x0000 is sent again, but for some "impatient" instances
that are sent once only: their bytes may lie in the store without a row, which ``teleread check`` has to mend.
"""

import os
import random
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3
from pydicom.uid import generate_uid

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.extract import read_file_meta
from pacs_bridge.scu import StoreResult, Timeouts, store_files
from tests.peers.instances import new_instance
from tests.peers.roles import Roles, roles_of_a_county

N_SENDERS = 2
N_PROCESSES = 2
PER_ASSOCIATION = 8
PER_STUDY = 20
IMPATIENT = 0.1  # share of instances that are not sent again
SIDES = (16, 16, 48, 128)  # pixels; the larger ones take several PDUs
_TIMEOUTS = Timeouts(connect_s=3, negotiation_s=3, response_s=10)


@dataclass
class Outcome:
    """What happened; ``problems`` is empty when every promise held."""

    seed: int
    n_instances: int
    n_kills: int
    n_worker_kills: int = 0
    n_process_kills: int = 0
    n_acknowledged: int = 0
    n_sent_again: int = 0
    n_impatient: int = 0
    n_orphans: int = 0
    duration_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.n_kills} kills of the listener ({self.n_process_kills} of one of its {N_PROCESSES} processes), "
            f"{self.n_worker_kills} of the worker, {self.n_instances} instances: "
            f"{self.n_acknowledged} acknowledged, {self.n_sent_again} sent again, {self.n_impatient} given up by their "
            f"sender, {self.n_orphans} orphaned files mended; {len(self.problems)} problems; seed {self.seed}, "
            f"{self.duration_s:.0f} s"
        )


class _Traffic:
    """Files to send, shared by the senders; hears what was acknowledged."""

    def __init__(self, files: dict[str, Path], impatient: set[str], outcome: Outcome) -> None:
        self._files, self._impatient, self._outcome = files, impatient, outcome
        self._queue = list(files)
        self._lock = threading.Lock()
        self.acknowledged: set[str] = set()
        self.n_settled = 0

    def take(self) -> list[str]:
        with self._lock:
            taken, self._queue = self._queue[:PER_ASSOCIATION], self._queue[PER_ASSOCIATION:]
            return taken

    def heard(self, uid: str, result: StoreResult) -> None:
        with self._lock:
            if result.outcome == "accepted":
                self.acknowledged.add(uid)
            elif uid not in self._impatient or result.outcome == "unreachable":
                self._queue.append(uid)
                self._outcome.n_sent_again += result.outcome != "unreachable"
                return
            else:
                self._outcome.n_impatient += 1
            self.n_settled += 1

    @property
    def is_done(self) -> bool:
        return self.n_settled == len(self._files)

    def send(self, port: int) -> None:
        """Until everything is acknowledged or given up."""
        while not self.is_done:
            uids = self.take()
            by_path = {self._files[uid]: uid for uid in uids}
            results = store_files(list(by_path), "127.0.0.1", port, "TELEREAD", "QS_CT", timeouts=_TIMEOUTS)
            for result in results:
                self.heard(by_path[result.path], result)
            if not results or results[0].outcome != "accepted":
                time.sleep(0.05)


def run_campaign(folder: Path, *, seed: int, n_instances: int, n_kills: int, say: Callable[[str], None]) -> Outcome:
    """Send, kill, compare. The files sent and the product's data lie below ``folder``."""
    chance = random.Random(seed)
    outcome = Outcome(seed, n_instances, n_kills)
    files = _make_files(folder / "sent", n_instances, chance)
    impatient = {uid for uid in files if chance.random() < IMPATIENT}
    started = time.monotonic()
    with roles_of_a_county(folder / "product") as roles:
        roles.environ["TELEREAD_DICOM_PROCESSES"] = str(N_PROCESSES)
        traffic = _Traffic(files, impatient, outcome)
        _send_and_kill(roles, traffic, outcome, chance, say)
        roles.stop()
        _compare(roles, files, traffic.acknowledged, outcome)
    outcome.duration_s = time.monotonic() - started
    outcome.n_acknowledged = len(traffic.acknowledged)
    return outcome


def _make_files(folder: Path, count: int, chance: random.Random) -> dict[str, Path]:
    """Distinct instances by SOP Instance UID, in studies of PER_STUDY."""
    folder.mkdir(parents=True)
    files = {}
    for number in range(count):
        if number % PER_STUDY == 0:
            study_uid, series_uid = generate_uid(), generate_uid()
        dataset = new_instance(
            side=chance.choice(SIDES), StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, InstanceNumber=number,
            PatientID=f"KILL-{number // PER_STUDY}",
        )  # fmt: skip
        path = folder / f"{number:05}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        files[str(dataset.SOPInstanceUID)] = path
    return files


def _send_and_kill(
    roles: Roles, traffic: _Traffic, outcome: Outcome, chance: random.Random, say: Callable[[str], None]
) -> None:
    roles.start("work")
    roles.start("listen")
    senders = [threading.Thread(target=traffic.send, args=(roles.dicom_port,)) for _ in range(N_SENDERS)]
    for sender in senders:
        sender.start()
    # Moments by how much has arrived, and a few milliseconds on, to hit every step of a store.
    moments = sorted(chance.randrange(outcome.n_instances * 9 // 10) for _ in range(outcome.n_kills))
    for number, moment in enumerate(moments, 1):
        while traffic.n_settled < moment:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.04)
        if number % 4 == 0 and (processes := roles.children("listen")):
            os.kill(chance.choice(processes), signal.SIGKILL)  # one of several: the others go on, it comes again
            outcome.n_process_kills += 1
            continue
        roles.kill("listen")
        if number % 3 == 0:
            roles.kill("work")
            roles.start("work")
            outcome.n_worker_kills += 1
        roles.start("listen")
        if number % 10 == 0:
            say(f"{number} kills, {traffic.n_settled} of {outcome.n_instances} instances")
    for sender in senders:
        sender.join()


def _compare(roles: Roles, files: dict[str, Path], acknowledged: set[str], outcome: Outcome) -> None:
    """Sent files, rows and stored files against each other, before and after ``teleread check``."""
    rows = _rows(roles)
    if len(set(rows)) != len(rows):
        outcome.problems.append("an instance has two rows")
    by_uid = dict(rows)
    outcome.problems += [f"acknowledged, but no row: {uid}" for uid in acknowledged - by_uid.keys()]
    for uid, key in rows:
        outcome.problems += _differences(roles, uid, key, files.get(uid))
    outcome.n_orphans = len(_stored(roles) - _named(roles))
    checked = roles.command("check")
    if "Traceback" in checked.stderr:
        outcome.problems.append(f"teleread check failed: {checked.stderr[-500:]}")
    outcome.problems += [f"file without a row: {key}" for key in _stored(roles) - _named(roles)]
    outcome.problems += [f"row without a file: {key}" for key in _named(roles) - _stored(roles)]
    missing = acknowledged - {uid for uid, _ in _rows(roles)}
    outcome.problems += [f"acknowledged, but lost by the check: {uid}" for uid in missing]
    outcome.problems += [f"counted wrong: study {row}" for row in _miscounted(roles)]


def _differences(roles: Roles, uid: str, key: str, sent: Path | None) -> Iterator[str]:
    path = FileBlobs(roles.data_dir / "blobs").path(key)
    if sent is None or not path.is_file():
        yield f"row without {'a sent object' if sent is None else 'a file'}: {uid}"
        return
    stored = path.read_bytes()
    if blake3(stored).hexdigest() != key:
        yield f"damaged file: {uid}"
    if _data_set(stored) != _data_set(sent.read_bytes()):
        yield f"not byte for byte: {uid}"


def _data_set(content: bytes) -> bytes:
    return content[read_file_meta(content)[1] :]


def _query(roles: Roles, statement: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(roles.data_dir / "teleread.sqlite3")) as connection:
        return connection.execute(statement).fetchall()


def _rows(roles: Roles) -> list[tuple[str, ...]]:
    return _query(roles, "SELECT sop_instance_uid, blob_key FROM instance")


def _named(roles: Roles) -> set[str]:
    return {key for (key,) in _query(roles, "SELECT blob_key FROM instance UNION SELECT blob_key FROM quarantine")}


def _stored(roles: Roles) -> set[str]:
    found = (roles.data_dir / "blobs" / "objects").rglob("*")
    return {path.name for path in found if path.is_file() and re.fullmatch("[0-9a-f]{64}", path.name)}


def _miscounted(roles: Roles) -> list[tuple[str, ...]]:
    """Studies whose count is not the number of their instances."""
    return _query(
        roles,
        "SELECT study.id, n_instances FROM study WHERE n_instances != (SELECT count(*) FROM instance"
        " JOIN series ON series.id = instance.series_id WHERE series.study_id = study.id)",
    )
