"""Malformed PDUs and data sets against a real listener process: others are served, nothing grows, nobody dies."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from tests.peers import fuzzing
from tests.peers.listening import EVERY_SERVICE
from tests.peers.raw_modality import RawModality
from tests.peers.roles import Roles, roles_of_a_county

ECHO_EVERY = 100
# Python keeps what it has once had; a leak of a hundred bytes a case would show.
MOST_GROWTH_KB = 60_000


@dataclass
class Outcome:
    """What happened; ``problems`` is empty when all went well."""

    n_cases: int = 0
    n_echoes: int = 0
    slowest_echo_s: float = 0.0
    growth_kb: int = 0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.n_cases} cases, {len(self.problems)} problems; {self.n_echoes} echoes of another association"
            f" between them, slowest {self.slowest_echo_s * 1000:.0f} ms; memory +{self.growth_kb // 1024} MB"
        )


@contextmanager
def listener_of_everything(folder: Path) -> Iterator[Roles]:
    """A listener whose devices QS_CT and QS_DR may use every service."""
    with roles_of_a_county(folder) as roles:
        roles.environ["TELEREAD_DICOM_PROCESSES"] = "1"
        database = sqlite3.connect(roles.data_dir / "teleread.sqlite3")
        with database:
            database.execute(
                "UPDATE device SET services = ?, exception_reason = 'fuzzing', address_range = '127.0.0.0/8'"
                " WHERE ae_title IN ('QS_CT', 'QS_DR')",
                (json.dumps(EVERY_SERVICE),),
            )
        database.close()
        roles.start("listen")
        yield roles


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(word) for word in task.read_text().split()]
    return found


def _sizes(pids: list[int]) -> tuple[int, int, int]:
    """(resident kB, threads, open files) of all of them."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    numbers = [[int(text.split(name)[1].split()[0]) for text in texts] for name in ("VmRSS:", "Threads:")]
    n_files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    return sum(numbers[0]), sum(numbers[1]), n_files


class _Fuzz:
    def __init__(self, roles: Roles, kept: Path) -> None:
        self.roles, self.kept, self.outcome = roles, kept, Outcome()
        self.pids: list[int] = []  # of the listener, once it has worked a little

    def problem(self, text: str, case: bytes = b"") -> None:
        """Note it; the case is kept beside the corpus' other finds when there is one."""
        if case:
            name = f"found-{hashlib.sha256(case).hexdigest()[:12]}"
            (self.kept / name).write_bytes(case)
            text = f"{text}: {name}"
        self.outcome.problems.append(text)

    def echo(self, other: RawModality) -> None:
        began_s = time.monotonic()
        status = other.association.send_c_echo()
        self.outcome.n_echoes += 1
        self.outcome.slowest_echo_s = max(self.outcome.slowest_echo_s, time.monotonic() - began_s)
        if getattr(status, "Status", None) != 0:
            self.problem("another association was not answered")

    def streams(self, seed: int, n_cases: int, other: RawModality) -> None:
        for number, stream in enumerate(fuzzing.broken_streams(seed, n_cases)):
            if not fuzzing.talk(self.roles.dicom_port, stream, hangs_up=True).is_closed:
                self.problem("a connection was left open", stream)
            if number % ECHO_EVERY == 0:
                self.echo(other)
        self.outcome.n_cases += n_cases

    def data_sets(self, seed: int, n_cases: int, other: RawModality) -> None:
        """One in ten waits for its answer; the others come without waiting, which only the release must survive."""
        alone = fuzzing.broken_data_sets(seed, n_cases // 10, per_association=1)
        crowd = fuzzing.broken_data_sets(seed + 1, n_cases - n_cases // 10)
        for number, (stream, n) in enumerate(chain(alone, crowd)):
            heard = fuzzing.talk(self.roles.dicom_port, stream, hangs_up=False)
            if heard.types[:1] != [2] or heard.types[-1:] != [6] or 4 not in heard.types:
                self.problem(f"requests without an answer: {heard.types}", stream)
            if number % (ECHO_EVERY // 10) == 0:
                self.echo(other)
            self.outcome.n_cases += n


def run_fuzz(  # what the campaign says, in this order
    folder: Path, *, seed: int, n_cases: int, say: Callable[[str], None] = lambda _: None, rounds: int = 1
) -> Outcome:
    """A third each: files for the index, broken conversations, conversations whose data sets are broken."""
    third = n_cases // 3 // rounds
    with listener_of_everything(folder) as roles:
        fuzz = _Fuzz(roles, folder)
        with RawModality(roles.dicom_port, "QS_DR", sop_class="1.2.840.10008.1.1", syntax=fuzzing.IMPLICIT) as other:
            fuzz.streams(seed - 1, 60, other)
            fuzz.data_sets(seed - 1, 100, other)
            fuzz.pids = _family(roles._running["listen"].pid)
            before = _sizes(fuzz.pids)
            for number in range(rounds):
                for case in fuzzing.extract_cases(seed + number, third):
                    fuzz.problem("no record and no reason", case)
                fuzz.outcome.n_cases += third
                fuzz.streams(seed + number, third, other)
                fuzz.data_sets(seed + number, third, other)
                say(f"{fuzz.outcome.n_cases} cases, {len(fuzz.outcome.problems)} problems")
            fuzz.echo(other)
        _weigh(fuzz, before)
    return fuzz.outcome


def _weigh(fuzz: _Fuzz, before: tuple[int, int, int]) -> None:
    deadline_s = time.monotonic() + 15
    after = _sizes(fuzz.pids)
    while (after[1] > before[1] + 1 or after[2] > before[2] + 2) and time.monotonic() < deadline_s:
        time.sleep(0.2)
        after = _sizes(fuzz.pids)
    fuzz.outcome.growth_kb = after[0] - before[0]
    if fuzz.outcome.growth_kb > MOST_GROWTH_KB:
        fuzz.problem(f"memory grew by {fuzz.outcome.growth_kb} kB")
    if after[1] > before[1] + 1 or after[2] > before[2] + 2:
        fuzz.problem(f"threads {before[1]} → {after[1]}, files {before[2]} → {after[2]}")
    if not set(fuzz.pids) <= set(_family(fuzz.roles._running["listen"].pid)):
        fuzz.problem("a process of the listener was replaced")
    log = (fuzz.roles.folder / "log").read_text("utf-8", "replace")
    if "Traceback" in log or "Warning:" in log or "Nobody" in log:
        fuzz.problem("the log has a traceback, a warning that quotes values, or a name")
