"""What every test may ask for: a migrated database on SQLite and on PostgreSQL, a clock that stands still, a county.

``TELEREAD_TEST_DATABASES=sqlite`` runs only that half while working; the whole suite runs both.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask

from pacs_bridge.listener import Listener
from tests.peers.listening import listening
from tests.peers.postgres import PostgresServer, running_postgres
from tests.peers.township import Township, township
from worklist.base.db import Database
from worklist.base.migrate import migrate
from worklist.webserver import build_web

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


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Clock) -> Iterator[Township]:
    """The demo county on each database; nothing has been sent yet."""
    with township(database, tmp_path / "county", clock) as made:
        yield made


@pytest.fixture
def app(county: Township) -> Flask:
    """The county's pages."""
    made: Flask = build_web(county.roof, county.desk.signer)  # type: ignore[arg-type]
    return made


@pytest.fixture
def listener(county: Township) -> Iterator[Listener]:
    """The county's DICOM side with all its services."""
    with listening(county) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, for what is going to be sent."""
    made = tmp_path / "sent"
    made.mkdir()
    return made
