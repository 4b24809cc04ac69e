"""C-FIND against DCMTK: answers equal to dcmqrscp's, names as they are typed, who sees what, and a cancel."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select, update

from pacs_bridge.find_scp import PATIENT_ROOT, STUDY_ROOT
from pacs_bridge.listener import Listener
from tests.peers import dcmtk
from tests.peers.dcmqrscp import dcmqrscp
from tests.peers.instances import write_instance
from tests.peers.listening import allow, receive_all
from tests.peers.relay import relay
from tests.peers.township import Township, township
from worklist import query_rows
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.tables import Instance, Study

UNIQUE = {
    "PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID",
}  # fmt: skip
S1, S2, S3, S4 = (f"1.2.826.0.1.3680043.9.77.{number}" for number in (1, 2, 3, 4))


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT")
        yield made


def find(
    port: int, folder: Path, level: str, *keys: str, root: str = "-S", calling: str = "QS_CT", called: str = "TELEREAD",
    options: tuple[str, ...] = (),
    query: Path | None = None,
) -> tuple["subprocess.CompletedProcess[str]", list[Dataset]]:  # fmt: skip
    """What findscu was answered, as data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("rsp*.dcm"):
        old.unlink()
    wanted = [word for key in (f"QueryRetrieveLevel={level}", *keys) for word in ("-k", key)]
    result = dcmtk.run(
        "findscu", "-v", "-d", root, "-X", "-od", str(folder), *options, "-aet", calling, "-aec", called, *wanted,
        "127.0.0.1", str(port), *([str(query)] if query else []),
    )  # fmt: skip
    return result, [pydicom.dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]


def statuses(result: "subprocess.CompletedProcess[str]") -> list[str]:
    return re.findall(r"DIMSE Status\s*: 0x([0-9a-f]{4})", result.stdout + result.stderr)


def files(folder: Path) -> list[Path]:
    """Four studies of three people: two series in one, dates, times and numbers apart."""
    folder.mkdir()
    common = {"side": 8, "SpecificCharacterSet": "ISO_IR 100", "StudyTime": "103000"}
    first = common | {
        "StudyInstanceUID": S1, "PatientID": "P-1", "PatientName": "Adams^John", "StudyDate": "20260102",
        "AccessionNumber": "A100", "StudyID": "7", "SeriesInstanceUID": S1 + ".1", "SeriesNumber": "1",
    }  # fmt: skip
    second = common | {
        "StudyInstanceUID": S2, "PatientID": "P-1", "PatientName": "Adams^John", "StudyDate": "20260105",
        "AccessionNumber": "A200", "StudyTime": "080000", "StudyID": "8",
    }  # fmt: skip
    third = common | {
        "StudyInstanceUID": S3, "PatientID": "P-2", "PatientName": "Adamson^Jane", "StudyDate": "20260210",
        "AccessionNumber": "A100[1]", "StudyTime": "235959.5", "PatientBirthDate": "19700101", "PatientSex": "F",
    }  # fmt: skip
    fourth = common | {
        "StudyInstanceUID": S4, "PatientID": "Q_3", "PatientName": "M\u00fcller^Ute", "StudyDate": "20251231",
        "AccessionNumber": "b%5", "StudyTime": "1200",
    }  # fmt: skip
    return [
        write_instance(folder, **first, InstanceNumber="1"), write_instance(folder, **first, InstanceNumber="2"),
        write_instance(folder, **first | {"SeriesInstanceUID": S1 + ".2", "SeriesNumber": "2", "Modality": "SR"}),
        write_instance(folder, **second), write_instance(folder, **third), write_instance(folder, **fourth),
    ]  # fmt: skip


