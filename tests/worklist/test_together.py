"""Many at the same time are written by one of them; what one does wrong is nobody else's fault."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from tests.peers.product import until
from worklist.base.db import Database
from worklist.tables import Site


def add(code: str) -> Callable[[Session], None]:
    def write(session: Session) -> None:
        session.add(Site(code=code, name_zh=code, name_en=code))
        session.flush()

    return write


def meanwhile(database: Database, *codes: str) -> dict[str, type[Exception]]:
    """A thread for each site, all come while another write is under way; what kept whom from writing."""
    entered, go_on = threading.Event(), threading.Event()
    errors: dict[str, type[Exception]] = {}

    def slow(session: Session) -> None:
        entered.set()
        assert go_on.wait(20)
        session.execute(text("SELECT 1"))

    def write(code: str) -> None:
        try:
            database.write_together(add(code))
        except Exception as error:
            errors[code] = type(error)

    threads = [threading.Thread(target=database.write_together, args=(slow,))]
    threads[0].start()
    assert entered.wait(20)
    threads += [threading.Thread(target=write, args=(code,)) for code in codes]
    for one in threads[1:]:
        one.start()
    until(lambda: len(database._together._waiting) == len(codes), 20, "all to wait", pause_s=0.001)
    go_on.set()
    for one in threads:
        one.join()
    return errors


def test_those_who_come_meanwhile_are_one_commit_and_a_bad_one_fails_alone(database: Database) -> None:
    database.write_together(add("THERE"))
    commits: list[int] = []
    event.listen(database.engine, "commit", lambda connection: commits.append(1))
    together = [f"S{number}" for number in range(5)]
    assert meanwhile(database, *together) == {}
    assert len(commits) == 2
    assert meanwhile(database, "NEW1", "THERE", "NEW2") == {"THERE": IntegrityError}
    with database.read() as session:
        codes = set(session.scalars(select(Site.code)))
    assert codes == {"THERE", "NEW1", "NEW2", *together}


def test_alone_it_is_an_ordinary_write(database: Database) -> None:
    database.write_together(add("ONE"))
    with pytest.raises(IntegrityError):
        database.write_together(add("ONE"))


def test_a_database_that_stays_locked_is_waited_for_once_by_all(tmp_path: Path, migrated_sqlite: Path) -> None:
    shutil.copyfile(migrated_sqlite, tmp_path / "teleread.sqlite3")
    database, errors = Database(f"sqlite:///{tmp_path}/teleread.sqlite3"), list[Exception]()
    database.be_patient(0.5)

    def write(code: str) -> None:
        try:
            database.write_together(add(code))
        except OperationalError as error:
            errors.append(error)

    other = sqlite3.connect(tmp_path / "teleread.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began_s = time.monotonic()
    writers = [threading.Thread(target=write, args=(f"S{number}",)) for number in range(12)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    took_s = time.monotonic() - began_s
    other.close()
    database.dispose()
    assert len(errors) == 12 and took_s < 3  # the first, and the others together; not one after the other
