"""Display data: one job per series, a share at a time; nothing pending is forgotten, a bad file holds up nobody."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import event, select, update

from pacs_bridge.cached_blobs import CachedBlobs, local_path
from pacs_bridge.ports import SUCCESS, ArchiveFailure, ReceivedObject
from tests.conftest import Clock
from tests.peers.instances import write_instance
from tests.peers.township import received_object
from tests.worklist.roofs import make_roof
from viewer.derive_pool import DerivePool
from worklist import derive_store, derive_work
from worklist.base import outbox
from worklist.base.audit import WorkflowEvent
from worklist.base.db import Database
from worklist.base.outbox import Job, OutboxJob
from worklist.derive_work import BURST, LONGEST_WAIT, SHARE, Deriving
from worklist.inbox import IndexInbox
from worklist.known_filing import Item, Known, file_known
from worklist.listen import make_inbox
from worklist.receive_service import PROGRESS_INTERVAL, identity_key_of
from worklist.roof import Roof
from worklist.tables import Device, Instance, Series, Site, Study
from worklist.worker import Worker


class Ticking(Clock):
    """A millisecond goes by whenever somebody looks."""

    def __call__(self) -> Any:
        return self.forward(0.001)


class Watched(DerivePool):
    """A pool that notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__(max_workers=2)
        self.sources: list[str] = []

    def derive(self, source: Path, out_dir: Path) -> dict[str, Any]:
        self.sources.append(out_dir.name)
        return super().derive(source, out_dir)


@pytest.fixture(scope="module")
def pool() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.close()


@dataclass
class Place:
    """One site with a CT, its inbox, and a worker that derives."""

    roof: Roof
    clock: Clock
    inbox: IndexInbox
    deriving: Deriving
    worker: Worker
    sent: Path
    association_id: int
    site_id: int

    def files(self, count: int) -> list[ReceivedObject]:
        """A series of a study of its own."""
        study, series = generate_uid(), generate_uid()
        return [
            received_object(
                self.roof,
                write_instance(self.sent, side=16, StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=n),
                self.association_id,
            )
            for n in range(count)
        ]  # fmt: skip

    def receive(self, received: list[ReceivedObject]) -> None:
        assert [self.inbox.receive(one) for one in received] == [SUCCESS] * len(received)

    def rows(self, table: Any) -> list[Any]:
        with self.roof.db.read() as session:
            return list(session.scalars(select(table).order_by(table.id)))

    def states(self) -> list[str]:
        return [one.derived_state for one in self.rows(Instance)]

    def open_jobs(self) -> list[OutboxJob]:
        return [one for one in self.rows(OutboxJob) if one.finished_at is None and one.kind == "derive"]

    def still_sending(self) -> None:
        """The last object of every study came just now."""
        with self.roof.db.write() as session:
            session.execute(update(Study).values(last_received_at=self.clock()))

    def n_told(self) -> int:
        return sum(one.kind == "derived" for one in self.rows(WorkflowEvent))

    def claimed(self) -> Job:
        job = outbox.claim(self.roof.db, "me", self.clock(), 30, ["derive"])
        assert job is not None
        return job

    def item(self, received: ReceivedObject) -> Item:
        assert received.record is not None
        (series,) = self.rows(Series)
        return Item(Known(series.study_id, series.id), self.site_id, identity_key_of(received.record), received)

    def file_known(self, cursor: Any, received: ReceivedObject) -> bool:
        database = "sqlite" if self.roof.db.is_sqlite else "postgresql"
        return file_known(cursor, database, [self.item(received)], self.clock(), PROGRESS_INTERVAL)[0]


@pytest.fixture
def place(database: Database, tmp_path: Path, pool: Watched) -> Iterator[Place]:
    clock = Ticking()
    roof = make_roof(tmp_path, database, clock)
    with database.write() as session:
        site = Site(code="QINGSHAN", name_zh="青山", name_en="Qingshan")
        session.add(site)
        session.flush()
        session.add(Device(site_id=site.id, ae_title="QS_CT", modality="CT", address_range="127.0.0.0/8"))
    inbox = make_inbox(roof, "listener:here:1")
    peer = inbox.identify("QS_CT", "TELEREAD", "127.0.0.1")
    assert peer is not None
    association_id = inbox.association_opened(peer, "QS_CT", "TELEREAD", "127.0.0.1")
    deriving = Deriving(roof, pool)
    worker = Worker(database, {"derive": deriving.derive}, clock)
    (tmp_path / "sent").mkdir()
    pool.sources.clear()
    yield Place(roof, clock, inbox, deriving, worker, tmp_path / "sent", association_id, site.id)
    inbox.close()
    roof.blobs.close()