MATRIX = [
    ("-S", "STUDY"), ("-S", "STUDY", "PatientName=Adams^John"), ("-S", "STUDY", "PatientName=Adam*"),
    ("-S", "STUDY", "PatientName=A?ams*^J*"), ("-S", "STUDY", "PatientName=*ohn"), ("-S", "STUDY", "PatientID=P-?"),
    ("-S", "STUDY", "PatientID=p-1"), ("-S", "STUDY", "PatientID=Q_*"), ("-S", "STUDY", "PatientID=*_*"),
    ("-S", "STUDY", "AccessionNumber=A100"), ("-S", "STUDY", "AccessionNumber=A1*"),
    ("-S", "STUDY", "AccessionNumber=*[1]"), ("-S", "STUDY", "AccessionNumber=b%*"),
    ("-S", "STUDY", "AccessionNumber=a100"), ("-S", "STUDY", "StudyDate=20260102"),
    ("-S", "STUDY", "StudyDate=20260102-20260105"), ("-S", "STUDY", "StudyDate=-20260102"),
    ("-S", "STUDY", "StudyDate=20260105-"), ("-S", "STUDY", "StudyTime=103000"),
    ("-S", "STUDY", "StudyTime=100000-120000"), ("-S", "STUDY", "StudyTime=-0900"), ("-S", "STUDY", "StudyID=7"),
    ("-S", "STUDY", f"StudyInstanceUID={S1}\\{S3}"), ("-S", "STUDY", f"StudyInstanceUID={S1}\\1.2.3"),
    ("-S", "STUDY", "StudyInstanceUID=1.2.3"), ("-S", "STUDY", "PatientName=Adam*", "StudyDate=20260201-"),
    ("-S", "SERIES", f"StudyInstanceUID={S1}"), ("-S", "SERIES", f"StudyInstanceUID={S1}", "Modality=CT"),
    ("-S", "SERIES", f"StudyInstanceUID={S1}", "Modality=*R"), ("-S", "SERIES", f"StudyInstanceUID={S1}", "SeriesNumber=2"),
    ("-S", "IMAGE", f"StudyInstanceUID={S1}", f"SeriesInstanceUID={S1}.1"),
    ("-S", "IMAGE", f"StudyInstanceUID={S1}", f"SeriesInstanceUID={S1}.1", "InstanceNumber=2"),
    ("-P", "PATIENT"), ("-P", "PATIENT", "PatientID=P-1"), ("-P", "PATIENT", "PatientName=*s*"),
    ("-P", "STUDY", "PatientID=P-1"), ("-P", "STUDY", "PatientID=P-1", "StudyDate=20260103-"),
    ("-P", "SERIES", "PatientID=P-1", f"StudyInstanceUID={S1}"), ("-O", "PATIENT", "PatientName=Adams*"),
    ("-O", "STUDY", "PatientID=P-2"),
]  # fmt: skip
# What both must say of each answer.
COMPARED = {
    "PATIENT": ("PatientID", "PatientName", "PatientSex", "PatientBirthDate"),
    "STUDY": ("StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"),
    "SERIES": ("SeriesInstanceUID", "Modality", "SeriesNumber"), "IMAGE": ("SOPInstanceUID", "InstanceNumber"),
}  # fmt: skip


def as_said(answers: list[Dataset], level: str) -> set[tuple[str, ...]]:
    found = {tuple(str(one.get(keyword, "")).strip() for keyword in COMPARED[level]) for one in answers}
    assert len(found) == len(answers)
    return found


def test_answers_equal_those_of_dcmqrscp(county: Township, listener: Listener, tmp_path: Path) -> None:
    paths, n_answers = files(tmp_path / "sent"), 0
    receive_all(county, paths)
    with dcmqrscp(tmp_path, paths) as oracle:
        for root, level, *keys in MATRIX:
            asked = [
                *(keyword for keyword in COMPARED[level] if not any(key.startswith(keyword) for key in keys)),
                *keys,
            ]
            ours = find(listener.port, tmp_path / "ours", level, *asked, root=root)
            theirs = find(oracle, tmp_path / "theirs", level, *asked, root=root, called="ORACLE")
            assert as_said(ours[1], level) == as_said(theirs[1], level), (root, level, keys)
            assert statuses(ours[0])[-1:] == ["0000"], (root, level, keys, ours[0].stderr)
            n_answers += len(theirs[1])
    assert n_answers > len(MATRIX)


REFUSED = [
    ("SERIES", ("Modality=CT",), "0020,000d"),
    ("IMAGE", (f"StudyInstanceUID={S1}", f"SeriesInstanceUID={S1}.1\\{S1}.2"), "0020,000e"),
    ("STUDY", ("StudyDate=2026",), "0008,0020"), ("STUDY", ("StudyInstanceUID=1.2.*",), "0020,000d"),
    ("PATIENT", ("PatientID",), "0008,0052"), ("WARD", ("PatientID",), "0008,0052"),
]  # fmt: skip


