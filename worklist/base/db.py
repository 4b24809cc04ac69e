"""Engines, sessions and the column types every table uses. [store]

Two kinds of transaction: ``read`` (deferred) and ``write``. On SQLite a write transaction begins
IMMEDIATE, so that two writers queue up at the start instead of failing in the middle; on
PostgreSQL both are READ COMMITTED and races are settled by compare-and-set updates.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    CursorResult,
    DateTime,
    Engine,
    Executable,
    MetaData,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import JSON, TypeDecorator

from worklist.base.together import Together

SQLITE_BUSY_TIMEOUT_MS = 5000
_MOST_TOGETHER = 32

# Constraint names must be stable: Alembic on SQLite rebuilds tables by name.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment. Naive datetimes are refused, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime refused: hand in an aware UTC moment")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The one metadata of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 (SQLAlchemy's)


class Database:
    """One database, reached by URL; hands out read and write transactions.

    Raises sqlalchemy.exc.OperationalError where the database cannot be reached or stays locked
    for longer than SQLITE_BUSY_TIMEOUT_MS.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = make_url(url)
        self._turns = _Turns()
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = create_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=16,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
            )
            self.engine.dialect.statement_compiler = _WithHints
            _prepare_sqlite(self.engine, self._turns)
        else:
            self.engine = create_engine(self.url, pool_size=pool_size, max_overflow=16, pool_pre_ping=True)
        self._write_engine = self.engine.execution_options(teleread_write=True)
        self._together = Together(self._write_all, _MOST_TOGETHER)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads; rolled back at the end. What was loaded stays readable afterwards."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session  # closing rolls back; an explicit rollback would also expire every loaded object

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end, or rolls back whole on any error."""
        with Session(self._write_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def write_together(self, act: Callable[[Session], object]) -> None:
        """As ``write``, in one transaction with what other threads write so at the same time.

        For a row that is only added, like an entry of the trail; ``act`` runs in any thread, perhaps a second time.
        """
        error = self._together(act)
        if error is not None:
            raise error

    def _write_all(self, acts: list[Callable[[Session], object]]) -> list[Exception | None]:
        """Each on its own where all in one did not do; a database that stayed locked is not waited for once more."""
        try:
            with self.write() as session:
                for act in acts:
                    act(session)
            return [None] * len(acts)
        except Exception as error:
            if len(acts) == 1 or _is_locked(error):
                return [error] * len(acts)
            return [self._write_all([act])[0] for act in acts]

    def writer(self) -> "Writer":
        """A connection that stays open for many write transactions, for what runs once per received object."""
        return Writer(self._write_engine.connect(), self._turns)

    def be_patient(self, write_wait_s: float) -> None:
        """From now on a write transaction waits so long for its turn."""
        self._turns.wait_s = write_wait_s

    def dispose(self) -> None:
        self.engine.dispose()


def _is_locked(error: Exception) -> bool:
    """SQLite's write lock was somebody else's to the end of our patience."""
    return getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


class _WithHints(SQLiteCompiler):
    """SQLite's INDEXED BY and NOT INDEXED from ``with_hint``, which SQLAlchemy leaves out for it in silence."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


class _Turns:
    """Who of this process's threads may ask SQLite for its write lock: one, the others wait in the kernel.

    Every thread that asks by itself costs a try each millisecond, taken from the one that holds the lock.
    """

    def __init__(self) -> None:
        self.wait_s: float | None = None  # None: as long as SQLite
        self._turn = threading.Lock()

    def begin(self, driver: Any, held: dict[str, Any]) -> None:
        """BEGIN IMMEDIATE; ``held`` notes whose turn it is, for ``give``. Raises sqlite3.OperationalError.

        SQLite's own waiting sleeps longer and longer, so that whoever comes late passes those who came first;
        here it is equal steps of a millisecond.
        """
        wait_s = SQLITE_BUSY_TIMEOUT_MS / 1000 if self.wait_s is None else self.wait_s
        has_turn = _TURN in held or self._turn.acquire(timeout=wait_s)
        if has_turn:
            held[_TURN] = self._turn
        driver.execute("PRAGMA busy_timeout=1")
        try:
            for tries_left in reversed(range(int(wait_s * 1000) if has_turn else 1)):
                try:
                    driver.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not tries_left:
                        raise
        finally:
            driver.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")

    def give(self, held: dict[str, Any]) -> None:
        """The transaction is over, in whatever way."""
        turn = held.pop(_TURN, None)
        if turn is not None:
            turn.release()


_TURN = "teleread_turn"


class Writer:
    """One open connection and its driver's own cursor: short transactions without what SQLAlchemy adds to each.

    For one thread at a time.
    """

    def __init__(self, connection: Connection, turns: _Turns) -> None:
        self._connection, self._turns = connection, turns
        self._dialect: Any = connection.dialect
        self._held: dict[str, Any] = {}
        self.database = str(self._dialect.name)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """The driver's cursor; commits at the end, or rolls back whole. Raises what SQLAlchemy would."""
        driver: Any = self._connection.connection.dbapi_connection
        errors = self._dialect.loaded_dbapi.Error
        try:
            if self.database == "sqlite":
                self._turns.begin(driver, self._held)
            cursor = driver.cursor()
            try:
                yield cursor
                driver.commit()
            except BaseException:
                driver.rollback()
                raise
            finally:
                cursor.close()
        except errors as error:
            raise DBAPIError.instance(None, None, error, errors, dialect=self._dialect) from error
        finally:
            self._turns.give(self._held)

    def close(self) -> None:
        self._connection.close()


def _prepare_sqlite(engine: Engine, turns: _Turns) -> None:
    """WAL with full sync and foreign keys; BEGIN is ours (https://docs.sqlalchemy.org/dialects/sqlite, pysqlite)."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("teleread_write", False):
            connection.exec_driver_sql("BEGIN")
            return
        fairy: Any = connection.connection
        try:
            turns.begin(fairy.dbapi_connection, fairy.record_info)
        except sqlite3.Error as error:  # in SQLAlchemy's words
            raise DBAPIError.instance(
                "BEGIN IMMEDIATE", None, error, sqlite3.Error, dialect=connection.dialect
            ) from error

    @event.listens_for(engine, "checkin")
    def checkin(connection: Any, record: Any) -> None:
        turns.give(record.record_info)


def columns(
    session: Session, statement: Executable, parameters: Mapping[str, Any] | None = None
) -> CursorResult[*tuple[Any, ...]]:
    """Rows of columns, past the session's mapper, which costs what is asked at every request as much as the question.

    What the session holds unwritten is not written before, as ``Session.execute`` would.
    """
    return session.connection().execute(statement, parameters)


def insert_once(session: Session, table: type[Base], **values: Any) -> bool:
    """Insert a row unless one with its key is there, also where another transaction inserts it just now."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table.__table__).values(**values).on_conflict_do_nothing()  # type: ignore[arg-type]
    return session.execute(statement.returning(*table.__table__.primary_key)).first() is not None


# Append-only streams (audit, events) must become visible in the order of their ids, or a reader
# that remembers "the last id I saw" misses rows. SQLite has one writer anyway.
_APPEND_LOCK = 0x7E1E4EAD


def lock_append_order(session: Session) -> None:
    """Make this transaction the only one that appends to ordered streams until it ends.

    What was changed before is written first: whoever holds this lock must not wait for somebody's row.
    """
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _APPEND_LOCK})
