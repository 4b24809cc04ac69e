"""Storage commitment: transactions kept, results written down, told once. [service]"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pacs_bridge.commitment import (
    CLASS_INSTANCE_CONFLICT,
    DUPLICATE_TRANSACTION,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    CommitmentRequest,
    CommitmentResult,
    Reference,
)
from pacs_bridge.ports import Peer
from worklist.access import Act, Actor, Refused, check
from worklist.base import audit, outbox
from worklist.commitment import ASKED, ASKING, COMMITTED, CommitmentMove, CommitmentState, moved
from worklist.commitment_tables import CommitmentReference, CommitmentTransaction
from worklist.tables import Device, Instance, Series, Site, Study
from worklist.uid import new_uid

# While an association re-reads and tells a result the worker keeps away; a killed listener loses it to the worker.
HELD = timedelta(seconds=15)
UIDS_PER_QUERY = 500
KIND = "commitment"
KIND_ASK = "ask_commitment"
UNANSWERED = "unanswered"  # the peer took our request; its result has not come


def take_request(
    session: Session, peer: Peer, association_id: int | None, request: CommitmentRequest, now: datetime
) -> int | None:
    """Keep a peer's request and promise its result; None when the very same one waits for its result already."""
    earlier = session.scalars(
        select(CommitmentTransaction)
        .where(
            CommitmentTransaction.direction == ASKED, CommitmentTransaction.peer_ae_title == peer.ae_title,
            CommitmentTransaction.transaction_uid == request.transaction_uid,
            CommitmentTransaction.is_duplicate.is_(False),
        )
    ).first()  # fmt: skip
    if earlier is not None and earlier.ended_at is None and _same_references(session, earlier.id, request):
        return None
    row = CommitmentTransaction(
        direction=ASKED, transaction_uid=request.transaction_uid, peer_ae_title=peer.ae_title,
        device_id=peer.device_id, site_id=peer.site_id, association_id=association_id,
        state=CommitmentState.REQUESTED, is_duplicate=earlier is not None, requested_at=now, held_until=now + HELD,
    )  # fmt: skip
    session.add(row)
    session.flush()
    _add_references(session, row.id, request.references)
    outbox.promise(session, KIND, f"{KIND}:{row.id}", {"transaction_id": row.id}, now=now, due_at=now + HELD)
    _record(session, row, "commitment.request", "ok", now, {"instances": len(request.references)})
    return row.id


def _same_references(session: Session, transaction_id: int, request: CommitmentRequest) -> bool:
    return set(references(session, transaction_id)) == set(request.references)


def _add_references(session: Session, transaction_id: int, named: Sequence[Reference]) -> None:
    studies = _studies(session, [one.sop_instance_uid for one in named])
    session.add_all(
        CommitmentReference(
            transaction_id=transaction_id, sop_class_uid=one.sop_class_uid, sop_instance_uid=one.sop_instance_uid,
            study_instance_uid=studies.get(one.sop_instance_uid),
        )
        for one in named
    )  # fmt: skip


def _studies(session: Session, instances: Sequence[str]) -> dict[str, str]:
    """Study Instance UID of each instance that is here."""
    found: dict[str, str] = {}
    for portion in _portions(instances):
        rows = session.execute(
            select(Instance.sop_instance_uid, Study.study_instance_uid)
            .join(Series, Series.id == Instance.series_id).join(Study, Study.id == Series.study_id)
            .where(Instance.sop_instance_uid.in_(portion))
        )  # fmt: skip
        found.update((instance, study) for instance, study in rows)
    return found


