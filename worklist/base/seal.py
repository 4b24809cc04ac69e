"""The hash chain over the audit trail: rows bound in batches, later changes found. [store]

A row's hash is the SHA-256 of its canonical JSON; a seal's hash is the SHA-256 of the previous seal's
hash and its rows' hashes. Someone who may write to the database can rebuild the whole chain: to notice
that, keep ``head`` outside (``teleread check --audit`` prints it).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from worklist.base.audit import AuditEvent, AuditSeal
from worklist.base.db import Database, lock_append_order

BATCH_ROWS = 500
NO_HASH = "0" * 64
_COLUMNS = [column for column in AuditEvent.__table__.columns if column.name != "id"]


@dataclass(frozen=True)
class Problem:
    """One place where trail and chain disagree. ``code``: edited | deleted | inserted | seal_edited | seal_missing."""

    code: str
    row_id: int | None  # of audit_event
    seal_id: int | None


def seal(db: Database, now: datetime, *, batch_rows: int = BATCH_ROWS) -> int:
    """Bind every row not yet bound, in transactions of at most ``batch_rows``; returns how many rows."""
    n_sealed = 0
    while True:
        with db.write() as session:
            n_rows = _seal_batch(session, now, batch_rows)
        n_sealed += n_rows
        if n_rows < batch_rows:
            return n_sealed


def has_unsealed(session: Session) -> bool:
    """Cheap question before ``seal`` takes the write lock."""
    last_row = session.execute(select(AuditEvent.id).order_by(AuditEvent.id.desc()).limit(1)).scalar()
    last_seal = _last_seal(session)
    return last_row is not None and (last_seal is None or last_row > last_seal.last_id)


def _seal_batch(session: Session, now: datetime, batch_rows: int) -> int:
    lock_append_order(session)  # no smaller id can still be in flight
    previous = _last_seal(session)
    hashes = _row_hashes(session, above=previous.last_id if previous else 0, limit=batch_rows)
    if not hashes:
        return 0
    before = previous.chain_hash if previous else NO_HASH
    session.add(
        AuditSeal(
            first_id=hashes[0][0], last_id=hashes[-1][0], rows=[list(pair) for pair in hashes],
            sealed_at=now, previous_hash=before, chain_hash=_chain(before, hashes),
        )
    )  # fmt: skip
    return len(hashes)


def head(session: Session) -> str:
    """The newest seal's hash; 64 zeros when nothing is sealed yet."""
    last = _last_seal(session)
    return last.chain_hash if last else NO_HASH


def verify_chain(session: Session) -> list[Problem]:
    """Everything changed, deleted or slipped in since it was sealed, in order; empty when all holds."""
    return list(_problems(session))


def _problems(session: Session) -> Iterator[Problem]:
    before, last_id, last_seal_id = NO_HASH, 0, 0
    for sealed in session.scalars(select(AuditSeal).order_by(AuditSeal.first_id).execution_options(yield_per=20)):
        noted = [(int(row_id), str(digest)) for row_id, digest in sealed.rows]
        if sealed.previous_hash != before:
            yield Problem("seal_missing", None, last_seal_id + 1)
        if _is_forged(sealed, noted):
            yield Problem("seal_edited", None, sealed.id)
        found = dict(_row_hashes(session, above=last_id, up_to=sealed.last_id))
        yield from _differences(dict(noted), found, sealed.id)
        before, last_id, last_seal_id = sealed.chain_hash, sealed.last_id, sealed.id


def _is_forged(sealed: AuditSeal, noted: list[tuple[int, str]]) -> bool:
    span = (noted[0][0], noted[-1][0]) if noted else None
    return span != (sealed.first_id, sealed.last_id) or _chain(sealed.previous_hash, noted) != sealed.chain_hash


def _differences(noted: dict[int, str], found: dict[int, str], seal_id: int) -> Iterator[Problem]:
    for row_id in sorted(noted.keys() | found.keys()):
        if row_id not in found:
            yield Problem("deleted", row_id, seal_id)
        elif row_id not in noted:
            yield Problem("inserted", row_id, seal_id)
        elif noted[row_id] != found[row_id]:
            yield Problem("edited", row_id, seal_id)


def _last_seal(session: Session) -> AuditSeal | None:
    return session.scalars(select(AuditSeal).order_by(AuditSeal.last_id.desc()).limit(1)).first()


def _row_hashes(
    session: Session, *, above: int, up_to: int | None = None, limit: int | None = None
) -> list[tuple[int, str]]:
    """(id, hash) of rows as the database gives them back, by id."""
    rows = select(AuditEvent.id, *_COLUMNS).where(AuditEvent.id > above).order_by(AuditEvent.id).limit(limit)
    if up_to is not None:
        rows = rows.where(AuditEvent.id <= up_to)
    return [(row.id, _row_hash(row)) for row in session.execute(rows)]


def _row_hash(row: Row[Any]) -> str:
    values = [row.id, *(_plain(getattr(row, column.name)) for column in _COLUMNS)]
    canonical = json.dumps(values, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _chain(before: str, hashes: Iterable[tuple[int, str]]) -> str:
    digest = hashlib.sha256(before.encode())
    for row_id, row_hash in hashes:
        digest.update(f"|{row_id}:{row_hash}".encode())
    return digest.hexdigest()
