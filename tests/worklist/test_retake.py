"""Images that do not do go back to the technician; what is taken again follows what was returned."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.peers.instances import write_instance
from tests.peers.township import PIN, Township
from tests.reports.test_review_work import call, save
from tests.worklist.test_review_web import Person
from worklist import order_service, workitem_service
from worklist.base.audit import AuditEvent, WorkflowEvent
from worklist.tables import Study, Workitem


def taken(county: Township, tmp_path: Path, **tags: Any) -> Study:
    folder = tmp_path / "sent"
    folder.mkdir(exist_ok=True)
    filed = county.receive(write_instance(folder, side=16, Modality="DX", **tags), "QS_DR")
    assert filed.outcome == "filed"
    county.clock.forward(30)
    county.settle()
    return county.row(Study, filed.study_id)


def returned(county: Township, app: Flask, study: Study, category: str = "motion", reason: str = "呼吸伪影") -> str:
    """The UID of the radiologist's workitem, returned."""
    uid = county.open_workitem(study.id).workitem_uid
    call(county, workitem_service.claim, "radiologist", uid)
    radiologist, body = Person(county, app, "radiologist"), {"category": category, "reason": reason}
    assert radiologist("POST", f"/api/workitems/{uid}/retake", json=body) == (200, {})
    return uid


def test_the_site_sees_why_and_more_images_bring_new_work(county: Township, app: Flask, tmp_path: Path) -> None:
    study = taken(county, tmp_path)
    uid = county.open_workitem(study.id).workitem_uid
    call(county, workitem_service.claim, "radiologist", uid)
    draft = save(county, "radiologist", uid)
    body = {"category": "motion", "reason": "呼吸伪影"}
    assert Person(county, app, "radiologist")("POST", f"/api/workitems/{uid}/retake", json=body)[0] == 200
    ended = county.row(Workitem, uid)
    assert (ended.state, ended.retake_reason, ended.reason) == ("CANCELED", "motion", "呼吸伪影")
    for name in ("tech", "clinician"):
        (item,) = Person(county, app, name)("GET", "/api/worklist")[1]["items"]
        assert (item["status"], item["retake"]) == ("returned_for_retake", body)
    assert Person(county, app, "tech2")("GET", "/api/worklist")[1]["items"] == []
    with county.roof.db.read() as session:
        row = session.scalars(select(AuditEvent).where(AuditEvent.act == "workitem.retake")).one()
        kinds = session.scalars(select(WorkflowEvent.kind)).all()
    assert (row.actor, row.object_uid, row.details) == ("radiologist", uid, body)
    assert "returned_for_retake" in kinds
    taken(county, tmp_path, StudyInstanceUID=study.study_instance_uid)
    again = county.open_workitem(study.id)
    assert (again.replaces, again.state, again.report_uid) == (uid, "SCHEDULED", draft.report_uid)
    (item,) = Person(county, app, "tech")("GET", "/api/worklist")[1]["items"]
    assert (item["workitem_uid"], item["status"]) == (again.workitem_uid, "waiting")
    assert Person(county, app, "radiologist")("GET", f"/api/workitems/{uid}")[1]["replaced_by"] == again.workitem_uid


def test_a_new_study_of_the_same_request_follows_what_was_returned(
    county: Township, app: Flask, tmp_path: Path
) -> None:
    wanted = order_service.OrderRequest(
        patient_name="钱守义", patient_id="0001", sex=None, birth_date=None, modality="DR", body_part="", complaint="",
        question="", priority="stat", pathway=None, requesting_doctor="",
    )  # fmt: skip
    with county.roof.db.write() as session:
        order = order_service.create_order(
            session, county.actor("tech"), wanted, zone=county.roof.settings.zone, now=county.clock()
        )
    tags = {"AccessionNumber": order.accession_number, "PatientID": "0001", "PatientName": "钱守义"}
    first = taken(county, tmp_path, **tags)
    assert first.order_uid == order.order_uid
    uid = returned(county, app, first, "wrong_patient", "")
    assert len(Person(county, app, "tech")("GET", "/api/orders")[1]["orders"]) == 1  # it waits for images again
    second = taken(county, tmp_path, **tags)
    assert (second.id != first.id, second.order_uid) == (True, order.order_uid)
    follower = county.open_workitem(second.id)
    assert (follower.replaces, follower.priority, follower.report_uid) == (uid, "stat", None)
    assert Person(county, app, "tech")("GET", "/api/orders")[1]["orders"] == []
    third = taken(county, tmp_path, **tags)
    assert third.order_uid != order.order_uid
    assert county.open_workitem(third.id).replaces is None