def test_what_is_no_identifier_is_refused_with_its_element(listener: Listener, tmp_path: Path) -> None:
    for level, keys, element in REFUSED:
        result, answers = find(listener.port, tmp_path / "out", level, *keys)
        said = (result.stdout + result.stderr).lower()
        assert (statuses(result)[-1], answers) == ("a900", [])
        assert f"({element})" in said


RELATIONAL = [
    ("-S", "SERIES", ("PatientID=P-1", "Modality=CT"), 2), ("-S", "IMAGE", (f"SeriesInstanceUID={S1}.2",), 1),
    ("-P", "STUDY", ("StudyDate=20260101-20260110",), 2),
]  # fmt: skip


def test_relational_queries_need_their_negotiation(county: Township, listener: Listener, tmp_path: Path) -> None:
    """PS3.4 C.4.1.2.2: with it no key above the level is needed; without it each is (C.4.1.2.1)."""
    receive_all(county, files(tmp_path / "sent"))
    with relay(listener.port, extended={STUDY_ROOT: b"\1", PATIENT_ROOT: b"\1\0\0\0\1"}) as way:
        for root, level, keys, number in RELATIONAL:
            result, answers = find(way.port, tmp_path / "out", level, *keys, root=root)
            assert statuses(result)[-1] == "0000", (level, keys)
            assert len({str(one[UNIQUE[level]].value) for one in answers}) == len(answers) == number, (level, keys)
        assert way.answers == {STUDY_ROOT: b"\1", PATIENT_ROOT: b"\1\0\0\0\0"}  # as wished; no enhanced conversion
    with relay(listener.port, extended={PATIENT_ROOT: b"\0\1"}) as way:  # something else was negotiated
        refused, none = find(way.port, tmp_path / "out", *RELATIONAL[2][1:2], *RELATIONAL[2][2], root="-P")
        assert (statuses(refused)[-1], none) == ("a900", [])


def named(folder: Path) -> list[Path]:
    folder.mkdir()
    names = {
        "=\u90d1^\u7acb\u7fa4": "N1", "Zheng^Lihua=\u90d1^\u4e3d\u534e": "N2", "\u5355\u5c0f\u7ea2": "N3",
        "=\u4dae\u5609\u5586": "N4", "=\U00020bb7\u73fa": "N5", "Zlq^Latin": "N6",
    }  # fmt: skip
    return [
        write_instance(folder, side=8, PatientName=name, PatientID=patient_id, StudyDescription="\u80f8\u90e8")
        for name, patient_id in names.items()
    ]


def asking(folder: Path, term: str, name: str) -> Path:
    """A query file in a character set, for findscu."""
    query = Dataset()
    query.SpecificCharacterSet = term
    query.QueryRetrieveLevel, query.PatientName, query.PatientID, query.StudyDescription = "STUDY", name, "", ""
    folder.mkdir(exist_ok=True)
    path = folder / "query.dcm"
    pydicom.dcmwrite(path, query, implicit_vr=False, little_endian=True)
    return path


@pytest.mark.parametrize("term", ["GB18030", "ISO_IR 192"])
def test_names_are_found_as_they_are_typed(county: Township, listener: Listener, tmp_path: Path, term: str) -> None:
    receive_all(county, named(tmp_path / "sent"))
    allow(county, "QS_CT", character_set=term)
    for typed, expected in {
        "\u90d1\u7acb\u7fa4": "N1",
        "\u90d1^\u7acb\u7fa4": "N1",
        "\u90d1*": "N1 N2",
        "*\u5c0f\u7ea2": "N3",
        "zhengliqun": "N1",
        "Zheng^Liqun": "N1",
        "ZHENG*": "N1 N2",
        "zlq": "N1",
        "zlq*": "N1 N6",
        "zlh": "N2",
        "shanxiaohong": "N3",
        "=\u90d1*": "N1 N2",
        "Zheng*=\u90d1*": "N2",
        "\u4dae*": "N4",
        "\U00020bb7?": "N5",
        "\u738b*": "",
    }.items():
        path = asking(tmp_path / "asked", term, typed)
        _, answers = find(listener.port, tmp_path / "out", "STUDY", query=path)
        assert " ".join(sorted(one.PatientID for one in answers)) == expected, typed
        for one in answers:
            assert one.get("SpecificCharacterSet") == term
            assert one.StudyDescription == "\u80f8\u90e8"
            assert "?" not in str(one.PatientName)


