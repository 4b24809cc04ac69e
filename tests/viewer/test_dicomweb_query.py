"""QIDO-RS by dicomweb-client: all levels, includes, pages, names, what cannot be asked, who sees what."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from flask import Flask
from pydicom.dataset import Dataset
from sqlalchemy import select
from werkzeug.serving import make_server

from tests.peers.instances import write_instance
from tests.peers.listening import receive_all
from tests.peers.township import PASSWORD, Township, township
from tests.worklist.roofs import Caller, make_pages
from viewer.dicomweb_routes import dicomweb
from worklist.base.audit import AuditEvent
from worklist.base.db import Database

S1, S2, S3 = (f"1.2.826.0.1.3680043.9.78.{number}" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sent")
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = "SPS7", "RP7"
    first = {
        "side": 8, "StudyInstanceUID": S1, "PatientName": "Zheng^Liqun=\u90d1^\u7acb\u7fa4", "PatientID": "D1",
        "StudyDate": "20260301", "StudyTime": "103000", "SeriesInstanceUID": S1 + ".1", "SeriesNumber": "1",
        "AccessionNumber": "A1", "RequestAttributesSequence": [item],
    }  # fmt: skip
    return [
        write_instance(folder, **first, InstanceNumber="1"), write_instance(folder, **first, InstanceNumber="2"),
        write_instance(folder, **first | {"SeriesInstanceUID": S1 + ".2", "SeriesNumber": "2", "Modality": "MR"}),
        write_instance(folder, side=8, StudyInstanceUID=S2, PatientName="=\u94b1\u5b88\u4e49", PatientID="D2",
                       StudyDate="20260228", StudyTime="230000", AccessionNumber="A2"),
        write_instance(folder, side=8, StudyInstanceUID=S3, PatientName="=\u94b1\u4e03", PatientID="D3",
                       StudyDate="20260302", StudyTime="080000", AccessionNumber="B3"),
    ]  # fmt: skip


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any, sent: list[Path]) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        receive_all(made, sent)
        yield made


@pytest.fixture
def app(county: Township) -> Flask:
    return make_pages(county.roof, [dicomweb])


def _token(app: Flask) -> str:
    answer: Any = app.test_client().post("/api/login", json={"username": "radiologist", "password": PASSWORD}).json
    return str(answer["token"])


@pytest.fixture
def get(app: Flask) -> Callable[..., Any]:
    caller = Caller(app, "radiologist", PASSWORD)
    return lambda path: caller("GET", "/dicom-web" + path)


@pytest.fixture
def client(app: Flask) -> Iterator[DICOMwebClient]:
    token = _token(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield DICOMwebClient(
        f"http://127.0.0.1:{server.server_port}/dicom-web", headers={"Authorization": f"Bearer {token}"}
    )
    server.shutdown()
    thread.join()


def uids(rows: list[dict[str, Any]], tag: str = "0020000D") -> list[str]:
    return [row[tag]["Value"][0] for row in rows]


def test_dicomweb_client_finds_every_level(client: DICOMwebClient) -> None:
    assert uids(client.search_for_studies()) == [S3, S1, S2]
    (study,) = client.search_for_studies(search_filters={"PatientID": "D1"}, fields=["StudyDescription"])
    said = Dataset.from_json(study)
    assert (said.PatientName.ideographic, said.PatientName.alphabetic) == ("\u90d1^\u7acb\u7fa4", "Zheng^Liqun")
    assert sorted(said.ModalitiesInStudy) == ["CT", "MR"]
    assert (said.NumberOfStudyRelatedSeries, said.NumberOfStudyRelatedInstances) == (2, 3)
    assert said.RetrieveURL.endswith(f"/dicom-web/studies/{S1}")
    assert (said.StudyDate, said.StudyTime, said.InstanceAvailability) == ("20260301", "103000", "ONLINE")
    series = client.search_for_series(S1, search_filters={"Modality": "MR"})
    assert uids(series, "0020000E") == [S1 + ".2"]
    assert Dataset.from_json(series[0]).NumberOfSeriesRelatedInstances == 1
    instances = client.search_for_instances(S1, S1 + ".1", search_filters={"InstanceNumber": "2"})
    assert [(one["00280010"]["Value"], one["00280100"]["Value"]) for one in instances] == [([8], [16])]
    assert len(client.search_for_instances(S1)) == 3
    assert len(client.search_for_instances()) == 5
    assert len(client.search_for_series(search_filters={"PatientID": "D1"})) == 2
    assert uids(client.search_for_studies(limit=1, offset=1)) == [S1]


MATCHED = [
    ("PatientName=\u94b1*", [S3, S2]), ("PatientName=qianshouyi", [S2]), ("PatientName=qsy", [S2]),
    ("PatientName=*\u7acb\u7fa4", [S1]), ("PatientName=zheng^liqun", [S1]), ("00100010=ZHENG*", [S1]),
    ("PatientName=liqun zheng&fuzzymatching=true", [S1]), ("PatientName=liqun zheng", []),
    ("StudyInstanceUID=" + S1 + "," + S2, [S1, S2]), ("StudyInstanceUID=" + S1 + "\\" + S2, [S1, S2]),
    ("AccessionNumber=A?", [S1, S2]), ("AccessionNumber=a1", []), ("ModalitiesInStudy=MR", [S1]),
    ("StudyDate=20260228-20260301&StudyTime=220000-110000", [S1, S2]), ("StudyDate=-20260228", [S2]),
    ("StudyDate=20260302", [S3]), ("PatientBirthDate=18000101-19000101", []), ("PatientID=", [S3, S1, S2]),
    ("PatientID=%25", []), ("PatientID=D%5B1%5D", []), ("PatientName=*&limit=2&offset=2", [S2]),
    ("IssuerOfPatientID=QINGSHAN", [S3, S1, S2]), ("IssuerOfPatientID=X", []),
]  # fmt: skip


def test_studies_are_matched(get: Callable[..., Any]) -> None:
    for query, expected in MATCHED:
        status, rows = get(f"/studies?{query}")
        assert (status, uids(rows)) == (200, expected), query


def test_request_ids_inside_their_sequence(get: Callable[..., Any]) -> None:
    for path in ("00400275.00400009", "RequestAttributesSequence.ScheduledProcedureStepID"):
        status, rows = get(f"/studies/{S1}/series?{path}=SPS*")
        assert (status, len(rows)) == (200, 2)
        assert rows[0]["00400275"]["Value"][0]["00401001"]["Value"] == ["RP7"]
    assert get("/series?00400275.00400009=none")[1] == []


def test_includes(get: Callable[..., Any]) -> None:
    plain = get(f"/studies/{S1}/series")[1][0]
    assert "00180015" not in plain and "00100010" not in plain
    assert "00180015" in get(f"/studies/{S1}/series?includefield=00180015")[1][0]
    everything = get(f"/studies/{S1}/series?includefield=all")[1][0]
    assert {"00180015", "00100010", "00080021", "00080062"} <= set(everything)
    listed = get("/studies?PatientID=D1&includefield=SOPClassesInStudy,00100021")[1][0]
    assert listed["00080062"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]
    assert listed["00100021"]["Value"] == ["QINGSHAN"]


IMPOSSIBLE = [
    "limit=x", "limit=-1", "offset=1.5", "fuzzymatching=maybe", "StudyDate=2026", "StudyDate=yesterday",
    "StudyInstanceUID=1.2.*", "NoSuchKeyword=1", "99999999=1", "PatientID=1&PatientID=2", "includefield=NoSuch",
    "InstanceNumber=one", "0010=1",
]  # fmt: skip


def test_what_cannot_be_asked_is_400(get: Callable[..., Any]) -> None:
    for query in (*IMPOSSIBLE, "AccessionNumber=" + "%5C".join(["A*"] * 101)):
        path = "/instances" if query.startswith("Inst") else "/studies"
        status, answer = get(f"{path}?{query}")
        assert (status, answer["error"]["code"]) == (400, "query_parameter"), query


def test_warnings_forms_and_the_audit_trail(app: Flask, county: Township) -> None:
    browser = app.test_client()
    token = _token(app)
    headers = {"Authorization": f"Bearer {token}"}
    limited = browser.get("/dicom-web/studies?limit=1", headers=headers)
    assert "additional results" in limited.headers["Warning"]
    assert limited.mimetype == "application/dicom+json"
    assert "\u94b1\u4e03" in limited.get_data(as_text=True)
    whole = browser.get("/dicom-web/studies?PatientWeight=70", headers=headers)
    assert (len(whole.json or []), "PatientWeight" in whole.headers["Warning"]) == (3, True)
    xml = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    assert browser.get("/dicom-web/studies", headers=headers | xml).status_code == 406
    assert browser.get("/dicom-web/studies").status_code == 401
    with county.roof.db.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.act == "study.query").order_by(AuditEvent.id)).all()
    assert [(row.object_uid, row.details) for row in rows] == [("STUDY", {"matches": 1}), ("STUDY", {"matches": 3})]


def test_only_what_the_person_sees(app: Flask) -> None:
    assert len(Caller(app, "tech", PASSWORD)("GET", "/dicom-web/studies")[1]) == 3
    assert Caller(app, "clinician2", PASSWORD)("GET", "/dicom-web/studies")[1] == []
    assert Caller(app, "admin", PASSWORD)("GET", "/dicom-web/studies")[0] == 403
