"""The way back when things change under it: addresses taken away, names no set can write, moves at once."""

from pathlib import Path
from typing import Any

import pydicom
import pytest
from sqlalchemy import select, update

from reports import delivery_service, delivery_store, store
from reports.delivery import IllegalDeliveryMove
from reports.tables import Delivery, Report
from tests.peers.dcmtk import storescp
from tests.peers.instances import write_instance
from tests.peers.township import PIN, Township
from tests.reports.test_review_work import call, meanwhile, save
from worklist import workitem_service
from worklist.access import Refused
from worklist.base.outbox import OutboxJob
from worklist.tables import Patient, Site, Study
from worklist.work import Handlers
from worklist.worker import Worker


@pytest.fixture
def report(county: Township, tmp_path: Path) -> Report:
    """A final report of a DR study from QINGSHAN."""
    folder = tmp_path / "sent"
    folder.mkdir()
    filed = county.receive(write_instance(folder, side=16, Modality="DX"), "QS_DR")
    county.clock.forward(30)
    county.settle()
    assert filed.study_id is not None
    uid = county.open_workitem(filed.study_id).workitem_uid
    call(county, workitem_service.claim, "radiologist", uid)
    saved = save(county, "radiologist", uid)
    return county.desk.submit(county.actor("radiologist"), uid, PIN, saved.version)


def deliver(county: Township) -> int:
    """Everything due is tried once; how many jobs ran."""
    handlers = Handlers(county.roof)
    return Worker(county.roof.db, {"deliver": handlers.deliver}, county.clock).run_due()


def return_to(county: Township, port: int | None) -> None:
    with county.roof.db.write() as session:
        session.execute(update(Site).where(Site.code == "QINGSHAN").values(return_port=port))


def by_dicom(county: Township, report: Report) -> Delivery:
    with county.roof.db.read() as session:
        return next(row for row in store.deliveries_of(session, report.id) if row.channel == "dicom")


def test_an_address_taken_away_is_a_dead_delivery_and_given_back_it_is_sent(
    county: Township, report: Report, tmp_path: Path
) -> None:
    return_to(county, None)
    assert deliver(county) == 1
    dead = by_dicom(county, report)
    assert (dead.state, dead.last_error, dead.n_attempts) == ("DEAD", "return_address_missing", 1)
    with storescp(tmp_path / "pacs", "QS_PACS", "+xi") as pacs:  # and one that takes implicit VR alone
        return_to(county, pacs.port)
        call(county, delivery_service.resend, "admin", dead.id)
        assert deliver(county) == 1
        (got,) = map(pydicom.dcmread, pacs.files())
    assert (got.file_meta.TransferSyntaxUID, got.EncapsulatedDocument[:5]) == ("1.2.840.10008.1.2", b"%PDF-")
    assert by_dicom(county, report).state == "ACCEPTED"
    assert county.row(Study, report.study_id).report_status == "delivered"


def test_a_name_the_sites_character_set_cannot_write_is_told_with_the_delivery(
    county: Township, report: Report
) -> None:
    with county.roof.db.write() as session:
        session.execute(update(Site).where(Site.code == "QINGSHAN").values(return_character_set="ISO_IR 100"))
        session.execute(update(Patient).values(name="龘𠮷"))
    deliver(county)
    assert by_dicom(county, report).state == "DEAD"
    assert by_dicom(county, report).last_error in ("character_not_writable", "unknown_character_set")


def test_a_lost_document_is_told_with_the_delivery_and_tried_again(county: Township, report: Report) -> None:
    county.roof.blobs.path(report.pdf_key or "").unlink()
    deliver(county)
    row = by_dicom(county, report)
    assert (row.state, row.last_error) == ("RETRY", "FileNotFoundError")
    with county.roof.db.read() as session:
        job = session.scalars(select(OutboxJob).where(OutboxJob.key == f"deliver:{row.id}")).one()
    assert (job.due_at, job.dead_at) == (row.next_attempt_at, None)