SPELLED = [
    ("GBK", "\u4dae\u5609\u5586", "Yanjiazhe"), ("GBK", "=\u90d1^\u7acb\u7fa4", "=\u90d1^\u7acb\u7fa4"),
    ("ISO_IR 6", "=\u90d1^\u7acb\u7fa4", "Zheng^Liqun"), ("ISO_IR 100", "M\u00fcller^Ute", "M\u00fcller^Ute"),
    ("ISO_IR 6", "M\u00fcller^Ute", "Muller^Ute"), ("ISO_IR 6", "Li^Si=\u674e^\u56db", "Li^Si"),
]  # fmt: skip


def test_what_a_peer_cannot_write_goes_out_spelled(county: Township, listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    receive_all(county, [
        write_instance(tmp_path / "sent", side=8, PatientName=name, PatientID=f"S{number}", StudyDescription="")
        for number, (_, name, _) in enumerate(SPELLED)
    ])  # fmt: skip
    for number, (term, _, shown) in enumerate(SPELLED):
        allow(county, "QS_CT", character_set=term)
        _, (one,) = find(listener.port, tmp_path / "out", "STUDY", f"PatientID=S{number}", "PatientName")
        assert str(one.PatientName) == shown
        assert one.get("SpecificCharacterSet", "") == ("" if shown.isascii() else term)


def test_counts_lists_and_hidden_instances(county: Township, listener: Listener, tmp_path: Path) -> None:
    receive_all(county, files(tmp_path / "sent"))
    keys = ("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "SOPClassesInStudy")
    _, (one,) = find(listener.port, tmp_path / "out", "STUDY", f"StudyInstanceUID={S1}", *keys)
    assert (list(one.ModalitiesInStudy), one.NumberOfStudyRelatedSeries, one.NumberOfStudyRelatedInstances) == (
        ["CT", "SR"], 2, 3,
    )  # fmt: skip
    assert one.SOPClassesInStudy == "1.2.840.10008.5.1.4.1.1.2"
    assert (one.RetrieveAETitle, one.InstanceAvailability) == ("TELEREAD", "ONLINE")
    of_patient = ("NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances")
    _, (patient,) = find(listener.port, tmp_path / "out", "PATIENT", "PatientID=P-1", *of_patient, root="-P")
    assert [int(patient[keyword].value) for keyword in of_patient] == [2, 3, 4]
    with_sr = find(listener.port, tmp_path / "out", "STUDY", "ModalitiesInStudy=SR\\ECG")[1]
    assert [found.StudyInstanceUID for found in with_sr] == [S1]
    with county.roof.db.write() as session:  # as a rejection note does
        session.execute(update(Instance).where(Instance.sop_instance_uid.in_(
            [str(pydicom.dcmread(path).SOPInstanceUID) for path in (tmp_path / "sent").iterdir()
             if pydicom.dcmread(path).Modality == "SR" or pydicom.dcmread(path).StudyInstanceUID == S2]
        )).values(hidden_code="113001"))  # fmt: skip
        session.execute(update(Study).where(Study.study_instance_uid == S1).values(n_instances=2))
        session.execute(update(Study).where(Study.study_instance_uid == S2).values(n_instances=0))
    _, answers = find(listener.port, tmp_path / "out", "STUDY", "PatientID=P-1", *keys)
    assert [(one.StudyInstanceUID, one.ModalitiesInStudy, one.NumberOfStudyRelatedSeries) for one in answers] == [
        (S1, "CT", 1)
    ]
    _, series = find(
        listener.port, tmp_path / "out", "SERIES", f"StudyInstanceUID={S1}", "NumberOfSeriesRelatedInstances"
    )
    assert [(one.SeriesInstanceUID, one.NumberOfSeriesRelatedInstances) for one in series] == [(S1 + ".1", 2)]
    assert find(listener.port, tmp_path / "out", "STUDY", "ModalitiesInStudy=SR")[1] == []


def test_request_ids_match_inside_their_sequence(county: Township, listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = "SPS7", "RP7"
    with_request = write_instance(tmp_path / "sent", side=8, StudyInstanceUID=S1, RequestAttributesSequence=[item])
    receive_all(county, [with_request, write_instance(tmp_path / "sent", side=8, StudyInstanceUID=S1)])
    key = "RequestAttributesSequence[0].ScheduledProcedureStepID"
    _, (one,) = find(listener.port, tmp_path / "out", "SERIES", f"StudyInstanceUID={S1}", f"{key}=SPS*")
    assert one.RequestAttributesSequence[0].ScheduledProcedureStepID == "SPS7"
    assert "RequestedProcedureID" not in one.RequestAttributesSequence[0]


def test_a_peer_sees_its_own_site_and_is_written_down(county: Township, listener: Listener, tmp_path: Path) -> None:
    receive_all(county, files(tmp_path / "sent"))
    allow(county, "COUNTY_WS", site="COUNTY")
    assert find(listener.port, tmp_path / "out", "STUDY", calling="COUNTY_WS")[1] == []
    allow(county, "COUNTY_WS", site="COUNTY", sees="all")
    assert len(find(listener.port, tmp_path / "out", "STUDY", calling="COUNTY_WS")[1]) == 4
    allow(county, "COUNTY_WS", site="COUNTY", exception_reason=None)
    refused = find(listener.port, tmp_path / "out", "STUDY", calling="COUNTY_WS")[0]
    assert refused.returncode != 0
    with county.roof.db.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.act == "study.query").order_by(AuditEvent.id)).all()
    assert [(row.actor, row.object_uid, row.details) for row in rows] == [
        ("COUNTY_WS", "STUDY", {"matches": 0}), ("COUNTY_WS", "STUDY", {"matches": 4}),
    ]  # fmt: skip


def test_a_key_that_is_not_compared_is_said(county: Township, listener: Listener, tmp_path: Path) -> None:
    receive_all(county, files(tmp_path / "sent"))
    result, answers = find(listener.port, tmp_path / "out", "STUDY", "PatientID=P-2", "PatientWeight=70")
    assert (statuses(result), len(answers)) == (["ff01", "0000"], 1)
    assert "PatientWeight" not in answers[0]
    result, _ = find(listener.port, tmp_path / "out", "STUDY", "PatientID=P-2")
    assert statuses(result) == ["ff00", "0000"]


def test_a_cancel_is_heard(county: Township, listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    receive_all(county, [write_instance(tmp_path / "sent", side=8, PatientID="C0")])
    county.repeat_study(3000)
    began = time.monotonic()
    result, answers = find(listener.port, tmp_path / "out", "STUDY", options=("--cancel", "5"))
    assert statuses(result)[-1] == "fe00"
    assert (len(answers) < 2500, time.monotonic() - began < 10) == (True, True)
    with county.roof.db.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.act == "study.query")).all()
    assert {row.result for row in rows} == {"cancelled"}


