"""The tables of identity repairs, their corrections on the way out, and rejection notes. [store]

Stored objects are never rewritten: a repair changes index rows and says what every copy that leaves
must carry instead; both can be taken back.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base

Uid = String(64)
Code = String(32)


class Repair(Base):
    """One act of a person: studies of one patient of a site became another's. ``before`` is what undoing puts back."""

    __tablename__ = "repair"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Code)  # move | merge | split
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    from_patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    to_patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    reason: Mapped[str] = mapped_column(String(256))
    made_by: Mapped[int] = mapped_column(ForeignKey("account.id"))
    made_at: Mapped[datetime]
    before: Mapped[list[Any]] = mapped_column(default=list)
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    undone_reason: Mapped[str | None] = mapped_column(String(256))


class RepairedStudy(Base):
    """That a repair concerns a study."""

    __tablename__ = "repaired_study"
    repair_id: Mapped[int] = mapped_column(ForeignKey("repair.id"), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True, index=True)


class Correction(Base):
    """One attribute of a study as it leaves: keyword to value, over what the stored objects say."""

    __tablename__ = "correction"
    __table_args__ = (Index("ix_correction_study", "study_id", "undone_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    repair_id: Mapped[int] = mapped_column(ForeignKey("repair.id"), index=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    keyword: Mapped[str] = mapped_column(String(64))
    value: Mapped[str] = mapped_column(Text)
    made_at: Mapped[datetime]
    undone_at: Mapped[datetime | None]


class Rejection(Base):
    """A rejection note (IHE IOCM, PS3.16 CID 7011), received or made here: it hides the instances it names."""

    __tablename__ = "rejection"
    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    note_sop_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    code: Mapped[str] = mapped_column(String(16))  # 113001 113037 113038 113039
    source: Mapped[str] = mapped_column(String(64))  # AE title, "upload", "import" or a username
    made_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    reason: Mapped[str] = mapped_column(String(256), default="")
    made_at: Mapped[datetime]
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    undone_reason: Mapped[str | None] = mapped_column(String(256))


class RejectedInstance(Base):
    """An instance that a note names, whether it is here yet or not."""

    __tablename__ = "rejected_instance"
    rejection_id: Mapped[int] = mapped_column(ForeignKey("rejection.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(Uid, primary_key=True, index=True)
    study_instance_uid: Mapped[str] = mapped_column(Uid, index=True)
