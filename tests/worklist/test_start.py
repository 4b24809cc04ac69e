"""What a second start may skip, and what it may not."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from worklist.base.config import ConfigError, Settings
from worklist.base.migrate import head_revision
from worklist.demo import command
from worklist.start import MIGRATIONS, is_prepared, migrate_all


def test_the_newest_migration_is_told_by_its_file_name() -> None:
    assert max(path.name.partition("_")[0] for path in MIGRATIONS.glob("[0-9]*_*.py")) == head_revision()


def test_a_second_start_has_nothing_to_prepare(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), demo_password="demo-Pass-1")
    assert not is_prepared(settings, demo=False)
    migrate_all(settings)
    assert is_prepared(settings, demo=False) and not is_prepared(settings, demo=True)
    assert command(settings) == 0
    assert is_prepared(settings, demo=True)
    assert not is_prepared(replace(settings, database_url="postgresql://localhost/teleread"), demo=False)


def test_an_older_schema_or_an_old_revocation_list_is_prepared_again(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    migrate_all(settings)
    revocations = tmp_path / "keys" / "ca.crl"
    os.utime(revocations, (0, 0))
    assert not is_prepared(settings, demo=False)
    os.utime(revocations)
    assert is_prepared(settings, demo=False)
    with sqlite3.connect(tmp_path / "teleread.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    assert not is_prepared(settings, demo=False)


def test_a_database_newer_than_the_program_is_left_alone_and_said_so(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    migrate_all(settings)
    with sqlite3.connect(tmp_path / "teleread.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigError, match=r"恢复升级前的备份 / the database is of a newer version.*'9999'"):
        migrate_all(settings)
