"""From the object to the acknowledged report on real files with real signatures, on both databases."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from reports import delivery_service, service, store
from reports.report import IllegalReportMove
from reports.tables import Delivery, Report
from tests.peers.township import PIN, Township, township
from worklist import workitem_service
from worklist.access import Refused
from worklist.account_tables import SigningKey
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.tables import Study, Workitem

SECTIONS = {"findings": "胸廓对称，气管居中。双肺野清晰。", "impression": "1. 心、肺、膈未见明显异常。"}


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Any:
    with township(database, tmp_path, clock) as made:
        yield made


def claim(county: Township, username: str, workitem_uid: str) -> str:
    with county.roof.db.write() as session:
        return workitem_service.claim(session, county.actor(username), workitem_uid, county.clock())


def draft(
    county: Township, username: str, uid: str, version: int = 0, sections: Any = None, template: str = "dr-chest"
) -> Report:
    with county.roof.db.write() as session:
        return service.save_draft(
            session, county.actor(username), uid, template, sections or SECTIONS, version, county.clock()
        )


def written(
    county: Township, folder: Path, ae_title: str = "QS_DR", by: str = "radiologist"
) -> tuple[Study, Workitem, Report]:
    study, item = county.study(folder, ae_title)
    claim(county, by, item.workitem_uid)
    template = {"DR": "dr-chest", "CT": "ct-head"}[study.modality]
    return study, item, draft(county, by, item.workitem_uid, template=template)


def test_one_signature_makes_a_final_report_on_its_way_back(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path)
    radiologist = county.actor("radiologist")
    shown = county.desk.prepare(radiologist, item.workitem_uid, saved.version)
    report = county.desk.submit(radiologist, item.workitem_uid, PIN, saved.version, shown.pdf_sha256)
    assert (report.status, report.verifier, report.document_version) == ("FINAL", None, 1)
    assert county.row(Workitem, item.workitem_uid).state == "COMPLETED"
    document = county.roof.blobs.path(report.pdf_key or "").read_bytes()
    assert hashlib.sha256(document).hexdigest() == report.pdf_sha256
    # What was shown is the beginning of what was signed: the same bytes, and a signature behind them.
    assert document.startswith(county.roof.blobs.path(shown.pdf_key).read_bytes())
    with county.roof.db.read() as session:
        channels = {row.channel: row.state for row in store.deliveries_of(session, report.id)}
    assert channels == {"portal": "ACCEPTED", "dicom": "QUEUED"}
    assert county.row(Study, study.id).report_status == "final"


def test_ct_needs_a_second_signature_by_somebody_else(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path, "QS_CT")
    first = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    assert first.status == "SUBMITTED"
    second = county.open_workitem(study.id)
    assert (second.step, second.excluded_performer) == ("verification", county.actor("radiologist").account_id)
    with pytest.raises(Refused, match="forbidden"):
        claim(county, "radiologist2", second.workitem_uid)
    claim(county, "reviewer", second.workitem_uid)
    final = county.desk.verify(county.actor("reviewer"), second.workitem_uid, PIN, first.version)
    assert (final.status, final.revision, final.author, final.verifier) == (
        "FINAL", 2, county.actor("radiologist").account_id, county.actor("reviewer").account_id,
    )  # fmt: skip
    assert county.row(Report, first.id).status == "SUBMITTED"  # its own row stays as it was signed


def test_a_reviewer_does_not_verify_their_own_report(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path, "QS_CT", by="reviewer")
    county.desk.submit(county.actor("reviewer"), item.workitem_uid, PIN, saved.version)
    with pytest.raises(Refused, match="own_report"):
        claim(county, "reviewer", county.open_workitem(study.id).workitem_uid)


def test_a_returned_report_goes_back_to_its_author_with_the_draft(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path, "QS_CT")
    first = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    second = county.open_workitem(study.id)
    claim(county, "reviewer", second.workitem_uid)
    with county.roof.db.write() as session:
        reviewer = county.actor("reviewer")
        again = service.return_for_edit(session, reviewer, second.workitem_uid, "侧别请核对", county.clock())
    assert (again.step, again.replaces, again.due_at) == ("interpretation", second.workitem_uid, item.due_at)
    assert again.scheduled_performer == county.actor("radiologist").account_id
    assert county.row(Workitem, second.workitem_uid).state == "CANCELED"
    with county.roof.db.read() as session:
        latest = store.latest(session, first.report_uid)
    assert latest is not None
    assert (latest.status, latest.sections, latest.returned_reason) == ("DRAFT", SECTIONS, "侧别请核对")
    claim(county, "radiologist", again.workitem_uid)
    edited = draft(county, "radiologist", again.workitem_uid, latest.version, template="ct-head")
    resubmitted = county.desk.submit(county.actor("radiologist"), again.workitem_uid, PIN, edited.version)
    assert resubmitted.status == "SUBMITTED"


def test_a_signed_row_is_never_updated(county: Township, tmp_path: Path) -> None:
    _, item, saved = written(county, tmp_path)
    report = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    for statement in ("UPDATE report SET status='DRAFT' WHERE id=:id", "DELETE FROM report WHERE id=:id"):
        with pytest.raises(DBAPIError), county.roof.db.write() as session:
            session.execute(text(statement), {"id": report.id})
    with pytest.raises(Refused, match="workitem_ended"):
        draft(county, "radiologist", item.workitem_uid, report.version)


def test_stale_version_and_other_bytes_are_refused(county: Township, tmp_path: Path) -> None:
    _, item, saved = written(county, tmp_path)
    newer = draft(county, "radiologist", item.workitem_uid, saved.version)
    other = SECTIONS | {"findings": "另一页所写"}
    with pytest.raises(Refused, match="stale_version"):
        draft(county, "radiologist", item.workitem_uid, saved.version, other)
    with pytest.raises(Refused, match="stale_version"):
        county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    with pytest.raises(Refused, match="digest_mismatch"):
        county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, newer.version, "0" * 64)
    assert county.row(Workitem, item.workitem_uid).state == "IN PROGRESS"


def test_a_saving_sent_again_for_want_of_an_answer_is_no_conflict_with_itself(county: Township, tmp_path: Path) -> None:
    _, item, first = written(county, tmp_path)
    assert draft(county, "radiologist", item.workitem_uid).version == first.version == 1
    second = draft(county, "radiologist", item.workitem_uid, 1, SECTIONS | {"findings": "补写"})
    assert draft(county, "radiologist", item.workitem_uid, 1, SECTIONS | {"findings": "补写"}).updated_at == second.updated_at
    with pytest.raises(Refused, match="stale_version"):  # of two savings ago
        draft(county, "radiologist", item.workitem_uid, 0, SECTIONS | {"findings": "补写"})
    assert county.row(Report, second.id).version == 2


def test_five_wrong_pins_lock_signing(county: Township, tmp_path: Path) -> None:
    _, item, saved = written(county, tmp_path)
    radiologist = county.actor("radiologist")
    for remaining in (4, 3, 2, 1, 0):
        with pytest.raises(Refused) as refused:
            county.desk.submit(radiologist, item.workitem_uid, "not the pin", saved.version)
        assert (refused.value.code, refused.value.params) == ("wrong_pin", {"remaining": remaining})
    with pytest.raises(Refused, match="signing_locked"):
        county.desk.submit(radiologist, item.workitem_uid, PIN, saved.version)
    assert county.row(SigningKey, radiologist.account_id).locked_at is not None
    with county.roof.db.read() as session:
        results = session.scalars(select(AuditEvent.result).where(AuditEvent.act == "report.pin")).all()
    assert list(results) == ["wrong_pin"] * 5


def test_before_ready_only_a_preliminary_report_with_a_reason(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path)
    with county.roof.db.write() as session:
        session.get_one(Study, study.id).input_readiness = "INCOMPLETE"
    radiologist = county.actor("radiologist")
    with pytest.raises(Refused, match="study_not_ready"):
        county.desk.submit(radiologist, item.workitem_uid, PIN, saved.version)
    with pytest.raises(Refused, match="reason_missing"):
        county.desk.submit(radiologist, item.workitem_uid, PIN, saved.version, preliminary_reason=" ")
    preliminary = county.desk.submit(radiologist, item.workitem_uid, PIN, saved.version, preliminary_reason="急诊")
    assert preliminary.status == "PRELIM"
    assert county.row(Workitem, item.workitem_uid).state == "IN PROGRESS"
    with county.roof.db.write() as session:
        session.get_one(Study, study.id).input_readiness = "READY"
        following = store.latest(session, preliminary.report_uid)
    assert following is not None and following.status == "DRAFT"
    final = county.desk.submit(radiologist, item.workitem_uid, PIN, following.version)
    assert (final.status, final.report_uid, final.revision) == ("FINAL", preliminary.report_uid, 2)


def test_images_after_a_signature_make_an_addendum_for_the_signer(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path)
    report = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    late = _another_view(county, study, tmp_path)
    assert county.receive(late).outcome == "filed"
    addendum = county.open_workitem(study.id)
    assert (addendum.step, addendum.scheduled_performer) == ("addendum", county.actor("radiologist").account_id)
    assert county.row(Study, study.id).late_images_at is not None
    county.clock.forward(30)
    county.settle()
    claim(county, "radiologist", addendum.workitem_uid)
    more = draft(county, "radiologist", addendum.workitem_uid, report.version)
    second = county.desk.submit(county.actor("radiologist"), addendum.workitem_uid, PIN, more.version)
    assert (second.status, second.document_version, second.report_uid) == ("APPENDED", 2, report.report_uid)
    assert county.row(Report, report.id).status == "FINAL"


def _another_view(county: Township, study: Study, folder: Path) -> Path:
    import pydicom
    from pydicom.uid import generate_uid

    with county.roof.db.read() as session:
        from worklist.store import instances_of_study

        first = instances_of_study(session, study.id)[0]
    dataset = pydicom.dcmread(county.roof.blobs.path(first.blob_key))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = folder / "late.dcm"
    dataset.save_as(path)
    return path


def test_the_site_opens_and_acknowledges_once(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path)
    report = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    clinician = county.actor("clinician")
    with county.roof.db.write() as session:
        delivery_service.note_opened(session, clinician, report, session.get_one(Study, study.id), county.clock())
        delivery_service.note_opened(session, clinician, report, session.get_one(Study, study.id), county.clock())
    assert county.row(Study, study.id).report_status == "opened"
    with county.roof.db.write() as session:
        received = session.get_one(Study, study.id)
        delivery_service.acknowledge(session, clinician, report, received, "转上级医院", county.clock())
    assert county.row(Study, study.id).report_status == "acknowledged"
    with pytest.raises(Exception, match="acknowledge is not possible"), county.roof.db.write() as session:
        delivery_service.acknowledge(session, clinician, report, session.get_one(Study, study.id), "", county.clock())
    with county.roof.db.read() as session:
        portal = session.scalars(select(Delivery).where(Delivery.channel == "portal")).one()
    assert (portal.state, portal.action_taken, portal.acknowledged_by) == ("ACKED", "转上级医院", clinician.account_id)


def test_illegal_moves_change_nothing(county: Township, tmp_path: Path) -> None:
    study, item, saved = written(county, tmp_path, "QS_CT")
    first = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    second = county.open_workitem(study.id)
    claim(county, "reviewer", second.workitem_uid)
    with pytest.raises(Refused, match="wrong_step"):
        county.desk.submit(county.actor("reviewer"), second.workitem_uid, PIN, first.version)
    with pytest.raises(Refused, match="verification_edits_nothing"):
        draft(county, "reviewer", second.workitem_uid, first.version)
    county.desk.verify(county.actor("reviewer"), second.workitem_uid, PIN, first.version)
    with pytest.raises((Refused, IllegalReportMove)):
        county.desk.verify(county.actor("reviewer"), second.workitem_uid, PIN, first.version)
    with county.roof.db.read() as session:
        assert [row.status for row in store.versions(session, first.report_uid)] == ["SUBMITTED", "FINAL"]
