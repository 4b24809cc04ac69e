"""Pixels of strangers transcoded and compared in a process that may die: limits on memory, CPU, output. [adapter]

A codec fed by strangers can hang, eat memory or crash; it then takes one instance of one retrieve with it. One works
at a time, started when needed; the process ends with its parent, and when it has been quiet for a while.
"""

import contextlib
import multiprocessing
import os
import resource
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

MEMORY_BYTES = 3 << 30
MAX_FRAME_BYTES = 256 << 20
TRANSCODE, COMPARE, EQUAL = "transcode", "compare", "equal"
JOBS_BEFORE_RENEWAL = 2000  # fragmented memory goes back to the system with the process


class TranscodeFailed(Exception):
    """``code``: of a PixelError, or decoder_crashed, time_out, unreadable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TranscodePool:
    """Its methods may be called from several threads; one works, the others wait."""

    def __init__(
        self, timeout_s: float = 60.0, idle_s: float = 30.0, memory_bytes: int = MEMORY_BYTES,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:  # fmt: skip
        self._timeout_s, self._idle_s, self._memory_bytes = timeout_s, idle_s, memory_bytes
        self._max_frame_bytes = max_frame_bytes
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._jobs = 0

    def transcode(self, source: Path, target: Path, transfer_syntax_uid: str) -> None:
        """``source`` in another syntax to ``target``. Raises TranscodeFailed."""
        with self._lock:
            code = self._ask((TRANSCODE, str(source), str(target), transfer_syntax_uid))
        if code:
            raise TranscodeFailed(code)

    def same_content(self, one: Path, other: Path) -> bool:
        """``pacs_bridge.compare.same_content``; two that kill the process are not shown to be equal."""
        with self._lock:
            return self._ask((COMPARE, str(one), str(other), "")) == EQUAL

    def close(self) -> None:
        """End the process; a later use starts a new one."""
        with self._lock:
            self._end()

    def _ask(self, job: tuple[str, str, str, str]) -> str:
        code = self._asked_once(job)
        if code is None:  # it left while it was idle
            code = self._asked_once(job)
        return "decoder_crashed" if code is None else code

    def _asked_once(self, job: tuple[str, str, str, str]) -> str | None:
        """The answer's code; None where the process had ended of itself."""
        pipe, process = self._started()
        try:
            pipe.send(job)
            if not pipe.poll(self._timeout_s):
                self._end()
                return "time_out"
            code = str(pipe.recv())
        except (EOFError, OSError):
            process.join(1)
            left = process.exitcode == 0
            self._end()
            return None if left else "decoder_crashed"
        self._jobs += 1
        if self._jobs >= JOBS_BEFORE_RENEWAL:
            self._end()
        return code

    def _started(self) -> tuple[Connection, SpawnProcess]:
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe, self._process
        self._end()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        limits = (self._memory_bytes, int(self._timeout_s) + 1, self._idle_s, self._max_frame_bytes)
        self._process = context.Process(target=_work, args=(theirs, *limits), daemon=True, name="transcode")
        self._process.start()
        theirs.close()
        self._pipe, self._jobs = ours, 0
        return ours, self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _work(pipe: Connection, memory_bytes: int, cpu_s: int, idle_s: float, max_frame_bytes: int) -> None:
    """The process's life: jobs until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold a patient's pixels
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from pacs_bridge.compare import same_content  # noqa: PLC0415
    from pacs_bridge.pixel_error import PixelError  # noqa: PLC0415
    from pacs_bridge.transcode import transcode  # noqa: PLC0415  codecs are loaded here alone

    with contextlib.suppress(EOFError, OSError):
        while pipe.poll(idle_s):
            kind, first, second, syntax = pipe.recv()
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + cpu_s, resource.RLIM_INFINITY))
            try:
                if kind == COMPARE:
                    code = EQUAL if same_content(Path(first), Path(second), max_frame_bytes) else ""
                else:
                    transcode(Path(first), Path(second), syntax, max_frame_bytes)
                    code = ""
            except PixelError as error:
                code = error.code
            except Exception:  # which one does not matter: these bytes cannot be sent in this syntax
                code = "unreadable"
            pipe.send(code)
