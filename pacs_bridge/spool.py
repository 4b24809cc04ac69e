"""One object on its way in: Part 10 preamble first, then the bytes as they come; hashed while the disk syncs. [adapter]

The disk needs longer for its part than we for ours, so it does it beside: who waits for it waits for the rest only.
"""

import os
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

from blake3 import blake3

# Made once for this product (UUID-derived, PS3.5 B.2); names the writer of the file meta, PS3.10 7.1.
IMPLEMENTATION_CLASS_UID = "2.25.238296345283761108025329413311489544714"
IMPLEMENTATION_VERSION_NAME = "TELEREAD_1"
_NUMBERS = count()  # next() is one step of the interpreter: no two threads get one number
_READ_BYTES = 256 << 10
_SMALL_BYTES = 4 << 20  # is read back in one piece, for all who read it
_MOST_SYNCS = 32  # at once; a disk does no more of them at a time anyway

_pool: tuple[int, ThreadPoolExecutor] | None = None  # of the process with that id
_pool_lock = threading.Lock()


def beside(act: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """Call what waits for the disk in another thread; ``result()`` waits for it and raises what it raised."""
    global _pool  # noqa: PLW0603  a process that was forked makes its own: threads are not inherited
    if _pool is None or _pool[0] != os.getpid():
        with _pool_lock:
            if _pool is None or _pool[0] != os.getpid():
                _pool = os.getpid(), ThreadPoolExecutor(_MOST_SYNCS, thread_name_prefix="sync")
    try:
        return _pool[1].submit(act, *arguments)
    except RuntimeError:  # no thread to be had; syncing once more, should one come later, does no harm
        done: Future[Any] = Future()
        try:
            done.set_result(act(*arguments))
        except OSError as error:
            done.set_exception(error)
        return done


@dataclass(frozen=True)
class Spooled:
    """A complete file in the spool, fsynced. ``digest`` is the BLAKE3 of all of it, hex."""

    path: Path
    digest: str
    size_bytes: int


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    """One element of group 0002, Explicit VR Little Endian."""
    if len(value) % 2:
        value += b" " if vr in (b"AE", b"SH") else b"\0"
    if vr == b"OB":
        return struct.pack("<HH2sHI", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


_VERSION = _element(0x0001, b"OB", b"\x00\x01")
_WRITER = _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode()) + _element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()
)


def part10_preamble(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae: str) -> bytes:
    """The 128 zero bytes, DICM and the File Meta Information of PS3.10 7.1 for a data set that follows."""
    elements = b"".join((
        _VERSION,
        _element(0x0002, b"UI", sop_class_uid.encode("ascii", "replace")),
        _element(0x0003, b"UI", sop_instance_uid.encode("ascii", "replace")),
        _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii", "replace")),
        _WRITER,
        _element(0x0016, b"AE", source_ae.encode("ascii", "replace")),
    ))  # fmt: skip
    group_length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements))
    return b"\0" * 128 + b"DICM" + group_length + elements


class SpoolFile:
    """Bytes written as they arrive. A failure (no space, no descriptor) is kept, not raised: the peer goes on
    sending, the rest is thrown away, and ``finish`` raises the first OSError.
    """

    def __init__(self, directory: Callable[[], Path], preamble: bytes) -> None:
        self._size_bytes = 0
        self._failure: OSError | None = None
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._content = b""
        self._syncing: Future[None] | None = None
        try:
            # The directory is this process's alone, so a count is name enough.
            name = f"{directory()}/{next(_NUMBERS)}"
            self._descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._path = Path(name)
        except OSError as failure:
            self._failure = failure
        self.write(preamble)

    def write(self, data: bytes | memoryview) -> None:
        """Append; the bytes are not kept by reference."""
        if self._descriptor is None:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as failure:
            self._failure = failure
            self.discard()
            return
        self._size_bytes += len(data)

    def begin_sync(self) -> Path | bytes:
        """All has come: the disk begins. What there is to read meanwhile: a small object's bytes, a large one's file.

        Raises the first OSError, keeping nothing.
        """
        if self._failure is not None or self._descriptor is None or self._path is None:
            self.discard()
            raise self._failure or OSError("spool file is closed")
        if self._syncing is None:
            self._syncing = beside(os.fsync, self._descriptor)
            if self._size_bytes <= _SMALL_BYTES:
                self._content = self._read_back(self._descriptor)
        return self._content or self._path  # never empty: a preamble was written

    def _read_back(self, descriptor: int) -> bytes:
        try:
            content = os.pread(descriptor, self._size_bytes, 0)
            if len(content) < self._size_bytes:
                raise OSError("the spool file is shorter than what was written")
        except OSError:
            self.discard()
            raise
        return content

    def finish(self) -> Spooled:
        """Hash, wait for the disk, close. Raises the first OSError of the whole life; then nothing is left behind."""
        source = self.begin_sync()
        path = cast(Path, self._path)  # there is one, or the sync had not begun
        try:
            digest = blake3(source).hexdigest() if isinstance(source, bytes) else _digest(source)
            self._wait_synced()
        except OSError:
            self.discard()
            raise
        self._close()
        self._content = b""
        return Spooled(path, digest, self._size_bytes)

    def _wait_synced(self) -> None:
        if self._syncing is not None:
            self._syncing.result()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def discard(self) -> None:
        """Close and remove; idempotent. Never raises."""
        if self._syncing is not None:
            self._syncing.exception()  # nobody may close the descriptor under the sync
        self._close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """BLAKE3, hex. By plain reads: of a mapped file, a page the disk does not give back is a signal and ends us all."""
    hasher, buffer = blake3(), bytearray(min(_READ_BYTES, max(path.stat().st_size, 1)))
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while n_bytes := file.readinto(view):
            hasher.update(view[:n_bytes])
    return hasher.hexdigest()
