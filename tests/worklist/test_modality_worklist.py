"""Modality Worklist against DCMTK: answers equal to wlmscpfs's, names as a device shows them, whose orders."""

import re
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select, update

from pacs_bridge import character_set
from pacs_bridge.listener import Listener
from pacs_bridge.modality_worklist import STEP, read, write
from pacs_bridge.ports import Peer
from pacs_bridge.spoken import spoken
from tests.peers import dcmtk, worklists
from tests.peers.instances import write_instance
from tests.peers.listening import allow
from tests.peers.township import Township
from worklist import order_service, scheduled_service
from worklist.acquisition_tables import WorklistFetch
from worklist.base.audit import AuditEvent
from worklist.order_service import OrderRequest
from worklist.person import spelled
from worklist.tables import Device, Order, Patient, Study

EVERY_ATTRIBUTE = (
    "AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedurePriority",
    "ReasonForTheRequestedProcedure", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
    "RequestingPhysician", "ReferringPhysicianName", "IssuerOfPatientID", "ReferencedStudySequence",
    "ReferencedPatientSequence", "RequestedProcedureCodeSequence", "PatientWeight", "MedicalAlerts", "AdmissionID",
    f"{STEP}[0].Modality", f"{STEP}[0].ScheduledStationAETitle", f"{STEP}[0].ScheduledProcedureStepStartDate",
    f"{STEP}[0].ScheduledProcedureStepStartTime", f"{STEP}[0].ScheduledProcedureStepDescription",
    f"{STEP}[0].ScheduledProcedureStepID", f"{STEP}[0].ScheduledPerformingPhysicianName",
)  # fmt: skip


def request(**changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "patient_name": "Adams John", "patient_id": "P-1", "sex": "M", "birth_date": date(1960, 5, 6),
        "modality": "CT", "body_part": "HEAD", "complaint": "fall", "question": "bleeding?", "priority": "urgent",
        "pathway": None, "requesting_doctor": "Wang Xiaolan",
    }  # fmt: skip
    return OrderRequest(**values | changes)


def order(county: Township, username: str = "tech", **changes: Any) -> Order:
    with county.roof.db.write() as session:
        return order_service.create_order(
            session, county.actor(username), request(**changes), zone=county.roof.settings.zone, now=county.clock()
        )


def ask(listener: Listener, folder: Path, *keys: str, **options: Any) -> list[Dataset]:
    result, paths = worklists.ask(listener.port, folder, keys, **options)
    assert worklists.statuses(result)[-1] == "0000", result.stderr
    return worklists.read(paths)


def entry(county: Township, made: Order, peer: Peer) -> Dataset:
    """An order as a worklist file: everything that we would answer."""
    with county.roof.db.read() as session:
        steps = scheduled_service.steps(
            session, peer, read(Dataset(), ""), zone=county.roof.settings.zone, now=county.clock()
        )
    step = next(step for step in steps if step.order_uid == made.order_uid)
    return spoken(write(step, read(Dataset(), "")), "ISO_IR 192", spelled)


MATRIX = [
    (), ("PatientName=Adams John",), ("PatientName=Adam*",), ("PatientName=*Jane",), ("PatientName=A?ams*",),
    ("PatientID=P-1",), ("PatientID=p-1",), ("AccessionNumber=QS26030200001",),
    ("AccessionNumber=QS260302*",), ("RequestedProcedureID=QS26030200002",), (f"{STEP}[0].Modality=CT",),
    (f"{STEP}[0].Modality=MR",), (f"{STEP}[0].ScheduledStationAETitle=QS_CT",),
    (f"{STEP}[0].ScheduledStationAETitle=NOBODY",), (f"{STEP}[0].ScheduledProcedureStepStartDate=20260302",),
    (f"{STEP}[0].ScheduledProcedureStepStartDate=20260303",),
    (f"{STEP}[0].ScheduledProcedureStepStartDate=20260302-20260303",),
    (f"{STEP}[0].ScheduledProcedureStepStartDate=20260303-",), (f"{STEP}[0].ScheduledProcedureStepStartDate=-20260302",),
    (f"{STEP}[0].ScheduledProcedureStepStartDate=20260302", f"{STEP}[0].ScheduledProcedureStepStartTime=090000-100000"),
    (f"{STEP}[0].ScheduledProcedureStepStartDate=20260302-20260303",
     f"{STEP}[0].ScheduledProcedureStepStartTime=100000-080000"),
    ("PatientName=Adam*", f"{STEP}[0].Modality=CT", f"{STEP}[0].ScheduledProcedureStepStartDate=20260302-"),
]  # fmt: skip
COMPARED = (
    "AccessionNumber", "RequestedProcedureID", "RequestedProcedurePriority", "PatientName", "PatientID",
    "PatientBirthDate", "PatientSex", "StudyInstanceUID", "RequestedProcedureDescription",
)  # fmt: skip
COMPARED_OF_STEP = (
    "Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepDescription", "ScheduledProcedureStepID",
)  # fmt: skip


