"""A study moves, rows merge and split, and everything goes back; copies leave with the right identity."""

from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest
from sqlalchemy import func, select, true

from reports import store as report_store
from tests.peers.instances import corrected, write_instance
from tests.peers.township import Township
from worklist import rejection_service, rejection_store, repair_service, repair_store, store
from worklist.access import Refused
from worklist.base.audit import AuditEvent, WorkflowEvent
from worklist.order_service import OrderRequest, create_order
from worklist.outgoing import outgoing
from worklist.receive_service import Filed
from worklist.rejection_desk import reject_instances
from worklist.repair_service import Doing, NewPatient
from worklist.tables import Instance, Order, Patient, Study, Workitem


def doing(county: Township, reason: str = "选错了患者", username: str = "admin") -> Doing:
    return Doing(
        county.actor(username), reason, county.roof.settings.zone, report_store.signed_statuses, county.clock()
    )


def arrive(county: Township, folder: Path, name: str, number: str, ae_title: str = "QS_CT", **more: Any) -> tuple[Study, Path]:
    path = write_instance(folder, side=8, PatientName=f"={name}", PatientID=number, **more)
    filed: Filed = county.receive(path, ae_title)
    assert filed.study_id is not None
    return county.row(Study, filed.study_id), path


def leaves(county: Township, study: Study) -> pydicom.Dataset:
    with county.roof.db.read() as session:
        (one,) = outgoing(session, true(), study=study.study_instance_uid)
    content = corrected(county.roof.blobs.path(one.blob_key), one.corrections)
    (county.roof.blobs.spool_dir / "out.dcm").write_bytes(content)
    return pydicom.dcmread(county.roof.blobs.spool_dir / "out.dcm")


def test_a_study_moves_with_its_identity_and_back(county: Township, folder: Path) -> None:
    (wrong, path), (right, _) = arrive(county, folder, "钱守义", "1"), arrive(county, folder, "王芳", "2")
    with county.roof.db.write() as session:
        repair = repair_service.move(session, doing(county), session.get_one(Study, wrong.id), right.patient_pk)
    moved = county.row(Study, wrong.id)
    assert moved.patient_pk == right.patient_pk and moved.order_uid != wrong.order_uid
    out = leaves(county, moved)
    assert (str(out.PatientName), out.PatientID, out.IssuerOfPatientID) == ("wangfang=王芳", "2", "QINGSHAN")
    before = out.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert (str(before.PatientName), before.PatientID) == ("=钱守义", "1")
    with county.roof.db.read() as session:
        instance = session.scalars(
            select(Instance).join_from(Instance, Study, Study.id == wrong.id).where(Instance.digest.is_not(None))
        ).first()
    assert instance is not None
    assert path.read_bytes() in [p.read_bytes() for p in (county.roof.blobs.path(instance.blob_key),)]  # as it came
    assert pydicom.dcmread(path).PixelData == out.PixelData
    again = write_instance(folder, side=8, PatientName="=钱守义", PatientID="1", StudyInstanceUID=wrong.study_instance_uid)
    assert county.receive(again, "QS_CT").outcome == "filed"  # the modality still sends the old name
    with county.roof.db.write() as session:
        repair_service.undo(session, county.actor("admin"), repair.id, "原来没错", report_store.signed_statuses, county.clock())
    back = county.row(Study, wrong.id)
    assert (back.patient_pk, back.order_uid) == (wrong.patient_pk, wrong.order_uid)
    with county.roof.db.read() as session:
        assert {row.sop_instance_uid: row.corrections for row in outgoing(session, true(), study=wrong.study_instance_uid)}
        assert all(not row.corrections for row in outgoing(session, true(), study=wrong.study_instance_uid))
        acts = session.scalars(select(AuditEvent.act).where(AuditEvent.object_type == "repair")).all()
        details = str(session.scalars(select(AuditEvent.details)).all())
    assert acts == ["identity.move", "identity.undo"] and "王芳" not in details