def _portions(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    yield from (uids[start : start + UIDS_PER_QUERY] for start in range(0, len(uids), UIDS_PER_QUERY))


def references(session: Session, transaction_id: int) -> list[Reference]:
    """What a transaction names, in its order."""
    rows = session.execute(
        select(CommitmentReference.sop_class_uid, CommitmentReference.sop_instance_uid)
        .where(CommitmentReference.transaction_id == transaction_id).order_by(CommitmentReference.id)
    )  # fmt: skip
    return [Reference(*row) for row in rows]


def to_reread(
    session: Session, transaction: CommitmentTransaction, named: Sequence[Reference]
) -> tuple[dict[Reference, str], dict[Reference, int]]:
    """(where the stored file of each lies, what fails without reading). Of the peer's own site alone; a hidden object
    is kept like any other."""
    if transaction.is_duplicate:
        return {}, dict.fromkeys(named, DUPLICATE_TRANSACTION)
    stored: dict[str, tuple[str, str]] = {}
    for portion in _portions([one.sop_instance_uid for one in named]):
        rows = session.execute(
            select(Instance.sop_instance_uid, Instance.sop_class_uid, Instance.blob_key)
            .join(Series, Series.id == Instance.series_id).join(Study, Study.id == Series.study_id)
            .where(Instance.sop_instance_uid.in_(portion), Study.site_id == transaction.site_id)
        )  # fmt: skip
        stored |= {uid: (sop_class, key) for uid, sop_class, key in rows}
    files: dict[Reference, str] = {}
    failed: dict[Reference, int] = {}
    for one in named:
        sop_class, key = stored.get(one.sop_instance_uid, ("", ""))
        if not key:
            failed[one] = NO_SUCH_INSTANCE
        elif sop_class != one.sop_class_uid:
            failed[one] = CLASS_INSTANCE_CONFLICT
        else:
            files[one] = key
    return files, failed


def note_check(session: Session, transaction_id: int, failed: Mapping[Reference, int]) -> None:
    """Write down what the re-reading has shown."""
    row = session.get_one(CommitmentTransaction, transaction_id)
    row.state = moved(row.state, CommitmentMove.CHECK)
    _note_reasons(session, transaction_id, failed)


def _note_reasons(session: Session, transaction_id: int, failed: Mapping[Reference, int]) -> None:
    rows = session.scalars(select(CommitmentReference).where(CommitmentReference.transaction_id == transaction_id))
    for row in rows:
        one = Reference(row.sop_class_uid, row.sop_instance_uid)
        row.failure_reason = failed.get(one, COMMITTED)


def result(session: Session, transaction: CommitmentTransaction) -> CommitmentResult:
    """What has been written down, to be told."""
    named = CommitmentReference
    rows = session.execute(
        select(named.sop_class_uid, named.sop_instance_uid, named.failure_reason)
        .where(named.transaction_id == transaction.id).order_by(named.id)
    )  # fmt: skip
    committed: list[Reference] = []
    failed: dict[Reference, int] = {}
    for sop_class, uid, reason in rows:
        if reason == COMMITTED:
            committed.append(Reference(sop_class, uid))
        else:
            failed[Reference(sop_class, uid)] = PROCESSING_FAILURE if reason is None else reason
    return CommitmentResult(transaction.transaction_uid, tuple(committed), failed)


def hold(session: Session, transaction_id: int, now: datetime) -> None:
    """Whoever re-reads goes on for a while; the other keeps away."""
    session.get_one(CommitmentTransaction, transaction_id).held_until = now + HELD


def note_told(session: Session, transaction_id: int, now: datetime) -> None:
    """The peer has acknowledged its result; nothing is sent again."""
    row = session.get_one(CommitmentTransaction, transaction_id)
    row.state = moved(row.state, CommitmentMove.TELL)
    row.ended_at, row.held_until, row.last_error = now, None, None
    _record(session, row, "commitment.tell", "ok", now, {})


def hand_over(session: Session, transaction_id: int, now: datetime) -> None:
    """The association that brought the request is over: the worker tells the result now."""
    row = session.get_one(CommitmentTransaction, transaction_id)
    row.held_until = None
    outbox.promise(session, KIND, f"{KIND}:{row.id}", {"transaction_id": row.id}, now=now)


def note_failure(session: Session, transaction_id: int, code: str, now: datetime, *, is_final: bool) -> None:
    """The peer could not be told; with ``is_final`` it is not tried again by itself."""
    row = session.get_one(CommitmentTransaction, transaction_id)
    row.last_error = code[:64]
    if is_final:
        row.state, row.ended_at = moved(row.state, CommitmentMove.GIVE_UP), now
        _record(session, row, "commitment.tell", code[:64], now, {})


def revive(row: CommitmentTransaction) -> None:
    """One that was given up is told again, by the whole schedule."""
    row.state, row.ended_at, row.n_attempts = moved(row.state, CommitmentMove.RESEND), None, 0


def resend(session: Session, actor: Actor, transaction_id: int, now: datetime) -> CommitmentTransaction:
    """An administrator has a result told again, or a peer asked again. Raises Refused("not_found"),
    IllegalCommitmentMove."""
    check(actor, Act.ADMIN_QUEUE)
    row = session.get(CommitmentTransaction, transaction_id)
    if row is None:
        raise Refused("not_found")
    if row.direction == ASKING:
        again = ask_again(session, row, now)
        _record(session, again, "commitment.resend", "ok", now, {"by": actor.username})
        return again
    revive(row)
    outbox.promise(session, KIND, f"{KIND}:{row.id}", {"transaction_id": row.id}, now=now)
    _record(session, row, "commitment.resend", "ok", now, {"by": actor.username})
    return row


def is_offered(session: Session, ae_title: str) -> bool:
    """Whether a peer keeps objects for us: its device is registered with storage commitment, so its result is heard."""
    device = session.scalar(select(Device).where(Device.ae_title == ae_title, Device.enabled))
    return device is not None and "commitment" in device.services


def ask(session: Session, peer_ae_title: str, named: Sequence[Reference], now: datetime) -> int:
    """Promise that a peer is asked to keep these objects; the transaction's number."""
    number = note_asking(session, peer_ae_title, CommitmentRequest(new_uid(), tuple(named)), now)
    outbox.promise(session, KIND_ASK, f"{KIND_ASK}:{number}", {"transaction_id": number}, now=now)
    return number


def ask_again(session: Session, row: CommitmentTransaction, now: datetime) -> CommitmentTransaction:
    """A request that was given up is made anew; a transaction's UID is used once. Raises IllegalCommitmentMove."""
    moved(row.state, CommitmentMove.RESEND)
    return session.get_one(CommitmentTransaction, ask(session, row.peer_ae_title, references(session, row.id), now))


def address(session: Session, row: CommitmentTransaction) -> tuple[str, int] | None:
    """Where the peer of a request of ours is reached: as a device, else as its site's receiver of reports."""
    device = session.get(Device, row.device_id) if row.device_id is not None else None
    if device is not None and device.enabled and device.host and device.port is not None:
        return device.host, device.port
    site = session.scalars(select(Site).where(Site.return_ae_title == row.peer_ae_title)).first()
    return (site.return_host, site.return_port) if site and site.return_host and site.return_port else None


def note_asking(session: Session, peer_ae_title: str, request: CommitmentRequest, now: datetime) -> int:
    """We are about to ask a peer; its result may come at any time from then on."""
    device = session.scalar(select(Device).where(Device.ae_title == peer_ae_title))
    row = CommitmentTransaction(
        direction=ASKING, transaction_uid=request.transaction_uid, peer_ae_title=peer_ae_title,
        device_id=device.id if device else None, site_id=device.site_id if device else None,
        state=CommitmentState.REQUESTED, requested_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    _add_references(session, row.id, request.references)
    return row.id


def note_answer(session: Session, peer_ae_title: str, answer: CommitmentResult, now: datetime) -> bool:
    """A peer's result for a request of ours; False when there is no such request to that peer."""
    row = session.scalars(
        select(CommitmentTransaction).where(
            CommitmentTransaction.direction == ASKING, CommitmentTransaction.peer_ae_title == peer_ae_title,
            CommitmentTransaction.transaction_uid == answer.transaction_uid,
        )
    ).first()  # fmt: skip
    if row is None:
        return False
    row.state = moved(row.state, CommitmentMove.ANSWER)
    row.ended_at, row.last_error = now, None
    silent = {one: PROCESSING_FAILURE for one in references(session, row.id) if one not in answer.committed}
    _note_reasons(session, row.id, silent | dict(answer.failed))
    _record(session, row, "commitment.answer", "ok", now, {"failed": len(silent)})
    return True


def note_refused(session: Session, transaction_id: int, code: str, now: datetime) -> None:
    """The peer did not take our request."""
    note_failure(session, transaction_id, code, now, is_final=True)


def counts(session: Session, transaction_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """(references, failed ones) of each transaction."""
    rows = session.execute(
        select(
            CommitmentReference.transaction_id, func.count(CommitmentReference.id),
            func.count(CommitmentReference.id).filter(CommitmentReference.failure_reason > COMMITTED),
        )
        .where(CommitmentReference.transaction_id.in_(transaction_ids))
        .group_by(CommitmentReference.transaction_id)
    )  # fmt: skip
    return {number: (total, bad) for number, total, bad in rows}


def reasons(session: Session, transaction_ids: Sequence[int]) -> dict[int, dict[int, int]]:
    """How many objects of each transaction were not committed, by Failure Reason."""
    rows = session.execute(
        select(
            CommitmentReference.transaction_id, CommitmentReference.failure_reason, func.count(CommitmentReference.id)
        )
        .where(CommitmentReference.transaction_id.in_(transaction_ids), CommitmentReference.failure_reason > COMMITTED)
        .group_by(CommitmentReference.transaction_id, CommitmentReference.failure_reason)
    )
    found: dict[int, dict[int, int]] = {}
    for number, reason, count in rows:
        found.setdefault(number, {})[reason or PROCESSING_FAILURE] = count
    return found


def recent(session: Session, limit: int = 100) -> list[CommitmentTransaction]:
    """The newest transactions, those that stand open or were given up first."""
    is_open = CommitmentTransaction.state.in_(
        (CommitmentState.REQUESTED, CommitmentState.CHECKED, CommitmentState.DEAD)
    )
    query = select(CommitmentTransaction).order_by(is_open.desc(), CommitmentTransaction.id.desc())
    return list(session.scalars(query.limit(limit)))


def _record(
    session: Session, row: CommitmentTransaction, act: str, outcome: str, now: datetime, details: Mapping[str, object]
) -> None:
    site = session.get(Site, row.site_id) if row.site_id is not None else None
    audit.record(
        session, now=now, actor=row.peer_ae_title, role="device", site=site.code if site else "?", act=act,
        object_type="commitment", object_uid=row.transaction_uid, result=outcome, details=details,
    )  # fmt: skip
