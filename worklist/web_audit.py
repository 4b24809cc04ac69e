"""The audit trail on /admin/audit: looked through, narrowed, taken along as CSV. [web]"""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from flask import Blueprint, Response, render_template, request

from worklist.access import Act
from worklist.audit_log import AuditFilter, audit_page, cell, without_secrets
from worklist.base import audit
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.web import WebError, actor, now, read, route_needs, services, write

audits = Blueprint("audits", __name__)

PAGE, BATCH = 100, 1000
NARROWED_BY = ("day", "actor", "act", "object", "refused")
COLUMNS = ("id", "at", "actor", "role", "site", "act", "object_type", "object_uid", "result", "details")


@audits.get("/admin/audit")
@route_needs(Act.ADMIN_AUDIT, summary="The audit trail's page")
def audit_trail_page() -> str:
    return render_template("audit.html")


@audits.get("/api/admin/audit")
@route_needs(
    Act.ADMIN_AUDIT, summary="The audit trail, newest first; act: one, or an area as \"study.\"",
    query=["before", *NARROWED_BY], touches=False,
)  # fmt: skip
def audit_rows() -> dict[str, Any]:
    before = request.args.get("before", "")
    # More digits: past every row.
    position = int(before) if before.isdecimal() and len(before) < 10 else None
    with read() as session:
        rows, following = audit_page(session, _narrow(), before=position, limit=PAGE)
        return {"events": [_row(one, UTC) for one in rows], "next": following}


@audits.get("/api/admin/audit.csv")
@route_needs(Act.ADMIN_AUDIT, summary="The narrowed rows as CSV, all of them; itself a row", query=NARROWED_BY)
def audit_csv() -> Response:
    narrow, person, zone = _narrow(), actor(), services().settings.zone
    with write() as session:
        audit.record(
            session, now=now(), actor=person.username, role=person.role, site=person.site_code, act="audit.export",
            object_type="audit", object_uid="", details={name: request.args[name] for name in NARROWED_BY
                                                         if request.args.get(name)},
        )  # fmt: skip
    answer = Response(_lines(services().db, narrow, zone), mimetype="text/csv")
    name = f"audit-{request.args.get('day') or now().astimezone(zone).date().isoformat()}.csv"
    answer.headers.update({"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"})
    return answer


def _narrow() -> AuditFilter:
    """Raises WebError 400 for a day that is none."""
    given = {name: request.args.get(name, "").strip() for name in NARROWED_BY}
    since = until = None
    if given["day"]:
        try:
            day = date.fromisoformat(given["day"])
            since = datetime.combine(day, time(), services().settings.zone)
            until = datetime.combine(day + timedelta(days=1), time(), services().settings.zone)
        except (ValueError, OverflowError):
            raise WebError(400, "query_value", field="day", value=given["day"][:32]) from None
    return AuditFilter(since, until, given["actor"], given["act"], given["object"], given["refused"] == "1")


def _row(event: AuditEvent, zone: tzinfo) -> dict[str, Any]:
    return {
        "id": event.id, "at": event.at.astimezone(zone).isoformat(), "actor": event.actor, "role": event.role,
        "site": event.site, "act": event.act, "object_type": event.object_type, "object_uid": event.object_uid,
        "result": event.result, "details": without_secrets(event.details),
    }  # fmt: skip


def _lines(db: Database, narrow: AuditFilter, zone: tzinfo) -> Iterator[str]:
    """Batch after batch: a trail of years is not held in memory."""
    yield "\ufeff" + ",".join(COLUMNS) + "\r\n"  # the mark by which spreadsheets know UTF-8
    before: int | None = None
    while True:
        text = io.StringIO()
        writer = csv.writer(text)
        with db.read() as session:
            rows, before = audit_page(session, narrow, before=before, limit=BATCH)
            for event in rows:
                shown = _row(event, zone)
                shown["details"] = json.dumps(shown["details"], ensure_ascii=False) if shown["details"] else ""
                writer.writerow([cell(str(shown[name])) for name in COLUMNS])
        yield text.getvalue()
        if before is None:
            return
