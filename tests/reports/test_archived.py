"""A report that its site's PACS took is archived when that PACS says so: a real Orthanc, asked by storage commitment."""

from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from pacs_bridge.commitment import Reference
from pacs_bridge.ups import ENCAPSULATED_PDF
from reports.delivery_store import archiving
from reports.tables import Delivery
from reports.web_deliveries import deliveries
from tests.conftest import Clock
from tests.peers.dcmjs import script
from tests.peers.listening import allow, listening
from tests.peers.orthanc import running_orthanc
from tests.peers.ports import free_port
from tests.peers.product import until
from tests.peers.township import PASSWORD, Township
from tests.worklist.roofs import Caller, make_pages
from worklist import commitment_service
from worklist.base.outbox import OutboxJob
from worklist.tables import Site, Study
from worklist.web_commitments import commitments
from worklist.work import make_worker


def returns_to(county: Township, study: Study, ae_title: str, port: int) -> None:
    with county.roof.db.write() as session:
        site = session.scalars(select(Site).where(Site.id == study.site_id)).one()
        site.return_ae_title, site.return_host, site.return_port = ae_title, "127.0.0.1", port


def test_orthanc_confirms_that_it_keeps_the_report(county: Township, tmp_path: Path, clock: Clock) -> None:
    study, _, _ = county.signed_study(tmp_path)
    worker = make_worker(county.roof, None)  # type: ignore[arg-type]
    call = Caller(make_pages(county.roof, [deliveries, commitments]), "admin", PASSWORD)

    def archive() -> Any:
        rows = call("GET", "/api/admin/deliveries?state=all")[1]["deliveries"]
        return next(row["archive"] for row in rows if row["channel"] == "dicom")

    with listening(county) as listener:
        modalities = {"us": ["TELEREAD", "127.0.0.1", listener.port]}
        with running_orthanc(tmp_path / "orthanc", DicomModalities=modalities) as orthanc:
            returns_to(county, study, "ORTHANC", orthanc.dicom_port)
            allow(county, "ORTHANC", port=None)  # reached where the reports go
            assert archive() is None
            worker.run_due()
            kept = until(lambda: archive()["state"] == "archived" and archive(), 10, "Orthanc's word")
    assert kept["at"]
    (row,) = call("GET", "/api/admin/commitments")[1]["commitments"]
    assert (row["direction"], row["peer"], row["state"]) == ("asking", "ORTHANC", "ANSWERED")
    assert (row["n_instances"], row["n_failed"], row["site"]) == (1, 0, "QINGSHAN")
    clock.forward(60)
    worker.run_due()  # the job sees that all is said, and asks nothing


def test_a_pacs_is_asked_until_it_answers_and_again_by_an_administrator(county: Township, clock: Clock) -> None:
    port, uid, worker = free_port(), "2.25.8", make_worker(county.roof, None)  # type: ignore[arg-type]
    allow(county, "QS_PEER", port=port)
    call = Caller(make_pages(county.roof, [commitments]), "admin", PASSWORD)

    def stands() -> tuple[str, str, str | None, int]:
        """What the delivery shows; state, cause and tries of the newest transaction."""
        with county.roof.db.read() as session:
            shown = archiving(session, [Delivery(sop_instance_uid=uid)])[uid].state
        row = max(call("GET", "/api/admin/commitments")[1]["commitments"], key=lambda one: one["commitment_id"])
        return shown, row["state"], row["last_error"], row["n_attempts"]

    with county.roof.db.write() as session:
        number = commitment_service.ask(session, "QS_PEER", [Reference(ENCAPSULATED_PDF, uid)], clock())
    worker.run_due()
    assert stands() == ("asked", "REQUESTED", "unreachable", 1)
    with script("commitment.js", "hear", port=port) as peer:
        peer.wait("listening")
        clock.forward(60)
        worker.run_due()
        first = peer.wait("asked")["asked"]
        assert stands() == ("asked", "REQUESTED", "unanswered", 2)
        clock.forward(1800)
        worker.run_due()
        assert stands() == ("asked", "REQUESTED", "unanswered", 2)
        with county.roof.db.write() as session:  # as if that had gone on for three days
            session.execute(update(OutboxJob).where(OutboxJob.kind == "ask_commitment").values(n_attempts=200))
        clock.forward(1800)
        worker.run_due()
        assert len(peer.all("asked")) == 1  # it took the request: it is not asked twice
    assert stands() == ("unanswered", "DEAD", "unanswered", 2)
    with listening(county) as listener, script(
        "commitment.js", "hear", port=port, answerPort=listener.port, failed=[uid],
        **{"from": "QS_PEER", "to": "TELEREAD"},
    ) as peer:  # fmt: skip
        peer.wait("listening")
        assert call("POST", f"/api/admin/commitments/{number}/resend")[0] == 200
        worker.run_due()
        assert peer.wait("asked")["asked"] != first
        assert peer.wait("told")["told"] == 0
    assert stands() == ("not_kept", "ANSWERED", None, 1)
