"""The person index and the repair page over HTTP: masked numbers, numbers in the body alone, what is told of errors."""

import json
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pydicom
import pytest
from flask import Flask
from pydicom.uid import generate_uid
from sqlalchemy import select, update

from tests.peers.instances import write_instance
from tests.peers.township import Township
from tests.worklist.route_walk import call
from tests.worklist.test_person_index import work
from worklist.account_tables import Account
from worklist.base.audit import AuditEvent
from worklist.person_tables import PatientNumber
from worklist.session_service import open_session
from worklist.tables import Instance, Study

ID = "11010519491231002X"


class Person:
    def __init__(self, county: Township, app: Flask, username: str) -> None:
        with county.roof.db.write() as session:
            account = session.scalars(select(Account).where(Account.username == username)).one()
            self._secret = open_session(session, account, kind="token", now=county.clock(), source="test").secret
        self._client = app.test_client()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self._client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {self._secret}"})
        return answer.status_code, answer.get_json(silent=True)

    def headers(self, path: str) -> Any:
        return self._client.get(path, headers={"Authorization": f"Bearer {self._secret}"}).headers


def order(name: str, patient_id: str, number: str | None) -> dict[str, Any]:
    return {
        "patient": {"name": name, "patient_id": patient_id, "sex": "F", "birth_date": "1949-12-31", "id_number": number},
        "modality": "CT", "complaint": "头痛",
    }  # fmt: skip


def test_a_typed_number_links_and_is_shown_masked(county: Township, app: Flask) -> None:
    for username in ("tech", "tech2"):
        status, _ = Person(county, app, username).ask("POST", "/api/orders", order("王芳", username, ID.lower()))
        assert status == 201
    work(county)
    reviewer = Person(county, app, "reviewer")
    status, found = reviewer.ask("GET", "/api/persons")
    (person,) = found["persons"]
    shown = [link["patient"]["numbers"] for link in person["links"]]
    assert status == 200
    assert shown == [[{"kind": "resident_id", "masked": "110***********002X", "is_valid": True}]] * 2
    assert ID not in json.dumps(found)
    status, by_number = reviewer.ask("POST", "/api/persons/search", {"number": "110105 19491231 002x"})
    assert {row["site"]["code"] for row in by_number["patients"]} == {"QINGSHAN", "BAISHUI"}
    assert reviewer.ask("POST", "/api/persons/search", {"number": "110105194912310046"})[1] == {"patients": []}
    status, _ = reviewer.ask("POST", f"/api/persons/links/{person['links'][1]['link_id']}/undo", {"reason": "核实不是"})
    assert status == 200 and reviewer.ask("GET", "/api/persons")[1] == {"persons": []}
    with county.roof.db.read() as session:
        rows = session.scalars(select(AuditEvent)).all()
        assert ID not in str([row.details for row in rows])
        searches = [(row.actor, row.details["matches"]) for row in rows if row.act == "person.search"]
        assert searches == [("reviewer", 2), ("reviewer", 0)]


def test_who_judges_persons_sees_their_studies_as_far_as_everywhere(county: Township, app: Flask, folder: Path) -> None:
    county.receive(write_instance(folder, side=8, PatientID=ID, PatientBirthDate="19491231", PatientSex="F"), "QS_CT")
    work(county)

    def studies(username: str) -> int:
        (patient,) = Person(county, app, username).ask("POST", "/api/persons/search", {"number": ID})[1]["patients"]
        return len(patient["studies"])

    assert (studies("reviewer"), studies("admin")) == (1, 1)
    with county.roof.db.write() as session:
        session.scalars(select(Account).where(Account.username == "reviewer")).one().kinds = ["ecg"]
    assert (studies("reviewer"), studies("admin")) == (0, 1)


@pytest.mark.parametrize("number", ["110105194912310021", "123", "无"])
def test_a_mistyped_number_is_refused_without_repeating_it(county: Township, app: Flask, number: str) -> None:
    status, answer = Person(county, app, "tech").ask("POST", "/api/orders", order("王芳", "1", number))
    assert (status, answer["error"]["code"], answer["error"]["details"]["field"]) == (
        422, "id_number_invalid", "patient.id_number",
    )  # fmt: skip
    assert number not in json.dumps(answer, ensure_ascii=False)
    with county.roof.db.read() as session:
        assert session.scalars(select(PatientNumber)).all() == []


