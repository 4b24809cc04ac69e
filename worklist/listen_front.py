"""The listener's processes: started together, each started again when it dies, stopped together. [app]

They are forked from one process that has loaded everything and opened nothing but the listening sockets: they start
at once, share what was loaded, and a connection that waits in the queue is taken by whoever lives.
"""

import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pacs_bridge.listener import bind

log = logging.getLogger("teleread.listen")

STOP_WITHIN_S = 6.5  # of one process; the supervisor waits for 8 s
FIRST_PAUSE_S, LONGEST_PAUSE_S, WELL_AFTER_S = 0.1, 10.0, 60.0
BIND_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.1
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Run:
    """One life of one process. What earlier lives of its slot have left open is over, what others have is not."""

    family: str  # of all processes of this listener: ``listener:host:unique``
    slot: str  # ``family.number.``: begins the name of every life of this slot
    name: str
    number: int  # of the slot
    is_first: bool  # the one that also ends what earlier listeners of this host left open


Work = Callable[[Run, threading.Event, Callable[[], None]], None]


class _Slot:
    def __init__(self, number: int) -> None:
        self.number = number
        self.process_id: int | None = None
        self.n_starts = 0
        self.started_s = 0.0
        self.pause_s = FIRST_PAUSE_S
        self.restart_at_s = 0.0
        self.is_ready = False


class Front:
    """``work(run, stop, ready)`` in ``count`` processes; ``ended(number)`` each time when one has ended."""

    def __init__(self, run_name: str, count: int, work: Work, ended: Callable[[int], None]) -> None:
        self._family = run_name[:-12]  # room for what is added: a run's name has 64 characters
        self._slots = [_Slot(number) for number in range(count)]
        self._work, self._ended = work, ended
        self._ready_reader, self._ready_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self, stop: threading.Event, on_ready: Callable[[], None]) -> None:
        """Until ``stop``. Raises RuntimeError when a process ends before all were ready once: the set-up is wrong."""
        was_ready = False
        try:
            while not stop.is_set():
                self._look_after(was_ready)
                self._hear_ready()
                if not was_ready and all(slot.is_ready for slot in self._slots):
                    was_ready = True
                    on_ready()
                select.select([self._ready_reader], [], [], _LOOK_EVERY_S)
        finally:
            self._stop()

    def _hear_ready(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._ready_reader, 256):
                self._slots[number].is_ready = True

    def _look_after(self, was_ready: bool) -> None:
        for slot in self._slots:
            now_s = time.monotonic()
            if slot.process_id is None:
                if now_s >= slot.restart_at_s:
                    self._start(slot)
                continue
            process_id, status = os.waitpid(slot.process_id, os.WNOHANG)
            if process_id == 0:
                continue
            slot.process_id = None
            self._ended(slot.number)
            code = os.waitstatus_to_exitcode(status)
            if not was_ready and code >= 0:  # one that was killed (< 0) says nothing about the set-up
                raise RuntimeError(f"a listener process ended at its start ({code})")
            log.error("listener process %d ended (%d), starting again", slot.number, code)
            if now_s - slot.started_s > WELL_AFTER_S:
                slot.pause_s = FIRST_PAUSE_S
            slot.restart_at_s, slot.pause_s = now_s + slot.pause_s, min(slot.pause_s * 2, LONGEST_PAUSE_S)

    def _start(self, slot: _Slot) -> None:
        prefix = f"{self._family}.{slot.number}."
        is_first = slot.number == 0 and slot.n_starts == 0
        run = Run(self._family, prefix, f"{prefix}{slot.n_starts}", slot.number, is_first)
        slot.n_starts += 1
        slot.started_s = time.monotonic()
        parent = os.getpid()
        slot.process_id = os.fork()
        if slot.process_id == 0:
            self._be(run, slot.number, parent)

    def _be(self, run: Run, number: int, parent: int) -> None:
        """The forked process: works and ends, never returns."""
        status = 1
        try:
            # Nobody is left behind on the port when the front is killed.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                told = threading.Event()
                for signal_number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(signal_number, lambda *_: told.set())
                self._work(run, told, lambda: self._say_ready(number))
                status = 0
        except BaseException as error:
            log.critical("listener process ended by %s", type(error).__name__)
        finally:
            os._exit(status)

    def _say_ready(self, number: int) -> None:
        os.write(self._ready_writer, bytes((number,)))

    def _stop(self) -> None:
        running = [slot for slot in self._slots if slot.process_id is not None]
        for slot in running:
            _kill(slot.process_id, signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_WITHIN_S + 0.5
        while running and time.monotonic() < deadline_s:
            running = [slot for slot in running if os.waitpid(slot.process_id or 0, os.WNOHANG)[0] == 0]
            time.sleep(0.02)
        for slot in running:
            log.error("listener process %d did not stop in time", slot.number)
            _kill(slot.process_id, signal.SIGKILL)
            os.waitpid(slot.process_id or 0, 0)
        os.close(self._ready_reader)
        os.close(self._ready_writer)


def _kill(process_id: int | None, number: int) -> None:
    if process_id is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, number)


def bind_patiently(host: str, port: int) -> socket.socket:
    """``bind``; the processes of a listener that was killed just now may hold the port for a moment."""
    deadline_s = time.monotonic() + BIND_WITHIN_S
    while True:
        try:
            return bind(host, port)
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)
