"""Storage commitment against dcmjs-dimse: what is kept, what is not, and that the result arrives, once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from sqlalchemy import select

from pacs_bridge.listener import Listener
from tests.conftest import Clock
from tests.peers.dcmjs import Script, script
from tests.peers.dcmtk import free_port
from tests.peers.instances import write_instance
from tests.peers.listening import allow, listening, receive_all
from tests.peers.product import until
from tests.peers.township import Township, township
from worklist.base.db import Database
from worklist.base.outbox import OutboxJob
from worklist.commitment_tables import CommitmentReference, CommitmentTransaction
from worklist.work import make_worker
from worklist.worker import Worker

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.826.0.1.3680043.9.77"


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Clock) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT", port=None)
        yield made


@pytest.fixture
def listener(county: Township) -> Iterator[Listener]:
    with listening(county) as running:
        yield running


@pytest.fixture
def sent(county: Township, tmp_path: Path) -> list[str]:
    """SOP instances of a study that is here."""
    folder = tmp_path / "sent"
    folder.mkdir()
    paths = [write_instance(folder, side=16, StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.1") for _ in range(3)]
    receive_all(county, paths)
    return [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]


def asking(listener: Listener, transaction: str, references: list[tuple[str, str]], linger_ms: int = 4000, calling: str = "QS_CT") -> Any:
    return script(
        "commitment.js", "ask", port=listener.port, **{"from": calling, "to": "TELEREAD"}, transaction=transaction,
        references=references, lingerMs=linger_ms,
    )  # fmt: skip


def worker_of(county: Township) -> Worker:
    return make_worker(county.roof, None)  # type: ignore[arg-type]  # no images are derived here


def transactions(county: Township) -> list[CommitmentTransaction]:
    with county.roof.db.read() as session:
        return list(session.scalars(select(CommitmentTransaction).order_by(CommitmentTransaction.id)))


def reasons(peer: Script) -> dict[str, str]:
    """Failure reasons by instance, of the last event."""
    event = peer.all("event")[-1]
    failed = event["information"].get("FailedSOPSequence", [])
    items = failed if isinstance(failed, list) else [failed]
    return {item["ReferencedSOPInstanceUID"]: f"{item['FailureReason']:04X}" for item in items}


def test_all_is_kept_and_told_on_the_same_association(county: Township, listener: Listener, sent: list[str]) -> None:
    with asking(listener, "1.2.3.1", [(CT, uid) for uid in sent]) as peer:
        event = peer.wait("event")
        assert peer.said[0] == {"action": 0}
        assert (event["event"], event["transaction"]) == (1, "1.2.3.1")
        items = event["information"]["ReferencedSOPSequence"]
        assert [item["ReferencedSOPInstanceUID"] for item in items] == sent
        assert event["information"]["RetrieveAETitle"] == "TELEREAD"
        until(lambda: transactions(county)[0].state == "TOLD", 5, "the acknowledgement")
    with county.roof.db.read() as session:
        rows = session.scalars(select(CommitmentReference)).all()
    assert {(row.study_instance_uid, row.failure_reason) for row in rows} == {(STUDY, 0)}
    assert {row.sop_instance_uid for row in rows} == set(sent)


def test_what_is_not_kept_is_named_with_its_reason(
    county: Township, listener: Listener, sent: list[str], tmp_path: Path
) -> None:
    allow(county, "BS_CT", site="BAISHUI", port=None)
    (tmp_path / "other").mkdir()
    stranger = write_instance(tmp_path / "other", side=16)
    receive_all(county, [stranger], "BS_CT")
    other = str(pydicom.dcmread(stranger).SOPInstanceUID)
    with county.roof.db.read() as session:
        from worklist.tables import Instance

        key = session.scalars(select(Instance.blob_key).where(Instance.sop_instance_uid == sent[2])).one()
    stored = county.roof.blobs.path(key)
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1  # one bit, on the disk
    stored.write_bytes(content)
    wrong_class = "1.2.840.10008.5.1.4.1.1.4"
    asked = [(CT, sent[0]), (wrong_class, sent[1]), (CT, sent[2]), (CT, other), (CT, "1.2.3.4.5")]
    with asking(listener, "1.2.3.2", asked) as peer:
        assert peer.wait("event")["event"] == 2
        assert reasons(peer) == {sent[1]: "0119", sent[2]: "0110", other: "0112", "1.2.3.4.5": "0112"}


def test_a_used_transaction_uid_is_a_duplicate(county: Township, listener: Listener, sent: list[str]) -> None:
    with asking(listener, "1.2.3.3", [(CT, sent[0])]) as peer:
        peer.wait("event")
    with asking(listener, "1.2.3.3", [(CT, sent[1])]) as peer:
        assert peer.wait("event")["event"] == 2
        assert reasons(peer) == {sent[1]: "0131"}


def test_a_result_waits_for_its_device_and_is_told_once(
    county: Township, listener: Listener, sent: list[str], clock: Clock
) -> None:
    port = free_port()
    allow(county, "QS_CT", port=port)
    with asking(listener, "1.2.3.4", [(CT, sent[0]), (CT, "1.2.3.4.5")], linger_ms=0) as peer:
        peer.wait("closed")
    until(lambda: transactions(county)[0].held_until is None, 5, "the listener to hand over")
    worker = worker_of(county)
    for _ in range(3):  # nobody listens there yet
        clock.forward(120)
        worker.run_due()
    (waiting,) = transactions(county)
    assert (waiting.state, waiting.last_error, waiting.n_attempts) == ("CHECKED", "unreachable", 3)
    with script("commitment.js", "hear", port=port) as device:
        device.wait("listening")
        clock.forward(3600)
        worker_of(county).run_due()  # another life of the worker
        assert device.wait("event")["event"] == 2
        assert reasons(device) == {"1.2.3.4.5": "0112"}
        assert transactions(county)[0].state == "TOLD"
        clock.forward(7200)
        worker_of(county).run_due()
        assert len(device.all("event")) == 1


def test_a_listener_killed_before_it_told_leaves_it_to_the_worker(
    county: Township, sent: list[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    allow(county, "QS_CT", port=port)
    from pacs_bridge.commitment import CommitmentRequest, Reference
    from worklist.commitment_work import IndexCommitments
    from worklist.listen import make_inbox

    peer = make_inbox(county.roof, "listener:here:1").identify("QS_CT", "TELEREAD", "127.0.0.1")
    assert peer is not None
    request = CommitmentRequest("1.2.3.5", (Reference(CT, sent[0]),))
    number = IndexCommitments(county.roof).take(peer, None, request)  # answered 0000; then the process was gone
    assert number is not None
    assert IndexCommitments(county.roof).take(peer, None, request) is None  # the device asks again: the same one
    with script("commitment.js", "hear", port=port) as device:
        device.wait("listening")
        worker_of(county).run_due()
        assert not device.all("event")  # its association might still be about to tell
        clock.forward(16)
        worker_of(county).run_due()
        assert device.wait("event")["event"] == 1
        assert transactions(county)[0].state == "TOLD"


def test_a_device_without_an_address_stays_visible(
    county: Township, listener: Listener, sent: list[str], clock: Clock
) -> None:
    with asking(listener, "1.2.3.6", [(CT, sent[0])], linger_ms=0) as peer:
        peer.wait("closed")
    until(lambda: transactions(county)[0].held_until is None, 5, "the listener to hand over")
    worker_of(county).run_due()
    (row,) = transactions(county)
    assert (row.state, row.last_error) == ("DEAD", "no_address")
    with county.roof.db.read() as session:
        job = session.scalars(select(OutboxJob).where(OutboxJob.kind == "commitment")).one()
    assert job.dead_at is not None and job.last_error == "no_address"
