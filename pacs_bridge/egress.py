"""Stored objects made ready to leave: corrected, in a syntax that the other side takes. [adapter]

Originals are never rewritten; whatever differs from them is a copy that is gone when it has been sent.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.corrections import write_corrected
from pacs_bridge.retrieval import Leaving, syntaxes_to_offer
from pacs_bridge.transcode_pool import TranscodeFailed, TranscodePool


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
                plain = target.with_name("plain.dcm") if leaving.corrections else target
                self._pool.transcode(stored, plain, syntax)
                stored = plain
            if leaving.corrections:
                write_corrected(stored, leaving.corrections, target)
        except TranscodeFailed as failure:
            raise CannotLeave(failure.code) from failure
        except OSError:
            raise
        except Exception as error:  # pydicom has no common class for what broken objects make it raise
            raise CannotLeave("unreadable") from error
        return target
