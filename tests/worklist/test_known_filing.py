"""The short way of filing leaves what the long way leaves, row for row; and it waits its turn for the database."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from pacs_bridge.ports import OUT_OF_RESOURCES, SUCCESS
from tests.conftest import BACKENDS, Clock
from tests.peers.instances import write_instance
from tests.peers.township import Township, received_object, township
from worklist.base.db import Base, Database
from worklist.group_filing import GroupFiling
from worklist.inbox import IndexInbox
from worklist.listen import make_inbox
from worklist.repair_tables import RejectedInstance, Rejection
from worklist.tables import Instance, Study

# Drawn by lot in every run, or made over what is.
_DRAWN = ("order_uid", "workitem_uid", "object_uid", "key", "hash", "mac", "salt", "password_hash", "digest_before")
# Of the long way alone: it promises the job of the series anew, which on PostgreSQL uses up a number as well.
_COUNTED = ("outbox_job.n_promises", "outbox_job.id")


def examination(folder: Path) -> list[Path]:
    """Two series of one person's study, something without pixels, and one object of another patient in between."""
    folder.mkdir()
    study = generate_uid(entropy_srcs=["study"])

    def write(number: int, series: str, **changes: Any) -> Path:
        uids = {"SeriesInstanceUID": generate_uid(entropy_srcs=[series]), "StudyInstanceUID": study}
        changes = {"SOPInstanceUID": generate_uid(entropy_srcs=[str(number)]), "InstanceNumber": number} | changes
        return write_instance(folder, side=16, **uids, **changes)

    return [
        *(write(number, "first") for number in range(4)),
        *(write(number, "second", SeriesNumber="2") for number in range(4, 8)),
        write(8, "first", PatientID="0002"),  # kept aside
        write(9, "first", PixelData=None, Rows=None, Columns=None),
        write(10, "first"),
        write(3, "first"),  # again, the same; last, as PostgreSQL uses up a number for what conflicts
    ]


def rows(county: Township) -> dict[str, list[str]]:
    """Every row of every table, without what is drawn by lot."""
    with county.roof.db.read() as session:
        return {
            table.name: sorted(
                json.dumps([str(value) for value in row])
                for row in session.execute(select(*_compared(table)))
            )
            for table in Base.metadata.sorted_tables
            if table.name not in {"audit_seal", "account", "signing_key"}
        }


def _compared(table: Any) -> list[Any]:
    return [one for one in table.columns if one.name not in _DRAWN and str(one) not in _COUNTED]


def send(county: Township, inbox: IndexInbox, paths: list[Path]) -> None:
    """One association; the third object of a series comes a second later, so that news of it are due."""
    peer = inbox.identify("QS_CT", "TELEREAD", "127.0.0.1")
    assert peer is not None
    association_id = inbox.association_opened(peer, "QS_CT", "TELEREAD", "127.0.0.1")
    for number, path in enumerate(paths):
        county.clock.forward(1 if number == 2 else 0.01)
        assert inbox.receive(received_object(county.roof, path, association_id)) == SUCCESS
    county.clock.forward(60)
    inbox.association_closed(association_id, "released")


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_ways_leave_the_same_rows(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, found, taken = examination(tmp_path / "sent"), [], []
    really = GroupFiling.file
    for way in ("long", "short"):
        with _fresh(backend, request, tmp_path / way, Clock()) as county:
            inbox = make_inbox(county.roof, "listener:here:1")

            def file(group: GroupFiling, item: Any, *, way: str = way) -> bool:
                taken.append((way, way == "short" and really(group, item)))
                return taken[-1][1]

            monkeypatch.setattr(GroupFiling, "file", file)
            send(county, inbox, paths)
            found.append(rows(county))
            inbox.close()
    assert sum(is_taken for _, is_taken in taken) >= 5  # the short way was gone
    for name, lines in found[0].items():
        assert found[1][name] == lines, name
    assert len(found[0]["instance"]) == 10 and len(found[0]["quarantine"]) == 1


@contextmanager
def _fresh(backend: str, request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Iterator[Township]:
    """A township of its own on an empty database."""
    folder.mkdir()
    if backend == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), folder / "teleread.sqlite3")
        database = Database(f"sqlite:///{folder}/teleread.sqlite3")
    else:
        server = request.getfixturevalue("postgres_server")
        database = Database(server.url(server.create(template=request.getfixturevalue("migrated_postgres"))))
    with township(database, folder, clock) as county:
        yield county
    database.dispose()


