"""What is read leaves a trace, what is out of sight stays so, what is tried for nothing costs nothing."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from reports import service
from reports.desk import ReportDesk
from reports.tables import Report
from tests.peers.instances import write_instance
from tests.peers.township import PASSWORD, PIN, Township
from tests.reports.test_review_work import call, save
from tests.worklist.test_review_web import Person
from worklist import workitem_service
from worklist.access import Refused
from worklist.account_tables import Account, SigningKey
from worklist.base import audit
from worklist.base.audit import AuditEvent
from worklist.store import instances_of_study
from worklist.tables import Patient, Study, Workitem


def examined(county: Township, tmp_path: Path, **tags: Any) -> Workitem:
    folder = tmp_path / "sent"
    folder.mkdir(exist_ok=True)
    filed = county.receive(write_instance(folder, side=16, Modality="DX", **tags), "QS_DR")
    county.clock.forward(30)
    county.settle()
    assert filed.study_id is not None
    return county.open_workitem(filed.study_id)


def written(county: Township, tmp_path: Path, **tags: Any) -> tuple[Workitem, Report]:
    item = examined(county, tmp_path, **tags)
    call(county, workitem_service.claim, "radiologist", item.workitem_uid)
    return item, save(county, "radiologist", item.workitem_uid)


def signed(county: Township, tmp_path: Path, **tags: Any) -> tuple[Workitem, Report]:
    item, saved = written(county, tmp_path, **tags)
    return item, county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)


def n_rows(county: Township, act: str) -> int:
    with county.roof.db.read() as session:
        rows = select(func.count()).select_from(AuditEvent).where(AuditEvent.act == act, AuditEvent.result == "ok")
        return session.scalar(rows) or 0


def test_a_frame_fetched_by_itself_is_a_reading_too(county: Township, app: Flask, tmp_path: Path) -> None:
    item = examined(county, tmp_path)
    with county.roof.db.read() as session:
        sop_instance_uid = instances_of_study(session, item.study_id)[0].sop_instance_uid
    reader = Person(county, app, "radiologist")
    for _ in range(2):
        assert reader("GET", f"/api/frames/{sop_instance_uid}/1")[0] == 409  # not derived yet
    assert n_rows(county, "study.view_images") == 1
    assert Person(county, app, "tech2")("GET", f"/api/frames/{sop_instance_uid}/1")[0] == 404
    assert n_rows(county, "study.view_images") == 1


def test_a_report_on_the_screen_is_one_row_in_half_an_hour(county: Township, app: Flask, tmp_path: Path) -> None:
    _, report = signed(county, tmp_path)
    clinician = Person(county, app, "clinician")
    for _ in range(3):
        assert clinician("GET", f"/api/reports/{report.report_uid}")[0] == 200
    assert n_rows(county, "report.read") == 1
    county.clock.forward(1801)
    assert Person(county, app, "clinician")("GET", f"/api/reports/{report.report_uid}")[0] == 200
    assert n_rows(county, "report.read") == 2


def test_the_trail_says_why_and_never_a_secret(county: Township, app: Flask, tmp_path: Path) -> None:
    item, saved = written(county, tmp_path)
    study_uid = county.row(Study, item.study_id).study_instance_uid
    until = county.clock() + timedelta(hours=1)
    call(county, workitem_service.break_glass, "clinician2", study_uid, "患者转来本院抢救", until)
    radiologist, path = Person(county, app, "radiologist"), f"/api/workitems/{item.workitem_uid}/report/submit"
    assert radiologist("POST", path, json={"pin": "77-wrong-77", "version": saved.version})[0] == 403
    assert radiologist("POST", path, json={"pin": PIN, "version": saved.version})[0] == 200
    admin = Person(county, app, "admin")
    (used,) = admin("GET", "/api/admin/audit?actor=clinician2")[1]["events"]
    assert (used["act"], used["details"]) == ("break_glass.use", {"reason": "患者转来本院抢救"})
    told = str(admin("GET", "/api/admin/audit")[1])
    assert "report.sign" in told
    assert [secret for secret in (PIN, "77-wrong-77", PASSWORD) if secret in told] == []
    with county.roof.db.write() as session, pytest.raises(ValueError, match="secret"):
        audit.record(
            session, now=county.clock(), actor="x", role="", site="", act="x", object_type="x", object_uid="x",
            details={"pin": PIN},
        )  # fmt: skip


def test_a_report_beside_a_workitem_is_read_too(county: Township, app: Flask, tmp_path: Path) -> None:
    """Also one of an earlier examination; what a doctor writes themself is no reading, a reload is no new one."""
    _, earlier = signed(county, tmp_path, StudyDate="19900101", AcquisitionDate="19900101")
    item, draft = written(county, tmp_path)

    def read_by(username: str) -> list[tuple[str, int]]:
        person = Person(county, app, username)
        for _ in range(3):
            assert person("GET", f"/api/workitems/{item.workitem_uid}")[0] == 200
        with county.roof.db.read() as session:
            rows = session.scalars(
                select(AuditEvent).where(AuditEvent.act == "report.read", AuditEvent.actor == username)
            ).all()
        return sorted((row.object_uid, row.details["revision"]) for row in rows)

    prior = (earlier.report_uid, earlier.revision)
    assert read_by("radiologist") == [prior]
    assert read_by("reviewer") == sorted([prior, (draft.report_uid, draft.revision)])
    assert read_by("tech") == []  # who sends images is shown no report
    county.clock.forward(1801)
    assert len(read_by("reviewer")) == 4


def test_broken_glass_opens_one_study_and_not_the_reports_of_others(
    county: Township, app: Flask, tmp_path: Path
) -> None:
    signed(county, tmp_path, StudyDate="19900101", AcquisitionDate="19900101")
    later = examined(county, tmp_path)
    uid = county.row(Study, later.study_id).study_instance_uid
    path = f"/api/workitems/{later.workitem_uid}"
    (prior,) = Person(county, app, "radiologist")("GET", path)[1]["priors"]
    assert prior["report"]["sections"]["impression"]
    until = county.clock() + timedelta(hours=1)
    call(county, workitem_service.break_glass, "clinician2", uid, "患者在本院抢救", until)
    assert Person(county, app, "clinician2")("GET", path)[1]["priors"] == []


def test_a_signature_that_nobody_could_try_costs_no_try(county: Township, tmp_path: Path) -> None:
    item, saved = written(county, tmp_path)
    radiologist = county.actor("radiologist")

    def broken(*_: Any) -> bytes:
        raise OSError("no stamp")

    desk: ReportDesk = replace(county.desk, render_stamp=broken)
    for _ in range(6):
        with pytest.raises(OSError, match="no stamp"):
            desk.submit(radiologist, item.workitem_uid, PIN, saved.version)
    assert county.row(SigningKey, radiologist.account_id).failed_pins == 0
    assert county.desk.submit(radiologist, item.workitem_uid, PIN, saved.version).status == "FINAL"


def test_the_fifth_try_locks_before_it_is_made_and_the_right_pin_opens_again(county: Township) -> None:
    account_id = county.actor("radiologist").account_id
    for left in (4, 3, 2, 1, 0):
        with county.roof.db.write() as session:  # and then the process dies
            assert service.spend_pin_try(session, account_id, county.clock()) == left
    assert county.row(SigningKey, account_id).locked_at == county.clock()
    with pytest.raises(Refused, match="signing_locked"), county.roof.db.write() as session:
        service.spend_pin_try(session, account_id, county.clock())
    with county.roof.db.write() as session:
        service.refund_pin_try(session, account_id, pin_was_right=True)
    assert (county.row(SigningKey, account_id).failed_pins, county.row(SigningKey, account_id).locked_at) == (0, None)


def test_a_licence_ends_with_its_day_where_the_doctor_is(county: Township, tmp_path: Path) -> None:
    item, saved = written(county, tmp_path)
    here = county.clock().astimezone(county.roof.settings.zone)
    with county.roof.db.write() as session:
        session.execute(update(Account).values(licence_valid_until=here.date()))
    county.clock.at = here.replace(hour=23, minute=59)
    assert county.desk.prepare(county.actor("radiologist"), item.workitem_uid, saved.version)
    county.clock.at = (here + timedelta(days=1)).replace(hour=0, minute=1)  # in UTC it is still the day before
    with pytest.raises(Refused, match="licence_expired"):
        county.desk.prepare(county.actor("radiologist"), item.workitem_uid, saved.version)


def test_the_age_is_that_of_the_day_of_the_examination_where_it_was(county: Township, app: Flask, tmp_path: Path) -> None:
    """Born on 2 March, examined at 07:30 of that day in Shanghai, which is 1 March in UTC; looked at in May."""
    item = examined(
        county, tmp_path, PatientBirthDate="20260302", AcquisitionDate="20260302", AcquisitionTime="073000",
        StudyDate="20260302", StudyTime="073000", ContentDate="20260302", ContentTime="073000",
    )  # fmt: skip
    with county.roof.db.read() as session:
        patient = session.get_one(Patient, session.get_one(Study, item.study_id).patient_pk)
        assert patient.birth_date == date(2026, 3, 2)
    county.clock.forward(60 * 24 * 3600)
    shown = Person(county, app, "radiologist")("GET", "/api/worklist")[1]["items"]
    assert [row["patient"]["age"] for row in shown] == [{"value": 0, "unit": "day"}]


def test_images_between_two_signatures_are_work_for_the_author(county: Township, folder: Path) -> None:
    """QINGSHAN asks two signatures on CT; a slice comes late, after the author's."""
    filed = county.receive(write_instance(folder, side=16), "QS_CT")
    county.clock.forward(30)
    county.settle()
    assert filed.study_id is not None
    study = county.row(Study, filed.study_id)
    item = county.open_workitem(study.id)
    call(county, workitem_service.claim, "radiologist", item.workitem_uid)
    saved = save(county, "radiologist", item.workitem_uid)
    first = county.desk.submit(county.actor("radiologist"), item.workitem_uid, PIN, saved.version)
    late = write_instance(folder, side=16, StudyInstanceUID=study.study_instance_uid)
    assert county.receive(late, "QS_CT").outcome == "filed"
    second = county.open_workitem(study.id)
    call(county, workitem_service.claim, "reviewer", second.workitem_uid)
    with pytest.raises(Refused, match="study_not_ready"):
        county.desk.verify(county.actor("reviewer"), second.workitem_uid, PIN, first.version)
    county.clock.forward(30)
    county.settle()
    county.desk.verify(county.actor("reviewer"), second.workitem_uid, PIN, first.version)
    addendum = county.open_workitem(study.id)
    assert (addendum.step, addendum.scheduled_performer) == ("addendum", county.actor("radiologist").account_id)
    assert county.row(Study, study.id).late_images_at is not None
    call(county, workitem_service.claim, "radiologist", addendum.workitem_uid)
    call(county, workitem_service.dismiss, "radiologist", addendum.workitem_uid, "与诊断无关")
    assert county.row(Study, study.id).late_images_at is None
