"""The listener's processes count their connections together, and a killed one's are gone with it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers.fuzzing import association_request
from tests.peers.product import until
from tests.worklist.conftest import ROOT
from tests.worklist.counted_front import LIMITS

ACCEPTED, REJECTED = 2, 3
LOCAL_LIMIT_EXCEEDED = bytes((0, 0, 0, 0, 4, 0, 2, 3, 2))  # the rest of such a rejection, PS3.8 9.3.4
N_PROCESSES = 3


@dataclass
class Front:
    """The listener, and connections to it from any address of this machine."""

    process: "subprocess.Popen[str]"
    port: int
    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def connect(self, source: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), 5, (source, 0))
        return self.stack.enter_context(sock)

    def associate(self, source: str, calling_ae: str = "QS_CT") -> tuple[socket.socket, int | None]:
        """A connection and the type of the PDU that answered its request; None: hung up."""
        sock = self.connect(source)
        try:
            sock.sendall(association_request(calling_ae))
            answer = sock.recv(1)
        except ConnectionError:
            answer = b""
        return sock, answer[0] if answer else None

    def hold(self, source: str, count: int) -> list[socket.socket]:
        held = [self.associate(source) for _ in range(count)]
        assert [answer for _, answer in held] == [ACCEPTED] * count
        return [sock for sock, _ in held]

    def is_refused(self, source: str) -> bool:
        """Told so, or hung up on."""
        sock, answer = self.associate(source)
        assert answer != REJECTED or sock.recv(9) == LOCAL_LIMIT_EXCEEDED
        return answer != ACCEPTED

    def processes(self) -> list[int]:
        return [int(one) for one in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    def kill_one(self) -> None:
        """SIGKILL, and started again when this returns."""
        victim = self.processes()[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in self.processes() and len(self.processes()) == N_PROCESSES, 10, "the next", pause_s=0.02)


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has hung up: at once, or after what it had said."""
    sock.setblocking(False)
    try:
        while sock.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.fixture(scope="module")
def running_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    (folder / "trail").touch()
    command = [sys.executable, "-m", "tests.worklist.counted_front", str(folder), str(N_PROCESSES)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdin is not None
        yield Front(running, int(running.stdout.readline()), folder)
        running.stdin.close()
        assert running.wait(10) == 0


@pytest.fixture
def front(running_front: Front) -> Iterator[Front]:
    """The same processes for all tests; every test has sources of its own and leaves no connection behind."""
    running_front.stack = ExitStack()
    with running_front.stack:
        yield running_front


def test_a_source_has_its_share_of_all_processes(front: Front) -> None:
    held = front.hold("127.0.1.1", 6)
    assert front.is_refused("127.0.1.1")
    front.hold("127.0.1.2", 1)
    held.pop().close()
    until(lambda: not front.is_refused("127.0.1.1"), 5, "the place given back", pause_s=0.01)
    assert front.is_refused("127.0.1.1")

    def n_rows() -> int:
        return (front.folder / "trail").read_text().splitlines().count("127.0.1.1 busy")

    until(n_rows, 5, "the trail", pause_s=0.01)
    assert n_rows() == 1  # whichever process it was


def test_what_a_killed_process_held_is_free_again_and_no_more(front: Front) -> None:
    held = front.hold("127.0.2.1", 6)
    for _ in range(3):
        front.kill_one()
        lost = [sock for sock in held if is_closed(sock)]
        held = [sock for sock in held if sock not in lost]
        held += front.hold("127.0.2.1", len(lost))
        assert len(held) == 6 and front.is_refused("127.0.2.1")


def test_there_are_so_many_in_all(front: Front) -> None:
    until(lambda: not front.is_refused("127.0.3.9"), 5, "the earlier ones to be gone")
    front.stack.close()
    held = [sock for number in range(1, 4) for sock in front.hold(f"127.0.3.{number}", 4)]
    assert len(held) == LIMITS.max_connections and front.is_refused("127.0.3.4")
    front.kill_one()
    n_lost = sum(is_closed(sock) for sock in held)
    front.hold("127.0.3.5", min(n_lost, 6))


def test_who_says_nothing_makes_room_in_whichever_process_it_is(front: Front) -> None:
    silent = [front.connect("127.0.4.1") for _ in range(20)]
    front.hold("127.0.4.1", 6)
    until(lambda: all(is_closed(sock) for sock in silent), 5, "the silent to be shown out", pause_s=0.01)
    assert front.is_refused("127.0.4.1")


@pytest.mark.parametrize(("source", "fail"), [
    ("127.0.5.2", lambda front, source: front.associate(source, "STRANGER")[0].close()),
    ("127.0.5.3", lambda front, source: front.connect(source).close()),
], ids=["refused", "gone"])  # fmt: skip
def test_a_source_that_keeps_failing_is_throttled_and_named_once(
    front: Front, source: str, fail: Callable[[Front, str], object]
) -> None:
    def is_throttled() -> bool:
        fail(front, source)
        with front.connect(source) as sock, suppress(TimeoutError):
            sock.settimeout(0.05)
            return sock.recv(1) == b""
        return False

    until(is_throttled, 5, "the throttling", pause_s=0.01)
    assert not front.is_refused("127.0.5.1")  # others are served
    until(lambda: not front.is_refused(source), 5, "to be forgiven", pause_s=0.05)
    assert not is_throttled()  # all is forgiven
    trail = (front.folder / "trail").read_text().splitlines()
    assert trail.count(f"{source} source_throttled") == 1
    assert sum(line.startswith(source) for line in trail) < 12
