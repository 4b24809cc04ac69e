"""Storage commitment joined: what the listener asks, and what the worker does about results not told yet. [app]"""

import time
from collections.abc import Callable

from sqlalchemy.orm import Session

from pacs_bridge.commitment import PROCESSING_FAILURE, CommitmentRequest, CommitmentResult, Reference
from pacs_bridge.commitment_scp import CommitmentProvider
from pacs_bridge.ports import Peer
from pacs_bridge.scu_commitment import request_commitment, tell_result
from worklist import commitment_service as service
from worklist.base.outbox import Job
from worklist.commitment import CommitmentState
from worklist.commitment_tables import CommitmentTransaction
from worklist.retry import GiveUp, Retry, next_attempt
from worklist.roof import Roof
from worklist.tables import Device

HOLD_EVERY_S = 5.0
ANSWER_ON_SAME_S = 1.0  # most peers answer by an association of their own
NO_ADDRESS = "no_address"  # the device has no host and port: only its own association could have been told


def commitment_provider(roof: Roof) -> CommitmentProvider:
    """The service on the listener."""
    return CommitmentProvider(IndexCommitments(roof), roof.settings.ae_title)


class IndexCommitments:
    """``pacs_bridge.commitment_scp.Commitments`` on the index."""

    def __init__(self, roof: Roof) -> None:
        self._roof = roof

    def take(self, peer: Peer, association_id: int | None, request: CommitmentRequest) -> int | None:
        with self._roof.db.write() as session:
            return service.take_request(session, peer, association_id, request, self._roof.now())

    def check(self, number: int, is_wanted: Callable[[], bool]) -> CommitmentResult | None:
        """Every stored file is read again and hashed; what does not hash to its name is not committed."""
        with self._roof.db.read() as session:
            transaction = session.get_one(CommitmentTransaction, number)
            if transaction.state != CommitmentState.REQUESTED:
                return service.result(session, transaction)
            files, failed = service.to_reread(session, transaction, service.references(session, number))
        held_s = time.monotonic()
        for one, key in files.items():
            if not is_wanted():
                return None
            if time.monotonic() - held_s > HOLD_EVERY_S:
                held_s = time.monotonic()
                with self._roof.db.write() as session:
                    service.hold(session, number, self._roof.now())
            if not self._is_whole(key):
                failed[one] = PROCESSING_FAILURE
        return self._noted(number, failed)

    def _is_whole(self, key: str) -> bool:
        try:
            return self._roof.blobs.verify(key)
        except (OSError, ValueError):
            return False

    def _noted(self, number: int, failed: dict[Reference, int]) -> CommitmentResult:
        with self._roof.db.write() as session:
            service.note_check(session, number, failed)
            session.flush()
            return service.result(session, session.get_one(CommitmentTransaction, number))

    def told(self, number: int) -> None:
        with self._roof.db.write() as session:
            service.note_told(session, number, self._roof.now())

    def hand_over(self, number: int) -> None:
        with self._roof.db.write() as session:
            service.hand_over(session, number, self._roof.now())

    def hear(self, peer: Peer, result: CommitmentResult) -> bool:
        with self._roof.db.write() as session:
            return service.note_answer(session, peer.ae_title, result, self._roof.now())


def tell(roof: Roof, job: Job) -> None:
    """Outbox job: one result to its device, by an association of ours. Finished after the device's answer."""
    number, now = int(job.payload["transaction_id"]), roof.now()
    with roof.db.write() as session:
        transaction = session.get(CommitmentTransaction, number)
        if transaction is not None and transaction.state == CommitmentState.DEAD:  # taken from the dead letters
            service.revive(transaction)
        if transaction is None or transaction.state not in (CommitmentState.REQUESTED, CommitmentState.CHECKED):
            return
        if transaction.held_until is not None and transaction.held_until > now:
            raise Retry("held", transaction.held_until)
        transaction.n_attempts += 1
        n_attempts = transaction.n_attempts
    result = IndexCommitments(roof).check(number, lambda: True)
    if result is None:
        return
    outcome = _told(roof, number, result)
    now = roof.now()
    wait = None if outcome == NO_ADDRESS else next_attempt(n_attempts)
    with roof.db.write() as session:
        if outcome == "accepted":
            service.note_told(session, number, now)
        else:
            service.note_failure(session, number, outcome, now, is_final=wait is None)
    if outcome == "accepted":
        return
    if wait is None:
        raise GiveUp(outcome)
    raise Retry(outcome, now + wait)


def _told(roof: Roof, number: int, result: CommitmentResult) -> str:
    with roof.db.read() as session:
        device = _device(session, number)
        if device is None or not device.host or device.port is None:
            return NO_ADDRESS
        host, port, title = device.host, device.port, device.ae_title
    return tell_result(result, host, port, called_ae=title, calling_ae=roof.settings.ae_title).outcome


def _device(session: Session, number: int) -> Device | None:
    device_id = session.get_one(CommitmentTransaction, number).device_id
    return session.get(Device, device_id) if device_id is not None else None


def ask(roof: Roof, job: Job) -> None:
    """Outbox job: a peer is asked to keep what it took. Finished when its result is here, by whichever association."""
    number = int(job.payload["transaction_id"])
    with roof.db.write() as session:
        row = session.get(CommitmentTransaction, number)
        if row is None or row.state == CommitmentState.ANSWERED:
            return
        if row.state == CommitmentState.DEAD:  # taken from the dead letters
            service.ask_again(session, row, roof.now())
            return
        is_taken = row.last_error == service.UNANSWERED
        request = CommitmentRequest(row.transaction_uid, tuple(service.references(session, number)))
        title, address = row.peer_ae_title, service.address(session, row)
        row.n_attempts += 0 if is_taken else 1
    outcome = service.UNANSWERED if is_taken else NO_ADDRESS
    if address is not None and not is_taken:
        outcome = _asked(roof, request, title, address)
        if not outcome:
            return
    now, wait = roof.now(), None if outcome == NO_ADDRESS else next_attempt(job.n_attempts)
    with roof.db.write() as session:
        if session.get_one(CommitmentTransaction, number).state == CommitmentState.ANSWERED:
            return
        service.note_failure(session, number, outcome, now, is_final=wait is None)
    if wait is None:
        raise GiveUp(outcome)
    raise Retry(outcome, now + wait)


def _asked(roof: Roof, request: CommitmentRequest, title: str, address: tuple[str, int]) -> str:
    """What became of the request; "" when the result came on the same association."""
    answer = request_commitment(
        request, *address, called_ae=title, calling_ae=roof.settings.ae_title, wait_s=ANSWER_ON_SAME_S
    )
    if answer.outcome != "accepted":
        return answer.outcome
    if answer.result is None:
        return service.UNANSWERED
    with roof.db.write() as session:
        service.note_answer(session, title, answer.result, roof.now())
    return ""
