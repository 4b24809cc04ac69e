"""Storage commitment on /admin: what devices asked for, what we asked of peers, and how it stands. [web]"""

from datetime import datetime
from typing import Any

from flask import Blueprint
from sqlalchemy import select

from worklist import commitment_service as service
from worklist.access import Act
from worklist.commitment_tables import CommitmentTransaction
from worklist.tables import Site
from worklist.web import actor, now, read, register_codes, route_needs, write

commitments = Blueprint("commitments", __name__)

register_codes({"illegal_commitment_move": 409})


@commitments.get("/api/admin/commitments")
@route_needs(Act.ADMIN_QUEUE, summary="Storage commitment transactions, open ones first", touches=False)
def recent() -> dict[str, Any]:
    """At most 100 rows."""
    with read() as session:
        rows = service.recent(session)
        counts = service.counts(session, [row.id for row in rows])
        reasons = service.reasons(session, [row.id for row in rows])
        codes = {number: code for number, code in session.execute(select(Site.id, Site.code))}  # noqa: C416  two columns
        return {
            "commitments": [
                _row_json(row, codes.get(row.site_id or 0), counts.get(row.id, (0, 0)), reasons.get(row.id, {}))
                for row in rows
            ]
        }  # fmt: skip


@commitments.post("/api/admin/commitments/<int:number>/resend")
@route_needs(
    Act.ADMIN_QUEUE, summary="Tell a device its result again, or ask a peer again",
    answers={200: "queued", 409: "nothing to tell"},
)
def resend(number: int) -> dict[str, Any]:
    with write() as session:
        row = service.resend(session, actor(), number, now())
        return {"commitment_id": row.id, "state": row.state}


def _row_json(
    row: CommitmentTransaction, site: str | None, counts: tuple[int, int], reasons: dict[int, int]
) -> dict[str, Any]:
    return {
        "commitment_id": row.id, "direction": row.direction, "transaction_uid": row.transaction_uid,
        "peer": row.peer_ae_title, "site": site, "state": row.state, "is_duplicate": row.is_duplicate,
        "n_instances": counts[0], "n_failed": counts[1],
        "reasons": [{"reason": f"{reason:04X}", "n": count} for reason, count in sorted(reasons.items())],
        "n_attempts": row.n_attempts, "last_error": row.last_error,
        "requested_at": _text(row.requested_at), "ended_at": _text(row.ended_at),
    }  # fmt: skip


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
