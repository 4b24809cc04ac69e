"""The listener's index when the database is busy at the end, a site is closed, one order has two takers."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from tests.peers.instances import write_instance
from tests.peers.township import Township, received_object, township
from tests.reports.test_review_work import meanwhile
from worklist import inbox as inbox_module
from worklist import order_service, settle_service
from worklist.access import Refused
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.inbox import IndexInbox
from worklist.listen import make_inbox
from worklist.order_service import OrderRequest
from worklist.refusals import RefusalNotes
from worklist.tables import Site, Study


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Iterator[Township]:
    (tmp_path / "sent").mkdir()
    with township(database, tmp_path, clock) as made:
        yield made


@pytest.fixture
def inbox(county: Township) -> Iterator[IndexInbox]:
    made = make_inbox(county.roof, "listener:here:1")
    yield made
    made.close()


def test_an_end_that_meets_a_busy_database_is_noted_all_the_same(
    county: Township, inbox: IndexInbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = inbox.identify("QS_DR", "TELEREAD", "127.0.0.1")
    assert peer is not None
    association_id = inbox.association_opened(peer, "QS_DR", "TELEREAD", "127.0.0.1")
    path = write_instance(tmp_path / "sent", side=16)
    assert inbox.receive(received_object(county.roof, path, association_id)) == 0
    busy, really = [1, 2], settle_service.close_association

    def close(*arguments: Any) -> None:
        if busy.pop() if busy else 0:
            raise OperationalError("UPDATE", {}, sqlite3.OperationalError("database is locked"))
        really(*arguments)

    monkeypatch.setattr(settle_service, "close_association", close)
    monkeypatch.setattr(inbox_module, "CLOSE_WAITS_S", (0.01, 0.01))
    inbox.association_closed(association_id, "released")
    with county.roof.db.read() as session:
        assert session.scalars(select(Study.input_readiness)).one() == "READY"


def test_a_refusal_that_the_database_did_not_take_comes_to_the_trail_with_its_cause(
    county: Township, inbox: IndexInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, db = inbox.identify("QS_DR", "TELEREAD", "127.0.0.1"), county.roof.db
    assert peer is not None
    really, away = db.write, threading.Event()
    away.set()

    def write() -> Any:
        if away.is_set():
            raise OperationalError("BEGIN IMMEDIATE", {}, sqlite3.OperationalError("database is locked"))
        return really()

    monkeypatch.setattr(db, "write", write)
    monkeypatch.setattr(inbox, "_refusals", RefusalNotes(db, (0.01,)))
    with pytest.raises(OperationalError):
        inbox.association_opened(peer, "QS_DR", "TELEREAD", "127.0.0.1")
    inbox.association_refused("NOBODY", "TELEREAD", "10.0.0.9", "calling_ae_unknown")  # its answer is what it was
    refused_at = county.clock()
    county.clock.forward(60)
    away.clear()

    def rows() -> list[AuditEvent]:
        with db.read() as session:
            query = select(AuditEvent).where(AuditEvent.act == "association.open").order_by(AuditEvent.id)
            return list(session.scalars(query))

    deadline = time.monotonic() + 20
    while len(rows()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [(row.actor, row.result, row.at, row.details) for row in rows()] == [
        ("QS_DR", "database_unavailable", refused_at, {"address": "127.0.0.1", "cause": "OperationalError"}),
        ("NOBODY", "calling_ae_unknown", refused_at, {"address": "10.0.0.9"}),
    ]


def test_a_device_of_a_closed_site_is_unknown(county: Township, inbox: IndexInbox) -> None:
    with county.roof.db.write() as session:
        session.execute(update(Site).where(Site.code == "QINGSHAN").values(enabled=False))
    assert inbox.identify("QS_DR", "TELEREAD", "127.0.0.1") is None
    assert inbox.identify("BS_DR", "TELEREAD", "127.0.0.1") is not None


def test_one_order_confirmed_for_two_studies_at_once_has_one(county: Township, tmp_path: Path) -> None:
    wanted = OrderRequest(
        patient_name="钱守义", patient_id="0001", sex=None, birth_date=None, modality="DR", body_part="", complaint="",
        question="", priority="routine", pathway=None, requesting_doctor="",
    )  # fmt: skip
    studies = [county.receive(write_instance(tmp_path / "sent", side=16), "QS_DR").study_id for _ in range(2)]
    tech, zone = county.actor("tech"), county.roof.settings.zone
    with county.roof.db.write() as session:
        order_uid = order_service.create_order(session, tech, wanted, zone=zone, now=county.clock()).order_uid

    def confirm(session: Any, study_id: int | None) -> None:
        order_service.confirm_match(session, tech, session.get_one(Study, study_id), order_uid, county.clock())

    def second() -> None:
        with county.roof.db.write() as session:
            confirm(session, studies[1])

    refused = meanwhile(county, lambda session: confirm(session, studies[0]), second)
    assert isinstance(refused, Refused) and refused.code == "order_taken"
