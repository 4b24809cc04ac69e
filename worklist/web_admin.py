"""Administration: sites, deliveries, dead letters, quarantine. [web]"""

import shutil
from datetime import datetime
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist import admin_service, store
from worklist.access import Act
from worklist.account_tables import Account
from worklist.base import audit, outbox
from worklist.tables import Device, Quarantine, Site, Study
from worklist.web import (
    Field,
    WebError,
    actor,
    adapter,
    now,
    read,
    read_json,
    register_codes,
    route_needs,
    services,
    t,
    write,
)  # fmt: skip

admin = Blueprint("admin", __name__)

register_codes(
    {
        "ae_title_invalid": 422, "code_invalid": 422, "code_taken": 409, "host_invalid": 422, "port_invalid": 422,
        "prefix_invalid": 422, "signatures_invalid": 422, "site_unknown": 422, "already_settled": 409,
    }
)  # fmt: skip

SITE = {
    "name_zh": Field(str, False, 128, min_len=1), "name_en": Field(str, False, 128),
    "accession_prefix": Field(str, False, 4, nullable=True),
    "reads": Field(bool, False), "enabled": Field(bool, False),
    "signatures_by_modality": Field(dict, False), "return_ae_title": Field(str, False, 16, nullable=True),
    "return_host": Field(str, False, 255, nullable=True), "return_port": Field(int, False, nullable=True),
    "return_character_set": Field(str, False, choices={"ISO_IR 192", "GB18030"}),
}  # fmt: skip
NEW_SITE = SITE | {"code": Field(str, max_len=32), "name_zh": Field(str, max_len=128, min_len=1)}
# Kinds of work that fail because another system does not listen; an administrator can have it tried at once.
WORD_TO_PEERS = ("ups_event", "mpps_event", "commitment", "ask_commitment")


@admin.get("/admin")
@route_needs(Act.ADMIN_SETTINGS, summary="Administration")
def admin_page() -> str:
    return render_template("admin.html")


