"""``teleread run``: one process that starts the roles, starts again what dies, and stops all. [app]

Imports nothing heavy: it lives beside the roles for months and must cost next to nothing.
"""

import contextlib
import ctypes
import fcntl
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_WITHIN_S = 8.0
LAST_AFTER_S = 10.0  # whatever the others do
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
WELL_AFTER_S = 60.0  # a role that ran so long starts again without much pause
_PR_SET_PDEATHSIG = 1


class AlreadyRunning(RuntimeError):
    """Another supervisor works in this data dir."""


@dataclass(frozen=True)
class Role:
    """One child process. ``ready_line`` is printed when it says it is ready (``worklist.ready``)."""

    name: str
    command: Sequence[str]
    ready_line: str
    environment: Mapping[str, str] = field(default_factory=dict)  # added to our own
    is_last: bool = False  # starts when the others are ready: who waits for a page waits for those


def role(name: str, ready_line: str, *arguments: str) -> Role:
    """A role of our own command line: ``listen``, ``serve`` or ``work``."""
    return Role(name, (sys.executable, "-m", "worklist", name, *arguments), ready_line)


class _Child:
    """One role's process, over all its restarts."""

    def __init__(self, plan: Role) -> None:
        self.plan = plan
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.was_ready = False
        self.pause_s = FIRST_PAUSE_S
        self.restart_at: float | None = None
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.address = f"teleread-{os.getpid()}-{secrets.token_hex(8)}"
        self.notices.bind("\0" + self.address)

    def start(self) -> None:
        environment = {**os.environ, **self.plan.environment, "NOTIFY_SOCKET": "@" + self.address}
        self.process = subprocess.Popen(
            self.plan.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone; we stop the roles in order
            preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread
        )
        self.started, self.restart_at = time.monotonic(), None

    def is_ready_now(self) -> bool:
        """Whether a notice has come since last asked."""
        with contextlib.suppress(BlockingIOError):
            return b"READY=1" in self.notices.recv(4096)
        return False

    def plan_restart(self, now: float) -> None:
        if now - self.started > WELL_AFTER_S:
            self.pause_s = FIRST_PAUSE_S
        self.restart_at = now + self.pause_s
        self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)

    def signal(self, number: int) -> None:
        """To the role and its own children, which are one process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def terminate(self) -> None:
        """To the role alone: it ends its children itself."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()


def _die_with_parent() -> None:
    """The kernel ends the child when we are killed (prctl(2)); it does not outlive its supervisor."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def supervise(roles: Sequence[Role], data_dir: Path, *, say: Callable[[str], None] = print) -> int:
    """Run all roles until SIGTERM, SIGINT or SIGHUP; returns the exit code.

    A role that ends before it was ever ready ends everything with its exit code: the set-up is wrong. One
    that dies later is started again, after a pause that doubles. Raises AlreadyRunning.
    """
    with _only_one(data_dir), _signals() as (wake, asked_to_stop):
        children = [_Child(plan) for plan in roles]
        try:
            return _watch(children, wake, asked_to_stop, say)
        finally:
            _stop(children, say)
            for child in children:
                child.notices.close()


def _watch(
    children: list[_Child], wake: socket.socket, asked_to_stop: Callable[[], bool], say: Callable[[str], None]
) -> int:
    selector = selectors.DefaultSelector()
    selector.register(wake, selectors.EVENT_READ)
    for child in children:
        selector.register(child.notices, selectors.EVENT_READ)
        if child.plan.is_last and len(children) > 1:
            child.restart_at = time.monotonic() + LAST_AFTER_S
        else:
            child.start()
    with selector:
        while not asked_to_stop():
            _start_the_last(children)
            for child in children:
                if (code := _look_after(child, say)) is not None:
                    return code
            selector.select(_seconds_to_next_restart(children))
            with contextlib.suppress(BlockingIOError):
                wake.recv(512)
    return 0


def _start_the_last(children: list[_Child]) -> None:
    """What was held back begins at once when everybody else is ready."""
    waiting = [child for child in children if child.process is None and child.restart_at is not None]
    if waiting and all(child.was_ready for child in children if child not in waiting):
        for child in waiting:
            child.restart_at = time.monotonic()


def _look_after(child: _Child, say: Callable[[str], None]) -> int | None:
    """One round for one child; an exit code when everything must end."""
    if child.is_ready_now():
        say(child.plan.ready_line)
        child.was_ready = True
    now = time.monotonic()
    if child.restart_at is not None:
        if now >= child.restart_at:
            child.start()
    elif child.process is not None and (code := child.process.poll()) is not None:
        child.signal(signal.SIGKILL)  # what it leaves behind
        if not child.was_ready:
            say(f"{child.plan.name}: 启动失败 / failed to start ({code})")
            return code if code > 0 else 1
        child.plan_restart(now)
        say(f"{child.plan.name}: 已退出（{code}），即将重启 / ended ({code}), starting again")
    return None


def _seconds_to_next_restart(children: list[_Child]) -> float | None:
    moments = [child.restart_at for child in children if child.restart_at is not None]
    return max(0.0, min(moments) - time.monotonic()) if moments else None


def _stop(children: list[_Child], say: Callable[[str], None]) -> None:
    """SIGTERM to all at once, SIGKILL to what is left after STOP_WITHIN_S."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + STOP_WITHIN_S
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{child.plan.name}: 未按时停止，已强制结束 / did not stop in time, killed")
        child.signal(signal.SIGKILL)
        child.process.wait()


@contextlib.contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Holds ``run.lock``; the kernel lets go of it however we end."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"{data_dir}: 已有 teleread 在此数据目录运行；换 TELEREAD_DATA_DIR 与端口可并行 / "
                "another teleread runs in this data directory; set TELEREAD_DATA_DIR and ports to run a second one"
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _signals() -> Iterator[tuple[socket.socket, Callable[[], bool]]]:
    """A socket that wakes on any signal, and whether one of them asked to stop."""
    stop_asked = False

    def ask_stop(number: int, frame: object) -> None:
        nonlocal stop_asked
        stop_asked = True

    handlers = {signal.SIGTERM: ask_stop, signal.SIGINT: ask_stop, signal.SIGHUP: ask_stop, signal.SIGCHLD: _ignore}
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    wakeup_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader, lambda: stop_asked
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def _ignore(number: int, frame: object) -> None:
    """SIGCHLD needs a handler to reach the wake-up socket."""
