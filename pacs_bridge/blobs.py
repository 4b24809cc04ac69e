"""Objects kept in local files, named by their content, durable before anyone is told so. [adapter]

Layout below the root::

    spool/<run>/        files being received; a run is one process, alive while it holds the lock beside it
    objects/aa/<digest>       the stored files, named by their BLAKE3 digest, never rewritten
    objects/aa/bb/<digest>    the same, as version 0.1 laid them; found, no longer made
    derived/<key>/...   what can be made again
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from pacs_bridge.spool import beside

_DIGEST = re.compile(r"[0-9a-f]{64}")
_READ_BYTES = 1 << 20


def fsync_directory(path: Path | str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create ``path`` (0700) and what is missing above it; each new name is made durable in its parent."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    # Also when another process made it first: its fsync may not have happened yet.
    fsync_directory(path.parent)


class FileBlobs:
    """A content-addressed store in one file system; safe for many threads and processes at once.

    Every method may raise OSError (ENOSPC, EDQUOT, EIO): then nothing has been stored under the key.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.objects = self.root / "objects"
        self._made: set[str] = set()  # directories of objects known to be durable
        self._run: tuple[int, Path, int] | None = None  # process id, spool directory, lock descriptor

    @property
    def spool_dir(self) -> Path:
        """This process's own directory for files being received, in the file system of the objects."""
        if self._run is None or self._run[0] != os.getpid():
            self._run = self._start_run()
        return self._run[1]

    def _start_run(self) -> tuple[int, Path, int]:
        spool = self.root / "spool"
        make_directory(self.objects)
        make_directory(spool)
        name = uuid.uuid4().hex
        lock = os.open(spool / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # The lock is held before the directory exists, so whoever sees the directory sees the lock too.
        fcntl.flock(lock, fcntl.LOCK_EX)
        directory = spool / name
        directory.mkdir(mode=0o700)
        return os.getpid(), directory, lock

    def close(self) -> None:
        """End this process's run; its spool directory goes. Idempotent; a later use starts a new run."""
        if self._run is not None and self._run[0] == os.getpid():
            _, directory, lock = self._run
            shutil.rmtree(directory, ignore_errors=True)
            directory.with_suffix(".lock").unlink(missing_ok=True)
            os.close(lock)
        self._run = None

    def sweep_spool(self) -> int:
        """Remove what dead processes left half received; returns the number of files removed."""
        removed = 0
        for directory in (self.root / "spool").glob("*/"):
            removed += _remove_dead_run(directory)
        return removed

    def has_other_runs(self) -> bool:
        """Whether another process has this store open and may be about to name an object in its index."""
        own = self._run[1].name if self._run is not None and self._run[0] == os.getpid() else ""
        locks = (path for path in (self.root / "spool").glob("*.lock") if path.stem != own)
        return any(_is_locked(path) for path in locks)

    def path(self, key: str) -> Path:
        """Where the object lies. Raises ValueError on anything that is not a key of this store."""
        if not _DIGEST.fullmatch(key):
            raise ValueError("not a blob key")
        path = self.objects / key[:2] / key
        if not path.exists() and (older := self.objects / key[:2] / key[2:4] / key).exists():
            return older
        return path

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def open(self, key: str) -> BinaryIO:
        """The stored bytes; FileNotFoundError when absent."""
        return self.path(key).open("rb")

    def adopt(self, spooled: Path, digest: str) -> str:
        """Take a spooled file, already fsynced by the caller, as the object ``digest``; durable on return.

        Equal content that is already there is replaced by its equal, so a half-made first copy is mended.
        """
        fsync_directory(self._take(spooled, digest))
        return digest

    def begin_adopt(self, spooled: Path, digest: str) -> Callable[[], None]:
        """As ``adopt``, but durable only when what is returned has been called; that raises OSError if it cannot be."""
        return beside(fsync_directory, self._take(spooled, digest)).result

    def _take(self, spooled: Path, digest: str) -> str:
        """Under its name, in the directory that is returned."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError("not a blob key")
        # 256 directories in all: a new one costs two synced directories, and with more levels nearly every object
        # of a young store would need one.
        directory = f"{self.objects}/{digest[:2]}"  # once per object: text is enough
        if digest[:2] not in self._made:
            make_directory(Path(directory))
            self._made.add(digest[:2])
        os.rename(spooled, f"{directory}/{digest}")  # noqa: PTH104
        return directory

    def put(self, data: bytes) -> str:
        """Store bytes durably; returns the key. Storing twice changes nothing."""
        spooled = write_durable(self.spool_dir, data)
        try:
            return self.adopt(spooled, blake3(data).hexdigest())
        except OSError:
            spooled.unlink(missing_ok=True)
            raise

    def keys(self) -> Iterator[str]:
        """Every stored key, in no order."""
        for path in chain(self.objects.glob("??/*"), self.objects.glob("??/??/*")):
            if _DIGEST.fullmatch(path.name):
                yield path.name

    def verify(self, key: str) -> bool:
        """Whether the bytes still hash to their name. FileNotFoundError when absent."""
        hasher = blake3()
        with self.open(key) as stream:
            while chunk := stream.read(_READ_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest() == key

    def remove(self, key: str) -> None:
        """Forget an object and what was derived from it; only for what no index row names."""
        self.path(key).unlink(missing_ok=True)
        shutil.rmtree(self.derived_dir(key), ignore_errors=True)

    def derived_dir(self, key: str) -> Path:
        """Where data derived from an object lies; may not exist yet."""
        return self.root / "derived" / self.path(key).name

    def put_derived(self, key: str, name: str, data: bytes) -> Path:
        """Write derived data so that a reader sees all of it or none; not fsynced, it can be made again."""
        target = self.derived_dir(key) / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        spooled = _write(self.spool_dir, data, durable=False)
        spooled.rename(target)
        return target


def write_durable(directory: Path, data: bytes) -> Path:
    """A new file (0600) in ``directory`` with ``data``, fsynced; nothing is left behind on OSError."""
    return _write(directory, data, durable=True)


def _write(directory: Path, data: bytes, *, durable: bool) -> Path:
    descriptor, name = tempfile.mkstemp(dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the lock; one that vanishes meanwhile is held by nobody."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _remove_dead_run(directory: Path) -> int:
    lock_path = directory.with_suffix(".lock")
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return 0
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        n_files = sum(1 for path in directory.rglob("*") if path.is_file())
        shutil.rmtree(directory, ignore_errors=True)
        lock_path.unlink(missing_ok=True)
    except BlockingIOError:
        return 0  # its process lives
    finally:
        os.close(lock)
    return n_files
