"""Stored objects that no row names: kept aside with a row of their own, or let go. [service]

Such an object was never acknowledged (its row is committed before the answer), so the sender still has it
and sends it again. It is kept all the same: nothing that came in disappears in silence.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.base import audit
from worklist.tables import Device, Instance, Quarantine, Site

REASON = "orphan"


@dataclass(frozen=True)
class Orphan:
    """A stored object without a row. ``source``: the AE title that its file meta names, else ""."""

    blob_key: str
    size_bytes: int
    source: str
    sop_instance_uid: str | None


def keep_aside(session: Session, orphan: Orphan, now: datetime, reason: str = REASON) -> bool:
    """Put an orphan into quarantine; False where a row names it by now. Its site is its sender's, where known."""
    if _is_named(session, orphan.blob_key):
        return False
    row = session.execute(
        select(Device.site_id, Site.code).join(Site, Site.id == Device.site_id).where(Device.ae_title == orphan.source)
    ).first()
    site_id, site_code = (row[0], row[1]) if row else (None, "")
    session.add(
        Quarantine(
            received_at=now, site_id=site_id, association_id=None, source=orphan.source or "?", reason=reason,
            details={}, blob_key=orphan.blob_key, digest=orphan.blob_key, size_bytes=orphan.size_bytes,
            sop_instance_uid=orphan.sop_instance_uid, study_id=None,
        )
    )  # fmt: skip
    audit.record(
        session, now=now, actor="system", role="", site=site_code, act="object.quarantine", object_type="instance",
        object_uid=orphan.sop_instance_uid or "?", result=reason,
    )  # fmt: skip
    audit.emit(session, "quarantined", now=now, site_id=site_id, reason=reason)
    return True


def _is_named(session: Session, blob_key: str) -> bool:
    rows = (
        select(Instance.id).where(Instance.blob_key == blob_key).limit(1),
        select(Quarantine.id).where(Quarantine.blob_key == blob_key).limit(1),
    )
    return any(session.scalar(row) is not None for row in rows)
