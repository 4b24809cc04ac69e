"""Jobs are promised once, held by one, never lost, on both databases."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import select

from tests.conftest import Clock
from worklist.base import outbox
from worklist.base.db import Database
from worklist.base.outbox import Job, OutboxJob

KINDS = ("send", "derive")


def promise(db: Database, clock: Clock, key: str, *, kind: str = "send", delay_s: float = 0, **payload: object) -> int:
    with db.write() as session:
        due_at = clock() + timedelta(seconds=delay_s)
        return outbox.promise(session, kind, key, payload, now=clock(), due_at=due_at)


def claim(db: Database, clock: Clock, owner: str = "a", kinds: tuple[str, ...] = KINDS) -> Job | None:
    return outbox.claim(db, owner, clock(), 60, kinds)


def finish(db: Database, clock: Clock, job: Job) -> bool:
    with db.write() as session:
        return outbox.finish(session, job, clock())


def row(db: Database, job_id: int) -> OutboxJob:
    with db.read() as session:
        return session.get_one(OutboxJob, job_id)


def test_promising_a_key_twice_is_one_job_with_the_newest_payload(database: Database, clock: Clock) -> None:
    first = promise(database, clock, "k", delay_s=30, n=1)
    second = promise(database, clock, "k", delay_s=5, n=2)
    assert first == second
    assert row(database, first).payload == {"n": 2}
    assert row(database, first).due_at == clock() + timedelta(seconds=5)
    promise(database, clock, "k", delay_s=90, n=3)
    assert row(database, first).due_at == clock() + timedelta(seconds=5)


def test_a_finished_key_can_be_promised_anew(database: Database, clock: Clock) -> None:
    first = promise(database, clock, "k")
    job = claim(database, clock)
    assert job is not None and finish(database, clock, job)
    assert promise(database, clock, "k") != first


def test_a_job_promised_again_while_it_runs_runs_once_more(database: Database, clock: Clock) -> None:
    """Else a change made after the handler read its rows would never be acted on."""
    promise(database, clock, "k", n=1)
    job = claim(database, clock)
    promise(database, clock, "k", n=2)
    assert claim(database, clock, "b") is None  # still held
    assert job is not None and finish(database, clock, job)
    again = claim(database, clock, "b")
    assert again is not None and again.payload == {"n": 2}
    assert finish(database, clock, again)
    assert claim(database, clock) is None


def test_jobs_come_in_the_order_they_are_due(database: Database, clock: Clock) -> None:
    for key, delay_s in (("late", 20), ("soon", 5), ("future", 300)):
        promise(database, clock, key, delay_s=delay_s)
    clock.forward(60)
    jobs = [claim(database, clock, owner) for owner in "abc"]
    assert [job and job.key for job in jobs] == ["soon", "late", None]


def test_only_the_kinds_asked_for(database: Database, clock: Clock) -> None:
    promise(database, clock, "k", kind="derive")
    assert claim(database, clock, kinds=("send",)) is None
    assert claim(database, clock, kinds=("derive",)) is not None


def test_an_expired_lease_is_taken_over_and_the_late_worker_cannot_end_it(database: Database, clock: Clock) -> None:
    job_id = promise(database, clock, "k")
    late = claim(database, clock, "a")
    clock.forward(61)
    new = claim(database, clock, "b")
    assert late is not None and new is not None and new.id == late.id
    with database.write() as session:
        assert not outbox.renew(session, late, clock(), 60)
        assert not outbox.fail(session, late, "timeout", clock(), None)
        assert not outbox.finish(session, late, clock())
    assert row(database, job_id).lease_owner == "b"
    assert finish(database, clock, new)


def test_a_renewed_lease_holds(database: Database, clock: Clock) -> None:
    promise(database, clock, "k")
    job = claim(database, clock, "a")
    clock.forward(50)
    with database.write() as session:
        assert job is not None and outbox.renew(session, job, clock(), 60)
    clock.forward(50)
    assert claim(database, clock, "b") is None


def test_failure_waits_then_dies_and_can_be_sent_again(database: Database, clock: Clock) -> None:
    job_id = promise(database, clock, "k")
    job = claim(database, clock)
    with database.write() as session:
        assert job is not None
        assert outbox.fail(session, job, "unreachable", clock(), clock() + timedelta(seconds=10))
    assert claim(database, clock) is None
    clock.forward(10)
    job = claim(database, clock)
    assert job is not None and job.n_attempts == 2
    with database.write() as session:
        assert outbox.fail(session, job, "0xA900", clock(), None)
    with database.read() as session:
        assert [letter.id for letter in outbox.dead_letters(session)] == [job_id]
        assert [(b.n_waiting, b.n_running, b.n_dead) for b in outbox.backlog(session)] == [(0, 0, 1)]
    assert claim(database, clock) is None
    with database.write() as session:
        assert outbox.resend(session, job_id, clock())
    again = claim(database, clock)
    assert again is not None and again.n_attempts == 1
    with database.write() as session:
        assert not outbox.resend(session, job_id, clock())  # running
    assert finish(database, clock, again)
    with database.write() as session:
        assert not outbox.resend(session, job_id, clock())  # done


def test_promising_a_dead_key_revives_it(database: Database, clock: Clock) -> None:
    job_id = promise(database, clock, "k")
    job = claim(database, clock)
    with database.write() as session:
        assert job is not None and outbox.fail(session, job, "refused", clock(), None)
    clock.forward(100)
    assert promise(database, clock, "k") == job_id
    assert claim(database, clock) is not None


def test_a_job_that_kills_its_worker_becomes_a_dead_letter(database: Database, clock: Clock) -> None:
    job_id = promise(database, clock, "k")
    n_claims = 0
    while claim(database, clock) is not None:
        n_claims += 1
        clock.forward(61)
    assert n_claims == outbox.MAX_LOST_WORKERS
    assert row(database, job_id).last_error == "worker_lost"
    assert row(database, job_id).dead_at == clock()


def test_an_error_sentence_is_not_kept(database: Database, clock: Clock) -> None:
    """What a library says may carry a patient's name."""
    job_id = promise(database, clock, "k")
    job = claim(database, clock)
    with database.write() as session:
        assert job is not None
        outbox.fail(session, job, "cannot store 张三^Zhang", clock(), clock())
    assert row(database, job_id).last_error == "error_without_code"


