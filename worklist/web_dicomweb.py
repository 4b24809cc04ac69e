"""The adapter functions that DICOMweb's pages call, joined with the store and the inbox. [app]"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3

from pacs_bridge.egress import CannotLeave, Egress
from pacs_bridge.frame_places import frame_places
from pacs_bridge.retrieval import Leaving
from pacs_bridge.transcode_pool import TranscodePool
from viewer import dicomweb_pixels as pixels
from viewer.dicomweb_fast import FrameMemory
from viewer.metadata_cache import Described, MetadataCache, MetadataFile
from worklist.inbox import IndexInbox
from worklist.outgoing import Outgoing
from worklist.roof import Roof
from worklist.stow import StowDesk
from worklist.web_files import FileRange, Held, HeldFile

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
Header = tuple[bytes, bytes]


def dicomweb_adapters(roof: Roof, inbox: IndexInbox, memory: FrameMemory) -> dict[str, Callable[..., Any]]:
    """By the names that the modules ``viewer.dicomweb*`` use."""
    pool = TranscodePool(max_frame_bytes=roof.settings.max_frame_bytes_number)
    egress, metadata = Egress(roof.blobs, pool), MetadataCache(roof.blobs)

    def object_in(row: Outgoing, syntax: str) -> HeldFile | None:
        """A corrected copy in that syntax, read while it leaves; None where it cannot be made."""
        try:
            with egress.ready(_leaving(row), lambda offered: offered == syntax) as path:
                return Held(path).whole()
        except CannotLeave:
            return None

    def frame_of_copy(row: Outgoing, number: int) -> bytes:
        """One uncompressed frame, its samples as they are described. Raises CannotLeave."""
        with egress.ready(_leaving(row), lambda offered: offered == EXPLICIT_LITTLE) as path:
            ((offset, length),) = frame_places(path).frames[number - 1]
            return FileRange(path, offset, length).read()

    def metadata_file(uid: str, wanted: Sequence[tuple[str, str, dict[str, str]]]) -> MetadataFile:
        return metadata.file_of(uid, [Described(*one) for one in wanted])

    def picture(derived: Path, number: int, **look: Any) -> bytes:
        return pixels.picture(derived, number, pixels.Look(**look))

    return {
        "etag_of": etag_of, "object_in": object_in, "frame_of_copy": frame_of_copy, "metadata_file": metadata_file,
        "is_derived": pixels.is_derived, "frame_count": pixels.frame_count, "decoded_frame": pixels.decoded,
        "picture": picture, "most_px": lambda: pixels.MOST_PX, "store_objects": StowDesk(roof, inbox).store,
        "frames_unknown": memory.is_unknown, "remember_frames": memory.remember,
    }  # fmt: skip


def _leaving(row: Outgoing) -> Leaving:
    return Leaving(
        row.blob_key, row.sop_class_uid, row.sop_instance_uid, row.transfer_syntax_uid, row.study_instance_uid,
        row.corrections,
    )  # fmt: skip


def etag_of(values: Sequence[Any]) -> str:
    """A validator from whatever decides the bytes."""
    return blake3(repr(values).encode()).hexdigest()[:32]


def short_way(
    memory: FrameMemory, common: dict[str, str]
) -> Callable[[str, Iterable[Header]], tuple[list[Header], Sequence[Any]] | None]:
    """For ``worklist.asgi``: a complete answer to a frame's request, or None. ``common``: headers of every answer."""
    fixed = [(name.lower().encode(), value.encode()) for name, value in common.items()]

    def answer(path: str, headers: Iterable[Header]) -> tuple[list[Header], Sequence[Any]] | None:
        found = memory.find(path, headers)
        return None if found is None else ([*fixed, *found.headers], found.segments)

    return answer