def test_a_study_moves_to_the_request_it_was_made_for(county: Township, folder: Path) -> None:
    wrong, _ = arrive(county, folder, "钱守义", "1")
    request = OrderRequest("王芳", "2", "F", date(1949, 12, 31), "CT", "HEAD", "头痛", "", "urgent", None, "")
    was = county.open_workitem(wrong.id)
    with county.roof.db.write() as session:
        order = create_order(session, county.actor("tech"), request, zone=county.roof.settings.zone, now=county.clock())
        assert [one.order_uid for one in repair_store.open_orders(session, order.patient_pk)] == [order.order_uid]
        repair = repair_service.move(
            session, doing(county), session.get_one(Study, wrong.id), order.patient_pk, order.order_uid
        )
        assert repair_store.open_orders(session, order.patient_pk) == []
        details = session.scalars(select(AuditEvent.details).where(AuditEvent.act == "identity.move")).one()
    assert details["order"] == order.order_uid
    now = county.open_workitem(wrong.id)
    assert (was.priority, now.priority) == ("routine", "urgent") and now.due_at < was.due_at
    moved = county.row(Study, wrong.id)
    assert (moved.order_uid, moved.accession_number) == (order.order_uid, order.accession_number)
    assert leaves(county, moved).AccessionNumber == order.accession_number
    with county.roof.db.write() as session:
        repair_service.undo(session, county.actor("admin"), repair.id, "没错", report_store.signed_statuses, county.clock())
    back = county.open_workitem(wrong.id)
    assert (back.priority, back.due_at) == (was.priority, was.due_at)
    assert county.row(Study, wrong.id).order_uid == wrong.order_uid


def test_merged_rows_take_later_objects_along(county: Township, folder: Path) -> None:
    (first, _), (right, _) = arrive(county, folder, "王方", "2"), arrive(county, folder, "王芳", "2")
    with county.roof.db.write() as session:
        repair = repair_service.merge(session, doing(county, "错别字"), first.patient_pk, right.patient_pk)
    later, _ = arrive(county, folder, "王方", "2")
    assert later.patient_pk == right.patient_pk
    assert str(leaves(county, later).PatientName) == "wangfang=王芳"
    with county.roof.db.read() as session:
        assert len(store.priors_of_study(session, later, true())) == 2
        order = session.get_one(Order, later.order_uid)
    assert order.patient_pk == right.patient_pk
    with county.roof.db.write() as session:
        repair_service.undo(session, county.actor("admin"), repair.id, "两个人", report_store.signed_statuses, county.clock())
    assert {county.row(Study, one.id).patient_pk for one in (first, later)} == {first.patient_pk}


def test_a_study_gets_a_patient_of_its_own(county: Township, folder: Path) -> None:
    first, _ = arrive(county, folder, "王芳", "0001")
    person = NewPatient("王芳", "0001-2", "F", date(1990, 1, 1))
    with county.roof.db.write() as session:
        repair_service.split(session, doing(county), session.get_one(Study, first.id), person)
    assert leaves(county, first).PatientBirthDate == "19900101"
    second, _ = arrive(county, folder, "王芳", "0001")
    assert second.patient_pk == first.patient_pk  # who stays is who was there
    with county.roof.db.write() as session, pytest.raises(Refused, match="patient_exists"):
        repair_service.split(session, doing(county), session.get_one(Study, second.id), person)


def test_what_is_refused(county: Township, folder: Path) -> None:
    (one, _), (other, _) = arrive(county, folder, "钱守义", "1"), arrive(county, folder, "王芳", "2", "BS_DR")
    cases = [
        ("forbidden", doing(county, username="radiologist"), other.patient_pk), ("reason_missing", doing(county, " "), other.patient_pk),
        ("not_found", doing(county), other.patient_pk), ("not_found", doing(county), 999), ("same_patient", doing(county), one.patient_pk),
    ]  # fmt: skip
    for code, done, target in cases:
        with county.roof.db.write() as session, pytest.raises(Refused, match=code):
            repair_service.move(session, done, session.get_one(Study, one.id), target)