def _commits(db: Database, act: Callable[[], object]) -> int:
    """How many write transactions it takes."""
    counted: list[int] = []

    def count(connection: Any) -> None:
        if connection.get_execution_options().get("teleread_write"):
            counted.append(1)

    event.listen(db.engine, "commit", count)
    try:
        act()
    finally:
        event.remove(db.engine, "commit", count)
    return len(counted)


def test_a_single_picture_waits_for_one_share_of_a_long_series(
    place: Place, pool: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derive_work, "SHARE_S", 60.0)  # on a busy machine a share would end before it is full
    ct, (dr,) = place.files(2 * SHARE + 3), place.files(1)
    place.receive(ct)
    assert [one.key for one in place.open_jobs()] == [f"derive:series:{place.rows(Series)[0].id}"]
    place.clock.forward(BURST.total_seconds())
    job = place.claimed()
    place.receive([dr])  # while the first share of the long series is being made
    assert place.deriving.derive(job)
    assert _commits(place.roof.db, place.worker.run_due) == 6  # two for each share
    assert sorted(pool.sources[:SHARE]) == sorted(one.blob_key for one in ct[:SHARE])
    assert pool.sources[SHARE] == dr.blob_key
    assert set(place.states()) == {"ready"}
    assert place.open_jobs() == []
    assert place.n_told() == 2  # once for each study


def test_what_pours_in_is_taken_in_first_but_not_for_ever(place: Place, pool: Watched) -> None:
    """A few are made at once; a full share waits for a pause of the sender, or until it has waited long enough."""
    files = place.files(2 * SHARE)
    place.receive(files[:3])
    place.worker.run_due()
    assert place.states() == ["ready"] * 3
    place.receive(files[3 : 4 + SHARE])
    began = place.clock()
    while not pool.sources[3:]:
        place.still_sending()
        place.worker.run_due()
        place.clock.forward(0.1)
    assert LONGEST_WAIT <= place.clock() - began < LONGEST_WAIT + BURST
    place.receive(files[4 + SHARE :])
    place.clock.forward(BURST.total_seconds())
    place.worker.run_due()
    assert set(place.states()) == {"ready"}


def test_what_comes_while_the_job_is_ending_is_seen(place: Place) -> None:
    """The short way has written its row and not committed: the end of the job waits, and sees it."""
    first, late = place.files(2)
    place.receive([first])
    job = place.claimed()
    ending = threading.Thread(target=place.deriving.derive, args=(job,))
    writer = place.roof.db.writer()
    with writer.transaction() as cursor:
        assert place.file_known(cursor, late)
        ending.start()
        ending.join(1.0)
        assert ending.is_alive()
    writer.close()
    ending.join(20)
    assert [one.id for one in place.open_jobs()] == [job.id]
    assert sorted(place.states()) == ["pending", "ready"]
    assert place.worker.run_due() == 1
    assert (place.states(), place.open_jobs(), place.n_told()) == (["ready"] * 2, [], 1)