def test_answers_before_a_failure_are_written_down(
    county: Township, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive_all(county, files(tmp_path / "sent"))
    monkeypatch.setattr("worklist.find.FIRST_PAGE", 2)
    pages = [query_rows.answers]

    def once(*given: Any) -> Any:
        return pages.pop()(*given)  # IndexError at the second page

    monkeypatch.setattr("worklist.find.answers", once)
    result, found = find(listener.port, tmp_path / "out", "STUDY")
    assert (statuses(result)[-1], len(found)) == ("0110", 2)
    with county.roof.db.read() as session:
        row = session.scalars(select(AuditEvent).where(AuditEvent.act == "study.query")).one()
    assert (row.result, row.details) == ("failed", {"matches": 2})


def test_walks_in_pieces_miss_nothing(
    county: Township, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worklist.find.PIECE", 1)
    monkeypatch.setattr("worklist.find.FIRST_PAGE", 1)
    monkeypatch.setattr("worklist.query_store.NARROW", 0)
    receive_all(county, files(tmp_path / "sent"))
    for root, level, keys, expected in (
        ("-S", "STUDY", ("PatientSex=F",), 1), ("-S", "STUDY", (), 4), ("-P", "PATIENT", (), 3),
        ("-P", "PATIENT", ("PatientSex=F",), 1), ("-S", "SERIES", (f"StudyInstanceUID={S1}",), 2),
        ("-S", "IMAGE", (f"StudyInstanceUID={S1}", f"SeriesInstanceUID={S1}.1"), 2),
    ):  # fmt: skip
        answers = find(listener.port, tmp_path / "out", level, *keys, root=root)[1]
        assert len({one[UNIQUE[level]].value for one in answers}) == len(answers) == expected, (level, keys)