@admin.get("/api/admin/health")
@route_needs(Act.ADMIN_SETTINGS, summary="Parts that fail, disk, open work", touches=False)
def health() -> dict[str, Any]:
    disk = shutil.disk_usage(services().settings.data_path)
    with read() as session:
        jobs = [
            {"kind": row.kind, "waiting": row.n_waiting, "running": row.n_running, "dead": row.n_dead,
             "oldest_due_at": _text(row.oldest_due_at)}
            for row in outbox.backlog(session)
        ]  # fmt: skip
        midnight = now().astimezone(services().settings.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        refused = session.scalar(
            select(func.count()).select_from(audit.AuditEvent)
            .where(audit.AuditEvent.act == "association.open", audit.AuditEvent.result != "ok")
            .where(audit.AuditEvent.at >= midnight)
        )  # fmt: skip
    return {
        "failing": adapter("failing_parts")(), "disk_used_percent": round(100 * disk.used / disk.total),
        "disk_free_bytes": disk.free, "jobs": jobs, "refused_associations_today": refused,
    }  # fmt: skip


@admin.get("/api/admin/sites")
@route_needs(Act.ADMIN_SETTINGS, summary="All sites with their health", touches=False)
def sites() -> dict[str, Any]:
    with read() as session:
        rows = session.scalars(select(Site).order_by(Site.id)).all()
        return {"sites": [site_json(session, row) for row in rows]}


def site_json(session: Session, site: Site) -> dict[str, Any]:
    """A site as administration sees it."""
    midnight = now().astimezone(services().settings.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    counts = session.execute(
        select(
            select(func.count(Device.id)).where(Device.site_id == site.id).scalar_subquery(),
            select(func.count(Account.id)).where(Account.site_id == site.id).scalar_subquery(),
            select(func.count(Study.id))
            .where(Study.site_id == site.id, Study.received_at >= midnight)
            .scalar_subquery(),
        )
    ).one()
    return {
        "code": site.code, "name": site.name_zh, "name_en": site.name_en, "accession_prefix": site.accession_prefix,
        "reads": site.reads, "enabled": site.enabled, "signatures_by_modality": site.signatures_by_modality,
        "return_ae_title": site.return_ae_title, "return_host": site.return_host, "return_port": site.return_port,
        "return_character_set": site.return_character_set, "n_devices": counts[0], "n_users": counts[1],
        "n_received_today": counts[2], **adapter("site_deliveries")(session, site.id),
    }  # fmt: skip


@admin.post("/api/admin/sites")
@route_needs(Act.ADMIN_SETTINGS, summary="A new site", body=NEW_SITE, answers={201: "made"})
def add_site() -> tuple[dict[str, Any], int]:
    body = read_json(NEW_SITE)
    with write() as session:
        return site_json(session, admin_service.add_site(session, actor(), body, now())), 201


@admin.patch("/api/admin/sites/<code>")
@route_needs(Act.ADMIN_SETTINGS, summary="Change a site", body=SITE)
def change_site(code: str) -> dict[str, Any]:
    body = read_json(SITE)
    with write() as session:
        return site_json(session, admin_service.change_site(session, actor(), code, body, now()))


@admin.post("/api/admin/sites/<code>/echo")
@route_needs(Act.ADMIN_SETTINGS, summary="C-ECHO to the site's return address")
def echo_site(code: str) -> dict[str, Any]:
    with read() as session:
        site = store.site_by_code(session, code)
        if site is None or not (site.return_ae_title and site.return_host and site.return_port):
            raise WebError(404, "not_found")
    outcome: dict[str, Any] = adapter("echo")(site.return_host, site.return_port, site.return_ae_title)
    return outcome


@admin.get("/api/admin/jobs")
@route_needs(Act.ADMIN_QUEUE, summary="Work that was given up, and word to peers that has not arrived", touches=False)
def dead_jobs() -> dict[str, Any]:
    """``due_at``: when a job without ``dead_at`` is tried again."""
    with read() as session:
        return {
            "jobs": [
                {"job_id": row.id, "kind": row.kind, "key": row.key, "n_attempts": row.n_attempts,
                 "last_error": row.last_error, "dead_at": _text(row.dead_at), "due_at": _text(row.due_at)}
                for row in [*outbox.dead_letters(session), *outbox.retrying(session, WORD_TO_PEERS)]
            ]
        }  # fmt: skip


@admin.post("/api/admin/jobs/<int:job_id>/resend")
@route_needs(Act.ADMIN_QUEUE, summary="Have given-up work done again")
def resend_job(job_id: int) -> dict[str, Any]:
    with write() as session:
        if not outbox.resend(session, job_id, now()):
            raise WebError(404, "not_found")
        person = actor()
        audit.record(
            session, now=now(), actor=person.username, role=person.role, site=person.site_code, act="job.resend",
            object_type="outbox_job", object_uid=str(job_id),
        )  # fmt: skip
    return {}


@admin.get("/api/admin/quarantine")
@route_needs(Act.QUARANTINE_HEADERS, summary="Objects kept aside, with their reason", query=["all"], touches=False)
def quarantine() -> dict[str, Any]:
    with read() as session:
        query = select(Quarantine, Site.code, Study.study_instance_uid)
        query = query.outerjoin(Site, Site.id == Quarantine.site_id).outerjoin(Study, Study.id == Quarantine.study_id)
        if request.args.get("all") != "1":
            query = query.where(Quarantine.resolved_at.is_(None))
        rows = session.execute(query.order_by(Quarantine.id.desc()).limit(500)).all()
        return {"objects": [_quarantine_json(*row) for row in rows]}


def _quarantine_json(row: Quarantine, site: str | None, study_uid: str | None) -> dict[str, Any]:
    return {
        "quarantine_id": row.id, "received_at": _text(row.received_at), "site": site, "source": row.source,
        "reason": row.reason, "reason_text": t(f"quarantine.{row.reason}"), "details": row.details,
        "sop_instance_uid": row.sop_instance_uid, "study_instance_uid": study_uid, "size_bytes": row.size_bytes,
        "seen_reason": row.seen_reason, "resolved_at": _text(row.resolved_at), "resolution": row.resolution,
    }  # fmt: skip


@admin.get("/api/admin/quarantine/<int:number>/headers")
@route_needs(Act.QUARANTINE_HEADERS, summary="The header of an object kept aside, without its pixels")
def quarantine_headers(number: int) -> dict[str, Any]:
    with write() as session:
        row = session.get(Quarantine, number)
        if row is None:
            raise WebError(404, "not_found")
        person = actor()
        audit.record(
            session, now=now(), actor=person.username, role=person.role, site=person.site_code,
            act="quarantine.headers", object_type="instance", object_uid=row.sop_instance_uid or str(row.id),
        )  # fmt: skip
    return {"elements": adapter("headers_of")(row.blob_key)}


SETTLE = {"resolution": Field(str, max_len=256, min_len=1)}


@admin.post("/api/admin/quarantine/<int:number>/settle")
@route_needs(Act.QUARANTINE_HEADERS, summary="Say how an object kept aside was dealt with", body=SETTLE)
def settle_quarantine(number: int) -> dict[str, Any]:
    body = read_json(SETTLE)
    with write() as session:
        admin_service.settle_quarantine(session, actor(), number, body["resolution"], now())
    return {}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
