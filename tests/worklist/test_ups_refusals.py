"""Subscribers that will not listen, in each way that DICOM has, and what they hear in the end; restarts told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pynetdicom import AE, evt
from sqlalchemy import select

from pacs_bridge import ups
from tests.conftest import Clock
from tests.peers.dcmjs import script
from tests.peers.listening import allow
from tests.peers.ports import free_port
from tests.peers.township import Township
from worklist.base import outbox
from worklist.ups import place_of, say_going_down, say_restarted
from worklist.ups_asker import asker_of_person
from worklist.ups_events import promise
from worklist.ups_service import create
from worklist.ups_subscriptions import subscribe
from worklist.ups_tables import UpsEvent, UpsSubscription
from worklist.web_admin import WORD_TO_PEERS
from worklist.work import make_worker
from worklist.worker import Worker


@pytest.fixture
def worker(county: Township) -> Worker:
    return make_worker(county.roof, None)  # type: ignore[arg-type]


def subscribed(county: Township, port: int, title: str = "QS_CT") -> None:
    """That device, to everything."""
    device_id = allow(county, title, port=port, sees="all")
    with county.roof.db.write() as session:
        row = UpsSubscription(ae_title=title, scope=ups.GLOBAL, made_at=county.clock(), device_id=device_id)
        session.add(row)
        session.flush()
        promise(session, row, county.clock())


def pushed(county: Township, uid: str) -> None:
    attributes: dict[str, Any] = {}
    for keyword, value in (
        ("ScheduledProcedureStepPriority", "LOW"), ("ProcedureStepLabel", "3-D"), ("ProcedureStepState", "SCHEDULED"),
        ("ScheduledProcedureStepStartDateTime", "20260302093000"), ("InputReadinessState", "READY"),
    ):  # fmt: skip
        ups.put(attributes, keyword, value)
    with county.roof.db.write() as session:
        asker = asker_of_person(county.actor("radiologist"), county.clock())
        create(session, place_of(county.roof), asker, uid, attributes, county.clock())


def blocked(county: Township) -> list[tuple[str, str | None, int]]:
    """What the administrator is shown: key, cause and tries of what is being retried."""
    with county.roof.db.read() as session:
        return [(job.key, job.last_error, job.n_attempts) for job in outbox.retrying(session, WORD_TO_PEERS)]


def untold(county: Township) -> list[tuple[str, int]]:
    with county.roof.db.read() as session:
        rows = session.scalars(select(UpsEvent).where(UpsEvent.told_at.is_(None)).order_by(UpsEvent.id)).all()
        return [(row.workitem_uid, row.event_type) for row in rows]


@contextmanager
def without_the_role(port: int) -> Iterator[list[int]]:
    """A peer that takes the class but wants no one in the SCP role; the associations it was asked for."""
    asked: list[int] = []
    entity = AE(ae_title="QS_CT")
    entity.add_supported_context(ups.EVENT, scu_role=True, scp_role=False)
    handlers: list[Any] = [(evt.EVT_REQUESTED, lambda event: asked.append(1))]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield asked
    finally:
        server.shutdown()


def test_events_wait_for_a_peer_that_refuses_and_are_shown_meanwhile(
    county: Township, worker: Worker, clock: Clock
) -> None:
    port = free_port()
    subscribed(county, port)
    pushed(county, "2.25.1")
    pushed(county, "2.25.2")
    with without_the_role(port) as asked:
        worker.run_due()
        assert len(asked) == 1
    key = "ups_event:QS_CT"
    assert blocked(county) in ([(key, "refused", 1)], [(key, "no_context", 1)])
    assert untold(county) == [("2.25.1", 1), ("2.25.2", 1)]
    with script("ups.js", "hear", port=port, refuse=["association", "context", "abort"]) as peer:
        peer.wait("listening")
        for n_attempts, (way, outcome) in enumerate(
            (("association", "refused"), ("context", "no_context"), ("abort", "aborted")), start=2
        ):
            clock.forward(300)
            worker.run_due()
            assert peer.wait("refused")["refused"] == way
            assert blocked(county) == [(key, outcome, n_attempts)]
            assert untold(county) == [("2.25.1", 1), ("2.25.2", 1)]
        clock.forward(600)
        worker.run_due()
        heard = [(line["uid"], line["event"]) for line in peer.several("event", 2)]
    assert heard == [("2.25.1", 1), ("2.25.2", 1)]
    assert (untold(county), blocked(county)) == ([], [])


def test_who_subscribed_to_everything_is_told_that_we_stop_and_start(
    county: Township, worker: Worker, clock: Clock
) -> None:
    with county.roof.db.write() as session:
        asker = asker_of_person(county.actor("radiologist"), clock())
        subscribe(session, place_of(county.roof), asker, "PROGRAM", ups.GLOBAL, has_lock=False, keys={}, now=clock())
    say_going_down(county.roof)  # nobody is there to hear it by DIMSE
    port = free_port()
    subscribed(county, port)
    with script("ups.js", "hear", port=port) as peer:
        peer.wait("listening")
        worker.run_due()
        say_going_down(county.roof)
        heard = peer.wait("event")
        assert (heard["event"], heard["uid"]) == (ups.SCP_STATUS_CHANGE, ups.GLOBAL)
        assert heard["information"]["SCPStatus"] == "GOING DOWN"
        assert "SubscriptionListStatus" not in heard["information"]
    say_restarted(county.roof)
    worker.run_due()  # the peer is not there: this is kept, unlike the farewell
    clock.forward(60)
    with script("ups.js", "hear", port=port) as peer:
        peer.wait("listening")
        worker.run_due()
        started = peer.wait("event")["information"]
    assert started["SCPStatus"] == "RESTARTED"
    assert started["SubscriptionListStatus"] == started["UnifiedProcedureStepListStatus"] == "WARM START"
    with county.roof.db.read() as session:
        (row,) = session.scalars(select(UpsEvent).where(UpsEvent.ae_title == "PROGRAM")).all()
    assert ups.text(row.information, "SCPStatus") == "RESTARTED"  # what was said before is not so any more
