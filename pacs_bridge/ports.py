"""What the DICOM side asks of whoever keeps the index: who a peer is, and where a stored object goes. [domain]"""

from dataclasses import dataclass
from typing import Protocol

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
    """One object whose bytes are already durable under ``blob_key``. With a ``problem`` it goes to quarantine."""

    association_id: int | None
    blob_key: str
    digest: str  # BLAKE3, hex, of the whole stored file
    size_bytes: int  # of the whole stored file
    sop_class_uid: str  # as the command set says
    sop_instance_uid: str  # as the command set says
    transfer_syntax_uid: str
    record: ObjectRecord | None
    problem: Problem | None


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
        """File the object and commit; returns the DIMSE status. 0x0000 only after the commit, 0xA700 on no space."""
        ...
