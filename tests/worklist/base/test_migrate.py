"""The migrations make exactly the tables of the code, on both databases, whole or not at all."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect, text

from worklist.base import append_only, migrate
from worklist.base.db import Database
from worklist.migrations.forward import no_way_back
from worklist.migrations.metadata import metadata


def triggers(db: Database) -> set[str]:
    catalog = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }
    with db.read() as session:
        return {row[0] for row in session.execute(text(catalog[db.engine.dialect.name]))}


def test_schema_is_what_the_code_expects(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences: list[Any] = compare_metadata(context, metadata())
    assert differences == []


def test_append_only_triggers_exist(database: Database) -> None:
    assert triggers(database) == append_only.trigger_names(database.engine.dialect.name)


def test_migrating_makes_current_and_is_repeatable(empty_database_url: str) -> None:
    db = Database(empty_database_url)
    try:
        assert not migrate.is_current(db)
        migrate.migrate(empty_database_url)
        assert migrate.is_current(db)
        migrate.migrate(empty_database_url)
        assert migrate.is_current(db)
    finally:
        db.dispose()


def test_a_migration_that_fails_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The triggers come last: when their DDL is wrong, the tables made before must be gone too."""
    monkeypatch.setattr(append_only, "statements", lambda dialect: ["CREATE NONSENSE"])
    with pytest.raises(Exception, match="NONSENSE"):
        migrate.migrate(empty_database_url)
    db = Database(empty_database_url)
    try:
        assert inspect(db.engine).get_table_names() == []
    finally:
        db.dispose()


def test_deliveries_that_were_overtaken_are_no_longer_failures(empty_database_url: str) -> None:
    """What 0001 wrote as given up, 0002 calls by its name; a real failure stays one."""
    without_foreign_keys = {"sqlite": "PRAGMA foreign_keys=OFF", "postgresql": "SET session_replication_role = replica"}
    db = Database(empty_database_url)
    try:
        with db.engine.begin() as connection:
            command.upgrade(migrate.config(connection), "0001")
        raw = db.engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute(without_foreign_keys[db.engine.dialect.name])
        cursor.execute(
            "INSERT INTO delivery (id, report_id, site_id, channel, state, n_attempts, created_at, last_error) VALUES"
            " (1, 1, 1, 'dicom', 'DEAD', 0, '2026-01-01 00:00:00', 'superseded'),"
            " (2, 2, 1, 'dicom', 'DEAD', 0, '2026-01-01 00:00:00', 'unreachable')"
        )
        raw.commit()
        raw.invalidate()
        migrate.migrate(empty_database_url)
        with db.read() as session:
            rows = session.execute(text("SELECT state, last_error FROM delivery ORDER BY id")).all()
        assert [tuple(row) for row in rows] == [("SUPERSEDED", None), ("DEAD", "unreachable")]
    finally:
        db.dispose()


def test_no_version_goes_back_and_each_says_what_does(empty_database_url: str) -> None:
    migrate.migrate(empty_database_url)
    db = Database(empty_database_url)
    try:
        with db.engine.connect() as connection, pytest.raises(CommandError, match=r"请恢复升级前的备份 / .* restore the backup"):
            command.downgrade(migrate.config(connection), "-1")
        assert migrate.is_current(db)
    finally:
        db.dispose()
    versions = list(ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions())
    assert len(versions) >= 14 and {one.module.downgrade for one in versions} == {no_way_back}


def test_two_processes_migrating_at_once_both_succeed(empty_database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=migrate.migrate, args=(empty_database_url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]


def test_the_folder_of_a_new_sqlite_file_is_private(tmp_path: Path) -> None:
    migrate.migrate(f"sqlite:///{tmp_path}/var/teleread.sqlite3")
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700
