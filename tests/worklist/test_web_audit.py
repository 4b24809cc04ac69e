"""The audit trail narrowed, paged and exported: everything that was written down, no secret, no formula."""

import csv
import io
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask

from tests.peers.township import Township
from tests.worklist.test_review_web import Person
from worklist.access import Act
from worklist.audit_log import without_secrets
from worklist.base import audit

ROOT = Path(__file__).parents[2]


def write_rows(county: Township, at: datetime, number: int, **values: Any) -> None:
    row = {"actor": "QS_CT", "role": "device", "site": "QINGSHAN", "act": "study.receive", "object_type": "study",
           "object_uid": "1.2.3"} | values  # fmt: skip
    with county.roof.db.write() as session:
        for _ in range(number):
            audit.record(session, now=at, **row)


def ids(answer: tuple[int, Any]) -> list[int]:
    assert answer[0] == 200
    return [row["id"] for row in answer[1]["events"]]


def test_rows_are_narrowed_paged_and_exported(county: Township, app: Flask) -> None:
    zone = county.roof.settings.zone
    midnight = datetime(2026, 2, 3, tzinfo=zone)  # a day begins where the server stands, not in UTC
    write_rows(county, midnight - timedelta(seconds=1), 2)
    write_rows(county, midnight, 230, object_uid="1.2.4", details={"code": "113001", "n": 2})
    write_rows(county, midnight, 1, actor="=cmd()", act="study.move", object_uid="1.2.5", result="forbidden")
    write_rows(county, midnight + timedelta(days=1), 3)
    admin = Person(county, app, "admin")
    at = "/api/admin/audit?day=2026-02-03"
    pages, answer = [], admin("GET", at)
    while True:
        pages.append(ids(answer))
        if answer[1]["next"] is None:
            break
        answer = admin("GET", f"{at}&before={answer[1]['next']}")
    assert [len(page) for page in pages] == [100, 100, 31]
    everything = [number for page in pages for number in page]
    assert everything == sorted(set(everything), reverse=True)
    assert len(ids(admin("GET", f"{at}&refused=1"))) == len(ids(admin("GET", f"{at}&object=1.2.5"))) == 1
    assert len(ids(admin("GET", f"{at}&actor==cmd()"))) == len(ids(admin("GET", f"{at}&act=study.move"))) == 1
    assert len(ids(admin("GET", "/api/admin/audit?act=study.&day=2026-02-04"))) == 3
    assert ids(admin("GET", "/api/admin/audit?act=stud&day=2026-02-04")) == []
    for bad in ("yesterday", "2026-02-30", "9999-12-31"):
        status, said = admin("GET", f"/api/admin/audit?day={bad}")
        assert (status, said["error"]["code"]) == (400, "query_value")
    exported = admin._client.get(f"{at.replace('audit', 'audit.csv')}&act=study.", headers=admin._headers)
    assert exported.mimetype == "text/csv" and "attachment" in exported.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(exported.get_data().decode("utf-8-sig"))))
    assert [int(row["id"]) for row in rows] == everything
    assert (rows[0]["actor"], rows[0]["at"]) == ("'=cmd()", "2026-02-03T00:00:00+08:00")
    assert json.loads(rows[1]["details"]) == {"code": "113001", "n": 2}
    (told,) = admin("GET", "/api/admin/audit?act=audit.export")[1]["events"]
    assert (told["actor"], told["details"]) == ("admin", {"day": "2026-02-03", "act": "study."})
    for username in ("radiologist", "reviewer", "manager", "tech"):
        assert Person(county, app, username)("GET", "/api/admin/audit")[0] == 403


def test_a_secret_deep_in_the_details_is_concealed() -> None:
    details = {"n": 1, "changes": [{"PIN": "4711", "name": "x"}], "Token": "abc"}
    assert without_secrets(details) == {"n": 1, "changes": [{"PIN": "•••", "name": "x"}], "Token": "•••"}


def test_every_act_that_is_written_belongs_to_an_area_of_the_page() -> None:
    source = (ROOT / "viewer/frontend/pages/admin_audit.ts").read_text()
    listed = re.search(r"AREAS = \[(.*?)\]", source, re.DOTALL)
    assert listed is not None
    areas = set(re.findall(r'"(\w+)"', listed[1]))
    written = {str(act) for act in Act}
    for package in ("worklist", "reports", "viewer"):
        for path in (ROOT / package).glob("*.py"):
            text = path.read_text()
            written |= set(re.findall(r'act=f?"([a-z_]+\.[a-z_{}]+)"', text))
            written |= set(re.findall(r'(?:_audit|note|_note|record)\(\s*session,[^"]*"([a-z_]+\.[a-z_]+)"', text))
    assert len(written) > 60
    assert {act.split(".")[0] for act in written} <= areas
    sentences = json.loads((ROOT / "worklist/locale/audit.json").read_text())
    assert {f"page.audit.area.{area}" for area in areas} <= set(sentences)


def test_every_kind_of_object_that_is_written_has_a_word() -> None:
    sources = [path.read_text() for package in ("worklist", "reports", "viewer") for path in (ROOT / package).glob("*.py")]
    written = set(re.findall(r'object_type="(\w+)"', "".join(sources)))
    assert len(written) > 15
    sentences = json.loads((ROOT / "worklist/locale/audit.json").read_text())
    assert written == {key.rpartition(".")[2] for key in sentences if key.startswith("page.audit.kind.")}
