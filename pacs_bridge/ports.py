"""What the DICOM side asks of others: who a peer is, where a stored object goes, what an archive can do. [domain]"""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from pacs_bridge.records import ObjectRecord, Problem

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3
PROCESSING_FAILURE = 0x0110  # PS3.7 C.5.14
NOT_AUTHORISED = 0x0124  # PS3.7 C.5.12
CANNOT_UNDERSTAND = 0xC000  # PS3.4 B.2.3


@dataclass(frozen=True)
class Peer:
    """A registered device, as known by AE title and address."""

    device_id: int | None
    site_id: int | None
    ae_title: str
    services: frozenset[str]  # echo store find move get worklist mpps commitment ups
    quiet_time_s: int
    fallback_character_set: str  # a DICOM defined term, e.g. GB18030
    character_set: str = "ISO_IR 192"  # what it can read; our answers to it are written so
    sees_all: bool = False  # studies of every site, not of its own alone
    move_destinations: frozenset[str] = frozenset()  # AE titles beyond its own site's
    is_authenticated: bool = False  # came with its client certificate
    may_query: bool = False  # certificate, or an administrator's written exception


@dataclass(frozen=True)
class ReceivedObject:
    """One object whose bytes lie under ``blob_key``. With a ``problem`` it goes to quarantine.

    Before anything that names it is committed, ``wait_durable`` is called: it returns when the bytes will outlive a
    power cut, and raises OSError where they will not. It may be called again.
    """

    association_id: int | None
    blob_key: str
    digest: str  # BLAKE3, hex, of the whole stored file
    size_bytes: int  # of the whole stored file
    sop_class_uid: str  # as the command set says
    sop_instance_uid: str  # as the command set says
    transfer_syntax_uid: str
    record: ObjectRecord | None
    problem: Problem | None
    wait_durable: Callable[[], None] = lambda: None


class Inbox(Protocol):
    """Called from the thread of one association; calls of different associations come at the same time."""

    def identify(
        self, calling_ae: str, called_ae: str, address: str, certificate_sha256: str | None = None
    ) -> Peer | None:
        """The registered device behind a request, or None: rejected 1/1/3. The certificate is the TLS peer's."""
        ...

    def association_opened(self, peer: Peer, calling_ae: str, called_ae: str, address: str) -> int:
        """Note an accepted association; returns its id."""
        ...

    def association_closed(self, association_id: int, outcome: str) -> None:
        """``outcome``: released (by the peer, in order), aborted (A-ABORT, either side) or lost (connection gone)."""
        ...

    def association_refused(self, calling_ae: str, called_ae: str, address: str, reason: str) -> None:
        """``reason``: called_ae_unknown, calling_ae_unknown or busy. For the audit; titles are as sent, ≤ 16."""
        ...

    def receive(self, received: ReceivedObject) -> int:
        """File the object and commit, once ``wait_durable`` has returned; gives the DIMSE status.

        0x0000 only after the commit, 0xA700 on no space.
        """
        ...


@dataclass(frozen=True)
class ArchivedObject:
    """One stored file, as it is named here and there. ``digest``: BLAKE3; ``md5``: what archives compare by, hex."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    digest: str
    md5: str
    size_bytes: int


class ArchiveFailure(OSError):
    """An archive did not do what was asked: for whoever reads, a file that cannot be read just now.

    ``code``: archive_unreachable, archive_refused (the access or the object), archive_missing (it has no such
    object) or archive_differs (what it has under these UIDs are other bytes).
    """

    params: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(errno.EIO, code)
        self.code, self.detail = code, detail


class Archive(Protocol):
    """Keeps copies of stored files, bit for bit, and gives them back. Nothing here deletes.

    Safe for many threads at once; every method may raise ArchiveFailure.
    """

    @property
    def name(self) -> str:
        """Its address without credentials: under this name the index remembers what it holds."""
        ...

    def store(self, path: Path, archived: ArchivedObject) -> None:
        """Copy the file there. On return the archive has said, after the copy, that it holds these very bytes."""
        ...

    def retrieve(self, archived: ArchivedObject) -> Iterator[bytes]:
        """Its bytes, in pieces; the reader compares the digest."""
        ...

    def has(self, archived: ArchivedObject) -> bool:
        """Whether it holds the object, as far as it can say without sending it."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Arrival:
    """An object that came to an archive; ``key`` is its name there, ``source_ae`` who sent it ("" where unknown)."""

    key: str
    sop_instance_uid: str
    source_ae: str
    md5: str


@runtime_checkable
class FollowedArchive(Archive, Protocol):
    """An archive that others fill too, and that tells what came."""

    def arrivals(self, since: int, limit: int) -> tuple[list[Arrival], int]:
        """What came after that position, oldest first, and the position behind it."""
        ...

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of an arrival, in pieces."""
        ...
