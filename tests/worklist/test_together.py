"""Many at the same time are written by one of them; what one does wrong is nobody else's fault."""

import threading

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worklist.base.db import Database
from worklist.tables import Site


def add(code: str) -> "object":
    return lambda session: session.add(Site(code=code, name_zh=code, name_en=code)) or session.flush()


def test_those_who_come_meanwhile_are_one_commit_and_a_bad_one_fails_alone(database: Database) -> None:
    with database.write() as session:
        session.add(Site(code="THERE", name_zh="有", name_en="there"))
    commits: list[int] = []
    event.listen(database.engine, "commit", lambda connection: commits.append(1))
    entered, go_on = threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        entered.set()
        assert go_on.wait(20)
        session.execute(text("SELECT 1"))

    errors: dict[str, Exception] = {}

    def write(code: str) -> None:
        try:
            database.write_together(add(code))
        except Exception as error:
            errors[code] = error

    first = threading.Thread(target=database.write_together, args=(slow,))
    first.start()
    assert entered.wait(20)
    good = [threading.Thread(target=write, args=(f"S{number}",)) for number in range(5)]
    for one in good:
        one.start()
    while len(database._together._waiting) < 5:
        pass
    go_on.set()
    for one in (first, *good):
        one.join()
    assert (len(commits), errors) == (2, {})

    entered.clear()
    go_on.clear()
    first = threading.Thread(target=database.write_together, args=(slow,))
    first.start()
    assert entered.wait(20)
    mixed = [threading.Thread(target=write, args=(code,)) for code in ("NEW1", "THERE", "NEW2")]
    for one in mixed:
        one.start()
    while len(database._together._waiting) < 3:
        pass
    go_on.set()
    for one in (first, *mixed):
        one.join()
    assert {code: type(error) for code, error in errors.items()} == {"THERE": IntegrityError}
    with database.read() as session:
        codes = set(session.scalars(select(Site.code)))
    assert codes == {"THERE", "NEW1", "NEW2", *(f"S{number}" for number in range(5))}


def test_alone_it_is_an_ordinary_write(database: Database) -> None:
    database.write_together(add("ONE"))
    with pytest.raises(IntegrityError):
        database.write_together(add("ONE"))
