"""What every test may ask for: a migrated database on SQLite and on PostgreSQL, and a clock that stands still.

``TELEREAD_TEST_DATABASES=sqlite`` runs only that half while working; the whole suite runs both.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.peers.postgres import PostgresServer, running_postgres
from worklist.base.db import Database
from worklist.base.migrate import migrate

BACKENDS = os.environ.get("TELEREAD_TEST_DATABASES", "sqlite,postgresql").split(",")


class Clock:
    """Calling it gives the time; it goes on only when told to."""

    def __init__(self, at: datetime = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at


@pytest.fixture
def clock() -> Clock:
    """Monday 2026-03-02 09:30 in Shanghai."""
    return Clock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema and nothing in it, to be copied."""
    path = tmp_path_factory.mktemp("template") / "teleread.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> str:
    """The name of a PostgreSQL database with the schema and nothing in it, to be used as a template."""
    name = postgres_server.create()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated, empty database; the test runs once for each kind."""
    if request.param == "sqlite":
        path = tmp_path / "teleread.sqlite3"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create(template=request.getfixturevalue("migrated_postgres"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=BACKENDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated, empty database, on SQLite and on PostgreSQL."""
    db = Database(database_url)
    yield db
    db.dispose()