def test_a_retake_without_a_request_is_offered_and_a_person_confirms_it(
    county: Township, app: Flask, tmp_path: Path
) -> None:
    first = taken(county, tmp_path, PatientID="0007")
    uid = returned(county, app, first)
    other = taken(county, tmp_path, PatientID="0008")
    second, third = (taken(county, tmp_path, PatientID="0007") for _ in range(2))
    assert [one.suggested_order_uid for one in (other, second, third)] == [None, first.order_uid, first.order_uid]
    assert county.open_workitem(second.id).replaces is None  # the machine alone links nothing
    tech, body = Person(county, app, "tech"), {"order_uid": first.order_uid}
    assert tech("POST", f"/api/studies/{other.study_instance_uid}/order", json={"order_uid": other.order_uid})[0] == 404
    assert tech("POST", f"/api/studies/{second.study_instance_uid}/order", json=body)[0] == 200
    assert county.open_workitem(second.id).replaces == uid
    assert (county.row(Study, second.id).order_uid, county.row(Study, third.id).suggested_order_uid) == (first.order_uid, None)
    assert tech("POST", f"/api/studies/{third.study_instance_uid}/order", json=body)[0] == 404
    assert taken(county, tmp_path, PatientID="0007").suggested_order_uid is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [({"category": "ugly"}, 422, "field_choice"), ({"category": "other", "reason": " "}, 422, "reason_missing"),
     ({"category": "motion", "reason": "长" * 257}, 422, "field_too_long")],
)  # fmt: skip
def test_a_retake_needs_a_reason(
    county: Township, app: Flask, tmp_path: Path, body: dict[str, str], status: int, code: str
) -> None:
    uid = county.open_workitem(taken(county, tmp_path).id).workitem_uid
    call(county, workitem_service.claim, "radiologist", uid)
    found, said = Person(county, app, "radiologist")("POST", f"/api/workitems/{uid}/retake", json=body)
    assert (found, said["error"]["code"]) == (status, code)
    assert county.row(Workitem, uid).state == "IN PROGRESS"


def test_who_may_not_or_too_late(county: Township, app: Flask, tmp_path: Path) -> None:
    study = taken(county, tmp_path)
    uid = county.open_workitem(study.id).workitem_uid
    path, body = f"/api/workitems/{uid}/retake", {"category": "motion"}
    assert Person(county, app, "radiologist")("POST", path, json=body)[1]["error"]["code"] == "not_claimed"
    call(county, workitem_service.claim, "radiologist", uid)
    assert Person(county, app, "reviewer")("POST", path, json=body)[1]["error"]["code"] == "already_claimed"
    assert Person(county, app, "tech")("POST", path, json=body)[0] == 403
    saved = save(county, "radiologist", uid)
    county.receive(write_instance(tmp_path / "sent", side=16, StudyInstanceUID=study.study_instance_uid), "QS_DR")
    assert Person(county, app, "radiologist")("POST", path, json=body)[1]["error"]["code"] == "study_receiving"
    county.desk.submit(county.actor("radiologist"), uid, PIN, saved.version, preliminary_reason="急诊")
    county.clock.forward(30)
    county.settle()
    assert Person(county, app, "radiologist")("POST", path, json=body)[1]["error"]["code"] == "retake_report_out"
