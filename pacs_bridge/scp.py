"""The services behind the listener: verification and storage here, the others as providers. [adapter]

Each association has its own ``Services``; all of it runs in that association's thread. Nothing here raises
into the network layer: whatever goes wrong becomes a DIMSE status.
"""

import errno
import logging
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
)
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from pacs_bridge import ports
from pacs_bridge.blobs import FileBlobs
from pacs_bridge.extract import STORAGE_CLASSES, TRANSFER_SYNTAXES, extract
from pacs_bridge.ports import Inbox, Peer, ReceivedObject
from pacs_bridge.provider import BadIdentifier, Exchange, Provider
from pacs_bridge.pynetdicom_dimse import StoreRequest, store_response
from pacs_bridge.pynetdicom_hooks import DirectAssociation
from pacs_bridge.records import ObjectRecord, Problem
from pacs_bridge.spool import SpoolFile, part10_preamble

log = logging.getLogger(__name__)

# A-ASSOCIATE-RJ (result, source, reason), PS3.8 Table 9-21.
CALLED_AE_UNKNOWN = (1, 1, 7)
CALLING_AE_UNKNOWN = (1, 1, 3)
TEMPORARY_CONGESTION = (2, 3, 1)
# Presentation context results, PS3.8 Table 9-18.
_ACCEPTED, _USER_REJECTION, _NO_ABSTRACT_SYNTAX, _NO_TRANSFER_SYNTAX = 0, 1, 3, 4
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EROFS))
_UNRECOGNISED_OPERATION = 0x0211  # PS3.7 C.5.23
_INVALID_VALUE = 0x0106  # PS3.7 C.5.9
# Public classes that are not storage (query, worklist, print ...): PS3.6 gives each a UID under this root.
_PUBLIC_ROOT = "1.2.840.10008."


@dataclass(frozen=True)
class Office:
    """What all associations of one listener share. ``zone``: for moments in objects that carry no offset."""

    inbox: Inbox
    blobs: FileBlobs
    ae_title: str
    zone: tzinfo = UTC
    providers: tuple[Provider, ...] = ()

    def provider_of(self, abstract_syntax: str) -> Provider | None:
        """Who serves this SOP class; None: nobody, or it is verification or storage."""
        return next((one for one in self.providers if abstract_syntax in one.abstract_syntaxes), None)


def is_storage(sop_class_uid: str) -> bool:
    """Known storage classes, and every class that is not a known public one: unknown objects are kept too."""
    if sop_class_uid in STORAGE_CLASSES:
        return True
    return not sop_class_uid.startswith(_PUBLIC_ROOT) or sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.")