def _files(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    study, series = generate_uid(), generate_uid()
    return [
        write_instance(folder, side=16, StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=number)
        for number in range(count)
    ]


def _at_once(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_two_processes_receive_one_study_at_once(database: Database, tmp_path: Path, clock: Any) -> None:
    paths, statuses = _files(tmp_path / "sent", 40), []
    with township(database, tmp_path, clock) as county:
        # Two inboxes over two engines: to the database they are two processes.
        second = Database(database.url.render_as_string(hide_password=False))
        roofs = [county.roof, type(county.roof)(county.roof.settings, second, county.roof.blobs, county.roof.now)]
        inboxes = [make_inbox(roof, f"listener:here:{number}") for number, roof in enumerate(roofs)]

        def bring(inbox: IndexInbox, share: list[Path]) -> None:
            peer = inbox.identify("QS_CT", "TELEREAD", "127.0.0.1")
            assert peer is not None
            association_id = inbox.association_opened(peer, "QS_CT", "TELEREAD", "127.0.0.1")
            for path in share:
                statuses.append(inbox.receive(received_object(county.roof, path, association_id)))
            inbox.association_closed(association_id, "released")

        _at_once([
            lambda n=n: bring(inboxes[n % 2], paths[n::4])  # type: ignore[misc]
            for n in range(4)
        ])  # fmt: skip
        with county.roof.db.read() as session:
            (study,) = session.scalars(select(Study)).all()
            uids = set(session.scalars(select(Instance.sop_instance_uid)))
        for inbox in inboxes:
            inbox.close()
        second.dispose()
    assert statuses == [SUCCESS] * 40
    assert study.n_instances == 40
    assert uids == {str(pydicom.dcmread(path).SOPInstanceUID) for path in paths}


def test_a_busy_database_is_waited_for_and_a_stuck_one_said(tmp_path: Path, migrated_sqlite: Path, clock: Any) -> None:
    place = tmp_path / "teleread.sqlite3"
    shutil.copyfile(migrated_sqlite, place)
    first, second, third = _files(tmp_path / "sent", 3)
    database = Database(f"sqlite:///{place}")
    with township(database, tmp_path, clock) as county:
        inbox = make_inbox(county.roof, "listener:here:1")
        peer = inbox.identify("QS_CT", "TELEREAD", "127.0.0.1")
        assert peer is not None
        association_id = inbox.association_opened(peer, "QS_CT", "TELEREAD", "127.0.0.1")
        assert inbox.receive(received_object(county.roof, first, association_id)) == SUCCESS
        other = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
        database.be_patient(30)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(1.0, lambda: other.execute("ROLLBACK")).start()
        assert inbox.receive(received_object(county.roof, second, association_id)) == SUCCESS
        other.execute("BEGIN IMMEDIATE")
        database.be_patient(0.2)
        assert inbox.receive(received_object(county.roof, third, association_id)) == OUT_OF_RESOURCES
        other.execute("ROLLBACK")
        assert inbox.receive(received_object(county.roof, third, association_id)) == SUCCESS
        inbox.close()
        other.close()
    database.dispose()


def test_a_note_that_is_being_filed_hides_what_comes_meanwhile(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """PostgreSQL: the short way waits for the note's transaction, sees it, and leaves the object to the long way."""
    sent = examination(tmp_path / "sent")
    named = pydicom.dcmread(sent[1])
    with _fresh("postgresql", request, tmp_path / "county", Clock()) as county:
        inbox = make_inbox(county.roof, "listener:here:1")
        peer = inbox.identify("QS_CT", "TELEREAD", "127.0.0.1")
        assert peer is not None and peer.site_id is not None
        association_id = inbox.association_opened(peer, "QS_CT", "TELEREAD", "127.0.0.1")
        assert inbox.receive(received_object(county.roof, sent[0], association_id)) == SUCCESS
        late = received_object(county.roof, sent[1], association_id)
        receiving = threading.Thread(target=inbox.receive, args=(late,))
        with county.roof.db.write() as session:
            session.execute(select(Study).with_for_update())
            receiving.start()
            receiving.join(0.5)
            assert receiving.is_alive()
            note = Rejection(
                site_id=peer.site_id, code="113001", made_at=county.clock(), source="QS_CT",
                note_sop_instance_uid=generate_uid(),
            )  # fmt: skip
            session.add(note)
            session.flush()
            session.add(
                RejectedInstance(
                    rejection_id=note.id, sop_instance_uid=str(named.SOPInstanceUID),
                    study_instance_uid=str(named.StudyInstanceUID),
                )
            )
        receiving.join(10)
        with county.roof.db.read() as session:
            hidden = dict(session.execute(select(Instance.sop_instance_uid, Instance.hidden_code)).all())  # type: ignore[arg-type]
        inbox.close()
    assert hidden[str(named.SOPInstanceUID)] == "113001"
