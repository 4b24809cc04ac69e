"""More objects of a study that an association has begun to bring: two statements instead of twenty. [store]

``receive_service.file_object`` says what filing is. This does the same for its commonest case, and only where
that case can be seen in the row itself: study, series and person as they were, still incomplete, no news due, a job
that will make the display data. Whatever is not so is left alone, for the long way.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    Integer,
    String,
    bindparam,
    exists,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg

from pacs_bridge.ports import ReceivedObject
from worklist import derive_store
from worklist.base.db import UtcDateTime
from worklist.repair_tables import RejectedInstance
from worklist.study import InputReadiness
from worklist.tables import Instance, Patient, Series, Study


@dataclass(frozen=True)
class Known:
    """Where an association's last object of a series went: its rows, and the link of study and association, exist."""

    study_id: int
    series_id: int


@dataclass(frozen=True)
class Item:
    """One object that should join what is known."""

    known: Known
    site_id: int
    identity_key: str
    received: ReceivedObject


class Changed(Exception):
    """A row changed between two statements: nothing of this transaction may stay."""


def _insert_instance(dialect: Any) -> Any:
    """One instance, if study, series and person still fit; no row where they do not or the object is there."""
    columns = {
        "sop_instance_uid": String, "sop_class_uid": String, "transfer_syntax_uid": String, "number": Integer,
        "blob_key": String, "digest": String, "size_bytes": BigInteger, "received_at": UtcDateTime,
        "association_id": Integer, "derived_state": String, "rows": Integer, "columns": Integer,
        "bits_allocated": Integer, "number_of_frames": Integer,
    }  # fmt: skip
    chosen: list[Any] = [Series.id, *(bindparam(name, type_=kind()) for name, kind in columns.items()), literal(0)]
    fits: Any = (
        select(*chosen)
        .join(Study, Study.id == Series.study_id)
        .join(Patient, Patient.id == Study.patient_pk)
        .where(Series.id == bindparam("of_series"), Study.id == bindparam("of_study"))
        .where(Study.site_id == bindparam("of_site"), Patient.identity_key == bindparam("of_person"))
        .where(Study.input_readiness == InputReadiness.INCOMPLETE, Study.progress_told_at > bindparam("told_after"))
        .where(~exists().where(RejectedInstance.study_instance_uid == Study.study_instance_uid))
        .where(or_(bindparam("derived_state", type_=String()) == "none", derive_store.is_promised(Series.id)))
    )
    table: Any = Instance.__table__
    into = dialect.insert(table).from_select(["series_id", *columns, "duplicates"], fits, include_defaults=False)
    return into.on_conflict_do_nothing(index_elements=[table.c.sop_instance_uid]).returning(table.c.id)


_DIALECTS = {
    "sqlite": (sqlite, sqlite.dialect()),
    "postgresql": (postgresql, psycopg.dialect()),  # type: ignore[no-untyped-call]
}  # fmt: skip


class _Statement:
    """A statement turned into the driver's text once: building and binding it anew cost more than running it."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._order: list[str] | None = compiled.positiontup
        self._converters = [
            (name, converter) for name, bind in compiled.binds.items()
            if (converter := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        ]  # fmt: skip
        self._defaults = {name: bind.value for name, bind in compiled.binds.items() if bind.value is not None}

    def run(self, cursor: Any, values: dict[str, Any]) -> None:
        """``cursor``: the driver's own."""
        bound = self._defaults | values
        for name, converter in self._converters:
            bound[name] = converter(bound[name])
        cursor.execute(self._text, bound if self._order is None else tuple(bound[name] for name in self._order))


_COUNT = (
    update(Study.__table__)  # type: ignore[arg-type]
    .where(Study.id == bindparam("of_study"), Study.input_readiness == InputReadiness.INCOMPLETE)
    .values(n_instances=Study.n_instances + bindparam("more", type_=Integer()), last_received_at=bindparam("at"))
)
# A rejection note that is being filed is waited for, and then seen; so is the end of a series' "derive" job.
_LOCK_STUDIES = "SELECT id FROM study WHERE id = ANY(%s) ORDER BY id FOR UPDATE"


@cache
def _statements(name: str) -> tuple[_Statement, _Statement]:
    module, dialect = _DIALECTS[name]
    return _Statement(_insert_instance(module), dialect), _Statement(_COUNT, dialect)


def file_known(
    cursor: Any, database: str, items: Sequence[Item], now: datetime, progress_interval: timedelta
) -> list[bool]:
    """Which of the items were filed; the others have left no trace. Raises Changed, and what the driver raises.

    Rows of studies are taken in the order of their ids, so that two groups never wait for each other.
    """
    insert_instance, count_more = _statements(database)
    if database == "postgresql":
        cursor.execute(_LOCK_STUDIES, (sorted({item.known.study_id for item in items}),))
    filed, counts = [False] * len(items), Counter[int]()
    for number, item in sorted(enumerate(items), key=lambda pair: pair[1].known.study_id):
        record = item.received.record
        if record is None or record.rejection is not None:
            continue
        values = {
            "of_series": item.known.series_id, "of_study": item.known.study_id, "of_site": item.site_id,
            "of_person": item.identity_key, "told_after": now - progress_interval,
            "sop_instance_uid": record.sop_instance_uid, "sop_class_uid": record.sop_class_uid,
            "transfer_syntax_uid": record.transfer_syntax_uid, "number": record.instance_number,
            "blob_key": item.received.blob_key, "digest": item.received.digest,
            "size_bytes": item.received.size_bytes, "received_at": now,
            "association_id": item.received.association_id,
            "derived_state": "pending" if record.is_displayable else "none",
            "rows": record.rows, "columns": record.columns, "bits_allocated": record.bits_allocated,
            "number_of_frames": record.number_of_frames,
        }  # fmt: skip
        insert_instance.run(cursor, values)
        if cursor.fetchone() is None:
            continue
        filed[number] = True
        counts[item.known.study_id] += 1
    for study_id, more in sorted(counts.items()):
        count_more.run(cursor, {"of_study": study_id, "more": more, "at": now})
        if cursor.rowcount != 1:
            raise Changed
    return filed
