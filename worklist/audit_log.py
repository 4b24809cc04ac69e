"""The audit trail as it is looked through: narrowed, newest first, page by page. [store]"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.base.audit import SECRET_NAMES, AuditEvent

CONCEALED = "•••"


@dataclass(frozen=True)
class AuditFilter:
    """What the trail is narrowed to; an empty field narrows nothing. ``act``: one act, or an area as ``study.``."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str = ""
    act: str = ""
    object_uid: str = ""
    refused_only: bool = False


def audit_page(
    session: Session, narrow: AuditFilter, *, before: int | None, limit: int
) -> tuple[Sequence[AuditEvent], int | None]:
    """At most ``limit`` rows older than row ``before``, and before which row the next page begins."""
    query = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(AuditEvent.id < before)
    if narrow.since is not None:
        query = query.where(AuditEvent.at >= narrow.since)
    if narrow.until is not None:
        query = query.where(AuditEvent.at < narrow.until)
    if narrow.actor:
        query = query.where(AuditEvent.actor == narrow.actor)
    if narrow.act:
        is_area = narrow.act.endswith(".")
        query = query.where(
            AuditEvent.act.startswith(narrow.act, autoescape=True) if is_area else AuditEvent.act == narrow.act
        )
    if narrow.object_uid:
        query = query.where(AuditEvent.object_uid == narrow.object_uid)
    if narrow.refused_only:
        query = query.where(AuditEvent.result != "ok")
    rows = session.scalars(query).all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def without_secrets(details: Any) -> Any:
    """Details as they may be seen. ``record`` refuses the names of secrets; what lies deeper is concealed here."""
    if isinstance(details, dict):
        return {
            name: CONCEALED if name.lower() in SECRET_NAMES else without_secrets(value)
            for name, value in details.items()
        }
    return [without_secrets(value) for value in details] if isinstance(details, list) else details


def cell(text: str) -> str:
    """A value that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
