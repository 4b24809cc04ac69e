"""An archive in a folder of its own: a second disk, a mounted share. [adapter]"""

from collections.abc import Iterator
from pathlib import Path

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.ports import ArchivedObject, ArchiveFailure
from pacs_bridge.spool import SpoolFile

_READ_BYTES = 1 << 20


class LocalArchive:
    """``pacs_bridge.ports.Archive`` on files named by their content, laid out as our own store is."""

    def __init__(self, folder: Path) -> None:
        self.name = f"local:{folder}"
        self._blobs = FileBlobs(folder)

    def store(self, path: Path, archived: ArchivedObject) -> None:
        """Written, synced, and compared by its digest before it has its name."""
        spool = SpoolFile(lambda: self._blobs.spool_dir, b"")
        try:
            for chunk in _chunks(path):
                spool.write(chunk)
            spooled = spool.finish()
            if spooled.digest != archived.digest:
                raise ArchiveFailure("archive_differs")
            self._blobs.adopt(spooled.path, spooled.digest)
        except ArchiveFailure:
            raise
        except OSError as error:
            raise ArchiveFailure("archive_unreachable", error.strerror or "") from error
        finally:
            spool.discard()  # adopted by now, or not to be kept

    def retrieve(self, archived: ArchivedObject) -> Iterator[bytes]:
        try:
            yield from _chunks(self._blobs.path(archived.digest))
        except FileNotFoundError:
            raise ArchiveFailure("archive_missing") from None
        except OSError as error:
            raise ArchiveFailure("archive_unreachable", error.strerror or "") from error

    def has(self, archived: ArchivedObject) -> bool:
        return self._blobs.exists(archived.digest)

    def close(self) -> None:
        self._blobs.close()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            yield chunk