def dimse_status_of(error: Exception) -> int:
    """0xA700 when space, descriptors or a lock were lacking; else 0x0110."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return ports.OUT_OF_RESOURCES
    # A database error wraps its driver's: sqlite3 names its code, PostgreSQL has SQLSTATE classes.
    cause = getattr(error, "orig", error)
    name = str(getattr(cause, "sqlite_errorname", ""))
    sqlstate = str(getattr(cause, "sqlstate", "") or "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")):
        return ports.OUT_OF_RESOURCES
    if sqlstate.startswith(("53", "40", "55P03", "57", "08")):  # resources, rollback, lock, shutdown, connection
        return ports.OUT_OF_RESOURCES
    return ports.PROCESSING_FAILURE


class Services:
    """Who the peer is, what it may do, and the doing; the ``Policy`` of one association."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.peer: Peer | None = None
        self.association_id: int | None = None

    def admit(self, assoc: DirectAssociation, request: A_ASSOCIATE) -> tuple[int, int, int] | None:
        """None, or why the association is refused."""
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        inbox, address = self._office.inbox, assoc.peer_address
        try:
            if called != self._office.ae_title:
                inbox.association_refused(calling, called, address, "called_ae_unknown")
                return CALLED_AE_UNKNOWN
            self.peer = inbox.identify(calling, called, address, assoc.certificate_sha256)
            if self.peer is None:
                reason = "calling_ae_unknown" if assoc.certificate_sha256 is None else "certificate_not_of_calling_ae"
                inbox.association_refused(calling, called, address, reason)
                return CALLING_AE_UNKNOWN
            self.association_id = inbox.association_opened(self.peer, calling, called, address)
        except Exception as error:
            log.error("association refused: inbox raised %s", type(error).__name__)
            return TEMPORARY_CONGESTION
        return None

    def refused_in_tls(self, assoc: DirectAssociation, reason: str) -> None:
        """A handshake that failed is a refused association too, of nobody knows whom."""
        try:
            self._office.inbox.association_refused("", self._office.ae_title, assoc.peer_address, reason)
        except Exception as error:
            log.error("refusal not noted: inbox raised %s", type(error).__name__)

    def negotiate(
        self, assoc: DirectAssociation, request: A_ASSOCIATE
    ) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation | SOPClassExtendedNegotiation]]:
        """An answer to every proposed context and role, and to the extended negotiation somebody understands."""
        takers = {str(uid) for uid, item in assoc.requestor.role_selection.items() if item.scp_role}
        contexts = [
            self._answer(proposed, str(proposed.abstract_syntax) in takers)
            for proposed in request.presentation_context_definition_list
        ]
        items: list[SCP_SCU_RoleSelectionNegotiation | SOPClassExtendedNegotiation] = []
        for item in assoc.requestor.role_selection.values():
            role = SCP_SCU_RoleSelectionNegotiation()
            role.sop_class_uid, role.scu_role = item.sop_class_uid, bool(item.scu_role)
            role.scp_role = bool(item.scp_role) and self._takes_peer_as_provider(str(item.sop_class_uid))
            items.append(role)
        for uid, wish in assoc.requestor.sop_class_extended.items():
            provider = self._office.provider_of(str(uid))
            answer = provider.extended(str(uid), wish) if provider is not None else None
            if answer is not None:
                extended = SOPClassExtendedNegotiation()
                extended.sop_class_uid, extended.service_class_application_information = uid, answer
                items.append(extended)
        return contexts, items

    def _takes_peer_as_provider(self, abstract_syntax: str) -> bool:
        """C-GET sends objects on the peer's own association; commitment results come on the provider's."""
        if is_storage(abstract_syntax) and abstract_syntax != Verification:
            return "get" in self._allowed()
        provider = self._office.provider_of(abstract_syntax)
        return provider is not None and provider.takes_peer_as_provider(abstract_syntax)

    def _answer(self, proposed: PresentationContext, peer_provides: bool) -> PresentationContext:
        abstract_syntax = str(proposed.abstract_syntax)
        provider = self._office.provider_of(abstract_syntax)
        known = provider.transfer_syntaxes(abstract_syntax) if provider is not None else TRANSFER_SYNTAXES
        syntaxes = [str(uid) for uid in proposed.transfer_syntax]
        usable = [uid for uid in syntaxes if uid in known]
        # The peer's order is its preference; big endian is retired and taken only when alone.
        usable.sort(key=lambda uid: uid == _BIG_ENDIAN)
        answer = PresentationContext()
        answer.context_id = proposed.context_id
        answer.abstract_syntax = proposed.abstract_syntax
        answer.transfer_syntax = [UID(usable[0] if usable else syntaxes[0])]
        answer.result = self._result(abstract_syntax, provider, bool(usable), peer_provides)
        is_taker = peer_provides and self._takes_peer_as_provider(abstract_syntax)
        answer._as_scu, answer._as_scp = is_taker, True
        return answer

    def _allowed(self) -> frozenset[str]:
        """The services this peer may use."""
        if self.peer is None:
            return frozenset()
        untrusted = {one.service for one in self._office.providers if one.needs_trust and not self.peer.may_query}
        return self.peer.services - untrusted

    def _result(
        self, abstract_syntax: str, provider: Provider | None, has_transfer_syntax: bool, peer_provides: bool
    ) -> int:
        if provider is not None:
            needed = {provider.service}
        elif abstract_syntax == Verification:
            needed = {"echo"}
        elif is_storage(abstract_syntax):
            needed = {"store", "get"} if peer_provides else {"store"}
        else:
            return _NO_ABSTRACT_SYNTAX
        if not needed & self._allowed():
            return _USER_REJECTION
        return _ACCEPTED if has_transfer_syntax else _NO_TRANSFER_SYNTAX

    def open_sink(self, assoc: DirectAssociation, request: StoreRequest) -> SpoolFile:
        """A spool file that begins with the file meta of what is about to come."""
        context = assoc._accepted_cx.get(request.context_id)
        preamble = part10_preamble(
            request.AffectedSOPClassUID,
            request.AffectedSOPInstanceUID,
            str(context.transfer_syntax[0]) if context else "",
            self.peer.ae_title if self.peer else "",
        )
        return SpoolFile(lambda: self._office.blobs.spool_dir, preamble)

    def serve(self, assoc: DirectAssociation, message: Any, context: PresentationContext) -> None:
        """One request, one response. A response that reached us here, and a cancel, are passed over."""
        if isinstance(message, StoreRequest):
            assoc.dul.send_data(store_response(message, self._store_status(message, context)))
        elif isinstance(message, C_ECHO) and message.MessageID is not None:
            allowed = self.peer is not None and "echo" in self.peer.services
            self._respond(assoc, message, context, ports.SUCCESS if allowed else ports.NOT_AUTHORISED)
        elif getattr(message, "MessageID", None) is not None:
            self._provide(assoc, message, context)

    def _provide(self, assoc: DirectAssociation, message: Any, context: PresentationContext) -> None:
        """Hand the request to its provider; what that raises is this request's failure alone."""
        provider = self._office.provider_of(str(context.abstract_syntax))
        if provider is None or self.peer is None:
            return self._respond(assoc, message, context, _UNRECOGNISED_OPERATION)
        exchange = Exchange(assoc, message, context, self.peer, self.association_id)
        try:
            if provider.service in self._allowed():
                provider.serve(exchange)
            else:
                exchange.respond(ports.NOT_AUTHORISED)
        except BadIdentifier:
            exchange.respond(ports.CANNOT_UNDERSTAND if message.__class__.__name__.startswith("C_") else _INVALID_VALUE)
        except Exception as error:
            log.error("%s failed: %s", exchange.message, type(error).__name__)
            exchange.respond(dimse_status_of(error))
        return None

    def _respond(self, assoc: DirectAssociation, request: Any, context: PresentationContext, status: int) -> None:
        response = type(request)()
        response.MessageID = request.MessageID
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.Status = status
        assoc.dimse.send_msg(response, context.context_id or 1)

    def _store_status(self, request: StoreRequest, context: PresentationContext) -> int:
        sink = request.sink
        if not isinstance(sink, SpoolFile) or self.peer is None:
            return ports.CANNOT_UNDERSTAND  # a C-STORE without a data set
        try:
            if "store" not in self.peer.services:
                return ports.NOT_AUTHORISED
            return self._keep(self.peer, request, context, sink)
        except Exception as error:
            status = dimse_status_of(error)
            log.error("object not stored: %s, status %04X", type(error).__name__, status)
            return status
        finally:
            sink.discard()  # nothing left to drop once it has been adopted

    def _keep(self, peer: Peer, request: StoreRequest, context: PresentationContext, sink: SpoolFile) -> int:
        """Read while the disk takes the bytes, adopt, file: the inbox waits for the disk and commits last."""
        record, problem = self._read(sink.begin_sync(), peer, request)
        spooled = sink.finish()
        wait_durable = self._office.blobs.begin_adopt(spooled.path, spooled.digest)
        received = ReceivedObject(
            association_id=self.association_id,
            blob_key=spooled.digest,
            digest=spooled.digest,
            size_bytes=spooled.size_bytes,
            sop_class_uid=request.AffectedSOPClassUID,
            sop_instance_uid=request.AffectedSOPInstanceUID,
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            record=record,
            problem=problem,
            wait_durable=wait_durable,
        )
        return self._office.inbox.receive(received)

    def _read(
        self, source: Path | bytes, peer: Peer, request: StoreRequest
    ) -> tuple[ObjectRecord | None, Problem | None]:
        try:
            record = extract(source, fallback_character_set=peer.fallback_character_set, zone=self._office.zone)
        except Problem as problem:
            return problem.record, problem
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # Never lost for a fault of ours: the bytes are safe, a person looks at them in quarantine.
            log.error("object unreadable: %s", type(error).__name__)
            return None, Problem("malformed", {"part": type(error).__name__})
        if record.sop_instance_uid != request.AffectedSOPInstanceUID:
            return record, Problem("sop_instance_mismatch", record=record)
        if record.sop_class_uid != request.AffectedSOPClassUID:
            return record, Problem("sop_class_mismatch", record=record)
        return record, None

    def closed(self, assoc: DirectAssociation, outcome: str) -> None:
        """Tell the providers and the inbox how it ended, once it had been opened."""
        for provider in self._office.providers:
            provider.closed(self.association_id)
        if self.association_id is None:
            return
        try:
            self._office.inbox.association_closed(self.association_id, outcome)
        except Exception as error:
            log.error("association end not noted: inbox raised %s", type(error).__name__)
