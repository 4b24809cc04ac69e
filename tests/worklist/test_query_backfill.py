"""Rows as they were before queries had columns are filled from their files, also by a worker that is killed."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, update

from tests.peers.instances import write_instance
from tests.peers.listening import receive_all
from tests.peers.township import Township
from worklist import query_backfill
from worklist.base import outbox
from worklist.base.db import Database
from worklist.base.outbox import OutboxJob
from worklist.query_backfill import KIND, fill_columns
from worklist.tables import Instance, Patient, Series, Study

NEW = {
    Patient: {"name_sent": "", "name_alphabetic": ""},
    Study: {"study_date": "", "study_time": "", "study_id_sent": "", "referring_physician_name": ""},
    Series: {"series_date": "", "series_time": "", "performed_start_date": "", "performed_start_time": "",
             "requested_procedure_id": "", "scheduled_step_id": ""},
    Instance: {"rows": None, "columns": None, "bits_allocated": None, "number_of_frames": None},
}  # fmt: skip


def run_migration(db: Database) -> None:
    """The one that promises the work, again."""
    migration = import_module("worklist.migrations.versions.0012_columns_of_older_rows")
    with db.write() as session, Operations.context(MigrationContext.configure(session.connection())):
        migration.upgrade()


def columns(county: Township) -> dict[str, list[Any]]:
    with county.roof.db.read() as session:
        return {
            table.__tablename__: [tuple(row) for row in session.execute(
                select(*(getattr(table, name) for name in names)).order_by(table.id))]
            for table, names in NEW.items()
        }  # type: ignore[attr-defined]  # fmt: skip


def work(county: Township) -> int:
    """As the worker does; how often it was run."""
    runs, db = 0, county.roof.db
    while job := outbox.claim(db, "test", county.clock(), 30.0, [KIND]):
        runs += 1
        fill_columns(county.roof, job)
        with db.write() as session:
            assert outbox.finish(session, job, county.clock())
    return runs


def test_older_rows_are_filled_from_their_files(
    county: Township, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sent").mkdir()
    names = {"a": "Zheng^Liqun=郑^立群", "b": "Wang^Fang=王^芳", "c": "Li^Na=李^娜"}
    receive_all(county, [
        write_instance(tmp_path / "sent", side=8, PatientID=person, PatientName=names[person], StudyInstanceUID=f"1.2.{study}",
                       SeriesInstanceUID=f"1.2.{study}.{series}", StudyDate=f"2025010{study}", StudyTime="101112.5",
                       StudyID=f"S{study}", ReferringPhysicianName="He^Jun", SeriesDate="20250201", SeriesTime="11")
        for study, person in ((1, "a"), (2, "b"), (3, "a"), (4, "c")) for series in (1, 2) for _ in range(2)
    ])  # fmt: skip
    filed = columns(county)
    assert filed["study"][0] == ("20250101", "101112.5", "S1", "He^Jun")
    with county.roof.db.write() as session:
        for table, values in NEW.items():
            session.execute(update(table).values(**values))
        lost = session.scalars(select(Instance).order_by(Instance.id.desc()).limit(1)).one()  # of study 4, its last
        session.execute(update(Study).where(Study.id == 1).values(referring_physician_name="kept"))
    county.roof.blobs.path(lost.blob_key).unlink()
    run_migration(county.roof.db)
    with county.roof.db.write() as session:  # a migration goes by the real clock
        session.execute(update(OutboxJob).where(OutboxJob.kind == KIND).values(due_at=county.clock()))

    monkeypatch.setattr(query_backfill, "RUN_S", -1.0)  # one study a run
    monkeypatch.setattr(query_backfill, "ROWS", 3)
    real, calls = query_backfill._series, [0]

    def dies(*given: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise SystemExit
        real(*given)

    monkeypatch.setattr(query_backfill, "_series", dies)
    with pytest.raises(SystemExit):
        work(county)  # within the second study
    county.clock.forward(60)  # its lease runs out
    assert work(county) >= 3
    found = columns(county)
    filed["study"][0] = ("", "", "", "kept")  # what has a value keeps all of it
    filed["instance"][-1] = (None, None, None, None)
    assert found == filed
    with county.roof.db.read() as session:
        job = session.scalars(select(OutboxJob).where(OutboxJob.kind == KIND)).one()
    assert (job.finished_at is not None, job.payload) == (True, {"after": 4})


def test_a_file_that_nobody_foresaw_keeps_no_other_from_its_columns(
    county: Township, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sent").mkdir()
    receive_all(county, [write_instance(tmp_path / "sent", side=8, StudyInstanceUID=f"1.2.{n}", StudyDate="20250101")
                         for n in (1, 2)])  # fmt: skip
    with county.roof.db.write() as session:
        for table, values in NEW.items():
            session.execute(update(table).values(**values))
        first = session.scalars(select(Instance).order_by(Instance.id).limit(1)).one()
        outbox.promise(session, KIND, KIND, {"after": 0}, now=county.clock())
    read, odd = query_backfill.extract, county.roof.blobs.path(first.blob_key)

    def extract(path: Path, **options: Any) -> Any:
        if path == odd:
            raise AttributeError
        return read(path, **options)

    monkeypatch.setattr(query_backfill, "extract", extract)
    work(county)
    assert [row[0] for row in columns(county)["study"]] == ["", "20250101"]


def test_nothing_is_promised_where_nothing_is_older(county: Township) -> None:
    run_migration(county.roof.db)
    with county.roof.db.read() as session:
        assert session.scalars(select(OutboxJob).where(OutboxJob.kind == KIND)).all() == []
