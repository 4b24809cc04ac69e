"""Every route of the joined application × role × site, by the table below and on a real study of one township."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.peers.township import Township
from tests.worklist.route_walk import Walker, call, undeclared, walk
from worklist.access import ROLES
from worklist.account_service import create_account
from worklist.account_tables import Account
from worklist.session_service import open_session
from worklist.store import instances_of_study
from worklist.tables import Instance, Series, Site

EVERYONE = set(ROLES)
READ = {"reader", "reviewer", "trainee"}
SITE = {"technician", "clinician"}
SEES = READ | SITE
# The table kept by hand: who gets past the door of each route. "*": no login needed.
TABLE: dict[str, set[str] | str] = {
    "GET /": EVERYONE, "GET /admin": {"admin"}, "GET /api/admin/audit": {"admin"}, "GET /api/admin/deliveries": {"admin"},
    "GET /api/admin/commitments": {"admin"}, "POST /api/admin/commitments/<int:number>/resend": {"admin"},
    "POST /api/admin/deliveries/<int:delivery_id>/resend": {"admin"}, "GET /api/admin/devices": {"admin"},
    "POST /api/admin/devices": {"admin"}, "PATCH /api/admin/devices/<ae_title>": {"admin"},
    "POST /api/admin/devices/<ae_title>/echo": {"admin"}, "GET /api/admin/refusals": {"admin"},
    "GET /api/admin/health": {"admin"}, "GET /api/admin/jobs": {"admin"},
    "POST /api/admin/jobs/<int:job_id>/resend": {"admin"}, "GET /api/admin/quarantine": {"admin"},
    "GET /api/admin/quarantine/<int:number>/headers": {"admin"},
    "POST /api/admin/quarantine/<int:number>/settle": {"admin"}, "GET /api/admin/sites": {"admin"},
    "POST /api/admin/sites": {"admin"}, "PATCH /api/admin/sites/<code>": {"admin"},
    "POST /api/admin/sites/<code>/echo": {"admin"}, "GET /api/admin/users": {"admin"}, "POST /api/admin/users": {"admin"},
    "PATCH /api/admin/users/<username>": {"admin"}, "POST /api/admin/users/<username>/password": {"admin"},
    "POST /api/admin/users/<username>/signing-key/revoke": {"admin"}, "POST /api/admin/users/<username>/unlock": {"admin"},
    "POST /api/break-glass": {"reader", "reviewer", "clinician"}, "POST /api/ecg": {"technician"},
    "GET /api/frames/<uid>/<int:number>": SEES, "POST /api/language": "*", "POST /api/login": "*",
    "POST /api/logout": EVERYONE, "GET /api/openapi.json": "*", "GET /api/orders": SEES,
    "POST /api/orders": {"technician"}, "POST /api/orders/shown": {"technician"},
    "POST /api/studies/<uid>/release": {"technician", "reader", "reviewer"}, "GET /api/readers": {"reader", "reviewer"},
    "GET /api/reports/<uid>": READ | {"clinician"}, "POST /api/reports/<uid>/acknowledge": {"clinician"},
    "GET /api/reports/<uid>/deliveries": READ | {"clinician"}, "POST /api/reports/<uid>/opened": {"clinician"},
    "GET /api/reports/<uid>/pdf": READ | {"clinician"}, "GET /api/session": EVERYONE, "POST /api/session/relogin": "*",
    "GET /api/session/signing-key": {"reader", "reviewer"}, "POST /api/session/signing-key": {"reader", "reviewer"},
    "GET /api/sites": EVERYONE, "GET /api/statistics": {"manager"}, "GET /api/studies/<uid>": SEES, "GET /api/studies/<uid>/display": SEES,
    "GET /api/studies/<uid>/ecg": SEES, "POST /api/studies/<uid>/order": {"technician", "reader", "reviewer"},
    "GET /api/templates": READ, "GET /api/thumbnails/<uid>": SEES, "GET /api/tokens": {"admin"},
    "DELETE /api/tokens/<sitting>": {"admin"}, "GET /api/workitems/<uid>": SEES,
    "POST /api/workitems/<uid>/claim": READ, "POST /api/workitems/<uid>/conflicts/seen": READ,
    "POST /api/workitems/<uid>/retake": {"reader", "reviewer"},
    "POST /api/workitems/<uid>/dismiss": READ, "POST /api/workitems/<uid>/reassign": {"reader", "reviewer"},
    "POST /api/workitems/<uid>/takeover": {"reader", "reviewer"}, "POST /api/workitems/<uid>/release": READ, "PUT /api/workitems/<uid>/report": READ,
    "POST /api/workitems/<uid>/report/prepare": {"reader", "reviewer"},
    "GET /api/workitems/<uid>/report/prepared/<int:version>/<kind>": {"reader", "reviewer"},
    "POST /api/workitems/<uid>/report/return": {"reviewer"}, "POST /api/workitems/<uid>/report/submit": {"reader", "reviewer"},
    "POST /api/workitems/<uid>/report/verify": {"reviewer"}, "GET /api/worklist": SEES, "POST /api/worklist/search": SEES, "GET /healthz": "*",
    "POST /language": "*", "GET /login": "*", "POST /login": "*", "POST /logout": EVERYONE, "GET /portal": {"clinician"},
    "GET /read/<uid>": READ, "GET /reports/<uid>": READ | {"clinician"}, "GET /static/dist/<path:name>": "*",
    "GET /statistics": {"manager"}, "GET /technician": {"technician"}, "GET /verify/<code>": "*",
    # DICOMweb: retrieving needs sight of the study, storing is a technician's
    "GET /dicom-web/workitems": SEES, "GET /dicom-web/workitems/<uid>": SEES,
    "POST /dicom-web/workitems": READ, "POST /dicom-web/workitems/<uid>": READ,
    "PUT /dicom-web/workitems/<uid>/state": READ, "POST /dicom-web/workitems/<uid>/cancelrequest": READ,
    "POST /dicom-web/workitems/<uid>/subscribers/<ae_title>": SEES | {"admin"},
    "DELETE /dicom-web/workitems/<uid>/subscribers/<ae_title>": SEES | {"admin"},
    "POST /dicom-web/workitems/<uid>/subscribers/<ae_title>/suspend": SEES | {"admin"},
    "GET /dicom-web/": "*", "POST /dicom-web/studies": {"technician"}, "POST /dicom-web/studies/<study>": {"technician"},
    **{f"GET /dicom-web{resource}": SEES for resource in (
        "/studies", "/series", "/instances", "/studies/<study>/series", "/studies/<study>/instances",
        "/studies/<study>/series/<series>/instances",
    )},
    **{f"GET /dicom-web/studies/<study>{rest}": SEES for rest in (
        "", "/metadata", "/rendered", "/thumbnail", "/series/<series>", "/series/<series>/metadata",
        "/series/<series>/rendered", "/series/<series>/thumbnail",
        *(f"/series/<series>/instances/<instance>{last}" for last in (
            "", "/metadata", "/rendered", "/thumbnail", "/frames/<frames>", "/frames/<frames>/rendered",
            "/frames/<frames>/thumbnail", "/bulkdata/<path:where>",
        )),
    )},
    # The person index and identity repair.
    "GET /admin/persons": {"admin", "reviewer"},
    "GET /api/persons": {"admin", "reviewer"},
    "GET /api/persons/proposals": {"admin", "reviewer"},
    "POST /api/persons/search": {"admin", "reviewer"},
    "POST /api/persons/proposals/<int:proposal_id>/accept": {"admin", "reviewer"},
    "POST /api/persons/proposals/<int:proposal_id>/refuse": {"admin", "reviewer"},
    "POST /api/persons/links/<int:link_id>/undo": {"admin", "reviewer"},
    "GET /admin/repair": {"admin"},
    "GET /admin/audit": {"admin"}, "GET /api/admin/audit.csv": {"admin"},
    "POST /api/repair/search": {"admin"},
    "GET /api/repair/studies/<uid>": {"admin"},
    "GET /api/repair/orders/<uid>": {"admin"},
    "GET /api/repair/thumbnails/<uid>": {"admin"},
    "GET /api/repair/repairs": {"admin"},
    "POST /api/repair/studies/<uid>/move": {"admin"},
    "POST /api/repair/studies/<uid>/split": {"admin"},
    "POST /api/repair/studies/<uid>/reject": {"admin"},
    "POST /api/repair/merge": {"admin"},
    "POST /api/repair/repairs/<int:repair_id>/undo": {"admin"},
    "POST /api/repair/rejections/<int:rejection_id>/undo": {"admin"},
}  # fmt: skip
# On a real DR study of QINGSHAN with a final report: status by demo user.
IMAGES = {
    "tech": 200, "clinician": 200, "radiologist": 200, "radiologist2": 200, "reviewer": 200, "tech2": 404,
    "clinician2": 404, "cardiologist": 404, "reviewer_ecg": 404, "manager": 403, "admin": 403,
}  # fmt: skip
REPORT = IMAGES | {"tech": 403, "tech2": 403}
_DICOMWEB = "/dicom-web/studies/{study}"
_ONE = _DICOMWEB + "/series/{series}/instances/{instance}"
SEEN = {
    **{f"{base}{rest}": IMAGES for base in (_DICOMWEB, _ONE) for rest in ("", "/metadata", "/thumbnail", "/rendered")},
    f"{_ONE}/frames/1": IMAGES, f"{_ONE}/frames/1/rendered": IMAGES, f"{_ONE}/bulkdata/7FE00010": IMAGES,
    "/api/studies/{study}": IMAGES, "/api/studies/{study}/display": IMAGES, "/api/workitems/{workitem}": IMAGES,
    "/api/frames/{instance}/1": IMAGES, "/api/thumbnails/{instance}": IMAGES, "/api/reports/{report}": REPORT,
    "/api/reports/{report}/pdf": REPORT, "/api/reports/{report}/deliveries": REPORT, "/reports/{report}": REPORT,
    "/read/{workitem}": IMAGES | {"tech": 403, "tech2": 403, "clinician": 403, "clinician2": 403},
}  # fmt: skip


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "teleread.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{path}"


def token(county: Township, username: str) -> str:
    with county.roof.db.write() as session:
        account = session.scalars(select(Account).where(Account.username == username)).one()
        return open_session(session, account, kind="token", now=county.clock(), source="test").secret


def test_every_route_is_in_the_table_and_its_door_is_as_the_table_says(county: Township, app: Flask) -> None:
    from worklist.web_routes import route_table

    assert undeclared(app, TABLE) == []
    for route in route_table(app):
        for method in route.methods:
            allowed = TABLE[f"{method} {route.rule}"]
            declared: Any = "*" if route.declaration.is_public else {r for r in ROLES if route.declaration.allows(r)}
            assert declared == allowed, f"{method} {route.rule}"


def test_every_door_holds_for_every_role_at_every_site(county: Township, app: Flask) -> None:
    walkers = []
    with county.roof.db.write() as session:
        for site in session.scalars(select(Site).where(Site.code.in_(("QINGSHAN", "BAISHUI")))):
            for role in ROLES:
                account = create_account(
                    session, None, username=f"{role}-{site.code}".lower(), password_hash="x", name=role, role=role,
                    site_id=site.id, kinds=("image",) if role in READ else (), now=county.clock(),
                )  # fmt: skip
                opened = open_session(session, account, kind="token", now=county.clock(), source="test")
                walkers.append(Walker(account.username, role, opened.secret))
    assert len(walkers) == 14
    # No listener runs here, so /healthz says 503 to everybody.
    assert [line for line in walk(app, walkers) if "/healthz" not in line] == []


def test_a_study_is_seen_by_its_site_and_its_readers_and_by_nobody_else(county: Township, app: Flask, tmp_path: Path) -> None:
    study, item, report = county.signed_study(tmp_path)
    with county.roof.db.read() as session:
        instance: Instance = instances_of_study(session, study.id)[0]
        series = session.get_one(Series, instance.series_id).series_instance_uid
    _derive(county, instance)
    names = {
        "study": study.study_instance_uid, "workitem": item.workitem_uid, "report": report.report_uid,
        "instance": instance.sop_instance_uid, "series": series,
    }  # fmt: skip
    client, wrong = app.test_client(), []
    for username, image_status in IMAGES.items():
        secret = token(county, username)
        for rule, expected in SEEN.items():
            status = call(client, "GET", rule.format(**names), secret).status_code
            if status != expected[username]:
                wrong.append(f"{rule} as {username}: {status}, must be {expected[username]}")
        listed = call(client, "GET", "/api/worklist", secret)
        sees = listed.status_code == 200 and any(
            row["workitem_uid"] == item.workitem_uid for row in listed.get_json()["items"]
        )
        if sees != (image_status == 200):
            wrong.append(f"the list as {username}: {sees}")
    assert wrong == []


def _derive(county: Township, instance: Instance) -> None:
    from viewer.derive import derive_instance

    blobs = county.roof.blobs
    manifest = derive_instance(blobs.path(instance.blob_key), blobs.derived_dir(instance.blob_key))
    assert manifest["state"] == "ready", manifest
    with county.roof.db.write() as session:
        session.get_one(Instance, instance.id).derived_state = "ready"


def test_a_name_is_searched_in_the_body_not_in_the_url(county: Township, app: Flask, tmp_path: Path) -> None:
    _, item = county.study(tmp_path)
    client, secret = app.test_client(), token(county, "radiologist")
    headers = {"Authorization": f"Bearer {secret}"}
    for words in ("韩秀", "hanxiu", "hxz"):
        answer = client.post("/api/worklist/search", json={"q": words, "limit": "5"}, headers=headers)
        assert [row["workitem_uid"] for row in answer.get_json()["items"]] == [item.workitem_uid]
    wrong = client.post("/api/worklist/search", json={"q": "韩", "limit": "0"}, headers=headers)
    assert (wrong.status_code, wrong.get_json()["error"]["details"]["field"]) == (400, "limit")
