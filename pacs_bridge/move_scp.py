"""C-MOVE, patient and study root (PS3.4 C.4.2): the peer's studies to a destination that is the peer's. [adapter]"""

import logging
import queue
import time
from collections.abc import Callable, Sequence

from pydicom.uid import UID

from pacs_bridge.egress import Egress
from pacs_bridge.ports import PROCESSING_FAILURE, Peer
from pacs_bridge.provider import Exchange, Provider
from pacs_bridge.retrieval import (
    CANCELED,
    CANNOT_MATCH,
    DESTINATION_UNKNOWN,
    IDENTIFIER_MISMATCH,
    PENDING,
    Destination,
    Leaving,
    Mismatch,
    Retrieval,
    Tally,
    Wanted,
    read_wanted,
)
from pacs_bridge.suboperations import Originator, Sender

log = logging.getLogger(__name__)

PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
SOP_CLASSES = frozenset((PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE))
RELATIONAL = b"\x01"  # PS3.4 C.5.2.1.2: the one byte of the extended negotiation of a retrieve
_LOOK_EVERY_S = 0.2
_SAY_EVERY_S = 5.0  # a large object on a slow line: the requestor hears that we live

Matches = Callable[[Peer, Wanted], list[Leaving]]
Destinations = Callable[[Peer, str], Destination | None]
Note = Callable[[Peer, Retrieval], None]


def matched(exchange: Exchange, matches: Matches, patient_root: str) -> list[Leaving] | None:
    """What is asked for; None when the answer has been a refusal already. Raises BadIdentifier."""
    wish = exchange.assoc.requestor.sop_class_extended.get(UID(exchange.context.abstract_syntax or ""), b"")
    try:
        wanted = read_wanted(
            exchange.identifier(), is_patient_root=exchange.context.abstract_syntax == patient_root,
            is_relational=wish[:1] == RELATIONAL,
        )  # fmt: skip
    except Mismatch as attribute:
        exchange.respond(IDENTIFIER_MISMATCH, ErrorComment=str(attribute))
        return None
    try:
        return matches(exchange.peer, wanted)
    except Exception as error:
        log.error("matches not found: %s", type(error).__name__)
        exchange.respond(CANNOT_MATCH)
        return None


def conclude(
    exchange: Exchange, leaving: Sequence[Leaving], tally: Tally, destination: str, note: Note, *, is_cancelled: bool
) -> None:
    """The final response, and a word to the audit trail."""
    status = CANCELED if is_cancelled else tally.final_status()
    try:
        if exchange.assoc.is_alive_now:
            exchange.respond(status, tally.failed_list(), **tally.fields(remaining=is_cancelled))
    finally:
        note(exchange.peer, so_far(exchange, leaving, tally, destination, status))


def so_far(
    exchange: Exchange, leaving: Sequence[Leaving], tally: Tally, destination: str, status: int = PROCESSING_FAILURE
) -> Retrieval:
    """What the audit trail hears, also of a retrieve that broke in the middle."""
    studies = tuple(dict.fromkeys(one.study_instance_uid for one in leaving))
    taken, failed = tally.completed + tally.warned, len(tally.failed_uids)
    return Retrieval(exchange.message, destination, status, taken, failed, studies)


class MoveProvider(Provider):
    """``matches`` and ``destinations`` ask the index; ``note`` writes the audit row."""

    service = "move"
    needs_trust = True
    abstract_syntaxes = SOP_CLASSES

    def __init__(self, matches: Matches, destinations: Destinations, egress: Egress, ae_title: str, note: Note) -> None:
        self._matches, self._destinations, self._egress = matches, destinations, egress
        self._ae_title, self._note = ae_title, note

    def extended(self, abstract_syntax: str, wish: bytes) -> bytes | None:
        """Relational retrieve, as asked."""
        return RELATIONAL if wish[:1] == RELATIONAL else b"\x00"

    def serve(self, exchange: Exchange) -> None:
        title = str(exchange.request.MoveDestination or "").strip()
        try:
            destination = self._destinations(exchange.peer, title)
        except Exception as error:
            log.error("destination not found: %s", type(error).__name__)
            return exchange.respond(CANNOT_MATCH)
        if destination is None:
            self._note(exchange.peer, so_far(exchange, (), Tally(0), title, DESTINATION_UNKNOWN))
            return exchange.respond(DESTINATION_UNKNOWN)
        leaving = matched(exchange, self._matches, PATIENT_ROOT_MOVE)
        if leaving is None:
            return None
        request = exchange.request
        originator = Originator(self._ae_title, exchange.peer.ae_title, request.MessageID, request.Priority or 0)
        sender = Sender(leaving, destination, self._egress, originator)
        tally = Tally(len(leaving))
        sender.start()
        try:
            is_cancelled = _watch(exchange, sender, tally)
        except Exception:
            sender.stop()
            _count_rest(sender, tally)
            self._note(exchange.peer, so_far(exchange, leaving, tally, title))
            raise
        if is_cancelled:
            sender.stop()
            _count_rest(sender, tally)
        return conclude(exchange, leaving, tally, title, self._note, is_cancelled=is_cancelled)


def _watch(exchange: Exchange, sender: Sender, tally: Tally) -> bool:
    """Pending responses until all is sent: False, or until nobody wants it any more: True."""
    said_s = time.monotonic()
    while True:
        if exchange.is_cancelled():
            return True
        try:
            result = sender.results.get(timeout=_LOOK_EVERY_S)
        except queue.Empty:
            if time.monotonic() - said_s < _SAY_EVERY_S:
                continue
        else:
            if result is None:
                return False
            tally.count(*result)
            if not tally.remaining:
                continue
        exchange.respond(PENDING, **tally.fields(remaining=True))
        said_s = time.monotonic()


def _count_rest(sender: Sender, tally: Tally) -> None:
    """What was sent before it stopped."""
    while True:
        try:
            result = sender.results.get_nowait()
        except queue.Empty:
            return
        if result is not None and result[1] not in ("aborted", "timeout", "unreachable"):
            tally.count(*result)
