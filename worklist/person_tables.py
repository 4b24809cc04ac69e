"""The tables of the person index: numbers, persons, links, proposals. [store]"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from worklist.base.db import Base

Code = String(32)
_CURRENT = text("undone_at IS NULL")


class PatientNumber(Base):
    """A 身份证号 or health card number that a patient's row carries: sealed, found by its keyed hash only."""

    __tablename__ = "patient_number"
    __table_args__ = (UniqueConstraint("patient_pk", "digest"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"))
    kind: Mapped[str] = mapped_column(Code)  # resident_id | health_card
    digest: Mapped[str] = mapped_column(String(64), index=True)
    sealed: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Code)  # order | object
    added_at: Mapped[datetime]


class Person(Base):
    """A human being behind patients of one or more sites; nothing but what links point to."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]


class PersonLink(Base):
    """That a patient is a person: how this came about, and how it ended. At most one counts at a time."""

    __tablename__ = "person_link"
    __table_args__ = (
        Index(
            "uq_person_link_current", "patient_pk", unique=True, sqlite_where=_CURRENT, postgresql_where=_CURRENT
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    how: Mapped[str] = mapped_column(Code)  # automatic | accepted
    reasons: Mapped[list[Any]] = mapped_column(default=list)
    score: Mapped[int]
    linked_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    linked_at: Mapped[datetime]
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    undone_reason: Mapped[str | None] = mapped_column(String(256))


class PersonProposal(Base):
    """Two patients that may be one person, for a person to decide; ``patient_pk`` is the smaller id.

    state: open | accepted | refused | undone (was linked; never again by itself) | flagged (one number,
    two people: never linked) | settled (a flag somebody dealt with) | linked (by itself) | gone (no longer so).
    """

    __tablename__ = "person_proposal"
    __table_args__ = (UniqueConstraint("patient_pk", "other_pk"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"))
    other_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    state: Mapped[str] = mapped_column(Code, index=True)
    score: Mapped[int]
    reasons: Mapped[list[Any]] = mapped_column(default=list)
    made_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    decided_reason: Mapped[str | None] = mapped_column(String(256))