def test_what_comes_after_the_end_is_promised_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job has ended and not committed: the short way waits, does not take the object, and the long way promises."""
    first, late = place.files(2)
    place.receive([first])
    job, really, alive = place.claimed(), outbox.finish, []
    receiving = threading.Thread(target=place.receive, args=([late],))

    def finish(session: Any, job: Job, now: Any) -> bool:
        is_done = really(session, job, now)
        receiving.start()
        receiving.join(0.5)
        alive.append(receiving.is_alive())
        return is_done

    monkeypatch.setattr(derive_work.outbox, "finish", finish)
    assert place.deriving.derive(job)
    receiving.join(20)
    monkeypatch.undo()
    assert alive == [True]
    assert sorted(place.states()) == ["pending", "ready"]
    (anew,) = place.open_jobs()
    assert (anew.id != job.id, anew.key) == (True, job.key)
    place.worker.run_due()
    assert (place.states(), place.open_jobs(), place.n_told()) == (["ready"] * 2, [], 2)


@pytest.mark.parametrize("failed", [{"dead_at": True}, {"last_error": "busy"}])
def test_a_job_that_has_failed_is_promised_again_by_what_comes(place: Place, failed: dict[str, Any]) -> None:
    first, late = place.files(2)
    place.receive([first])
    now = place.clock()
    values = failed | {"due_at": now + timedelta(hours=1)} | ({"dead_at": now} if "dead_at" in failed else {})
    with place.roof.db.write() as session:
        session.execute(update(OutboxJob).where(OutboxJob.kind == "derive").values(**values))
    assert place.worker.run_due() == 0
    place.receive([late])
    place.worker.run_due()
    assert (place.states(), place.open_jobs()) == (["ready"] * 2, [])


def test_a_lost_file_holds_up_nobody_and_is_tried_again_by_itself(place: Place) -> None:
    received = place.files(5)
    place.receive(received)
    lost = local_path(place.roof.blobs, received[2].blob_key)
    kept = shutil.move(lost, place.sent / "kept")
    place.worker.run_due()
    assert place.states() == ["ready", "ready", "pending", "ready", "ready"]
    (own,) = place.open_jobs()
    assert own.key == f"derive:{place.rows(Instance)[2].id}"
    assert (own.due_at - place.clock()).total_seconds() == pytest.approx(10, abs=1)
    assert place.n_told() == 0
    place.clock.forward(11)
    place.worker.run_due()
    assert place.open_jobs()[0].last_error == "FileNotFoundError"  # a failure as any other, up to the dead letter
    shutil.move(kept, lost)
    place.clock.forward(40)
    place.worker.run_due()
    assert (place.states(), place.open_jobs(), place.n_told()) == (["ready"] * 5, [], 1)


def test_a_file_that_no_archive_gives_back_holds_up_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    received = place.files(3)
    place.receive(received)
    away = local_path(place.roof.blobs, received[0].blob_key)
    kept = shutil.move(away, place.sent / "kept")

    def fetch(key: str) -> None:
        raise ArchiveFailure("archive_unreachable")

    root = place.roof.blobs.root
    monkeypatch.setattr(place.deriving, "_roof", replace(place.roof, blobs=CachedBlobs(root, fetch, place.clock)))
    place.worker.run_due()
    assert place.states() == ["pending", "ready", "ready"]
    place.clock.forward(11)
    place.worker.run_due()
    assert [one.last_error for one in place.open_jobs()] == ["archive_unreachable"]
    shutil.move(kept, away)
    place.clock.forward(40)
    place.worker.run_due()
    assert (place.states(), place.open_jobs()) == (["ready"] * 3, [])


def test_jobs_of_one_instance_from_before_are_done(place: Place) -> None:
    """What 0.1 promised has a job per instance, and none for the series."""
    place.receive(place.files(3))
    with place.roof.db.write() as session:
        session.execute(update(OutboxJob).values(finished_at=place.clock()))
        for one in session.scalars(select(Instance)):
            key = f"derive:{one.id}"
            outbox.promise(session, "derive", key, {"instance_id": one.id}, now=place.clock())
        assert derive_store.pending_of_series(session, one.series_id, 9) == []
    assert place.worker.run_due() == 3
    assert (place.states(), place.open_jobs(), place.n_told()) == (["ready"] * 3, [], 1)


def test_bytes_that_were_replaced_meanwhile_are_made_by_their_own_job(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = place.files(1)[0], place.files(1)[0]
    place.receive([old])
    job = place.claimed()
    really = place.deriving._pool.derive_all

    def repaired_meanwhile(*wanted: Any) -> Any:
        made = really(*wanted)
        with place.roof.db.write() as session:
            one = session.scalars(select(Instance)).one()
            one.blob_key = one.digest = new.blob_key
            session.flush()
            derive_store.promise_instance(session, one.id, place.clock())
        return made

    monkeypatch.setattr(place.deriving._pool, "derive_all", repaired_meanwhile)
    assert place.deriving.derive(job)
    monkeypatch.undo()
    assert (place.states(), place.n_told(), len(place.open_jobs())) == (["pending"], 0, 1)
    place.worker.run_due()
    assert (place.states(), place.open_jobs(), place.n_told()) == (["ready"], [], 1)
    assert (place.roof.blobs.derived_dir(new.blob_key) / "display.json").is_file()
