"""The joined application under values no column holds, makers of the same at once, a full disk; on both databases."""

import base64
import errno
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from reports.verification import SOURCES_REMEMBERED, VerifyDesk
from tests.peers.instances import write_instance
from tests.peers.township import Township
from worklist.account_tables import Account
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.session_service import open_session
from worklist.tables import Workitem


class Person:
    """Calls the API as one demo user."""

    def __init__(self, county: Township, app: Flask, username: str) -> None:
        with county.roof.db.write() as session:
            account = session.scalars(select(Account).where(Account.username == username)).one()
            secret = open_session(session, account, kind="token", now=county.clock(), source="test").secret
        self._client: FlaskClient = app.test_client()
        self._headers = {"Authorization": f"Bearer {secret}"}

    def __call__(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        answer = self._client.open(path, method=method, headers=self._headers, **more)
        return answer.status_code, answer.json


def study_of(county: Township, tmp_path: Path, **tags: Any) -> Workitem:
    folder = tmp_path / "sent"
    folder.mkdir(exist_ok=True)
    filed = county.receive(write_instance(folder, side=16, **tags), "QS_DR")
    county.clock.forward(30)
    county.settle()
    assert filed.study_id is not None
    return county.open_workitem(filed.study_id)


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def test_values_that_no_column_holds_are_refused_and_never_a_fault(county: Township, app: Flask, tmp_path: Path) -> None:
    item = study_of(county, tmp_path)
    reader, admin = Person(county, app, "radiologist"), Person(county, app, "admin")
    moment = county.clock().isoformat()
    expected = [
        (reader, "GET", "/api/reports/1.2%00", None, 404), (reader, "GET", "/api/workitems/%00", None, 404),
        (reader, "GET", "/api/worklist?q=%00", None, 400), (reader, "GET", "/api/worklist?modality=%00", None, 400),
        (reader, "GET", "/api/worklist?cursor=" + cursor(1, moment, "\0"), None, 400),
        (reader, "GET", "/api/worklist?cursor=" + cursor(10**30, moment, "1"), None, 400),
        (reader, "GET", "/api/worklist?cursor=" + cursor(1, "2026-01-01T00:00:00", "1"), None, 400),
        (reader, "GET", "/api/worklist?cursor=" + cursor([], moment, "1"), None, 400),
        (admin, "GET", "/api/admin/quarantine/99999999999999999999/headers", None, 404),
        (admin, "POST", "/api/admin/deliveries/4294967296/resend", {}, 404),
        (admin, "GET", "/api/admin/audit?before=99999999999999999999", None, 200),
    ]  # fmt: skip
    for person, method, path, body, status in expected:
        assert person(method, path, json=body)[0] == status, path
    assert reader("POST", f"/api/workitems/{item.workitem_uid}/claim", json={})[0] == 200
    draft = {"template": "generic", "sections": {"findings": "1", "impression": "1"}}
    path = f"/api/workitems/{item.workitem_uid}/report"
    assert reader("PUT", path, json=draft | {"version": 0})[0] == 200
    assert reader("PUT", path, json=draft | {"version": 2**40})[0] == 422
    assert reader("PUT", path, json=draft | {"version": 2**31 - 2})[0] == 409
    answer = app.test_client().post("/login", data={"username": "a\0b", "password": "x"})
    assert answer.status_code < 500


def test_a_long_reason_to_return_is_refused_not_a_fault(county: Township, app: Flask, tmp_path: Path) -> None:
    item = study_of(county, tmp_path)
    reviewer = Person(county, app, "reviewer")
    path = f"/api/workitems/{item.workitem_uid}/report/return"
    assert reviewer("POST", path, json={"reason": "长" * 257})[0] == 422
    assert reviewer("POST", path, json={"reason": "长" * 256})[0] == 409  # not claimed


def test_the_same_site_made_twice_at_once_is_a_conflict(county: Township, app: Flask) -> None:
    admin = Person(county, app, "admin")
    body = {"code": "NEWTOWN", "name_zh": "新镇"}

    def make(_: int) -> int:
        return admin("POST", "/api/admin/sites", json=body)[0]

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [201, 409, 409, 409]


def test_a_prefix_typed_by_mistake_can_be_emptied(county: Township, app: Flask) -> None:
    admin, at = Person(county, app, "admin"), "/api/admin/sites/QINGSHAN"
    assert admin("PATCH", at, json={"name_en": "Qingshan"})[1]["accession_prefix"] == "QS"
    assert admin("PATCH", at, json={"accession_prefix": None})[1]["accession_prefix"] == ""
    for wrong in ("Q", "qs", "Q1", "青山", "Q "):
        status, answer = admin("PATCH", at, json={"accession_prefix": wrong})
        assert (status, answer["error"]["code"]) == (422, "prefix_invalid"), wrong
    order = {"modality": "CT", "complaint": "头痛", "patient": {"name": "王芳", "patient_id": "1", "sex": "F", "birth_date": "1949-12-31"}}
    assert Person(county, app, "tech")("POST", "/api/orders", json=order)[1]["accession_number"].isdecimal()


def test_every_no_leaves_a_row_also_of_a_table_and_of_a_forged_page(county: Township, app: Flask, tmp_path: Path) -> None:
    item = study_of(county, tmp_path)
    reader = Person(county, app, "radiologist")
    assert reader("POST", f"/api/workitems/{item.workitem_uid}/claim", json={})[0] == 200
    status, said = reader("POST", f"/api/workitems/{item.workitem_uid}/dismiss", json={"reason": "不需要"})
    assert (status, said["error"]["code"]) == (409, "workitem_illegal_move")
    with county.roof.db.write() as session:
        account = session.scalars(select(Account).where(Account.username == "radiologist")).one()
        secret = open_session(session, account, kind="browser", now=county.clock(), source="test").secret
    client = app.test_client()
    client.set_cookie("teleread_session", secret)
    assert client.post(f"/api/workitems/{item.workitem_uid}/release", json={"reason": "x"}).status_code == 403
    with county.roof.db.read() as session:
        refused = session.scalars(select(AuditEvent.result).where(AuditEvent.result != "ok")).all()
    assert refused == ["workitem_illegal_move", "csrf_failed"]


def test_a_full_disk_is_told_as_such(county: Township, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, data: bytes) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    from tests.peers.data import shared_data

    recording = shared_data("ecg", "dicom")
    sample = next(path for path in sorted(recording.rglob("*.dcm")))
    monkeypatch.setattr("pacs_bridge.blobs.FileBlobs.put", full)
    technician = Person(county, app, "tech")
    status, said = technician(
        "POST", "/api/ecg", data={"file": (io.BytesIO(sample.read_bytes()), "a.dcm")}, content_type="multipart/form-data"
    )
    assert (status, said["error"]["code"]) == (507, "storage_full")


def test_two_files_of_one_name_are_refused_rather_than_one_lost(county: Township, app: Flask) -> None:
    technician = Person(county, app, "tech")
    files = [(io.BytesIO(b"one"), "ecg.dcm"), (io.BytesIO(b"two"), "ecg.dcm")]
    status, said = technician("POST", "/api/ecg", data={"file": files}, content_type="multipart/form-data")
    assert (status, said["error"]["code"]) == (422, "file_repeated")


def test_sources_of_verification_are_forgotten(database: Database, clock: Any) -> None:
    desk = VerifyDesk(database, lambda key, sha256, now: True)
    for number in range(SOURCES_REMEMBERED + 50):
        desk._allowed(f"2001:db8::{number:x}", clock())
    assert len(desk._tries) == SOURCES_REMEMBERED
    outcomes = [desk._allowed("10.0.0.1", clock()) for _ in range(11)]
    assert outcomes == [True] * 10 + [False]
    assert desk._allowed("10.0.0.1", clock() + timedelta(seconds=61))