def test_a_patient_id_that_is_an_id_number_is_shown_masked(county: Township, app: Flask, folder: Path) -> None:
    county.receive(write_instance(folder, side=8, PatientID=ID, PatientBirthDate="19491231", PatientSex="F"), "QS_CT")
    _, listed = Person(county, app, "radiologist").ask("GET", "/api/worklist")
    assert listed["items"][0]["patient"]["patient_id"] == "110***********002X"


def test_the_repair_page_moves_rejects_and_puts_back(county: Township, app: Flask, folder: Path) -> None:
    for name, number in (("钱守义", "1"), ("王芳", "2")):
        county.receive(write_instance(folder, side=8, PatientName=f"={name}", PatientID=number), "QS_CT")
    admin = Person(county, app, "admin")

    def find(text: str) -> Any:
        uid = admin.ask("POST", "/api/repair/search", {"q": text})[1]["studies"][0]["study_instance_uid"]
        return admin.ask("GET", f"/api/repair/studies/{uid}")[1]

    wrong, right = find("钱守义"), find("wangfang")
    at = f"/api/repair/studies/{wrong['study_instance_uid']}"
    status, made = admin.ask("POST", f"{at}/move", {"to_patient_pk": right["patient"]["patient_pk"], "reason": "选错"})
    assert status == 200
    moved = admin.ask("GET", at)[1]
    assert (moved["name"], moved["corrections"]["PatientID"], moved["repairs"][0]["from_name"]) == ("王芳", "2", "钱守义")
    assert admin.ask("POST", f"{at}/reject", {"code": "113001", "reason": "体动"}) == (200, {"n_instances": 1})
    hidden = admin.ask("GET", at)[1]
    assert (hidden["n_instances"], hidden["thumbnails"], hidden["rejections"][0]["code"]) == (0, [], "113001")
    with county.roof.db.read() as session:
        slice_, _note = session.scalars(select(Instance).where(Instance.hidden_code == "113001").order_by(Instance.id))
        seen = session.scalars(select(AuditEvent.object_uid).where(AuditEvent.act == "repair.view")).all()
    small = county.roof.blobs.derived_dir(slice_.blob_key) / "thumbnail.jpg"
    small.parent.mkdir(parents=True)
    small.write_bytes(b"")
    assert admin.ask("GET", f"/api/repair/thumbnails/{slice_.sop_instance_uid}")[0] == 404
    assert sorted(seen) == sorted((wrong["study_instance_uid"], right["study_instance_uid"]))
    note = hidden["rejections"][0]["rejection_id"]
    assert admin.ask("POST", f"/api/repair/rejections/{note}/undo", {"reason": "认可"})[0] == 200
    assert admin.ask("POST", f"/api/repair/repairs/{made['repair_id']}/undo", {"reason": "没错"})[0] == 200
    back = admin.ask("GET", at)[1]
    assert (back["name"], back["n_instances"], back["corrections"], back["repairs"]) == ("钱守义", 1, {}, [])
    status, answer = admin.ask("POST", f"{at}/move", {"to_patient_pk": wrong["patient"]["patient_pk"], "reason": "x"})
    assert (status, answer["error"]["code"]) == (422, "same_patient")
    assert call(app.test_client(), "GET", at, "nobody").status_code == 401


def test_the_right_patient_is_found_by_a_request_that_awaits_images(county: Township, app: Flask, folder: Path) -> None:
    path = write_instance(folder, side=8, PatientName="=钱守义", PatientID="1")
    county.receive(path, "QS_CT")
    number = Person(county, app, "tech").ask("POST", "/api/orders", order("王芳", "2", None))[1]["accession_number"]
    admin = Person(county, app, "admin")
    found = admin.ask("POST", "/api/repair/search", {"q": "wangfang"})[1]
    assert found["studies"] == [] and [one["accession_number"] for one in found["orders"]] == [number]
    uid = found["orders"][0]["order_uid"]
    target = admin.ask("GET", f"/api/repair/orders/{uid}")[1]
    assert (target["patient"]["name"], [one["complaint"] for one in target["open_orders"]]) == ("王芳", ["头痛"])
    at = f"/api/repair/studies/{pydicom.dcmread(path).StudyInstanceUID}"
    body = {"to_patient_pk": target["patient"]["patient_pk"], "order_uid": uid, "reason": "登记时选错"}
    assert admin.ask("POST", f"{at}/move", body)[0] == 200
    moved = admin.ask("GET", at)[1]
    assert (moved["name"], moved["accession_number"], moved["open_orders"]) == ("王芳", number, [])
    assert admin.ask("POST", "/api/repair/search", {"q": number})[1]["orders"] == []
    assert county.roof.blobs.path(stored_key(county)).read_bytes() == path.read_bytes()  # the original is as it came
    assert admin.ask("GET", "/api/repair/orders/1.2.3")[0] == 404


