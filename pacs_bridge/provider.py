"""What a DICOM service behind the listener is: what it takes, and one exchange of request and responses. [adapter]

A provider never meets the network layer: it gets an ``Exchange``, answers through it, and whatever it raises
becomes a DIMSE status (``pacs_bridge.scp``).
"""

import time
import zlib
from abc import ABC, abstractmethod
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext

from pacs_bridge.ports import Peer
from pacs_bridge.pynetdicom_hooks import DirectAssociation

# Data sets without pixels travel in these: PS3.5 Annex A.1, A.2, A.3 (retired), A.5.
TEXT_SYNTAXES = frozenset(
    ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
)
PENDING = (0xFF00, 0xFF01)
# Where each message carries its data set: (in the request, in the response); PS3.7 9.1, 10.1.
_DATA_SETS = {
    "C_FIND": ("Identifier", "Identifier"), "C_GET": ("Identifier", "Identifier"),
    "C_MOVE": ("Identifier", "Identifier"), "N_CREATE": ("AttributeList", "AttributeList"),
    "N_SET": ("ModificationList", "AttributeList"), "N_GET": (None, "AttributeList"),
    "N_ACTION": ("ActionInformation", "ActionReply"), "N_EVENT_REPORT": ("EventInformation", "EventReply"),
}  # fmt: skip


# Of a deflated data set; what comes is bounded where it is received, what a few bytes swell to only here.
MOST_INFLATED_BYTES = 32 << 20


class BadIdentifier(ValueError):
    """A request's data set cannot be read."""


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflater.decompress(data, MOST_INFLATED_BYTES)
    if not inflater.eof:
        raise ValueError("no end within bounds")
    return found


class Exchange:
    """One request of one association, and the ways to answer it; used by the association's own thread."""

    def __init__(
        self, assoc: DirectAssociation, request: Any, context: PresentationContext, peer: Peer,
        association_id: int | None,
    ) -> None:  # fmt: skip
        self.assoc, self.request, self.context = assoc, request, context
        self.peer, self.association_id = peer, association_id

    @property
    def message(self) -> str:
        """Which message: C_FIND, N_CREATE …"""
        return type(self.request).__name__

    @property
    def sop_class_uid(self) -> str:
        """The request's SOP class, affected or requested."""
        request = self.request
        uid = getattr(request, "AffectedSOPClassUID", None) or getattr(request, "RequestedSOPClassUID", None)
        return str(uid or "")

    @property
    def sop_instance_uid(self) -> str:
        """The request's SOP instance, affected or requested; "" where the message names none."""
        request = self.request
        uid = getattr(request, "AffectedSOPInstanceUID", None) or getattr(request, "RequestedSOPInstanceUID", None)
        return str(uid or "")

    def identifier(self) -> Dataset:
        """The request's data set; an empty one where it has none. Raises BadIdentifier."""
        name = _DATA_SETS[self.message][0]
        data: BytesIO | None = getattr(self.request, name) if name else None
        if data is None:
            return Dataset()
        syntax = UID(self.context.transfer_syntax[0])
        try:
            plain = BytesIO(_inflated(data.getvalue())) if syntax.is_deflated else data
            found = decode(plain, syntax.is_implicit_VR, syntax.is_little_endian)
            list(found.iterall())  # decoded now: what is broken is said now
        except Exception as error:
            raise BadIdentifier(type(error).__name__) from error
        return found

    def respond(self, status: int, dataset: Dataset | None = None, **fields: Any) -> None:
        """One response. ``fields``: command elements by keyword (ErrorComment, NumberOfRemainingSuboperations …).

        Raises ValueError for a data set that cannot be encoded.
        """
        request = self.request
        response = type(request)()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = self.sop_class_uid
        if hasattr(response, "AffectedSOPInstanceUID") and self.sop_instance_uid:
            response.AffectedSOPInstanceUID = self.sop_instance_uid
        for keyword, value in fields.items():
            setattr(response, keyword, value)
        if dataset:  # an empty one is none: whoever is told of it would wait for its first byte
            syntax = UID(self.context.transfer_syntax[0])
            data = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
            if data is None:
                raise ValueError("data set cannot be encoded")
            setattr(response, _DATA_SETS[self.message][1], BytesIO(data))
        response.Status = status
        self.assoc.dimse.send_msg(response, self.context.context_id or 1)

    def is_cancelled(self) -> bool:
        """Whether the peer has sent C-CANCEL for this message, or is gone. Looks at the socket, waits for nothing."""
        self.assoc.look()
        return self.request.MessageID in self.assoc.dimse.cancel_req or not self.assoc.is_alive_now

    def wait_answer(self, timeout_s: float) -> tuple[int, Any] | None:
        """The next response of this association within ``timeout_s``, (context id, primitive); None: none came.

        For the answers to our own requests on the peer's association (C-GET, N-EVENT-REPORT). Requests that come
        meanwhile wait in their order: each has its own answer afterwards.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if (found := self._take_answer()) is not None:
                return found
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not self.assoc.is_alive_now:
                return None
            self.assoc.dul.pump(min(left_s, 0.25))

    def _take_answer(self) -> tuple[int, Any] | None:
        waiting = self.assoc.dimse.msg_queue
        with waiting.mutex:
            for found in waiting.queue:
                if getattr(found[1], "MessageIDBeingRespondedTo", None) is not None:
                    waiting.queue.remove(found)
                    return found[0] or 0, found[1]
        return None


class Provider(ABC):
    """A service class on our side. Subclasses name what they take and serve it."""

    service = ""  # as in Device.services
    needs_trust = False  # only for peers with their client certificate or a written exception
    abstract_syntaxes: frozenset[str] = frozenset()

    def transfer_syntaxes(self, abstract_syntax: str) -> frozenset[str]:
        """What may carry this SOP class."""
        return TEXT_SYNTAXES

    def takes_peer_as_provider(self, abstract_syntax: str) -> bool:
        """Whether the peer may take the SCP role of this SOP class (PS3.7 D.3.3.4)."""
        return False

    def extended(self, abstract_syntax: str, wish: bytes) -> bytes | None:
        """The answer to a SOP Class Extended Negotiation (PS3.7 D.3.3.5); None: none."""
        return None

    @abstractmethod
    def serve(self, exchange: Exchange) -> None:
        """Answer one request completely. May raise: then 0x0110 is sent."""

    def closed(self, association_id: int | None) -> None:  # noqa: B027  a hook that few need
        """The association has ended; forget what was kept for it."""
