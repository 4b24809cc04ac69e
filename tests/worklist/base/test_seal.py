"""The chain over the audit trail names what was edited, deleted or slipped in."""

from sqlalchemy import text

from tests.conftest import Clock
from worklist.base import append_only, audit, seal
from worklist.base.db import Database
from worklist.base.seal import Problem


def record(db: Database, clock: Clock, n_rows: int) -> None:
    for n in range(n_rows):
        with db.write() as session:
            audit.record(
                session, now=clock.forward(0.25), actor="李", role="reader", site="S", act="open", object_type="study",
                object_uid=f"1.2.{n}", details={"中": 1.5, "b": [n, None]},
            )  # fmt: skip


def tamper(db: Database, statement: str) -> None:
    """What someone does who owns the database: drops the triggers first."""
    with db.write() as session:
        for name in append_only.trigger_names(db.engine.dialect.name):
            table = name.split("_refuse_")[0]
            session.execute(text(f"DROP TRIGGER IF EXISTS {name}" + ("" if db.is_sqlite else f" ON {table}")))
        session.execute(text(statement))


def problems(db: Database) -> list[Problem]:
    with db.read() as session:
        return seal.verify_chain(session)


def sealed(db: Database, clock: Clock) -> None:
    """Rows 1–7 in seals 1 (1–3), 2 (4–6) and 3 (7); row 8 not sealed."""
    record(db, clock, 7)
    assert seal.seal(db, clock(), batch_rows=3) == 7
    record(db, clock, 1)


def test_an_untouched_trail_holds_and_the_head_moves(database: Database, clock: Clock) -> None:
    with database.read() as session:
        assert not seal.has_unsealed(session)
        assert seal.head(session) == seal.NO_HASH
    sealed(database, clock)
    with database.read() as session:
        before = seal.head(session)
        assert seal.has_unsealed(session)
    assert problems(database) == []
    assert seal.seal(database, clock()) == 1
    assert seal.seal(database, clock()) == 0
    with database.read() as session:
        assert not seal.has_unsealed(session)
        assert seal.head(session) not in (before, seal.NO_HASH)
    assert problems(database) == []


def test_an_edited_row_is_named(database: Database, clock: Clock) -> None:
    sealed(database, clock)
    tamper(database, "UPDATE audit_event SET result = 'refused' WHERE id = 5")
    assert problems(database) == [Problem("edited", 5, 2)]


def test_an_edited_detail_is_named(database: Database, clock: Clock) -> None:
    sealed(database, clock)
    tamper(database, """UPDATE audit_event SET details = '{"b": [9, null]}' WHERE id = 2""")
    assert problems(database) == [Problem("edited", 2, 1)]


def test_a_deleted_row_is_named(database: Database, clock: Clock) -> None:
    sealed(database, clock)
    tamper(database, "DELETE FROM audit_event WHERE id IN (3, 7)")
    assert problems(database) == [Problem("deleted", 3, 1), Problem("deleted", 7, 3)]


def test_a_row_slipped_into_a_legal_gap_is_named(database: Database, clock: Clock) -> None:
    """PostgreSQL leaves gaps where a transaction rolled back: they are no problem until someone fills one."""
    record(database, clock, 2)
    copy = ("INSERT INTO audit_event (id, at, actor, role, site, act, object_type, object_uid, result, details) "
            "SELECT {}, at, actor, role, site, act, object_type, object_uid, result, details "
            "FROM audit_event WHERE id = 1")  # fmt: skip
    tamper(database, copy.format(9))
    assert seal.seal(database, clock()) == 3
    assert problems(database) == []
    tamper(database, copy.format(4))
    assert problems(database) == [Problem("inserted", 4, 1)]


def test_a_seal_rewritten_to_hide_an_edit_breaks_the_chain(database: Database, clock: Clock) -> None:
    sealed(database, clock)
    tamper(database, "UPDATE audit_event SET actor = 'x' WHERE id = 5")
    with database.read() as session:
        new = seal._row_hashes(session, above=3, up_to=6)
        before = session.execute(text("SELECT previous_hash FROM audit_seal WHERE id = 2")).scalar_one()
    rows = str([list(pair) for pair in new]).replace("'", '"')
    tamper(database, f"UPDATE audit_seal SET rows = '{rows}' WHERE id = 2")
    assert problems(database) == [Problem("seal_edited", None, 2)]
    tamper(database, f"UPDATE audit_seal SET chain_hash = '{seal._chain(before, new)}' WHERE id = 2")
    assert problems(database) == [Problem("seal_missing", None, 3)]  # seal 3 was made upon another seal 2


def test_a_seal_taken_out_is_noticed(database: Database, clock: Clock) -> None:
    sealed(database, clock)
    tamper(database, "DELETE FROM audit_seal WHERE id = 2")
    assert Problem("seal_missing", None, 2) in problems(database)


def test_sealing_in_two_processes_makes_one_chain(database: Database, clock: Clock) -> None:
    from concurrent.futures import ThreadPoolExecutor

    record(database, clock, 20)
    with ThreadPoolExecutor(4) as pool:
        n_sealed = sum(pool.map(lambda _: seal.seal(database, clock(), batch_rows=4), range(4)))
    assert n_sealed == 20
    assert problems(database) == []
