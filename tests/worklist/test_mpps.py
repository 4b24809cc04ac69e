"""Performed procedure steps by dcmjs-dimse: state rules, dose, and what they say of a study's completeness."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from pacs_bridge.listener import Listener
from tests.peers import dcmtk, worklists
from tests.peers.dcmjs import script
from tests.peers.instances import write_instance
from tests.peers.listening import allow
from tests.peers.product import until
from tests.peers.township import Township
from tests.worklist.test_modality_worklist import order
from worklist import completeness_service, order_service
from worklist.access import Refused
from worklist.acquisition_tables import PerformedInstance, PerformedStep
from worklist.base.audit import AuditEvent, WorkflowEvent
from worklist.tables import Device, Instance, Order, Study

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.826.0.1.3680043.9.78"
QUIET_S = 20


def begun(study_uid: str = STUDY, number: str = "", **changes: Any) -> dict[str, Any]:
    """A step as a CT writes it at the start."""
    return {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Adams^John", "PatientID": "P-1",
        "PatientBirthDate": "19600506", "PatientSex": "M", "ReferencedPatientSequence": [],
        "ScheduledStepAttributesSequence": [{
            "StudyInstanceUID": study_uid, "AccessionNumber": number, "RequestedProcedureID": number,
            "ScheduledProcedureStepID": number, "ReferencedStudySequence": [],
        }],
        "PerformedProcedureStepID": "PPS1", "PerformedStationAETitle": "QS_CT", "PerformedStationName": "",
        "PerformedLocation": "", "PerformedProcedureStepStartDate": "20260302",
        "PerformedProcedureStepStartTime": "093100", "PerformedProcedureStepStatus": "IN PROGRESS",
        "PerformedProcedureStepDescription": "Head", "PerformedProcedureTypeDescription": "", "Modality": "CT",
        "StudyID": "1", "PerformedSeriesSequence": [], "PerformedProtocolCodeSequence": [],
    } | changes  # fmt: skip


def ended(instances: list[str], state: str = "COMPLETED", series: str = f"{STUDY}.1", **changes: Any) -> dict[str, Any]:
    return {
        "PerformedProcedureStepStatus": state, "PerformedProcedureStepEndDate": "20260302",
        "PerformedProcedureStepEndTime": "093900",
        "PerformedSeriesSequence": [{
            "SeriesInstanceUID": series, "ProtocolName": "Head", "SeriesDescription": "", "OperatorsName": "",
            "PerformingPhysicianName": "", "RetrieveAETitle": "",
            "ReferencedImageSequence": [
                {"ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": uid} for uid in instances
            ],
            "ReferencedNonImageCompositeSOPInstanceSequence": [],
        }],
    } | changes  # fmt: skip


def message(kind: str, uid: str, dataset: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "uid": uid, "dataset": dataset} | more


def say(listener: Listener, *messages: dict[str, Any], calling: str = "QS_CT") -> list[dict[str, Any]]:
    """The answers of one association."""
    with script("mpps.js", "run", port=listener.port, **{"from": calling, "to": "TELEREAD"}, messages=messages) as peer:
        peer.wait("closed")
        return peer.all("answer")


def status_of(listener: Listener, *messages: dict[str, Any], calling: str = "QS_CT") -> list[str]:
    return [f"{answer['status']:04X}" for answer in say(listener, *messages, calling=calling)]


def slices(folder: Path, count: int, **values: Any) -> list[Path]:
    folder.mkdir()
    common = {
        "StudyInstanceUID": STUDY, "SeriesInstanceUID": f"{STUDY}.1", "PatientID": "P-1", "PatientName": "Adams^John",
        "PatientSex": "M", "PatientBirthDate": "19600506", "side": 8,
    }  # fmt: skip
    return [write_instance(folder, **common | values | {"InstanceNumber": str(n + 1)}) for n in range(count)]


def uids(paths: list[Path]) -> list[str]:
    return [str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths]


def send(county: Township, listener: Listener, paths: list[Path], calling: str = "QS_CT") -> None:
    result = dcmtk.storescu(listener.port, calling, paths)
    assert result.returncode == 0, result.stderr
    until(lambda: all_closed(county), 5, "the association's end")


def all_closed(county: Township) -> bool:
    from worklist.tables import Association

    with county.roof.db.read() as session:
        return session.scalar(select(Association.id).where(Association.closed_at.is_(None)).limit(1)) is None


def study_of(county: Township) -> Any:
    with county.roof.db.read() as session:
        return session.scalars(select(Study)).one()


def test_states_and_what_they_need(county: Township, listener: Listener) -> None:
    """PS3.4 F.7.2: what begins, what may change, and that an end is an end."""
    uid = "1.2.3.10"
    start = begun()
    assert status_of(listener, message("set", uid, ended(["1.2.3"]))) == ["0112"]
    for keyword in (
        "PerformedProcedureStepID", "PerformedStationAETitle", "PerformedProcedureStepStartDate", "Modality",
        "PerformedProcedureStepStatus", "ScheduledStepAttributesSequence",
    ):  # fmt: skip
        lacking = {name: value for name, value in start.items() if name != keyword}
        (answer,) = say(listener, message("create", uid, lacking))
        assert (answer["status"], answer["comment"]) == (0x0120, keyword)
    assert status_of(listener, message("create", uid, start | {"PerformedProcedureStepID": ""})) == ["0121"]
    assert status_of(listener, message("create", uid, start | {"PerformedProcedureStepStatus": "COMPLETED"})) == ["0106"]
    first, again = say(listener, message("create", uid, start), message("create", uid, start))
    assert (first["status"], first["uid"], again["status"]) == (0, uid, 0x0111)
    assert status_of(
        listener,
        message("set", uid, {"PerformedProcedureStepDescription": "Head and neck"}),
        message("set", uid, {"PerformedProcedureStepStatus": "BEGUN"}),
        message("set", uid, {"PatientID": "P-2"}),
        message("set", uid, {"PerformedProcedureStepStatus": "COMPLETED"}),
        message("set", uid, ended(["1.2.3"]) | {"PerformedSeriesSequence": []}),
        message("set", uid, ended(["1.2.3"])),
    ) == ["0000", "0106", "0106", "0120", "0121", "0000"]
    for change in (ended(["1.2.3"]), {"PerformedProcedureStepDescription": "x"}, {"PerformedProcedureStepStatus": "IN PROGRESS"}):
        (answer,) = say(listener, message("set", uid, change))
        assert (answer["status"], answer["id"]) == (0x0110, 0xA710)
    with county.roof.db.read() as session:
        step = session.scalars(select(PerformedStep)).one()
        assert (step.state, step.modality, step.ended_at) == ("COMPLETED", "CT", county.clock())
        assert session.scalars(select(PerformedInstance.sop_instance_uid)).all() == ["1.2.3"]
        acts = session.scalars(select(AuditEvent.act).where(AuditEvent.act.startswith("mpps."))).all()
    assert acts == ["mpps.create", "mpps.set", "mpps.set"]


def test_a_step_is_read_back_by_its_own_site_alone(county: Township, listener: Listener) -> None:
    allow(county, "BS_CT", site="BAISHUI", exception_reason=None)
    assert status_of(listener, message("create", "1.2.3.11", begun(PatientName="=赵^䶮"))) == ["0000"]
    whole, part, nothing = say(
        listener, message("get", "1.2.3.11"), message("get", "1.2.3.11", attributes=["PerformedProcedureStepStatus"]),
        message("get", "1.2.3.11", attributes=["PatientWeight"]),
    )  # fmt: skip
    assert (nothing["status"], nothing["dataset"]) == (0, None)  # no data set is announced: none would come
    assert whole["dataset"]["PerformedStationAETitle"] == "QS_CT"
    assert "赵^䶮" in str(whole["dataset"]["PatientName"])
    assert part["dataset"]["PerformedProcedureStepStatus"] == "IN PROGRESS"
    assert "PatientName" not in part["dataset"]
    assert status_of(listener, message("get", "1.2.3.11"), calling="BS_CT") == ["0112"]
    assert status_of(listener, message("set", "1.2.3.11", ended(["1.2.3"])), calling="BS_CT") == ["0112"]
    assert status_of(listener, message("create", "1.2.3.11", begun()), calling="BS_CT") == ["0111"]


def test_the_whole_story_of_an_order(county: Township, listener: Listener, tmp_path: Path) -> None:
    """Ordered, fetched, performed, 299 of 300 sent, one missing, it comes, complete."""
    made = order(county)
    _, answers = worklists.ask(listener.port, tmp_path / "wl", ["StudyInstanceUID", "AccessionNumber"])
    (scheduled,) = worklists.read(answers)
    study_uid = str(scheduled.StudyInstanceUID)
    step_uid = generate_uid()
    assert status_of(listener, message("create", step_uid, begun(study_uid, made.accession_number))) == ["0000"]
    with county.roof.db.read() as session:
        row = session.get_one(Order, made.order_uid)
        assert (row.acquisition, row.acquisition_device) == ("in_progress", "16 排 CT")
    series = f"{study_uid}.1"
    paths = slices(
        tmp_path / "ct", 300, StudyInstanceUID=study_uid, SeriesInstanceUID=series, AccessionNumber=made.accession_number
    )
    send(county, listener, paths[:100])
    county.clock.forward(QUIET_S * 3)  # a pause, three times as long as the device's quiet time
    assert county.settle() == 0
    assert study_of(county).ready_evidence["waits_for"] == "step"
    send(county, listener, paths[100:170] + paths[171:])
    county.clock.forward(QUIET_S * 3)
    listed = uids(paths)
    assert status_of(listener, message("set", step_uid, ended(listed, series=series))) == ["0000"]
    study = study_of(county)
    assert (study.order_uid, study.n_instances, study.input_readiness, study.n_missing) == (
        made.order_uid, 299, "INCOMPLETE", 1,
    )  # fmt: skip
    evidence = study.ready_evidence
    assert (evidence["waits_for"], evidence["n_listed"], evidence["n_missing"]) == ("missing", 300, 1)
    assert evidence["missing"] == [{"series_instance_uid": series, "sop_instance_uid": listed[170]}]
    county.clock.forward(86400)
    assert county.settle() == 0
    assert study_of(county).input_readiness == "INCOMPLETE"
    send(county, listener, [paths[170]])
    study = study_of(county)
    assert (study.n_instances, study.input_readiness, study.n_missing) == (300, "READY", 0)
    assert study.ready_evidence["kind"] == "mpps"
    assert study.ready_evidence["steps"][0]["state"] == "COMPLETED"
    with county.roof.db.read() as session:
        assert session.get_one(Order, made.order_uid).acquisition == "completed"
        kinds = session.scalars(select(WorkflowEvent.kind).where(WorkflowEvent.kind.in_(("evidence", "ready")))).all()
    assert kinds == ["evidence", "evidence", "ready"]


def test_a_person_goes_on_without_what_is_missing(county: Township, listener: Listener, tmp_path: Path) -> None:
    paths = slices(tmp_path / "ct", 4)
    say(listener, message("create", "1.2.3.12", begun()))
    send(county, listener, paths[:3])
    county.clock.forward(QUIET_S)
    say(listener, message("set", "1.2.3.12", ended(uids(paths))))
    assert (study_of(county).n_missing, study_of(county).input_readiness) == (1, "INCOMPLETE")
    with county.roof.db.write() as session:
        study = session.scalars(select(Study)).one()
        for actor, reason, code in (("tech", " ", "reason_missing"), ("clinician", "x", "forbidden")):
            with pytest.raises(Refused) as refused:
                completeness_service.release(session, county.actor(actor), study, reason, county.clock())
            assert refused.value.code == code
        completeness_service.release(session, county.actor("tech"), study, "slice 4 was noise", county.clock())
        with pytest.raises(Refused, match="study_ready"):
            completeness_service.release(session, county.actor("tech"), study, "again", county.clock())
    study = study_of(county)
    assert (study.input_readiness, study.ready_evidence["kind"], study.n_missing) == ("READY", "released", 1)
    assert study.ready_evidence["reason"] == "slice 4 was noise"
    with county.roof.db.read() as session:
        audited = session.scalars(select(AuditEvent).where(AuditEvent.act == "study.release")).one()
    assert (audited.actor, audited.details["n_missing"]) == ("tech", 1)
    county.clock.forward(10)
    send(county, listener, [paths[3]])  # it comes after all
    assert study_of(county).input_readiness == "READY"
    assert study_of(county).n_missing == 0


def test_a_discontinued_step_is_complete_with_what_it_made(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    made = order(county)
    paths = slices(tmp_path / "ct", 2, AccessionNumber=made.accession_number)
    say(listener, message("create", "1.2.3.13", begun(number=made.accession_number)))
    send(county, listener, paths)
    why = {"CodeValue": "110501", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Equipment failure"}
    stop = ended(uids(paths), "DISCONTINUED", PerformedProcedureStepDiscontinuationReasonCodeSequence=[why])
    assert status_of(listener, message("set", "1.2.3.13", stop)) == ["0000"]
    study = study_of(county)
    assert (study.input_readiness, study.ready_evidence["kind"]) == ("READY", "mpps")
    assert study.ready_evidence["steps"][0] | {"ended_at": None} == {
        "state": "DISCONTINUED", "n_listed": 2, "n_missing": 0, "reason": "Equipment failure", "device": "16 排 CT",
        "ended_at": None,
    }  # fmt: skip
    with county.roof.db.read() as session:
        row = session.get_one(Order, made.order_uid)
        assert (row.acquisition, row.acquisition_reason) == ("discontinued", "Equipment failure")


def test_a_step_given_up_before_the_first_image_leaves_the_order_on_the_worklist(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    made = order(county)
    say(listener, message("create", "1.2.3.14", begun(made.study_instance_uid or "", made.accession_number)))
    stop = ended([], "DISCONTINUED", PerformedSeriesSequence=[])
    assert status_of(listener, message("set", "1.2.3.14", stop)) == ["0000"]
    _, answers = worklists.ask(listener.port, tmp_path / "wl", ["AccessionNumber"])
    assert [one.AccessionNumber for one in worklists.read(answers)] == [made.accession_number]
    say(listener, message("create", "1.2.3.15", begun(made.study_instance_uid or "", made.accession_number)))
    say(listener, message("set", "1.2.3.15", ended(["1.2.3.99"])))
    _, answers = worklists.ask(listener.port, tmp_path / "wl", ["AccessionNumber"])
    assert answers == []  # acquired: its images are on their way


def test_a_device_that_never_ends_its_step_does_not_hold_a_study_for_ever(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    paths = slices(tmp_path / "ct", 2)
    say(listener, message("create", "1.2.3.16", begun()))
    send(county, listener, paths[:1])
    county.clock.forward(29 * 60)
    assert county.settle() == 0
    county.clock.forward(60)
    assert county.settle() == 1
    assert study_of(county).ready_evidence["kind"] == "association_closed"
    say(listener, message("set", "1.2.3.16", ended(uids(paths))))  # and then it says that there are two
    assert (study_of(county).input_readiness, study_of(county).n_missing) == ("INCOMPLETE", 1)


def test_commitment_is_evidence_too(county: Township, listener: Listener, tmp_path: Path) -> None:
    allow(county, "QS_CT", port=None)
    paths = slices(tmp_path / "ct", 3)
    send(county, listener, paths[:2])
    references = [[CT, uid] for uid in uids(paths)]
    with script(
        "commitment.js", "ask", port=listener.port, **{"from": "QS_CT", "to": "TELEREAD"}, transaction="1.2.3.50",
        references=references, lingerMs=3000,
    ) as peer:  # fmt: skip
        assert peer.wait("event")["event"] == 2  # failures exist
    county.clock.forward(QUIET_S)
    assert county.settle() == 0
    study = study_of(county)
    assert (study.input_readiness, study.n_missing) == ("INCOMPLETE", 1)
    assert study.ready_evidence["commitment"] == {"n_listed": 3, "n_missing": 1}
    send(county, listener, paths[2:])
    county.clock.forward(QUIET_S)
    assert county.settle() == 1
    assert study_of(county).ready_evidence["kind"] == "commitment"


def test_dose_is_kept_and_shown_with_the_study(county: Township, listener: Listener, tmp_path: Path) -> None:
    (path,) = slices(tmp_path / "ct", 1)
    dose = {
        "ExposureDoseSequence": [
            {"KVP": "120", "XRayTubeCurrentInuA": "200000", "ExposureTime": "1500", "CTDIvol": 41.5},
            {"KVP": "100", "CTDIvol": 9.25, "CommentsOnRadiationDose": "DLP=212.6"},
        ],
        "CommentsOnRadiationDose": "Event=1 DLP=633.1 Total DLP: 845.7 mGycm", "TotalNumberOfExposures": 2,
        "ImageAndFluoroscopyAreaDoseProduct": "1.75",
    }  # fmt: skip
    say(listener, message("create", "1.2.3.17", begun()), message("set", "1.2.3.17", ended(uids([path])) | dose))
    send(county, listener, [path])
    with county.roof.db.read() as session:
        shown = completeness_service.evidence_json(session, session.scalars(select(Study)).one())["dose"]
    values = {(one["event"], one["quantity"]): (one["value"], one["unit"]) for one in shown}
    assert values == {
        (0, "ImageAndFluoroscopyAreaDoseProduct"): (1.75, "dGy·cm²"), (0, "TotalNumberOfExposures"): (2, ""),
        (1, "CTDIvol"): (41.5, "mGy"), (1, "KVP"): (120, "kV"), (1, "XRayTubeCurrentInuA"): (200000, "µA"),
        (1, "ExposureTime"): (1500, "ms"), (2, "CTDIvol"): (9.25, "mGy"), (2, "KVP"): (100, "kV"),
        (2, "DLP"): (212.6, "mGy·cm"), (0, "DLP"): (845.7, "mGy·cm"),
    }  # fmt: skip


def test_a_step_of_a_walk_in_belongs_to_the_order_made_from_its_object(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    (path,) = slices(tmp_path / "ct", 1)
    say(listener, message("create", "1.2.3.18", begun()))
    send(county, listener, [path])
    with county.roof.db.read() as session:
        row = session.get_one(Order, study_of(county).order_uid)
        assert (row.made_from_object, row.acquisition) == (True, "in_progress")


def test_a_step_of_another_site_says_nothing_of_a_study(county: Township, listener: Listener, tmp_path: Path) -> None:
    allow(county, "BS_CT", site="BAISHUI", exception_reason=None)
    paths = slices(tmp_path / "ct", 1)
    send(county, listener, paths)
    say(listener, message("create", "1.2.3.19", begun()), message("set", "1.2.3.19", ended(["1.2.3"])), calling="BS_CT")
    county.clock.forward(QUIET_S)
    assert county.settle() == 1
    assert study_of(county).ready_evidence["steps"] == []
    with county.roof.db.read() as session:
        assert session.scalars(select(Instance.id)).one()
        assert session.scalars(select(Device.quiet_time_s).where(Device.ae_title == "QS_CT")).one() == QUIET_S
        since = county.clock() - timedelta(days=1)
        assert order_service.orders_without_study(session, 2, since, county.roof.settings.zone) == []
