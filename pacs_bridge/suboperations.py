"""C-STORE sub-operations of a C-MOVE, in a thread: the requestor's association is read meanwhile. [adapter]"""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from pacs_bridge.egress import CannotLeave, Egress
from pacs_bridge.retrieval import Destination, Leaving, syntaxes_to_offer
from pacs_bridge.scu import DEFAULT_TIMEOUTS, MAX_CONTEXTS, WARNINGS, Timeouts, associate, end

MOST_MESSAGE_IDS = 0xFFFF
_STOP_WAIT_S = 0.5  # for the object on its way, when the rest is not wanted any more


@dataclass(frozen=True)
class Originator:
    """Who asked for the move, as the sub-operations name it (PS3.7 9.1.1.1)."""

    own_ae_title: str
    ae_title: str
    message_id: int
    priority: int = 0


def batches(leaving: Sequence[Leaving]) -> Iterator[Sequence[Leaving]]:
    """In order, cut where an association would need more than 128 presentation contexts."""
    start, contexts = 0, set[tuple[str, str]]()
    for index, one in enumerate(leaving):
        needed = {(one.sop_class_uid, syntax) for syntax in syntaxes_to_offer(one.transfer_syntax_uid)}
        if len(contexts | needed) > MAX_CONTEXTS:
            yield leaving[start:index]
            start, contexts = index, set()
        contexts |= needed
    if start < len(leaving):
        yield leaving[start:]


class Sender:
    """Sends objects to one destination; ``results`` gives (SOP instance, outcome) of each, None at the end."""

    def __init__(
        self, leaving: Sequence[Leaving], destination: Destination, egress: Egress, originator: Originator,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:  # fmt: skip
        self._leaving, self._to, self._egress, self._by = leaving, destination, egress, originator
        self._timeouts = timeouts
        self.results: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._association: Association | None = None
        self._thread = threading.Thread(target=self._run, name="c-move", daemon=True)
        self._message_id = self._n_reported = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what is on its way may take half a second, then its association is aborted."""
        self._stopping.set()
        self._thread.join(_STOP_WAIT_S)
        association = self._association
        if self._thread.is_alive() and association is not None:
            threading.Thread(target=association.abort, daemon=True).start()  # may wait for its reactor

    def _run(self) -> None:
        try:
            for batch in batches(self._leaving):
                self._send_batch(batch)
        finally:
            for one in () if self._stopping.is_set() else self._leaving[self._n_reported :]:
                self._report(one, "aborted")
            self.results.put(None)

    def _report(self, one: Leaving, outcome: str) -> None:
        self._n_reported += 1
        self.results.put((one.sop_instance_uid, outcome))

    def _send_batch(self, batch: Sequence[Leaving]) -> None:
        """On one association; on another one for the rest as long as each takes something before it breaks."""
        while batch and not self._stopping.is_set():
            n_sent, n_taken = self._send_some(batch)
            batch = batch[n_sent:]
            if not n_taken:
                for one in batch:
                    self._report(one, "unreachable")
                return

    def _send_some(self, batch: Sequence[Leaving]) -> tuple[int, int]:
        """How many were dealt with before the association broke or all was sent, and how many were taken."""
        to, by = self._to, self._by
        association, _ = associate(to.host, to.port, to.ae_title, by.own_ae_title, _contexts(batch), self._timeouts)
        if association is None:
            return 0, 0
        self._association = association
        n_sent = n_taken = 0
        accepted = {(str(cx.abstract_syntax), str(cx.transfer_syntax[0])) for cx in association.accepted_contexts}
        try:
            for one in batch:
                if self._stopping.is_set() or not association.is_established:
                    break
                outcome = self._send_one(association, accepted, one)
                self._report(one, outcome)
                n_sent += 1
                n_taken += outcome not in ("aborted", "timeout")
        finally:
            end(association)
        return n_sent, n_taken

    def _send_one(self, association: Association, accepted: set[tuple[str, str]], one: Leaving) -> str:
        self._message_id = self._message_id % MOST_MESSAGE_IDS + 1
        try:
            with self._egress.ready(one, lambda syntax: (one.sop_class_uid, syntax) in accepted) as path:
                status = association.send_c_store(
                    path, self._message_id, self._by.priority, self._by.ae_title, self._by.message_id
                ).get("Status")
        except CannotLeave as reason:
            return reason.code
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError):  # TypeError: a UID of two values
            return "unreadable" if association.is_established else "aborted"
        if status is None:
            return "timeout" if association._sent_abort else "aborted"
        return "accepted" if status == 0 else "warning" if status in WARNINGS else "refused"


def _contexts(batch: Sequence[Leaving]) -> list[PresentationContext]:
    """One for each class and syntax: the peer's choice is then never between them.

    The stored syntax last: GDCM reads all objects of a class in the syntax of the class's last context.
    """
    needed = dict.fromkeys(
        (one.sop_class_uid, syntax) for one in batch for syntax in reversed(syntaxes_to_offer(one.transfer_syntax_uid))
    )
    return [build_context(UID(sop_class), [UID(syntax)]) for sop_class, syntax in list(needed)[:MAX_CONTEXTS]]
