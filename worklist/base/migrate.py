"""The schema brought to where this version of the code needs it. [store]"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from worklist.base.db import Database

MIGRATIONS = Path(__file__).parents[1] / "migrations"
# Two processes that migrate at once queue up; on SQLite BEGIN IMMEDIATE does it.
_MIGRATION_LOCK = 0x7E1E4EAE


def migrate(database_url: str) -> None:
    """Run every migration not yet run, in one transaction: whole or not at all.

    Makes the SQLite file and its folder where absent. Raises sqlalchemy.exc.OperationalError where the
    database cannot be reached, alembic.util.CommandError where it is newer than this code.
    """
    _make_folder(database_url)
    db = Database(database_url, pool_size=1)
    try:
        with _write_connection(db) as connection:
            command.upgrade(config(connection), "head")
    finally:
        db.dispose()


def is_current(db: Database) -> bool:
    """Whether the schema is the one this code was written for."""
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head_revision()


def head_revision() -> str | None:
    """The newest migration in the package."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def config(connection: Connection | None) -> Config:
    """Alembic's configuration, built here: no alembic.ini is needed at run time."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


@contextmanager
def _write_connection(db: Database) -> Iterator[Connection]:
    with db.engine.execution_options(teleread_write=True).connect() as connection, connection.begin():
        if not db.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        yield connection


def _make_folder(database_url: str) -> None:
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
