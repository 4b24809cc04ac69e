"""Images derived in processes that may die: limits on time, memory and CPU, started when needed. [adapter]

A codec fed by strangers can hang, eat memory or crash. It then takes one instance with it, never the caller. The
calling process loads no codec and no numpy, and after a quiet while no worker is left in memory.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_MEMORY_BYTES, MAX_FRAME_BYTES = 3 * 1024**3, 256 * 1024**2
JOBS_BEFORE_RENEWAL = 2000  # fragmented memory goes back to the system with the process
KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


class WorkerError(Exception):
    """``code``: decoder_crashed | time_out."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class DerivePool:
    """``derive`` may be called from several threads; ``max_workers`` of them work at once, the others wait in turn."""

    def __init__(
        self, max_workers: int = 1, timeout_s: float = 60.0, idle_s: float = 30.0,
        memory_bytes: int = DEFAULT_MEMORY_BYTES, max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:  # fmt: skip
        self.max_frame_bytes = max_frame_bytes
        self.timeout_s, self.idle_s, self.memory_bytes = timeout_s, idle_s, memory_bytes
        self._max_workers, self._slots = max_workers, _Slots(max_workers)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._timer: threading.Timer | None = None

    def derive(self, source: Path, out_dir: Path) -> dict[str, Any]:
        """The manifest of `viewer.derive.derive_instance`; a worker's death or time-out is a "failed" manifest too,
        written to ``out_dir`` like any other. Raises OSError where the source is not there or the disk refuses."""
        with self._slots:
            worker = self._take()
            try:
                job = {"source": str(source.resolve()), "out_dir": str(out_dir.resolve())}
                answer = worker.ask(job, self.timeout_s)
            except WorkerError as failure:
                worker.kill()
                return _failed(failure.code, out_dir)
            except BaseException:
                worker.kill()
                raise
            self._give_back(worker)
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return answer

    def derive_all(self, wanted: Sequence[tuple[Path, Path]], for_s: float) -> list[dict[str, Any] | Exception]:
        """As ``derive`` for each source and directory, as many at once as there may be; an error in its place.

        After ``for_s`` nothing more is begun: the answers are of the first ones, of one at least.
        """
        made: dict[int, dict[str, Any] | Exception] = {}
        numbers, deadline = iter(range(len(wanted))), time.monotonic() + for_s

        def work() -> None:
            for number in numbers:
                try:
                    made[number] = self.derive(*wanted[number])
                except Exception as error:
                    made[number] = error
                if time.monotonic() >= deadline:
                    return

        helpers = [threading.Thread(target=work, daemon=True) for _ in range(min(self._max_workers, len(wanted)) - 1)]
        for helper in helpers:
            helper.start()
        work()
        for helper in helpers:
            helper.join()
        return [made[number] for number in sorted(made)]

    def close(self) -> None:
        with self._lock:
            workers, self._idle = self._idle, []
            if self._timer:
                self._timer.cancel()
        for worker in workers:
            worker.kill()

    def worker_pids(self) -> list[int]:
        """Of the workers that wait for work."""
        with self._lock:
            return [worker.process.pid for worker in self._idle]

    def _take(self) -> "_Worker":
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.kill()
        return _Worker(self.memory_bytes, self.timeout_s, self.max_frame_bytes)

    def _give_back(self, worker: "_Worker") -> None:
        if worker.jobs >= JOBS_BEFORE_RENEWAL:
            worker.kill()
            return
        worker.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(worker)
            if self._timer is None or not self._timer.is_alive():
                self._start_timer()

    def _start_timer(self) -> None:
        self._timer = threading.Timer(self.idle_s, self._reap)
        self._timer.daemon = True
        self._timer.start()

    def _reap(self) -> None:
        limit = time.monotonic() - self.idle_s
        with self._lock:
            quiet = [worker for worker in self._idle if worker.idle_since <= limit]
            self._idle = [worker for worker in self._idle if worker.idle_since > limit]
            if self._idle:
                self._start_timer()
        for worker in quiet:
            worker.kill()


class _Slots:
    """A semaphore whose waiters come in turn: one long series does not keep a single image waiting."""

    def __init__(self, count: int) -> None:
        self._lock, self._free = threading.Lock(), count
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()  # the slot is handed over, nobody comes in between
            else:
                self._free += 1


class _Worker:
    """One process of `viewer.derive`."""

    def __init__(self, memory_bytes: int, timeout_s: float, max_frame_bytes: int) -> None:
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "viewer.derive",
             str(memory_bytes), str(int(timeout_s) + 1), str(max_frame_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment, start_new_session=True, bufsize=0,
        )  # fmt: skip
        self.jobs = 0
        self.idle_since = 0.0

    def ask(self, job: dict[str, str], timeout_s: float) -> dict[str, Any]:
        """Raises WorkerError."""
        self.jobs += 1
        deadline = time.monotonic() + timeout_s
        if self.process.stdin is None:
            raise WorkerError("decoder_crashed")
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
        except BrokenPipeError as error:
            raise WorkerError("decoder_crashed") from error
        return json.loads(self._line(deadline))  # type: ignore[no-any-return]

    def _line(self, deadline: float) -> bytes:
        pipe = self.process.stdout
        if pipe is None:
            raise WorkerError("decoder_crashed")
        received = bytearray()
        while not received.endswith(b"\n"):
            if not select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise WorkerError("time_out")
            part = os.read(pipe.fileno(), 1 << 20)
            if not part:
                is_cpu = self.process.wait() == -signal.SIGXCPU
                raise WorkerError("time_out" if is_cpu else "decoder_crashed")
            received += part
        return bytes(received)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def _failed(code: str, out_dir: Path) -> dict[str, Any]:
    """What the dead worker left behind is removed, and its manifest written for it."""
    manifest = {"state": "failed", "reason": code, "frames": [], "maker": "teleread-derive-pool/1"}
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    for left in out_dir.parent.glob(f".{out_dir.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(out_dir, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    (work / "display.json").write_text(json.dumps(manifest), encoding="utf-8")
    work.chmod(0o755)
    work.rename(out_dir)
    return manifest