def stored_key(county: Township) -> str:
    with county.roof.db.read() as session:
        return session.scalars(select(Instance.blob_key)).one()


def test_what_is_hidden_says_why_to_whoever_asks_for_it(county: Township, app: Flask, folder: Path) -> None:
    same = {"PatientName": "=钱守义", "PatientID": "1", "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    paths = [write_instance(folder, side=8, InstanceNumber=n, **same) for n in (1, 2)]
    for path in (*paths, write_instance(folder, side=8, **same | {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()})):
        county.receive(path, "QS_CT")
    first = pydicom.dcmread(paths[0])
    admin, reader = Person(county, app, "admin"), Person(county, app, "radiologist")
    body = {"code": "113037", "reason": "体位错误", "sop_instance_uids": [first.SOPInstanceUID]}
    at = f"/api/repair/studies/{first.StudyInstanceUID}/reject"
    assert admin.ask("POST", at, body) == (200, {"n_instances": 1})
    study = f"/dicom-web/studies/{first.StudyInstanceUID}"
    hidden = f"{study}/series/{first.SeriesInstanceUID}/instances/{first.SOPInstanceUID}"
    for path in (hidden, f"{hidden}/metadata", f"{hidden}/rendered", f"/api/thumbnails/{first.SOPInstanceUID}"):
        status, answer = reader.ask("GET", path)
        assert (status, answer["error"]["code"]) == (404, "rejected_113037")
    assert Person(county, app, "tech2").ask("GET", f"/api/thumbnails/{first.SOPInstanceUID}")[1]["error"]["code"] != "rejected_113037"
    warning = '299 teleread "1 hidden by a rejection note: 113037 Rejected for Patient Safety Reasons"'
    for path in (study, f"{study}/metadata", f"{study}/instances", f"{study}/series/{first.SeriesInstanceUID}/metadata"):
        assert reader.headers(path).getlist("Warning") == [warning]
    (found,) = reader.ask("GET", f"/dicom-web/studies?StudyInstanceUID={first.StudyInstanceUID}&includefield=00201208")[1]
    assert found["00201208"]["Value"] == [1]
    assert admin.ask("POST", at, {"code": "113038", "reason": "选错"}) == (200, {"n_instances": 1})
    assert reader.ask("GET", study)[1]["error"]["code"] == "rejected_113037"
    (other,) = [one for one in reader.ask("GET", "/api/worklist")[1]["items"] if one["study_instance_uid"] != first.StudyInstanceUID]
    detail = reader.ask("GET", f"/api/workitems/{other['workitem_uid']}")[1]
    (prior,) = detail["hidden_priors"]  # it shows nothing, but says that it is there and why nothing is seen
    assert (detail["priors"], [one["code"] for one in prior["rejections"]]) == ([], ["113038", "113037"])
    assert set(prior) == {"modality", "description", "body_part", "acquired_at", "rejections"}


def test_of_two_moves_at_once_the_second_sees_the_first(county: Township, app: Flask, folder: Path) -> None:
    for name, number in (("钱守义", "1"), ("王芳", "2")):
        county.receive(write_instance(folder, side=8, PatientName=f"={name}", PatientID=number), "QS_CT")
    with county.roof.db.read() as session:
        moved, other = session.scalars(select(Study).order_by(Study.id))
    at, body = f"/api/repair/studies/{moved.study_instance_uid}/move", {"to_patient_pk": other.patient_pk, "reason": "x"}
    admin = Person(county, app, "admin")
    with ThreadPoolExecutor(1) as another:
        with county.roof.db.write() as session:
            session.execute(update(Study).where(Study.id == moved.id).values(patient_pk=other.patient_pk))
            second = another.submit(admin.ask, "POST", at, body)
            wait([second], 0.7)
        status, answer = second.result(30)
    assert (status, answer["error"]["code"]) == (422, "same_patient")
