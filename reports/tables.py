"""The tables of reports, their drafts and their deliveries. [store]"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base

Uid = String(64)


class Report(Base):
    """One row per version. A row with ``signed_at`` is refused any UPDATE or DELETE by trigger.

    ``version`` grows with every save and every move (the optimistic counter of the API) while the
    row is a draft; the row is then signed once, or left, and the next version is a new row.
    """

    __tablename__ = "report"
    __table_args__ = (
        UniqueConstraint("report_uid", "revision"),
        Index("ix_report_study", "study_id", "revision"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    report_uid: Mapped[str] = mapped_column(Uid, index=True)
    revision: Mapped[int]  # 1, 2, 3 …: one row each
    version: Mapped[int]
    status: Mapped[str] = mapped_column(String(32))  # DRAFT SUBMITTED PRELIM FINAL APPENDED
    document_version: Mapped[int] = mapped_column(default=1)  # what the paper says: v1, v2 …
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    workitem_uid: Mapped[str] = mapped_column(ForeignKey("workitem.workitem_uid"))
    template: Mapped[str] = mapped_column(String(64))
    sections: Mapped[dict[str, Any]] = mapped_column(default=dict)
    author: Mapped[int] = mapped_column(ForeignKey("account.id"))
    verifier: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    returned_reason: Mapped[str | None] = mapped_column(Text)
    preliminary_reason: Mapped[str | None] = mapped_column(Text)
    n_signatures_required: Mapped[int] = mapped_column(default=1)
    author_signed_at: Mapped[datetime | None]
    verifier_signed_at: Mapped[datetime | None]
    signed_at: Mapped[datetime | None]  # set once; seals this row
    verify_code: Mapped[str | None] = mapped_column(String(64), index=True)
    pdf_key: Mapped[str | None] = mapped_column(String(160))
    pdf_sha256: Mapped[str | None] = mapped_column(String(64))
    pdf_size_bytes: Mapped[int | None] = mapped_column(BigInteger)


class Preparation(Base):
    """The document as shown to the signer before signing: its bytes and their digest."""

    __tablename__ = "report_preparation"
    report_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    preliminary: Mapped[bool] = mapped_column(primary_key=True, default=False)
    verify_code: Mapped[str] = mapped_column(String(64))
    pdf_key: Mapped[str] = mapped_column(String(160))
    pdf_sha256: Mapped[str] = mapped_column(String(64))
    prepared_at: Mapped[datetime]


class Delivery(Base):
    """One report version on one channel to its originating site. States move along ``reports.delivery``."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("report_id", "channel"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id"))
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)
    channel: Mapped[str] = mapped_column(String(16))  # dicom | portal
    state: Mapped[str] = mapped_column(String(16), index=True)
    sop_instance_uid: Mapped[str | None] = mapped_column(Uid)
    n_attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    opened_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    action_taken: Mapped[str | None] = mapped_column(String(256))


class DeliveryAttempt(Base):
    """One try to send, with what the peer said."""

    __tablename__ = "delivery_attempt"
    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"), index=True)
    at: Mapped[datetime]
    outcome: Mapped[str] = mapped_column(String(32))  # accepted | warning | refused | unreachable | timeout | aborted
    status: Mapped[str | None] = mapped_column(String(8))  # DIMSE status, hex
    detail: Mapped[str] = mapped_column(String(256), default="")
