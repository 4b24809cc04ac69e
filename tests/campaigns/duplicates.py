"""Two senders bring one instance at the same moment, with the same bytes or with others: one copy, and no secret.

Each round is one SOP Instance UID. With equal bytes there is one instance and one noted duplicate; with other bytes
one instance and one conflict in quarantine, whoever came first. Both senders hear 0x0000: both objects are safe.
"""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pacs_bridge.scu import Timeouts, store_files
from tests.peers.instances import new_instance
from tests.peers.roles import Roles, roles_of_a_county

PER_ASSOCIATION = 10  # rounds that two associations race through side by side
_TIMEOUTS = Timeouts(response_s=30)
KINDS = ("equal", "conflict", "new_study", "new_study_conflict")


@dataclass
class Outcome:
    seed: int
    n_rounds: int
    n_duplicates: int = 0
    n_conflicts: int = 0
    n_acknowledged: int = 0
    duration_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.n_rounds} rounds of two senders at once, {self.n_acknowledged} acknowledgements: "
            f"{self.n_rounds} instances kept once, {self.n_duplicates} duplicates noted, {self.n_conflicts} conflicts "
            f"shown; {len(self.problems)} problems; seed {self.seed}, {self.duration_s:.0f} s"
        )


@dataclass(frozen=True)
class _Round:
    uid: str
    kind: str
    paths: tuple[Path, Path]


def run_duplicates(folder: Path, *, seed: int, n_rounds: int, say: Callable[[str], None]) -> Outcome:
    chance = random.Random(seed)
    outcome = Outcome(seed, n_rounds)
    rounds = _make(folder / "sent", n_rounds, chance)
    started = time.monotonic()
    with roles_of_a_county(folder / "product") as roles:
        roles.environ["TELEREAD_DICOM_PROCESSES"] = "2"
        roles.start("listen")
        for start in range(0, n_rounds, PER_ASSOCIATION):
            _race(roles, rounds[start : start + PER_ASSOCIATION], outcome)
            if start % 200 == 0:
                say(f"{start} of {n_rounds} rounds")
        roles.stop()
        _compare(roles, rounds, outcome)
    outcome.duration_s = time.monotonic() - started
    return outcome


def _make(folder: Path, count: int, chance: random.Random) -> list[_Round]:
    folder.mkdir(parents=True)
    made = []
    study: dict[str, str] = {}
    for number in range(count):
        kind = chance.choice(KINDS)
        if not study or kind.startswith("new_study"):
            first = new_instance(side=16, PatientID=f"TWICE-{number}")
            study = {name: str(first[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID")}
        one = new_instance(side=16, InstanceNumber=number, **study)
        paths = (folder / f"{number:05}a.dcm", folder / f"{number:05}b.dcm")
        one.save_as(paths[0], enforce_file_format=True)
        if kind.endswith("conflict"):
            one.PixelData = bytes(255 - value for value in one.PixelData)
        one.save_as(paths[1], enforce_file_format=True)
        made.append(_Round(str(one.SOPInstanceUID), kind, paths))
    return made


def _race(roles: Roles, rounds: list[_Round], outcome: Outcome) -> None:
    gate, lock = threading.Barrier(2), threading.Lock()

    def send(which: int) -> None:
        gate.wait()
        results = store_files(
            [one.paths[which] for one in rounds], "127.0.0.1", roles.dicom_port, "TELEREAD", "QS_CT", timeouts=_TIMEOUTS
        )
        with lock:
            outcome.n_acknowledged += sum(result.outcome == "accepted" for result in results)
            outcome.problems += [f"not accepted: {result}" for result in results if result.outcome != "accepted"]

    senders = [threading.Thread(target=send, args=(which,)) for which in (0, 1)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def _compare(roles: Roles, rounds: list[_Round], outcome: Outcome) -> None:
    with closing(sqlite3.connect(roles.data_dir / "teleread.sqlite3")) as connection:
        rows = connection.execute("SELECT sop_instance_uid, duplicates FROM instance").fetchall()
        aside = connection.execute("SELECT sop_instance_uid, reason FROM quarantine").fetchall()
    copies, duplicates = Counter(uid for uid, _ in rows), dict(rows)
    conflicts = Counter(uid for uid, reason in aside if reason == "content_conflict")
    for one in rounds:
        is_conflict = one.kind.endswith("conflict")
        expected = (1, 0 if is_conflict else 1, 1 if is_conflict else 0)
        found = copies[one.uid], duplicates.get(one.uid, 0), conflicts[one.uid]
        if found != expected:
            outcome.problems.append(f"{one.kind}: (copies, duplicates, conflicts) are {found}, not {expected}")
        outcome.n_duplicates += found[1]
        outcome.n_conflicts += found[2]
    if len(aside) != conflicts.total():
        outcome.problems.append(f"kept aside for other reasons: {Counter(reason for _, reason in aside)}")
    checked = roles.command("verify", "--json")
    if checked.returncode != 0:
        outcome.problems.append(f"verify says {checked.stdout[-300:]}{checked.stderr[-300:]}")
