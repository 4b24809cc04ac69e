"""The audit trail and the workflow events: append-only, one row per act. [store]"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, insert, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from worklist.base.db import Base, lock_append_order

SECRET_NAMES = frozenset({"pin", "password", "secret", "token", "key", "transaction_uid"})
EVENT_CHANNEL = "teleread_event"  # PostgreSQL tells listeners at commit; on SQLite they look


class AuditEvent(Base):
    """Who did what to which object, when, with what result. Refusals are rows too."""

    __tablename__ = "audit_event"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(64))  # username, AE title or "system"
    role: Mapped[str] = mapped_column(String(32))
    site: Mapped[str] = mapped_column(String(32))  # the actor's site code
    act: Mapped[str] = mapped_column(String(64))
    object_type: Mapped[str] = mapped_column(String(32))
    object_uid: Mapped[str] = mapped_column(String(128), index=True)
    result: Mapped[str] = mapped_column(String(64))  # "ok" or the code of the refusal
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = ({"sqlite_autoincrement": True},)


class AuditSeal(Base):
    """A batch of audit rows bound into the hash chain; made and checked by ``worklist.base.seal``."""

    __tablename__ = "audit_seal"
    id: Mapped[int] = mapped_column(primary_key=True)
    first_id: Mapped[int] = mapped_column(unique=True)
    last_id: Mapped[int] = mapped_column(unique=True)
    # [[id, SHA-256 of the row, hex], …]: names the row that was changed; ids may have gaps (PostgreSQL
    # burns one at every rollback), so what was there is written down rather than counted.
    rows: Mapped[list[Any]]
    sealed_at: Mapped[datetime]
    previous_hash: Mapped[str] = mapped_column(String(64))  # 64 zeros in the first seal
    chain_hash: Mapped[str] = mapped_column(String(64))


class WorkflowEvent(Base):
    """A typed step in the life of a study (ordered, received, ready …); the stream of live pages."""

    __tablename__ = "workflow_event"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(32))
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    study_id: Mapped[int | None] = mapped_column(ForeignKey("study.id"), index=True)
    workitem_uid: Mapped[str | None] = mapped_column(String(64))
    report_uid: Mapped[str | None] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(64))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = ({"sqlite_autoincrement": True},)


_APPEND = insert(AuditEvent.__table__)  # type: ignore[arg-type]  # made once: it is run at every act


def record(
    session: Session,
    *,
    now: datetime,
    actor: str,
    role: str,
    site: str,
    act: str,
    object_type: str,
    object_uid: str,
    result: str = "ok",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Append one audit row in the caller's transaction.

    ``details`` never hold patient data, and are shown to administrators: raises ValueError for the name of a secret.
    """
    if SECRET_NAMES & (details or {}).keys():
        raise ValueError("a secret is no detail of an act")
    lock_append_order(session)
    session.connection().execute(
        _APPEND,
        {
            "at": now, "actor": actor, "role": role, "site": site, "act": act, "object_type": object_type,
            "object_uid": object_uid[:128], "result": result, "details": dict(details or {}),
        },
    )  # fmt: skip


def was_recorded(
    session: Session, *, actor: str, act: str, object_uid: str, since: datetime, details: Mapping[str, Any]
) -> bool:
    """Whether this act of this person on this object, with these details, has a row since then."""
    rows = session.scalars(
        select(AuditEvent.details).where(
            AuditEvent.object_uid == object_uid, AuditEvent.actor == actor, AuditEvent.act == act,
            AuditEvent.result == "ok", AuditEvent.at > since,
        )
    )  # fmt: skip
    return any(found == details for found in rows)


def emit(
    session: Session,
    kind: str,
    *,
    now: datetime,
    actor: str = "system",
    site_id: int | None = None,
    study_id: int | None = None,
    workitem_uid: str | None = None,
    report_uid: str | None = None,
    **details: Any,
) -> None:
    """Append one workflow event in the transaction of the change it tells of."""
    lock_append_order(session)
    session.add(
        WorkflowEvent(
            at=now, kind=kind, site_id=site_id, study_id=study_id, workitem_uid=workitem_uid,
            report_uid=report_uid, actor=actor, details=details,
        )
    )  # fmt: skip
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {EVENT_CHANNEL}"))
