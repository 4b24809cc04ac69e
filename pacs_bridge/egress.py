"""Stored objects made ready to leave: corrected, in a syntax that the other side takes. [adapter]

Originals are never rewritten; whatever differs from them is a copy that is gone when it has been sent.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.charset import convert_encodings

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.retrieval import Leaving, syntaxes_to_offer
from pacs_bridge.transcode_pool import TranscodeFailed, TranscodePool

UNICODE = "ISO_IR 192"


class CannotLeave(Exception):
    """This object cannot be sent to that peer. ``code``: no_context, unreadable, or of TranscodeFailed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Egress:
    """The way out of one store. Safe for many threads."""

    def __init__(self, blobs: FileBlobs, pool: TranscodePool) -> None:
        self._blobs, self._pool = blobs, pool

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def ready(self, leaving: Leaving, takes: Callable[[str], bool]) -> Iterator[Path]:
        """The file to send; ``takes`` says whether a transfer syntax has been accepted for its class.

        Raises CannotLeave.
        """
        offered = syntaxes_to_offer(leaving.transfer_syntax_uid)
        syntax = next((one for one in offered if takes(one)), None)
        if syntax is None:
            raise CannotLeave("no_context")
        stored = self._blobs.path(leaving.blob_key)
        if syntax == leaving.transfer_syntax_uid and not leaving.corrections:
            yield stored
            return
        with tempfile.TemporaryDirectory(dir=self._blobs.spool_dir) as folder:
            yield self._copy(stored, Path(folder) / "leaving.dcm", syntax, leaving)

    def _copy(self, stored: Path, target: Path, syntax: str, leaving: Leaving) -> Path:
        try:
            if syntax != leaving.transfer_syntax_uid:
                self._pool.transcode(stored, target, syntax)
                stored = target
            if leaving.corrections:
                target.write_bytes(corrected(stored, leaving.corrections))
        except TranscodeFailed as failure:
            raise CannotLeave(failure.code) from failure
        except OSError:
            raise
        except Exception as error:  # pydicom has no common class for what broken objects make it raise
            raise CannotLeave("unreadable") from error
        return target


def corrected(path: Path, corrections: Mapping[str, str]) -> bytes:
    """The object with other values, keyword by keyword ("" empties one); in Unicode where its own set lacks them."""
    dataset = dcmread(path)
    for keyword, value in corrections.items():
        setattr(dataset, keyword, value)
    if not _can_write(dataset, corrections.values()):
        dataset.decode()
        dataset.SpecificCharacterSet = UNICODE
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=False)
    return written.getvalue()


def _can_write(dataset: Dataset, values: Iterable[str]) -> bool:
    """Whether one of the data set's encodings holds each value; code extensions switch between them (PS3.5 6.1.2.5)."""
    encodings = convert_encodings(dataset.get("SpecificCharacterSet"))
    return all(any(_fits(value, encoding) for encoding in encodings) for value in values)


def _fits(value: str, encoding: str) -> bool:
    try:
        value.encode("ascii" if encoding == "iso8859" else encoding)
    except (UnicodeError, LookupError):
        return False
    return True
