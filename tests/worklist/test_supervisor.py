"""The supervisor with real children: ready lines, restarts, a stop in time, nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from worklist.supervisor import Role, supervise

ROOT = Path(__file__).parents[2]

# A role for tests: notes its pid, says it is ready, then does what its name says.
CHILD = """
import os, pathlib, signal, subprocess, sys, time
from worklist.ready import tell_ready
folder, kind = pathlib.Path(sys.argv[1]), sys.argv[2]
if kind == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if kind == "misconfigured":
    sys.exit(3)
if kind == "parent":
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    (folder / "grandchild.pid").write_text(str(grandchild.pid))
with (folder / f"{kind}.pids").open("a") as pids:
    pids.write(f"{os.getpid()}\\n")
tell_ready()
time.sleep(100)
"""
SUPERVISOR = """
import pathlib, sys
from worklist.supervisor import AlreadyRunning, Role, supervise
folder = pathlib.Path(sys.argv[1])
roles = [Role(kind, (sys.executable, "-c", sys.argv[2], str(folder), kind), f"{kind} ready") for kind in sys.argv[3:]]
heavy = {"sqlalchemy", "flask", "granian", "pydicom", "numpy"} & set(sys.modules)
assert not heavy, heavy
try:
    sys.exit(supervise(roles, folder, say=lambda line: print(line, flush=True)))
except AlreadyRunning as error:
    print(error)
    sys.exit(9)
"""


class Run:
    def __init__(self, folder: Path, *kinds: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(folder), CHILD, *kinds], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    def lines(self, n_lines: int) -> list[str]:
        assert self.process.stdout is not None
        return [self.process.stdout.readline().strip() for _ in range(n_lines)]

    def pids(self, kind: str) -> list[int]:
        return [int(line) for line in (self.folder / f"{kind}.pids").read_text().split()]

    def stop(self) -> float:
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)
        return time.monotonic() - started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with ExitStack() as stack:

        def start(*kinds: str) -> Run:
            run = Run(tmp_path, *kinds)
            assert run.process.stdout is not None
            stack.callback(run.process.stdout.close)
            stack.callback(run.process.wait)
            stack.callback(run.process.kill)
            return run

        yield start


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_one_line_per_role_then_all_stop(start: Callable[..., Run]) -> None:
    run = start("a", "b", "c")
    assert sorted(run.lines(3)) == ["a ready", "b ready", "c ready"]
    assert run.stop() < 5
    assert run.process.returncode == 0
    assert not any(is_alive(pid) for kind in "abc" for pid in run.pids(kind))


def test_a_role_that_dies_is_started_again_and_leaves_no_children(start: Callable[..., Run]) -> None:
    run = start("a", "parent")
    run.lines(2)
    grandchild = int((run.folder / "grandchild.pid").read_text())
    first = run.pids("parent")[0]
    os.kill(first, signal.SIGKILL)
    told, ready = run.lines(2)
    assert told.startswith("parent: ") and "-9" in told and ready == "parent ready"
    wait_for(lambda: not is_alive(grandchild))
    assert len(run.pids("parent")) == 2 and len(run.pids("a")) == 1
    assert run.stop() < 5


def test_restarts_come_slower_and_slower(start: Callable[..., Run]) -> None:
    run = start("a")
    run.lines(1)
    pauses = []
    for n in range(3):
        os.kill(run.pids("a")[n], signal.SIGKILL)
        killed = time.monotonic()
        run.lines(2)
        pauses.append(time.monotonic() - killed)
    assert pauses[0] >= 0.5 and pauses[1] >= 1.0 and pauses[2] >= 2.0
    assert run.stop() < 5


def test_a_role_that_does_not_stop_is_killed_in_time(start: Callable[..., Run]) -> None:
    run = start("a", "stubborn")
    run.lines(2)
    assert run.stop() < 10
    assert run.lines(1)[0].startswith("stubborn: ")
    assert not is_alive(run.pids("stubborn")[0])


def test_a_role_that_cannot_start_ends_everything_with_its_code(start: Callable[..., Run]) -> None:
    run = start("misconfigured")
    assert run.process.wait(10) == 3
    assert "failed to start (3)" in run.lines(1)[0]


def test_a_second_supervisor_in_the_data_dir_is_refused(start: Callable[..., Run]) -> None:
    run = start("a")
    run.lines(1)
    second = start("a")
    assert second.process.wait(10) == 9
    assert "TELEREAD_DATA_DIR" in second.lines(1)[0]
    assert run.stop() < 5
    third = start("a")
    assert third.lines(1) == ["a ready"]
    assert third.stop() < 5


def test_roles_do_not_outlive_a_killed_supervisor(start: Callable[..., Run]) -> None:
    run = start("a", "b")
    run.lines(2)
    run.process.kill()
    wait_for(lambda: not any(is_alive(pid) for kind in "ab" for pid in run.pids(kind)))


def test_the_last_role_starts_when_the_others_are_ready(tmp_path: Path) -> None:
    """Nobody waits for the worker in front of a page: it leaves the machine to those somebody waits for."""
    said: list[str] = []
    order = tmp_path / "order"
    script = "import sys,time;sys.path.insert(0,sys.argv[3]);from worklist.ready import tell_ready;" \
             "time.sleep(float(sys.argv[2]));open(sys.argv[1],'a').write(sys.argv[4]+'\\n');tell_ready();time.sleep(60)"  # fmt: skip

    def plan(name: str, seconds: str, *, is_last: bool = False) -> Role:
        command = (sys.executable, "-c", script, str(order), seconds, str(ROOT), name)
        return Role(name, command, name, is_last=is_last)

    def stop_when_all_are_ready(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    supervise([plan("last", "0", is_last=True), plan("one", "0.2"), plan("two", "0.6")], tmp_path, say=stop_when_all_are_ready)
    assert order.read_text().split() == ["one", "two", "last"]
