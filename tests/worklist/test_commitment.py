"""Storage commitment against dcmjs-dimse: what is kept, what is not, and that the result arrives, once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from sqlalchemy import select

from pacs_bridge.listener import Listener
from pacs_bridge.scu import StoreResult
from tests.conftest import Clock
from tests.peers.dcmjs import Script, script
from tests.peers.dcmtk import storescu
from tests.peers.instances import write_instance
from tests.peers.listening import allow, receive_all
from tests.peers.orthanc import running_orthanc
from tests.peers.ports import free_port
from tests.peers.product import until
from tests.peers.township import PASSWORD, Township, township
from tests.worklist.roofs import Caller, make_pages
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.base.outbox import OutboxJob
from worklist.commit_sent import commit_sent
from worklist.commitment_tables import CommitmentReference, CommitmentTransaction
from worklist.web_commitments import commitments
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


def test_an_administrator_sees_all_and_has_one_told_again(
    county: Township, listener: Listener, sent: list[str], clock: Clock
) -> None:
    with asking(listener, "1.2.3.7", [(CT, sent[0]), (CT, "1.2.3.4.5")], linger_ms=0) as peer:
        peer.wait("closed")
    until(lambda: transactions(county)[0].held_until is None, 5, "the listener to hand over")
    worker_of(county).run_due()
    call = Caller(make_pages(county.roof, [commitments]), "admin", PASSWORD)
    status, answer = call("GET", "/api/admin/commitments")
    (row,) = answer["commitments"]
    assert (status, row["state"], row["last_error"], row["n_instances"], row["n_failed"]) == (200, "DEAD", "no_address", 2, 1)
    assert (row["peer"], row["site"], row["direction"]) == ("QS_CT", "QINGSHAN", "asked")
    port = free_port()
    allow(county, "QS_CT", port=port)
    with script("commitment.js", "hear", port=port) as device:
        device.wait("listening")
        path = f"/api/admin/commitments/{row['commitment_id']}/resend"
        assert call("POST", path)[0] == 200
        worker_of(county).run_due()
        assert device.wait("event")["event"] == 2
    status, answer = call("POST", path)
    assert (status, answer["error"]["code"]) == (409, "illegal_commitment_move")
    assert call("POST", "/api/admin/commitments/99/resend")[0] == 404


@pytest.fixture
def settings(county: Township) -> Settings:
    """As the command line has them, on the same database and files."""
    return replace(county.roof.settings, database_url=county.roof.db.url.render_as_string(hide_password=False))


def test_a_peer_confirms_what_we_have_sent(
    county: Township, listener: Listener, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The device's answer comes by an association of its own, to our listener."""
    (tmp_path / "out").mkdir()
    paths = [write_instance(tmp_path / "out", side=16, StudyInstanceUID=STUDY) for _ in range(2)]
    lost = str(pydicom.dcmread(paths[1]).SOPInstanceUID)
    results = [StoreResult(path, "accepted", 0) for path in paths]
    allow(county, "QS_PEER", port=None)
    for failed, expected in (([], 0), ([lost], 1)):
        port = free_port()
        with script("commitment.js", "hear", port=port, answerPort=listener.port, failed=failed,
                    **{"from": "QS_PEER", "to": "TELEREAD"}) as peer:  # fmt: skip
            peer.wait("listening")
            after = commit_sent(settings, f"QS_PEER@127.0.0.1:{port}", "TELEREAD", 15)
            assert after(results) == expected
            assert peer.wait("told")["told"] == 0
    said = capsys.readouterr()
    assert "2/2" in said.out and "1/2" in said.out and f"{lost}\t0112H" in said.out
    assert [row.state for row in transactions(county)] == ["ANSWERED", "ANSWERED"]
    with script("commitment.js", "hear", port=port, status=0x0110) as peer:
        peer.wait("listening")
        assert commit_sent(settings, f"QS_PEER@127.0.0.1:{port}", "TELEREAD", 5)(results) == 1
    assert "0110H" in capsys.readouterr().err
    assert transactions(county)[2].state == "DEAD"


def test_orthanc_asks_us_and_we_ask_orthanc(
    county: Township, listener: Listener, settings: Settings, sent: list[str], tmp_path: Path
) -> None:
    modalities = {"us": ["TELEREAD", "127.0.0.1", listener.port]}
    with running_orthanc(tmp_path / "orthanc", DicomModalities=modalities) as orthanc:
        allow(county, "ORTHANC", port=orthanc.dicom_port)
        asked = orthanc.post("/modalities/us/storage-commitment", {"DicomInstances": [[CT, uid] for uid in [*sent, "1.2.3.4.5"]]})
        worker = worker_of(county)

        def report() -> Any:
            worker.run_due()
            found = orthanc.get(asked["Path"])
            return found if found["Status"] != "Pending" else None

        found = until(report, 20, "Orthanc to hear the result")
        assert found["Status"] == "Failure"
        assert {one["SOPInstanceUID"] for one in found["Success"]} == set(sent)
        assert [(one["SOPInstanceUID"], one["FailureReason"]) for one in found["Failures"]] == [("1.2.3.4.5", 0x0112)]

        paths = sorted((tmp_path / "sent").iterdir())
        assert storescu(orthanc.dicom_port, "TELEREAD", paths, called_ae="ORTHANC").returncode == 0
        after = commit_sent(settings, f"ORTHANC@127.0.0.1:{orthanc.dicom_port}", "TELEREAD", 15)
        assert after([StoreResult(path, "accepted", 0) for path in paths]) == 0
    assert transactions(county)[-1].state == "ANSWERED"