def test_acknowledged_while_the_pacs_answers_is_acknowledged(county: Township, report: Report) -> None:
    row = by_dicom(county, report)
    with county.roof.db.write() as session:
        delivery_service.begin_attempt(session, row.id, county.clock())

    def answer(session: Any) -> None:
        delivery_service.end_attempt(
            session, row.id, outcome="accepted", status="0000", retry_after=None, now=county.clock()
        )

    def acknowledge() -> None:
        with county.roof.db.write() as session:
            study = session.get_one(Study, report.study_id)
            delivery_service.acknowledge(session, county.actor("clinician"), report, study, "", county.clock())

    assert meanwhile(county, answer, acknowledge) is None
    assert county.row(Study, report.study_id).report_status == "acknowledged"
    with county.roof.db.write() as session:
        session.execute(update(Delivery).where(Delivery.id == row.id).values(state="SENDING"))
        session.execute(update(Delivery).where(Delivery.channel == "portal").values(state="OPENED"))
        session.execute(update(Study).values(report_status="opened"))

    def acknowledged(session: Any) -> None:
        study = session.get_one(Study, report.study_id)
        delivery_service.acknowledge(session, county.actor("clinician"), report, study, "", county.clock())

    def answered() -> None:
        with county.roof.db.write() as session:
            answer(session)

    assert meanwhile(county, acknowledged, answered) is None
    assert county.row(Study, report.study_id).report_status == "acknowledged"


def test_a_report_is_acknowledged_while_its_addendum_is_written(county: Township, report: Report, tmp_path: Path) -> None:
    """Late images began an addendum; the final report the site has is confirmed all the same."""
    with county.roof.db.read() as session:
        study = session.get_one(Study, report.study_id)
    folder = tmp_path / "late"
    folder.mkdir()
    filed = county.receive(write_instance(folder, side=16, Modality="DX", StudyInstanceUID=study.study_instance_uid), "QS_DR")
    assert filed.outcome == "filed"
    addendum = county.open_workitem(study.id)
    call(county, workitem_service.claim, "radiologist", addendum.workitem_uid)
    save(county, "radiologist", addendum.workitem_uid, report.version, "补充")
    with county.roof.db.write() as session:
        received = session.get_one(Study, study.id)
        delivery_service.acknowledge(session, county.actor("clinician"), report, received, "", county.clock())
    assert county.row(Study, study.id).report_status == "acknowledged"


def test_a_preliminary_report_overtaken_by_the_final_one_is_not_sent_after_it(
    county: Township, tmp_path: Path
) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    filed = county.receive(write_instance(folder, side=16, Modality="DX"), "QS_DR")
    assert filed.study_id is not None
    uid = county.open_workitem(filed.study_id).workitem_uid
    call(county, workitem_service.claim, "radiologist", uid)
    saved = save(county, "radiologist", uid)
    radiologist = county.actor("radiologist")
    preliminary = county.desk.submit(radiologist, uid, PIN, saved.version, preliminary_reason="急诊")
    county.clock.forward(30)
    county.settle()
    with county.roof.db.read() as session:
        following = store.latest(session, preliminary.report_uid)
    assert following is not None
    assert by_dicom(county, preliminary).state == "QUEUED"
    final = county.desk.submit(radiologist, uid, PIN, following.version)
    stale = by_dicom(county, preliminary)
    assert (stale.state, stale.last_error, stale.n_attempts) == ("SUPERSEDED", None, 0)
    with storescp(tmp_path / "pacs", "QS_PACS") as pacs:
        return_to(county, pacs.port)
        assert deliver(county) == 2
        assert len(pacs.files()) == 1
    assert by_dicom(county, final).state == "ACCEPTED"
    assert by_dicom(county, preliminary).state == "SUPERSEDED"
    admin = county.actor("admin")
    with county.roof.db.write() as session, pytest.raises(IllegalDeliveryMove):
        delivery_service.resend(session, admin, stale.id, county.clock())
    for state in ("SENDING", "ACCEPTED"):  # its sender died; and it had arrived before the final one
        with county.roof.db.write() as session:
            session.execute(update(Delivery).where(Delivery.id == stale.id).values(state=state))
        with county.roof.db.write() as session:
            assert delivery_service.begin_attempt(session, stale.id, county.clock()) is None
        after = {"SENDING": "SUPERSEDED", "ACCEPTED": "ACCEPTED"}[state]
        assert by_dicom(county, preliminary).state == after
    with county.roof.db.write() as session, pytest.raises(Refused, match="delivery_superseded"):
        delivery_service.resend(session, admin, stale.id, county.clock())
    with county.roof.db.read() as session:
        counts = delivery_store.counts(session, None)
    assert (counts["open"], counts["failed"], counts["all"]) == (0, 0, 4)
