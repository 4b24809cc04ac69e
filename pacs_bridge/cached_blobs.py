"""The local store in front of an archive: what is no longer here is fetched back when somebody reads it. [adapter]"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.ports import ArchiveFailure
from pacs_bridge.spool import SpoolFile

Fetch = Callable[[str], Iterator[bytes] | None]
_NOTE_USE_EVERY_S = 60


def local_path(blobs: FileBlobs, key: str) -> Path:
    """Where an object lies or would lie here; fetches nothing. Raises ValueError on what is no key."""
    return FileBlobs.path(blobs, key)


class CachedBlobs(FileBlobs):
    """``fetch`` gives the bytes of a key from the archive, or None where it has no such copy.

    A file's access time says when it was last asked for: what was not used for longest goes first.
    """

    def __init__(self, root: Path | str, fetch: Fetch, now: Callable[[], datetime]) -> None:
        super().__init__(root)
        self._fetch, self._now = fetch, now

    def path(self, key: str) -> Path:
        """Where the object lies; fetched first where it is not here. Raises ArchiveFailure, nothing unproven stays."""
        path = super().path(key)
        try:
            self._note_use(path)
        except FileNotFoundError:
            self._fetch_back(key)
            path = super().path(key)
        return path

    def exists(self, key: str) -> bool:
        return local_path(self, key).is_file()

    def derived_dir(self, key: str) -> Path:
        return self.root / "derived" / local_path(self, key).name

    def _note_use(self, path: Path) -> None:
        status, now_s = path.stat(), self._now().timestamp()
        if now_s - status.st_atime > _NOTE_USE_EVERY_S:
            os.utime(path, (now_s, status.st_mtime))

    def _fetch_back(self, key: str) -> None:
        chunks = self._fetch(key)
        if chunks is None:
            return
        spool = SpoolFile(lambda: self.spool_dir, b"")
        try:
            for chunk in chunks:
                spool.write(chunk)
            spooled = spool.finish()
            if spooled.digest != key:
                raise ArchiveFailure("archive_differs")
            self.adopt(spooled.path, spooled.digest)
        finally:
            spool.discard()  # adopted by now, or not to be kept