def test_a_promise_of_a_transaction_that_rolls_back_is_none(database: Database, clock: Clock) -> None:
    try:
        with database.write() as session:
            outbox.promise(session, "send", "k", {}, now=clock())
            raise RuntimeError
    except RuntimeError:
        pass
    assert claim(database, clock) is None


def test_finished_jobs_are_forgotten(database: Database, clock: Clock) -> None:
    promise(database, clock, "old")
    job = claim(database, clock)
    assert job is not None and finish(database, clock, job)
    promise(database, clock, "open")
    with database.write() as session:
        assert outbox.forget_finished(session, clock.forward(1)) == 1
        assert session.scalars(select(OutboxJob.key)).all() == ["open"]


def test_many_claimers_at_once_never_share_a_job(database: Database, clock: Clock) -> None:
    for n in range(40):
        promise(database, clock, f"k{n}")

    def claim_all(owner: str) -> list[int]:
        found = []
        misses = 0
        while misses < 3:  # None may also mean that another was faster
            job = claim(database, clock, owner)
            misses = misses + 1 if job is None else 0
            if job:
                found.append(job.id)
        return found

    with ThreadPoolExecutor(8) as pool:
        claimed = [job_id for ids in pool.map(claim_all, map(str, range(8))) for job_id in ids]
    assert len(claimed) == len(set(claimed)) == 40


def test_promises_of_one_key_at_once_make_one_job(database: Database, clock: Clock) -> None:
    random.seed(7)
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda n: promise(database, clock, "same", n=n), range(24)))
    assert len(ids) == 1
    assert row(database, ids.pop()).n_promises == 24