def said(answers: list[Dataset]) -> list[tuple[str, ...]]:
    return sorted(
        tuple(str(one.get(keyword, "")) for keyword in COMPARED)
        + tuple(str(one[STEP].value[0].get(keyword, "")) for keyword in COMPARED_OF_STEP)
        for one in answers
    )


def test_the_same_queries_have_the_same_answers_as_from_wlmscpfs(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    peer_id = allow(county, "QS_CT", exception_reason=None)
    made = [order(county), order(county, patient_name="Adamson Jane", patient_id="P-2", sex="F", priority="stat")]
    county.clock.forward(23 * 3600)
    made.append(order(county, patient_name="Baker Ann", patient_id="Q-3", priority="routine", body_part="CHEST"))
    with county.roof.db.read() as session:
        site_id = session.get_one(Device, peer_id).site_id
    peer = Peer(peer_id, site_id, "QS_CT", frozenset(("worklist",)), 20, "GB18030")
    with worklists.wlmscpfs(tmp_path / "wl", [entry(county, one, peer) for one in made]) as port:
        for number, wanted in enumerate(MATRIX):
            keys = [key for key in EVERY_ATTRIBUTE if not any(one.startswith(f"{key}=") for one in wanted)]
            folder = tmp_path / f"q{number}"
            ours = ask(listener, folder / "ours", *wanted, *keys)
            result, paths = worklists.ask(port, folder / "theirs", [*wanted, *keys], called="OTHER_WL")
            assert worklists.statuses(result)[-1] == "0000", result.stderr
            assert said(ours) == said(worklists.read(paths)), wanted
            assert not ours or set(worklists.statuses(result)[:-1]) <= {"ff00", "ff01"}
    assert len(ask(listener, tmp_path / "all", *EVERY_ATTRIBUTE)) == 3


def test_an_answer_has_what_a_modality_needs(county: Township, listener: Listener, tmp_path: Path) -> None:
    made = order(county, patient_name="欧阳娜娜", question="有无出血", complaint="外伤后头痛", priority="stat")
    (answer,) = ask(listener, tmp_path / "a", *EVERY_ATTRIBUTE)
    assert answer.PatientName == "Ouyang^Nana=欧阳^娜娜"
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert (answer.AccessionNumber, answer.RequestedProcedureID) == (made.accession_number, made.accession_number)
    assert answer.StudyInstanceUID == made.study_instance_uid
    assert (answer.PatientID, answer.PatientSex, answer.PatientBirthDate) == ("P-1", "M", "19600506")
    assert (answer.IssuerOfPatientID, answer.RequestedProcedurePriority) == ("QINGSHAN", "HIGH")
    assert answer.ReasonForTheRequestedProcedure == "有无出血"
    assert answer.RequestingPhysician == "Wang Xiaolan"
    for empty in ("ReferencedStudySequence", "ReferencedPatientSequence", "RequestedProcedureCodeSequence"):
        assert list(answer[empty].value) == []
    step = answer[STEP].value[0]
    assert (step.ScheduledStationAETitle, step.Modality) == ("QS_CT", "CT")
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == ("20260302", "093000")
    assert step.ScheduledProcedureStepID == made.accession_number
    (everything,) = ask(listener, tmp_path / "b", f"{STEP}[0].Modality=CT")  # one key, one attribute
    assert [one.keyword for one in everything[STEP].value[0]] == ["Modality"]


@pytest.mark.parametrize("typed", ["欧阳*", "=欧阳^娜娜", "Ouyang^N*", "ouyangnana", "oynn", "OUYANG*", "*娜"])
def test_a_name_is_found_however_it_is_typed(county: Township, listener: Listener, tmp_path: Path, typed: str) -> None:
    order(county, patient_name="欧阳娜娜")
    order(county, patient_name="郑立群", patient_id="P-2")
    keys = ["SpecificCharacterSet=ISO_IR 192", f"PatientName={typed}", "PatientID"]
    (answer,) = ask(listener, tmp_path / "a", *keys)
    assert answer.PatientName == "Ouyang^Nana=欧阳^娜娜"


def test_each_device_is_told_the_orders_of_its_site_and_kind(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    ct, film = order(county), order(county, modality="DR", body_part="CHEST")
    there = order(county, "tech2", modality="DR")
    number = "AccessionNumber"
    assert [one.AccessionNumber for one in ask(listener, tmp_path / "ct", number)] == [ct.accession_number]
    of_film = ask(listener, tmp_path / "dr", number, f"{STEP}[0].Modality", calling="QS_DR")
    assert [(one.AccessionNumber, one[STEP].value[0].Modality) for one in of_film] == [(film.accession_number, "DX")]
    as_cr = ask(listener, tmp_path / "cr", number, f"{STEP}[0].Modality=CR", calling="QS_DR")
    assert [one[STEP].value[0].Modality for one in as_cr] == ["CR"]
    assert [one.AccessionNumber for one in ask(listener, tmp_path / "bs", number, calling="BS_DR")] == [
        there.accession_number
    ]
    # a console of the township asks for another station's list
    of_station = ask(listener, tmp_path / "s", number, f"{STEP}[0].ScheduledStationAETitle=QS_DR")
    assert [one.AccessionNumber for one in of_station] == [film.accession_number]
    assert ask(listener, tmp_path / "x", number, f"{STEP}[0].ScheduledStationAETitle=BS_DR") == []


def test_a_device_without_the_service_is_refused_the_context(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    allow(county, "QS_CT", services=["echo", "store"])
    result, paths = worklists.ask(listener.port, tmp_path / "a", ["PatientID"])
    assert result.returncode != 0
    assert paths == []


@pytest.mark.parametrize(
    ("term", "name", "sent", "in_file"),
    [
        ("ISO_IR 192", "赵䶮", "Zhao^Yan=赵^䶮", "utf_8"), ("ISO_IR 192", "𠮷野", "Ji^Ye=𠮷^野", "utf_8"),
        ("GB18030", "赵䶮", "Zhao^Yan=赵^䶮", "gb18030"), ("GB18030", "陶喆", "Tao^Zhe=陶^喆", "gb18030"),
        ("GB18030", "李珺", "Li^Jun=李^珺", "gb18030"), ("GB18030", "𠮷野", "Ji^Ye=𠮷^野", "gb18030"),
        ("GBK", "陶喆", "Tao^Zhe=陶^喆", "gbk"), ("GBK", "赵䶮", "Zhao^Yan", ""), ("GBK", "𠮷野", "Ji^Ye", ""),
        ("ISO 2022 IR 58", "张三", "Zhang^San=张^三", "58"), ("ISO 2022 IR 58", "李珺", "Li^Jun", ""),
        ("ISO_IR 100", "张三", "Zhang^San", ""), ("ISO_IR 6", "赵䶮", "Zhao^Yan", ""),
    ],
)  # fmt: skip
def test_a_name_arrives_as_the_device_can_show_it(
    county: Township, listener: Listener, tmp_path: Path, term: str, name: str, sent: str, in_file: str
) -> None:
    allow(county, "QS_CT", character_set=term)
    made = order(county, patient_name=name, question="䶮", complaint="𠮷" * 40, body_part="")
    _, (path,) = worklists.ask(listener.port, tmp_path / "a", EVERY_ATTRIBUTE)
    content = path.read_bytes()
    codec = {"58": "gb2312"}.get(in_file, in_file or "ascii")
    escape = b"\x1b$)A" if in_file == "58" else b""
    written = b"^".join(escape + part.encode(codec) for part in sent.rpartition("=")[2].split("^"))
    assert written in content
    assert b"?" not in content
    (answer,) = worklists.read([path])
    terms = answer.get("SpecificCharacterSet", "")
    raw = answer.get_item("PatientName").value if in_file == "58" else None
    found = character_set.decode(raw, ("", term), "").value if raw else str(answer.PatientName)
    assert found.rstrip() == sent
    assert all(len(group) <= 64 for group in found.split("="))
    assert terms == ("" if not in_file else ["", term] if in_file == "58" else term)
    if in_file:  # another implementation reads the same
        dump = dcmtk.run("dcmdump", "+U8", str(path)).stdout
        assert f"[{sent}]" in dump.replace(" ]", "]"), dump
    with county.roof.db.read() as session:
        (fetch,) = session.scalars(select(WorklistFetch))
        assert (fetch.order_uid, fetch.name_sent) == (made.order_uid, sent)
        shown = scheduled_service.shown_on_devices(session, made.site_id, "CT", name)
    (device,) = [one for one in shown if one["ae_title"] == "QS_CT"]
    assert (device["name"], device["is_spelled"]) == (name if in_file else sent.replace("^", " "), not in_file)


@pytest.mark.parametrize(
    ("by", "came"),
    [("number", "Zhao^Yan"), ("study", "ZHAO YAN"), ("study", "zhao^yan^^"), ("both", "Zhao^Yan=")],
)  # fmt: skip
def test_what_comes_back_under_the_sent_name_is_the_same_person(
    county: Township, listener: Listener, tmp_path: Path, by: str, came: str
) -> None:
    allow(county, "QS_CT", character_set="GBK")
    made = order(county, patient_name="赵䶮")
    (answer,) = ask(listener, tmp_path / "a", "StudyInstanceUID", "AccessionNumber", "PatientID")
    values = {"PatientName": came, "PatientID": "P-1", "PatientSex": "M", "PatientBirthDate": "19600506", "side": 8}
    if by != "number":
        values["StudyInstanceUID"] = answer.StudyInstanceUID
    if by != "study":
        values["AccessionNumber"] = answer.AccessionNumber
    (tmp_path / "f").mkdir()
    paths = [write_instance(tmp_path / "f", **values) for _ in range(2)]
    sent = dcmtk.storescu(listener.port, "QS_CT", paths[:1])
    assert sent.returncode == 0, sent.stderr
    with county.roof.db.read() as session:
        (study,) = session.scalars(select(Study))
        patients = session.scalars(select(Patient)).all()
        assert study.order_uid == made.order_uid
        assert [(one.id, one.name, one.name_is_doubtful) for one in patients] == [(study.patient_pk, "赵䶮", False)]
    if by == "both":  # another image of the study later, by the long way and the short one
        assert dcmtk.storescu(listener.port, "QS_CT", paths[1:]).returncode == 0
    assert ask(listener, tmp_path / "b", "AccessionNumber") == []  # it has its images


def test_another_name_or_birth_date_is_another_person(county: Township, listener: Listener, tmp_path: Path) -> None:
    allow(county, "QS_CT", character_set="GBK")
    made = order(county, patient_name="赵䶮")
    ask(listener, tmp_path / "a", "PatientName")
    (tmp_path / "f").mkdir()
    common = {"PatientID": "P-1", "AccessionNumber": made.accession_number, "PatientSex": "M", "side": 8}
    for values in ({"PatientName": "Zhou^Yan"}, {"PatientName": "Zhao^Yan", "PatientBirthDate": "19600507"}):
        path = write_instance(tmp_path / "f", **common | values)
        assert dcmtk.storescu(listener.port, "QS_CT", [path]).returncode == 0
    with county.roof.db.read() as session:
        names = sorted(session.scalars(select(Patient.name)))
    assert names == ["Zhao Yan", "Zhou Yan", "赵䶮"]


def test_fetching_is_told_once_and_writes_little(county: Township, listener: Listener, tmp_path: Path) -> None:
    made = order(county)
    for _ in range(3):
        ask(listener, tmp_path / "a", "AccessionNumber")
        county.clock.forward(30)
    with county.roof.db.read() as session:
        row = session.get_one(Order, made.order_uid)
        assert (row.acquisition, row.acquisition_device) == ("fetched", "16 排 CT")
        (audited,) = session.scalars(select(AuditEvent).where(AuditEvent.act == "worklist.fetch"))
        assert audited.details == {"new": 1}
        assert session.scalars(select(WorklistFetch)).one().last_at < county.clock()


def test_a_cancel_ends_the_answers(county: Township, listener: Listener, tmp_path: Path) -> None:
    for number in range(60):
        order(county, patient_id=f"P-{number}", patient_name=f"Patient {number}")
    started = time.monotonic()
    result, paths = worklists.ask(listener.port, tmp_path / "a", EVERY_ATTRIBUTE, options=("--cancel", "2"))
    assert time.monotonic() - started < 10
    assert worklists.statuses(result)[-1] == "fe00", result.stderr
    assert len(paths) < 60


def test_a_key_that_is_no_value_is_refused_and_an_unknown_one_said(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    order(county)
    result, _ = worklists.ask(listener.port, tmp_path / "a", [f"{STEP}[0].ScheduledProcedureStepStartDate=yesterday"])
    assert worklists.statuses(result)[-1] == "a900"
    result, paths = worklists.ask(listener.port, tmp_path / "b", ["PatientWeight=70", "PatientID"])
    assert (worklists.statuses(result)[0], len(paths)) == ("ff01", 1)
    assert re.search("yesterday", result.stdout) is None or "Error Comment" not in result.stdout


def test_orders_of_the_past_get_their_study_uid_when_fetched(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    made = order(county)
    with county.roof.db.write() as session:
        session.execute(update(Order).values(study_instance_uid=None))
    (answer,) = ask(listener, tmp_path / "a", "StudyInstanceUID")
    with county.roof.db.read() as session:
        assert session.get_one(Order, made.order_uid).study_instance_uid == answer.StudyInstanceUID
