"""SQLite keeps no frequencies: it must be told which index a query goes by, and must have heard it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text

from pacs_bridge import qido
from worklist import query_store
from worklist.base.db import Database
from worklist.query_store import Sight
from worklist.tables import Patient, Study


@pytest.fixture(scope="module")
def empty(migrated_sqlite: Path) -> Iterator[Database]:
    """The migrated one itself: nothing is written here."""
    database = Database(f"sqlite:///{migrated_sqlite}")
    yield database
    database.dispose()


def plans(db: Database, keys: dict[str, str], sight: Sight) -> str:
    """How SQLite goes about a query, all its statements."""
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        asked.append((statement, parameters))

    query = qido.read("STUDY", {}, list(keys.items())).query
    event.listen(db.engine, "before_cursor_execute", note)
    with db.read() as session:
        query_store.narrowed(session, query, sight)
        query_store.page(session, query, sight, None, limit=26)
        query_store.page(session, query, sight, (1, 2), limit=26)
        event.remove(db.engine, "before_cursor_execute", note)
        rows = [session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", given).all()
                for one, given in asked if not one.startswith("BEGIN")]  # fmt: skip
    return "\n".join(str(row[-1]) for found in rows for row in found)


@pytest.mark.parametrize(("keys", "indexes"), [
    ({"PatientName": "王*"}, ("ix_patient_name_site_id (name>? AND name<?)", "ix_patient_name_alphabetic_site_id")),
    ({"PatientName": "zhengl*"}, ("ix_patient_name_pinyin_site_id", "ix_patient_name_initials_site_id")),
    ({"PatientBirthDate": "19700101"}, ("ix_patient_birth_date",)),
    ({"PatientID": "P1"}, ("patient_id=?",)),
    ({"PatientID": "P1", "PatientName": "王*"}, ("patient_id=?",)),
    ({"AccessionNumber": "A1"}, ("ix_study_accession_number",)),
    ({"StudyDate": "20260101"}, ()),
])  # fmt: skip
def test_each_key_goes_by_its_index(empty: Database, keys: dict[str, str], indexes: tuple[str, ...]) -> None:
    for sight, order in ((Sight(Study.site_id == 7, 7), "ix_study_newest_of_site"),
                         (Sight(Study.kind.in_(["image"])), "ix_study_newest")):  # fmt: skip
        found = plans(empty, keys, sight)
        assert [name for name in (*indexes, order, "study USING INTEGER PRIMARY KEY") if name not in found] == []


def test_a_hint_is_part_of_the_statement(empty: Database) -> None:
    """SQLAlchemy's own compiler for SQLite leaves it out."""
    with empty.read() as session, pytest.raises(Exception, match="no such index: ix_none"):
        session.execute(select(Patient.id).with_hint(Patient, "INDEXED BY ix_none", "sqlite"))
    with empty.read() as session:
        assert session.scalar(text("SELECT 1")) == 1
