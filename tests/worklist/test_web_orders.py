"""Requests and uploads as other programs send them."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.peers.data import shared_data
from tests.peers.township import Township
from tests.worklist.test_routes import token
from worklist.base.audit import AuditEvent
from worklist.webserver import build_web

PATIENT = {"name": "田宝贵", "patient_id": "QS-9", "sex": "M", "birth_date": "1945-01-02"}


@pytest.fixture
def call(county: Township) -> Any:
    return caller(county)


def caller(county: Township) -> Any:
    app: Flask = build_web(county.roof, county.desk.signer)  # type: ignore[arg-type]
    client, headers = app.test_client(), {"Authorization": f"Bearer {token(county, 'tech')}"}
    return lambda method, path, **more: client.open(path, method=method, headers=headers, **more)


@pytest.mark.parametrize(("asked", "listed"), [("DX", "DR"), ("CR", "DR"), ("DR", "DR"), ("CT", "CT"), ("ECG", "ECG")])
def test_film_is_one_modality_by_any_name(call: Any, asked: str, listed: str) -> None:
    made = call("POST", "/api/orders", json={"site": "QINGSHAN", "patient": PATIENT, "modality": asked})
    assert made.status_code == 201
    (order,) = call("GET", "/api/orders").get_json()["orders"]
    assert (order["modality"], order["accession_number"]) == (listed, made.get_json()["accession_number"])


def test_an_order_of_another_site_does_not_exist(call: Any) -> None:
    body = {"site": "BAISHUI", "patient": PATIENT, "modality": "DR"}
    assert call("POST", "/api/orders", json=body).status_code == 404


def test_the_age_on_a_waiting_order_goes_by_the_day_of_the_place(county: Township) -> None:
    county.clock.at = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)  # 07:30 of the 3rd, a birthday, in Asia/Shanghai
    call, patient = caller(county), PATIENT | {"birth_date": "1946-03-03"}
    assert call("POST", "/api/orders", json={"patient": patient, "modality": "DR"}).status_code == 201
    (order,) = call("GET", "/api/orders").get_json()["orders"]
    assert order["patient"]["age"] == {"value": 80, "unit": "year"}


def record() -> list[tuple[io.BytesIO, str]]:
    header = sorted(shared_data("ecg", "wfdb12", "cinc2021_georgia").rglob("*.hea"))[0]
    return [(io.BytesIO(path.read_bytes()), path.name) for path in header.parent.glob(f"{header.stem}.*")]


def upload(call: Any, **fields: str) -> Any:
    return call("POST", "/api/ecg", data={"file": record(), **fields}, content_type="multipart/form-data")


def test_an_upload_takes_the_patient_as_orders_do(call: Any, county: Township) -> None:
    patient = json.dumps(PATIENT, ensure_ascii=False)
    made = upload(call, site="QINGSHAN", patient=patient, modality="ECG", complaint="胸痛 2 小时", priority="stat")
    assert made.status_code == 201, made.get_json()
    (item,) = call("GET", f"/api/worklist?study_instance_uid={made.get_json()['study_instance_uid']}").get_json()["items"]
    assert (item["patient"]["name"], item["patient"]["patient_id"], item["priority"]) == ("田宝贵", "QS-9", "stat")
    assert item["order"]["complaint"] == "胸痛 2 小时"
    with county.roof.db.read() as session:
        row = session.scalars(select(AuditEvent).where(AuditEvent.act == "ecg.upload")).one()
    assert (row.actor, row.object_uid, row.result) == ("tech", item["study_instance_uid"], "ok")


def without_clock() -> list[tuple[io.BytesIO, str]]:
    """The same record, its header cut after the number of samples: many devices write no time."""
    files = []
    for data, name in record():
        content = data.read()
        if name.endswith(".hea"):
            first, rest = content.split(b"\n", 1)
            content = b" ".join(first.split()[:4]) + b"\n" + rest
        files.append((io.BytesIO(content), name))
    return files


@pytest.mark.parametrize(
    ("typed", "acquired_at"),
    [("", None), ("2026-01-01T07:30", "2025-12-31T23:30:00+00:00"), ("2026-01-01T07:30:00+09:00", "2025-12-31T22:30:00+00:00")],
)
def test_the_moment_of_a_recording_is_the_typed_one_or_unknown(call: Any, typed: str, acquired_at: str | None) -> None:
    data = {"file": without_clock(), "patient": json.dumps(PATIENT, ensure_ascii=False), "recorded_at": typed}
    made = call("POST", "/api/ecg", data=data, content_type="multipart/form-data")
    assert made.status_code == 201, made.get_json()
    (item,) = call("GET", f"/api/worklist?study_instance_uid={made.get_json()['study_instance_uid']}").get_json()["items"]
    assert item["acquired_at"] == acquired_at


@pytest.mark.parametrize(("typed", "code"), [("yesterday", "field_type"), ("2126-01-01T00:00", "recorded_in_future")])
def test_a_moment_that_cannot_be_is_refused(call: Any, typed: str, code: str) -> None:
    data = {"file": without_clock(), "patient": json.dumps(PATIENT, ensure_ascii=False), "recorded_at": typed}
    refused = call("POST", "/api/ecg", data=data, content_type="multipart/form-data")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (422, code)


def test_a_record_uploaded_again_is_the_study_that_is_there(call: Any) -> None:
    patient = json.dumps(PATIENT, ensure_ascii=False)
    first = upload(call, patient=patient)
    assert (first.status_code, first.get_json()["duplicates"]) == (201, [])
    again = upload(call, patient=patient, complaint="再传一次")
    uid = first.get_json()["study_instance_uid"]
    assert (again.status_code, again.get_json()["study_instance_uid"], again.get_json()["duplicates"]) == (200, uid, [uid])
    assert call("GET", "/api/orders").get_json()["orders"] == []  # nothing waits for a recording that came
    assert len(call("GET", "/api/worklist").get_json()["items"]) == 1
    other = upload(call, patient=json.dumps(PATIENT | {"patient_id": "QS-10"}, ensure_ascii=False))
    assert (other.status_code, other.get_json()["duplicates"]) == (201, [])


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({}, "field_missing", "patient_name"), ({"patient": "田宝贵"}, "field_type", "patient"),
        ({"patient": '{"nom": "x"}'}, "field_unknown", "patient.nom"),
        ({"patient": '{"name": 7}'}, "field_type", "patient.name"), ({"colour": "red"}, "field_unknown", "colour"),
    ],
)  # fmt: skip
def test_what_an_upload_lacks_is_named(call: Any, fields: dict[str, str], code: str, field: str) -> None:
    error = upload(call, **fields).get_json()["error"]
    assert (error["code"], error["details"]["field"]) == (code, field)
