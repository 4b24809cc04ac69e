"""Copies in archives, as rows: promised, held, let go here, found again. [store]"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, update
from sqlalchemy.orm import Session

from pacs_bridge.ports import ArchivedObject
from worklist.archive_tables import DIFFERS, STORED, WAITING, ArchiveCopy, ArchivePosition
from worklist.base import outbox
from worklist.base.db import insert_once
from worklist.tables import Instance, Series, Study

JOB = "archive"
# Rows of instances may be committed out of the order of their ids: so far back is looked again.
LOOK_BACK = 5000


def position(session: Session, name: str) -> int:
    return session.scalar(select(ArchivePosition.value).where(ArchivePosition.name == name)) or 0


def set_position(session: Session, name: str, value: int) -> None:
    if not insert_once(session, ArchivePosition, name=name, value=value):
        session.execute(update(ArchivePosition).where(ArchivePosition.name == name).values(value=value))


def newest_instance(session: Session) -> int:
    return session.scalar(select(func.max(Instance.id))) or 0


def promise_copies(session: Session, archive: str, now: datetime, most: int) -> int:
    """Promise a copy of every instance that has none yet, ``most`` at once; how many were."""
    name = f"copied:{archive}"
    begin = position(session, name)
    query = (
        select(Instance.id, Instance.blob_key, Instance.size_bytes)
        .outerjoin(ArchiveCopy, (ArchiveCopy.archive == archive) & (ArchiveCopy.blob_key == Instance.blob_key))
        .where(Instance.id > begin - LOOK_BACK, ArchiveCopy.blob_key.is_(None))
        .order_by(Instance.id)
        .limit(most)
    )
    found = session.execute(query).all()
    for instance_id, blob_key, size_bytes in found:
        values = {"instance_id": instance_id, "size_bytes": size_bytes, "state": WAITING, "md5": ""}
        if insert_once(session, ArchiveCopy, archive=archive, blob_key=blob_key, **values):
            promise(session, archive, blob_key, now)
    reached = found[-1][0] if len(found) == most else newest_instance(session)
    if reached > begin:
        set_position(session, name, reached)
    return len(found)


def promise(session: Session, archive: str, blob_key: str, now: datetime) -> None:
    """One job for one copy: the archive is asked until it confirms."""
    payload = {"archive": archive, "blob_key": blob_key}
    outbox.promise(session, JOB, f"{JOB}:{blob_key}", payload, now=now)


def copy_again(session: Session, archive: str, blob_key: str, now: datetime) -> None:
    """The archive has lost its copy: it gets another."""
    _set(session, archive, blob_key, state=WAITING, stored_at=None)
    promise(session, archive, blob_key, now)


def archived_object(session: Session, archive: str, blob_key: str) -> tuple[ArchivedObject, str] | None:
    """The object behind a copy and the copy's state; None where none was promised."""
    row = session.execute(_objects(archive).where(ArchiveCopy.blob_key == blob_key)).first()
    return (_object(row), str(row[6])) if row is not None else None


def stored_objects(session: Session, archive: str) -> list[ArchivedObject]:
    """Everything that the archive has confirmed."""
    return [_object(row) for row in session.execute(_objects(archive).where(ArchiveCopy.state == STORED))]


def differing(session: Session, archive: str) -> list[str]:
    """SOP Instance UIDs under which the archive has other bytes."""
    query = select(Instance.sop_instance_uid).join(ArchiveCopy, ArchiveCopy.instance_id == Instance.id)
    return list(session.scalars(query.where(ArchiveCopy.archive == archive, ArchiveCopy.state == DIFFERS)))


def begin_copy(session: Session, archive: str, blob_key: str, md5: str) -> None:
    """Known before the archive has it, so that its news of our own copy is not taken for somebody else's."""
    _set(session, archive, blob_key, md5=md5)


def end_copy(session: Session, archive: str, blob_key: str, state: str, now: datetime) -> None:
    _set(session, archive, blob_key, state=state, stored_at=now, used_at=now)


def is_own(session: Session, archive: str, sop_instance_uid: str, md5: str) -> bool:
    """Whether the archive has these bytes from us."""
    query = select(ArchiveCopy.blob_key).join(Instance, Instance.id == ArchiveCopy.instance_id)
    return session.scalar(
        query.where(Instance.sop_instance_uid == sop_instance_uid, _of(archive), ArchiveCopy.md5 == md5)
    ) is not None  # fmt: skip


def local_bytes(session: Session, archive: str) -> int:
    """What confirmed copies take here as well."""
    query = select(func.coalesce(func.sum(ArchiveCopy.size_bytes), 0))
    return int(session.scalar(query.where(_of(archive), *_HERE)) or 0)


def least_used(session: Session, archive: str, most: int) -> list[ArchiveCopy]:
    """Confirmed copies whose local file may go, the longest unused first. What is not derived yet stays."""
    query = (
        select(ArchiveCopy)
        .join(Instance, Instance.id == ArchiveCopy.instance_id)
        .where(_of(archive), *_HERE, Instance.derived_state != "pending")
        .order_by(ArchiveCopy.used_at)
        .limit(most)
    )
    return list(session.scalars(query))


def note_used(session: Session, archive: str, blob_key: str, used_at: datetime) -> None:
    _set(session, archive, blob_key, used_at=used_at)


def note_evicted(session: Session, archive: str, blob_key: str, now: datetime) -> None:
    _set(session, archive, blob_key, evicted_at=now)


def note_fetched(session: Session, archive: str, blob_key: str, now: datetime) -> None:
    _set(session, archive, blob_key, evicted_at=None, used_at=now)


_HERE = (ArchiveCopy.state == STORED, ArchiveCopy.evicted_at.is_(None))


def _of(archive: str) -> ColumnElement[bool]:
    return ArchiveCopy.archive == archive


def _set(session: Session, archive: str, blob_key: str, **values: object) -> None:
    session.execute(update(ArchiveCopy).where(_of(archive), ArchiveCopy.blob_key == blob_key).values(**values))


def _objects(archive: str) -> Select[*tuple[Any, ...]]:
    return (
        select(
            Study.study_instance_uid, Series.series_instance_uid, Instance.sop_instance_uid, ArchiveCopy.blob_key,
            ArchiveCopy.md5, ArchiveCopy.size_bytes, ArchiveCopy.state,
        )
        .join(Instance, Instance.id == ArchiveCopy.instance_id)
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Series.study_id)
        .where(_of(archive))
    )  # fmt: skip


def _object(row: Row[*tuple[Any, ...]]) -> ArchivedObject:
    return ArchivedObject(row[0], row[1], row[2], digest=row[3], md5=row[4], size_bytes=row[5])