def test_the_later_repair_goes_back_first(county: Township, folder: Path) -> None:
    (one, _), (two, _), (three, _) = (arrive(county, folder, name, name) for name in ("钱守义", "王芳", "李梅"))
    with county.roof.db.write() as session:
        study = session.get_one(Study, one.id)
        first = repair_service.move(session, doing(county), study, two.patient_pk)
        second = repair_service.move(session, doing(county), study, three.patient_pk)
    back = (county.actor("admin"), "x", report_store.signed_statuses, county.clock())
    with county.roof.db.write() as session, pytest.raises(Refused, match="later_repair"):
        repair_service.undo(session, back[0], first.id, *back[1:])
    for repair in (second, first):
        with county.roof.db.write() as session:
            repair_service.undo(session, back[0], repair.id, *back[1:])
    assert county.row(Study, one.id).patient_pk == one.patient_pk


def reject(county: Township, uid: str, code: str, reason: str, named: list[str] | None) -> int:
    return reject_instances(
        county.roof, county.actor("admin"), uid, code, reason, named, county.clock(),
        signed_statuses=report_store.signed_statuses,
    )  # fmt: skip


def test_who_signed_hears_that_a_person_took_the_images_away(county: Township, tmp_path: Path) -> None:
    study, _, _ = county.signed_study(tmp_path)
    uid = study.study_instance_uid
    reject(county, uid, "113037", "拍错病人", None)
    with county.roof.db.read() as session:
        work = session.scalars(select(Workitem).where(Workitem.study_id == study.id, Workitem.step == "addendum")).one()
        told = session.scalars(select(WorkflowEvent).where(WorkflowEvent.kind == "images_rejected")).one()
    assert work.scheduled_performer == county.actor("radiologist").account_id
    assert told.workitem_uid == work.workitem_uid


def test_a_signed_report_is_left_alone_and_its_signer_told(county: Township, tmp_path: Path, folder: Path) -> None:
    study, _, report = county.signed_study(tmp_path)
    radiologist = county.actor("radiologist")
    other, _ = arrive(county, folder, "王芳", "2", "QS_DR")
    county.clock.forward(60)
    with county.roof.db.write() as session:
        repair_service.move(session, doing(county), session.get_one(Study, study.id), other.patient_pk)
    with county.roof.db.read() as session:
        signed = report_store.latest(session, report.report_uid)
        work = session.scalars(select(Workitem).where(Workitem.study_id == study.id, Workitem.step == "addendum")).one()
        told = session.scalars(select(WorkflowEvent).where(WorkflowEvent.kind == "identity_repaired")).one()
        assert signed is not None and signed.pdf_sha256 == report.pdf_sha256
        assert repair_store.repaired_since(session, study.id, signed.author_signed_at) is not None
    assert (work.scheduled_performer, told.details["is_signed"]) == (radiologist.account_id, True)


def test_a_person_rejects_by_a_note_of_their_own(county: Township, folder: Path) -> None:
    study, _ = arrive(county, folder, "钱守义", "1")
    county.receive(write_instance(folder, side=8, PatientName="=钱守义", PatientID="1", StudyInstanceUID=study.study_instance_uid), "QS_CT")
    with county.roof.db.read() as session:
        uid = store.instances_of_study(session, study.id)[0].sop_instance_uid
    made = reject(county, study.study_instance_uid, "113001", "体动", [uid])
    with county.roof.db.read() as session:
        shown = [row.sop_instance_uid for row in store.instances_of_study(session, study.id)]
        (why,) = rejection_store.rejections_of(session, study)
        note = session.scalars(select(Instance).where(Instance.sop_class_uid == "1.2.840.10008.5.1.4.1.1.88.59")).one()
        assert session.scalar(select(func.count(Patient.id))) == 1
    assert (made, uid in shown, len(shown), county.row(Study, study.id).n_instances) == (1, False, 1, 1)
    assert (why["by"], why["reason"]) == (county.actor("admin").name, "体动")
    written = pydicom.dcmread(county.roof.blobs.path(note.blob_key))
    assert written.ConceptNameCodeSequence[0].CodeValue == "113001"
    with county.roof.db.write() as session:
        rejection_service.undo(session, county.actor("admin"), why["rejection_id"], "医生认可", county.clock())
    assert county.row(Study, study.id).n_instances == 2
    with pytest.raises(Refused, match="not_found"):
        reject(county, study.study_instance_uid, "113001", "x", ["1.2"])
