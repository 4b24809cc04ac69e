"""The delivery queue on /admin: every report version on its way, each try with its outcome. [web]"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint, request

from reports import delivery_service, delivery_store
from reports.delivery_store import FILTERS, Archiving, QueueRow
from reports.tables import Delivery, DeliveryAttempt
from worklist import store
from worklist.access import Act
from worklist.web import WebError, actor, now, read, register_codes, route_needs, write

deliveries = Blueprint("deliveries", __name__)

register_codes({"delivery_illegal_move": 409, "delivery_superseded": 409})


@deliveries.get("/api/admin/deliveries")
@route_needs(Act.ADMIN_QUEUE, summary="Deliveries with their tries", query=["state", "site"], touches=False)
def queue() -> dict[str, Any]:
    """At most 200 rows, newest first; ``counts`` are of all."""
    state, site = request.args.get("state", "open"), request.args.get("site") or None
    if state not in FILTERS:
        raise WebError(400, "field_choice", field="state", choices=list(FILTERS))
    with read() as session:
        if site is not None and store.site_by_code(session, site) is None:
            raise WebError(404, "not_found")
        rows = delivery_store.queue(session, FILTERS[state], site)
        tries = delivery_store.attempts(session, [row.delivery.id for row in rows])
        siblings = delivery_store.siblings(session, [row.report.id for row in rows])
        archived = delivery_store.archiving(session, [row.delivery for row in rows])
        oldest = delivery_store.oldest_unacknowledged(session)
        return {
            "deliveries": [
                _row_json(row, tries[row.delivery.id], siblings[row.report.id], archived) for row in rows
            ],
            "counts": delivery_store.counts(session, site),
            "oldest_unacknowledged": {"at": _text(oldest[0]), "site": oldest[1].code} if oldest else None,
        }


def _row_json(
    row: QueueRow, tries: Sequence[DeliveryAttempt], siblings: Sequence[Delivery], archived: Mapping[str, Archiving]
) -> dict[str, Any]:
    delivery, report, study, site = row.delivery, row.report, row.study, row.site
    kept = archived.get(delivery.sop_instance_uid or "")
    return {
        "delivery_id": delivery.id, "report_uid": report.report_uid, "report_status": report.status,
        "document_version": report.document_version, "signed_at": _text(report.signed_at),
        "patient_name": row.patient.name, "modality": study.modality, "body_part": study.body_part,
        "site": {"code": site.code, "name": site.name_zh, "name_en": site.name_en},
        "channel": delivery.channel, "peer": _peer(row), "state": delivery.state, "n_attempts": delivery.n_attempts,
        "attempts": [
            {"at": _text(one.at), "outcome": one.outcome, "status": one.status, "detail": one.detail} for one in tries
        ],
        "next_attempt_at": _text(delivery.next_attempt_at), "last_error": delivery.last_error,
        "created_at": _text(delivery.created_at), "accepted_at": _text(delivery.accepted_at),
        "opened_at": _text(delivery.opened_at), "acknowledged_at": _text(delivery.acknowledged_at),
        "archive": {"state": kept.state, "at": _text(kept.at)} if kept else None,
        "other_channels": [
            {"delivery_id": one.id, "channel": one.channel, "state": one.state, "accepted_at": _text(one.accepted_at),
             "opened_at": _text(one.opened_at), "acknowledged_at": _text(one.acknowledged_at)}
            for one in siblings if one.id != delivery.id
        ],
    }  # fmt: skip


def _peer(row: QueueRow) -> str | None:
    """AE@HOST:PORT as the next try will use it; None for the portal or where the address was taken away."""
    site = row.site
    if row.delivery.channel == delivery_service.PORTAL or not (site.return_ae_title and site.return_host):
        return None
    return f"{site.return_ae_title}@{site.return_host}:{site.return_port}"


@deliveries.post("/api/admin/deliveries/<int:delivery_id>/resend")
@route_needs(Act.ADMIN_QUEUE, summary="Send a delivery again", answers={200: "queued", 409: "already on its way"})
def resend(delivery_id: int) -> dict[str, Any]:
    with write() as session:
        delivery = delivery_service.resend(session, actor(), delivery_id, now())
        return {"delivery_id": delivery.id, "state": delivery.state}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
