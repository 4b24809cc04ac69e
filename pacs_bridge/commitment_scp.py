"""Storage Commitment on the listener (PS3.4 Annex J): requests of peers, and their results to ours. [adapter]"""

import logging
import time
from collections.abc import Callable
from io import BytesIO
from typing import Protocol

from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import A_RELEASE

from pacs_bridge.commitment import (
    ALL_COMMITTED,
    FAILURES_EXIST,
    REQUEST_ACTION,
    SOP_CLASS,
    WELL_KNOWN_INSTANCE,
    BadCommitment,
    CommitmentRequest,
    CommitmentResult,
    read_request,
    read_result,
    write_result,
)
from pacs_bridge.ports import SUCCESS, Peer
from pacs_bridge.provider import Exchange, Provider

log = logging.getLogger(__name__)

SOP_CLASSES = frozenset((SOP_CLASS,))
# PS3.7 10.1.4.1.10, C.5: failures of the request itself.
NO_SUCH_INSTANCE, INVALID_ARGUMENT, NO_SUCH_ACTION, NO_SUCH_EVENT = 0x0112, 0x0115, 0x0123, 0x0113
UNRECOGNISED_OPERATION = 0x0211
# Many modalities release at once and wait for a new association: they are given the time to do so.
RELEASE_WAIT_S = 0.5
ANSWER_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.05


class Commitments(Protocol):
    """What the provider asks of whoever keeps the transactions; each call commits before it returns."""

    def take(self, peer: Peer, association_id: int | None, request: CommitmentRequest) -> int | None:
        """Keep a request; its number, None when the very same one is waiting for its result already."""
        ...

    def check(self, number: int, is_wanted: Callable[[], bool]) -> CommitmentResult | None:
        """Re-read what is asked for; None when ``is_wanted`` has become false meanwhile."""
        ...

    def told(self, number: int) -> None:
        """The peer has acknowledged its result."""
        ...

    def hand_over(self, number: int) -> None:
        """The result goes to the peer by an association of ours."""
        ...

    def hear(self, peer: Peer, result: CommitmentResult) -> bool:
        """A peer's result for a request of ours; False when there is none."""
        ...


class CommitmentProvider(Provider):
    """Takes requests, tells results on the same association while it stands, hears results for our requests."""

    service = "commitment"
    needs_trust = True
    abstract_syntaxes = SOP_CLASSES

    def __init__(self, commitments: Commitments, ae_title: str) -> None:
        self._commitments, self._ae_title = commitments, ae_title

    def takes_peer_as_provider(self, abstract_syntax: str) -> bool:
        return True

    def serve(self, exchange: Exchange) -> None:
        if isinstance(exchange.request, N_ACTION):
            self._take(exchange)
        elif isinstance(exchange.request, N_EVENT_REPORT):
            exchange.respond(self._hear(exchange))
        else:
            exchange.respond(UNRECOGNISED_OPERATION)

    def _hear(self, exchange: Exchange) -> int:
        if exchange.sop_instance_uid != WELL_KNOWN_INSTANCE:
            return NO_SUCH_INSTANCE
        if exchange.request.EventTypeID not in (ALL_COMMITTED, FAILURES_EXIST):
            return NO_SUCH_EVENT
        try:
            result = read_result(exchange.identifier())
        except BadCommitment:
            return INVALID_ARGUMENT
        return SUCCESS if self._commitments.hear(exchange.peer, result) else INVALID_ARGUMENT

    def _take(self, exchange: Exchange) -> None:
        if exchange.sop_instance_uid != WELL_KNOWN_INSTANCE:
            return exchange.respond(NO_SUCH_INSTANCE)
        if exchange.request.ActionTypeID != REQUEST_ACTION:
            return exchange.respond(NO_SUCH_ACTION)
        try:
            request = read_request(exchange.identifier())
        except BadCommitment:
            return exchange.respond(INVALID_ARGUMENT)
        number = self._commitments.take(exchange.peer, exchange.association_id, request)
        exchange.respond(SUCCESS)
        if number is not None:
            self._tell(exchange, number)
        return None

    def _tell(self, exchange: Exchange, number: int) -> None:
        """The result on this association if the peer still wants it here; else by one of ours. Never raises."""
        try:
            result = self._commitments.check(number, lambda: _stands(exchange))
            is_told = result is not None and _is_told(exchange, result, self._ae_title)
            (self._commitments.told if is_told else self._commitments.hand_over)(number)
        except Exception as error:  # the request is kept: the worker finds it when its time has come
            log.error("commitment not told on its association: %s", type(error).__name__)


def _stands(exchange: Exchange) -> bool:
    """Whether the peer is there and has not said that it goes."""
    exchange.assoc.look()
    return exchange.assoc.is_alive_now and not isinstance(exchange.assoc.dul.peek_next_pdu(), A_RELEASE)


def _is_told(exchange: Exchange, result: CommitmentResult, ae_title: str) -> bool:
    until_s = time.monotonic() + RELEASE_WAIT_S
    while _stands(exchange) and time.monotonic() < until_s:
        if not exchange.assoc.dimse.msg_queue.empty():
            return False  # it goes on with other messages: nothing may come between them and their answers
        exchange.assoc.dul.pump(_LOOK_EVERY_S)
    if not _stands(exchange):
        return False
    syntax = UID(exchange.context.transfer_syntax[0])
    information = write_result(result, ae_title)
    data = encode(information, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    event = N_EVENT_REPORT()
    event.MessageID = int(exchange.request.MessageID) % 0xFFFF + 1
    event.AffectedSOPClassUID, event.AffectedSOPInstanceUID = UID(SOP_CLASS), UID(WELL_KNOWN_INSTANCE)
    event.EventTypeID = result.event_type
    event.EventInformation = BytesIO(data or b"")
    exchange.assoc.dimse.send_msg(event, exchange.context.context_id or 1)
    return _answer(exchange, event.MessageID) == SUCCESS


def _answer(exchange: Exchange, message_id: int) -> int | None:
    """The status of the peer's answer; None: none came."""
    until_s = time.monotonic() + ANSWER_WITHIN_S
    while (left_s := until_s - time.monotonic()) > 0 and _stands(exchange):
        found = exchange.wait_answer(min(left_s, 0.25))
        if found is None:
            continue
        if isinstance(found[1], N_EVENT_REPORT) and found[1].MessageIDBeingRespondedTo == message_id:
            return int(found[1].Status or SUCCESS)
    return None
