"""The tables of storage commitment: what peers asked of us, and what we asked of peers. [store]"""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base
from worklist.tables import Uid


class CommitmentTransaction(Base):
    """One N-ACTION and what followed it. States move only along ``worklist.commitment``."""

    __tablename__ = "commitment_transaction"
    id: Mapped[int] = mapped_column(primary_key=True)
    direction: Mapped[str] = mapped_column(String(8))  # asked: a peer asked us | asking: we asked a peer
    transaction_uid: Mapped[str] = mapped_column(Uid)
    peer_ae_title: Mapped[str] = mapped_column(String(16))
    device_id: Mapped[int | None] = mapped_column(ForeignKey("device.id"))
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"), index=True)
    association_id: Mapped[int | None] = mapped_column(ForeignKey("association.id"))
    state: Mapped[str] = mapped_column(String(16), index=True)
    is_duplicate: Mapped[bool] = mapped_column(default=False)  # its UID was in use: nothing of it is committed
    requested_at: Mapped[datetime] = mapped_column(index=True)
    held_until: Mapped[datetime | None]  # until then its association may tell the result itself
    ended_at: Mapped[datetime | None]  # told, answered or given up
    n_attempts: Mapped[int] = mapped_column(default=0)  # associations of ours
    last_error: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (Index("ix_commitment_transaction_uid", "transaction_uid", "peer_ae_title"),)


class CommitmentReference(Base):
    """One object of a transaction. The list is evidence: what a device wants kept is what it has made."""

    __tablename__ = "commitment_reference"
    id: Mapped[int] = mapped_column(primary_key=True)
    transaction_id: Mapped[int] = mapped_column(ForeignKey("commitment_transaction.id"), index=True)
    sop_class_uid: Mapped[str] = mapped_column(Uid)
    sop_instance_uid: Mapped[str] = mapped_column(Uid, index=True)
    study_instance_uid: Mapped[str | None] = mapped_column(Uid, index=True)  # where the object is known
    # Failure Reason (PS3.3 C.14.1.1); 0: committed; None: not known yet.
    failure_reason: Mapped[int | None]
