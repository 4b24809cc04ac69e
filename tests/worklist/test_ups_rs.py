"""UPS-RS over the pages' own application: workitems made, found, changed, claimed, subscribed to; who may what."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from pacs_bridge import ups
from tests.conftest import Clock
from tests.peers.township import Township
from worklist.account_tables import Account
from worklist.session_service import open_session
from worklist.tables import Workitem
from worklist.ups import follow
from worklist.ups_tables import UpsEvent
from worklist.webserver import build_web

JSON = "application/dicom+json"
T1, T2 = "2.25.11", "2.25.12"
Call = Callable[..., Any]


@pytest.fixture
def call(county: Township) -> Call:
    app: Flask = build_web(county.roof, county.desk.signer)  # type: ignore[arg-type]
    secrets: dict[str, str] = {}

    def made(method: str, path: str, body: Any = None, *, who: str = "radiologist", media: str = JSON) -> Any:
        if who not in secrets:
            with county.roof.db.write() as session:
                account = session.scalars(select(Account).where(Account.username == who)).one()
                secrets[who] = open_session(session, account, kind="token", now=county.clock(), source="t").secret
        headers = {"Authorization": f"Bearer {secrets[who]}", "Accept": JSON}
        more = {} if body is None else {"json": body, "content_type": media}
        return app.test_client().open(f"/dicom-web{path}", method=method, headers=headers, **more)

    return made


def attributes(**values: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keyword, value in values.items():
        ups.put(found, keyword, *(value if isinstance(value, list) else [value]))
    return found


def pushed(**changes: Any) -> dict[str, Any]:
    return attributes(**{
        "ScheduledProcedureStepPriority": "LOW", "ProcedureStepLabel": "三维重建", "ProcedureStepState": "SCHEDULED",
        "ScheduledProcedureStepStartDateTime": "20260302093000", "InputReadinessState": "READY",
        "ScheduledWorkitemCodeSequence": ups.code(("110003", "DCM", "Image Processing")), "PatientID": "RS-1",
    } | changes)  # fmt: skip


def state(to: str, transaction: str | None = T1) -> dict[str, Any]:
    return attributes(ProcedureStepState=to, TransactionUID=transaction)


def value(answer: Any, keyword: str) -> Any:
    return ups.text(answer.get_json()[0], keyword)


def test_reading_work_over_http(county: Township, call: Call, tmp_path: Path) -> None:
    study, item = county.study(tmp_path)
    one = f"/workitems/{item.workitem_uid}"
    found = call("GET", f"/workitems?00741000=SCHEDULED&StudyInstanceUID={study.study_instance_uid}&limit=5")
    assert (found.status_code, found.mimetype, len(found.get_json())) == (200, JSON, 1)
    assert value(found, "SOPInstanceUID") == item.workitem_uid
    assert ups.tag("InputInformationSequence") in call("GET", one).get_json()[0]
    assert ups.tag("TransactionUID") not in call("GET", one).get_json()[0]
    assert call("GET", "/workitems?ProcedureStepState=COMPLETED").status_code == 204
    assert call("GET", "/workitems?ReferencedRequestSequence.AccessionNumber=NONE").status_code == 204
    for bad in ("NoSuchKeyword=1", "limit=many", "99999999=1"):
        assert call("GET", f"/workitems?{bad}").status_code == 400
    # sight: another site's clinician, another kind's reader
    assert call("GET", one, who="clinician2").status_code == 404
    assert call("GET", one, who="cardiologist").status_code == 404
    assert call("GET", one, who="manager").status_code == 403
    assert call("PUT", f"{one}/state", state("IN PROGRESS"), who="clinician").status_code == 403
    missing = call("PUT", f"{one}/state", state("IN PROGRESS", None))
    assert (missing.status_code, missing.headers["Warning"]) == (409, "299 teleread: The Transaction UID is missing.")
    assert call("PUT", f"{one}/state", state("SCHEDULED")).status_code == 400
    assert call("PUT", f"{one}/state", state("IN PROGRESS"), media="text/plain").status_code == 415
    assert call("PUT", f"{one}/state", [1, 2]).status_code == 400
    assert call("PUT", f"{one}/state", state("IN PROGRESS")).status_code == 200
    assert county.row(Workitem, item.workitem_uid).transaction_uid == T1
    second = call("PUT", f"{one}/state", state("IN PROGRESS", T2), who="radiologist2")
    assert (second.status_code, second.get_json()["error"]["details"]["dimse_status"]) == (409, "C302")
    wrong = call("PUT", f"{one}/state", state("CANCELED", T2))
    assert (wrong.status_code, wrong.headers["Warning"]) == (409, "299 teleread: The Transaction UID is incorrect.")
    early = call("PUT", f"{one}/state", state("COMPLETED"))
    assert (early.status_code, early.get_json()["error"]["details"]["dimse_status"]) == (409, "C304")
    partly = call("POST", f"{one}?{T1}", attributes(ProcedureStepLabel="x", CommentsOnTheScheduledProcedureStep="soon"))
    assert partly.headers["Warning"] == "299 teleread: Requested optional Attributes are not supported."
    assert value(call("GET", one), "CommentsOnTheScheduledProcedureStep") == "soon"
    assert call("PUT", f"{one}/state", state("CANCELED")).status_code == 200
    again = call("PUT", f"{one}/state", state("CANCELED"))
    assert "already in the requested state of CANCELED" in again.headers["Warning"]
    assert county.open_workitem(study.id).replaces == item.workitem_uid


def test_a_task_over_http(county: Township, call: Call) -> None:
    made = call("POST", "/workitems?2.25.77", pushed())
    assert (made.status_code, made.headers["Location"].rpartition("/")[2]) == (201, "2.25.77")
    assert call("POST", "/workitems?2.25.77", pushed()).status_code == 409
    assert call("POST", "/workitems", pushed(ProcedureStepState="IN PROGRESS")).status_code == 400
    assert call("POST", "/workitems?1.02", pushed()).status_code == 400
    assert call("POST", "/workitems", {"00100010": "flat"}).status_code == 400
    one = "/workitems/2.25.77"
    assert value(call("GET", one), "ProcedureStepLabel") == "三维重建"
    assert value(call("GET", "/workitems?ProcedureStepLabel=三维*"), "SOPInstanceUID") == "2.25.77"
    assert call("POST", one, attributes(ScheduledProcedureStepPriority="HIGH")).status_code == 200
    assert call("POST", f"{one}?transaction-uid={T1}", attributes(ProcedureStepLabel="x")).status_code == 409
    assert call("PUT", f"{one}/state", state("IN PROGRESS")).status_code == 200
    assert call("POST", one, attributes(ProcedureStepLabel="x")).status_code == 409
    unheard = call("POST", f"{one}/cancelrequest")
    assert (unheard.status_code, unheard.get_json()["error"]["details"]["dimse_status"]) == (409, "C312")
    progress: dict[str, Any] = {}
    ups.put(progress, "ProcedureStepProgress", "50")
    changed = attributes(ProcedureStepProgressInformationSequence=progress, TransactionUID=T1)
    assert call("POST", one, changed).status_code == 200
    assert call("PUT", f"{one}/state", state("CANCELED")).status_code == 200
    over = call("POST", f"{one}/cancelrequest")
    assert (over.status_code, "CANCELED" in over.headers["Warning"]) == (409, True)
    assert call("POST", "/workitems?2.25.78", pushed()).status_code == 201
    assert call("POST", "/workitems/2.25.78/cancelrequest", {}).status_code == 202
    assert value(call("GET", "/workitems/2.25.78"), "ProcedureStepState") == "CANCELED"


def test_subscriptions_over_http_belong_to_who_made_them(
    county: Township, call: Call, tmp_path: Path, clock: Clock
) -> None:
    everything = f"/workitems/{ups.GLOBAL}/subscribers"
    assert call("POST", f"{everything}/QS_CT").status_code == 403  # a device's title
    made = call("POST", f"{everything}/READER_1?deletionlock=true")
    assert made.status_code == 201
    assert made.headers["Content-Location"].startswith("ws://")
    assert made.headers["Content-Location"].endswith("/dicom-web/ws/subscribers/READER_1")
    assert call("POST", f"{everything}/READER_1", who="radiologist2").status_code == 403
    only = f"/workitems/{ups.FILTERED}/subscribers/AI_1"
    assert call("POST", only, who="radiologist2").status_code == 400
    assert call("POST", f"{only}?filter=ProcedureStepLabel=Heart*", who="radiologist2").status_code == 201
    assert call("POST", f"{everything}/CLINIC_2", who="clinician2").status_code == 201
    clock.forward(1)
    _, item = county.study(tmp_path)
    follow(county.roof, clock())
    with county.roof.db.read() as session:
        told = {row.ae_title for row in session.scalars(select(UpsEvent).where(UpsEvent.workitem_uid == item.workitem_uid))}
    assert told == {"READER_1"}  # another site's clinician hears nothing of it
    assert call("POST", f"{everything}/READER_1/suspend").status_code == 200
    assert call("POST", f"/workitems/{item.workitem_uid}/subscribers/READER_1/suspend").status_code == 400
    assert call("DELETE", f"{everything}/READER_1").status_code == 200
    assert call("POST", "/workitems/1.2.3/subscribers/READER_1").status_code == 404
