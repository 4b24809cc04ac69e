"""A few signing processes behind one call that answers within the time limit or not at all. [adapter]

PIN, encrypted key and document go over a pipe and nowhere else: not into arguments, environment, files
or exception texts. A process that is late, dead or talks nonsense is killed and replaced; the caller gets
SigningUnavailableError and nothing has changed.
"""

import contextlib
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from reports.signing_wire import WireError, decode, encode

PACKAGE_PARENT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 30.0


class SigningUnavailableError(Exception):
    """No answer in time. Nothing was signed; the same request may be sent again."""

    code = "signing_unavailable"

    def __init__(self) -> None:
        super().__init__(self.code)
        self.params: dict[str, object] = {}


class SigningRefusedError(Exception):
    """The signing process says no: ``wrong_pin``, ``digest_mismatch``, ``certificate_expired`` …"""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


@dataclass(frozen=True)
class SigningRequest:
    """One signature. Secrets and documents stay out of the repr."""

    document: bytes = field(repr=False)
    expected_sha256: str  # of ``document``, as the signer saw it: hexadecimal, lower case
    field_name: str
    pin: str = field(repr=False)
    encrypted_pkcs8: bytes = field(repr=False)
    certificate_pem: str = field(repr=False)
    signer_name: str
    signed_at: datetime
    stamp_pdf: bytes | None = field(repr=False, default=None)


class _Child:
    """One signing process and its two pipes, never blocking past a deadline (monotonic seconds)."""

    def __init__(self) -> None:
        environ = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(PACKAGE_PARENT), "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "reports.signing_process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environ, cwd=PACKAGE_PARENT, bufsize=0,
        )  # fmt: skip
        assert self.process.stdin and self.process.stdout  # noqa: S101 (both are pipes)
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)
        self.started_at = time.monotonic()
        self.is_ready = False

    @property
    def may_still_start(self) -> bool:
        """A busy machine needs seconds to load the libraries: that is no reason to begin again."""
        is_loading = not self.is_ready and self.process.poll() is None
        return is_loading and time.monotonic() < self.started_at + START_TIMEOUT_S

    def wait_ready(self, deadline: float) -> None:
        """Raises TimeoutError when it still loads; it can be asked again."""
        if not self.is_ready:
            _wait(self.stdout, selectors.EVENT_READ, deadline)
            head, _ = self._receive(max(deadline, time.monotonic() + 1))  # a few bytes, written at once
            self.is_ready = head.get("code") == "ready"

    def ask(
        self, head: dict[str, Any], blobs: dict[str, bytes | bytearray], deadline: float
    ) -> tuple[dict[str, Any], dict[str, bytearray]]:
        """Raises TimeoutError, WireError or OSError when the process does not answer well and in time."""
        self.wait_ready(deadline)
        for part in encode(head, blobs):
            self._send(part, deadline)
        return self._receive(deadline)

    def _send(self, part: bytes | bytearray, deadline: float) -> None:
        with memoryview(part) as whole:
            sent = 0
            while sent < len(whole):
                _wait(self.stdin, selectors.EVENT_WRITE, deadline)
                with contextlib.suppress(BlockingIOError), whole[sent:] as rest:
                    sent += os.write(self.stdin, rest)

    def _receive(self, deadline: float) -> tuple[dict[str, Any], dict[str, bytearray]]:
        def read_exactly(n_bytes: int) -> bytearray:
            buffer = bytearray()
            while len(buffer) < n_bytes:
                _wait(self.stdout, selectors.EVENT_READ, deadline)
                chunk = os.read(self.stdout, n_bytes - len(buffer))
                if not chunk:
                    raise WireError("closed")
                buffer += chunk
            return buffer

        return decode(read_exactly)

    def end(self) -> None:
        """Kills, reaps and closes; harmless when it is gone already."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        self.process.wait()


def _wait(descriptor: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, event)
        if not selector.select(max(deadline - time.monotonic(), 0)):
            raise TimeoutError


class SigningPool:
    """``n_processes`` signing processes, started at once so that the first signature is quick. Thread-safe.

    ``authority_dir`` holds the CA certificate and the time stamp unit (see ``reports.certificate``);
    ``with_time_stamp`` False makes B-B.
    """

    def __init__(
        self, authority_dir: Path, n_processes: int = 2, timeout_s: float = 5.0, with_time_stamp: bool = True
    ) -> None:
        self._authority_dir, self._timeout_s, self._with_time_stamp = authority_dir, timeout_s, with_time_stamp
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        for _ in range(n_processes):
            self._start()

    def _start(self) -> None:
        with self._lock:
            if not self._is_closed:
                child = _Child()
                self._children.add(child)
                self._idle.put(child)

    def _replace(self, child: _Child) -> None:
        with self._lock:
            self._children.discard(child)
        child.end()
        self._start()

    @property
    def pids(self) -> list[int]:
        with self._lock:
            return [child.process.pid for child in self._children]

    def warm_up(self) -> None:
        """Waits until every idle process has loaded its libraries (at most 30 s)."""
        waiting = [self._idle.get_nowait() for _ in range(self._idle.qsize())]
        for child in waiting:
            try:
                child.wait_ready(time.monotonic() + START_TIMEOUT_S)
                self._idle.put(child)
            except (TimeoutError, WireError, OSError):
                self._replace(child)

    def sign(self, request: SigningRequest) -> bytes:
        """The signed document. Raises SigningRefusedError, or SigningUnavailableError within the time limit."""
        deadline = time.monotonic() + self._timeout_s
        pin = bytearray(request.pin.encode())
        try:
            head, blobs = self._ask(_head(request), self._blobs(request, pin), deadline)
        finally:
            pin[:] = bytes(len(pin))
        if head["code"] != "signed":
            raise SigningRefusedError(head["code"], **head.get("params", {}))
        return bytes(blobs["pdf"])

    def _ask(
        self, head: dict[str, Any], blobs: dict[str, bytes | bytearray], deadline: float
    ) -> tuple[dict[str, Any], dict[str, bytearray]]:
        try:
            child = self._idle.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            raise SigningUnavailableError from None
        try:
            answer = child.ask(head, blobs, deadline)
        except BaseException as error:
            if isinstance(error, TimeoutError) and child.may_still_start:
                self._idle.put(child)
            else:
                self._replace(child)
            if isinstance(error, TimeoutError | WireError | OSError | ValueError):
                raise SigningUnavailableError from None
            raise
        self._idle.put(child)
        return answer

    def _blobs(self, request: SigningRequest, pin: bytearray) -> dict[str, bytes | bytearray]:
        blobs: dict[str, bytes | bytearray] = {
            "pin": pin,
            "encrypted_key": request.encrypted_pkcs8,
            "document": request.document,
            "certificate": request.certificate_pem.encode(),
            "ca": (self._authority_dir / "ca.crt").read_bytes(),
        }
        if request.stamp_pdf is not None:
            blobs["stamp"] = request.stamp_pdf
        if self._with_time_stamp:
            blobs["tsa_certificate"] = (self._authority_dir / "tsa.crt").read_bytes()
            blobs["tsa_key"] = (self._authority_dir / "tsa.key").read_bytes()
        return blobs

    def close(self) -> None:
        """Ends all processes; a signature under way fails as unavailable."""
        with self._lock:
            self._is_closed = True
            children = list(self._children)
            self._children.clear()
        for child in children:
            child.end()


def _head(request: SigningRequest) -> dict[str, Any]:
    return {
        "field": request.field_name,
        "expected_sha256": request.expected_sha256,
        "signer_name": request.signer_name,
        "signed_at": request.signed_at.isoformat(),
    }
