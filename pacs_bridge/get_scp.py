"""C-GET, patient and study root (PS3.4 C.4.3): the objects come back on the peer's own association. [adapter]"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import split_dataset

from pacs_bridge.egress import CannotLeave, Egress
from pacs_bridge.move_scp import RELATIONAL, Matches, Note, conclude, matched, so_far
from pacs_bridge.provider import Exchange, Provider
from pacs_bridge.retrieval import PENDING, Leaving, Tally
from pacs_bridge.scu import WARNINGS
from pacs_bridge.suboperations import MOST_MESSAGE_IDS

PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
SOP_CLASSES = frozenset((PATIENT_ROOT_GET, STUDY_ROOT_GET))
ANSWER_WITHIN_S = 60.0  # of the peer to one object
_CANCEL_WAIT_S = 0.5  # for the answer to the object on its way
_LOOK_EVERY_S = 0.2


# (SOP class, transfer syntax) to the presentation context on which the peer takes it.
Takers = dict[tuple[str, str], int]


class _Cancelled(Exception):
    """The peer wants no more, or is gone."""


class GetProvider(Provider):
    """``matches`` asks the index; ``note`` writes the audit row."""

    service = "get"
    needs_trust = True
    abstract_syntaxes = SOP_CLASSES

    def __init__(self, matches: Matches, egress: Egress, note: Note) -> None:
        self._matches, self._egress, self._note = matches, egress, note

    def extended(self, abstract_syntax: str, wish: bytes) -> bytes | None:
        """Relational retrieve, as asked."""
        return RELATIONAL if wish[:1] == RELATIONAL else b"\x00"

    def serve(self, exchange: Exchange) -> None:
        leaving = matched(exchange, self._matches, PATIENT_ROOT_GET)
        if leaving is None:
            return
        tally, title = Tally(len(leaving)), exchange.peer.ae_title
        is_cancelled = False
        try:
            self._send_all(exchange, leaving, tally)
        except _Cancelled:
            is_cancelled = True
        except Exception:
            self._note(exchange.peer, so_far(exchange, leaving, tally, title))
            raise
        conclude(exchange, leaving, tally, title, self._note, is_cancelled=is_cancelled)

    def _send_all(self, exchange: Exchange, leaving: Sequence[Leaving], tally: Tally) -> None:
        takers: Takers = {
            (str(cx.abstract_syntax), str(cx.transfer_syntax[0])): cx.context_id or 0
            for cx in exchange.assoc.accepted_contexts if cx.as_scu
        }  # fmt: skip
        # One thread makes copies ready: a cancel is seen while a codec works.
        with ThreadPoolExecutor(1, "c-get") as maker:
            for number, one in enumerate(leaving, int(exchange.request.MessageID)):
                with ExitStack() as stack:
                    ready = self._egress.ready(one, partial(_takes, takers, one.sop_class_uid))
                    making = maker.submit(stack.enter_context, ready)
                    outcome = _send_one(exchange, takers, one, making, number % MOST_MESSAGE_IDS + 1)
                tally.count(one.sop_instance_uid, outcome)
                if tally.remaining:
                    exchange.respond(PENDING, **tally.fields(remaining=True))


def _takes(takers: Takers, sop_class_uid: str, transfer_syntax_uid: str) -> bool:
    return (sop_class_uid, transfer_syntax_uid) in takers


def _send_one(exchange: Exchange, takers: Takers, one: Leaving, making: "Future[Path]", message_id: int) -> str:
    while not exchange.is_cancelled():
        if wait([making], _LOOK_EVERY_S).done:
            break
    else:
        raise _Cancelled
    try:
        path = making.result()
        meta, offset = split_dataset(path)
    except CannotLeave as reason:
        return reason.code
    except Exception:  # gone from the disk, or its file meta broken: this object's failure alone
        return "unreadable"
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(one.sop_class_uid), UID(one.sop_instance_uid)
    request.Priority = exchange.request.Priority or 0
    request._dataset_path = (path, offset)
    exchange.assoc.dimse.send_msg(request, takers[one.sop_class_uid, str(meta.TransferSyntaxUID)])
    return _answer(exchange, message_id)


def _answer(exchange: Exchange, message_id: int) -> str:
    """The outcome of one C-STORE; silence and a lost peer end the retrieve."""
    deadline_s = time.monotonic() + ANSWER_WITHIN_S
    has_cancelled = False
    while (left_s := deadline_s - time.monotonic()) > 0:
        found = exchange.wait_answer(min(left_s, _LOOK_EVERY_S))
        if found is not None and found[1].MessageIDBeingRespondedTo == message_id:
            status = int(found[1].Status)
            return "accepted" if status == 0 else "warning" if status in WARNINGS else "refused"
        if exchange.is_cancelled() and not has_cancelled:
            has_cancelled = True
            deadline_s = min(deadline_s, time.monotonic() + _CANCEL_WAIT_S)
        if not exchange.assoc.is_alive_now:
            raise _Cancelled
    if not has_cancelled:
        exchange.assoc.abort_now()  # no answer: whatever we sent now would not be heard either
    raise _Cancelled
