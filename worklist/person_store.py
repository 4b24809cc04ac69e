"""Queries of the person index: who may be whom, who is whom. [store]"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.orm import Session, aliased

from worklist.account_tables import Account
from worklist.person_tables import PatientNumber, PersonLink, PersonProposal
from worklist.tables import Patient, Site, Study

MOST_CANDIDATES = 50  # per kind of evidence; a birth date alone is no evidence


def numbers_of(session: Session, patient_pk: int) -> Sequence[PatientNumber]:
    return session.scalars(
        select(PatientNumber).where(PatientNumber.patient_pk == patient_pk).order_by(PatientNumber.id)
    ).all()


def patients_by_digest(session: Session, digests: Collection[str]) -> Sequence[int]:
    """The patients who carry one of these numbers."""
    rows = session.scalars(
        select(PatientNumber.patient_pk).where(PatientNumber.digest.in_(digests)).distinct().limit(200)
    )
    return rows.all()


def candidates(session: Session, patient: Patient) -> set[int]:
    """Patients of any site who share a number, or name and birth date, with this one."""
    own = select(PatientNumber.digest).where(PatientNumber.patient_pk == patient.id)
    found = set(
        session.scalars(
            select(PatientNumber.patient_pk)
            .where(PatientNumber.digest.in_(own), PatientNumber.patient_pk != patient.id)
            .distinct()
            .limit(MOST_CANDIDATES)
        )
    )
    if patient.birth_date is not None and patient.name_pinyin:
        found |= set(
            session.scalars(
                select(Patient.id)
                .where(Patient.name_pinyin == patient.name_pinyin, Patient.birth_date == patient.birth_date)
                .where(Patient.id != patient.id)
                .order_by(Patient.id.desc())
                .limit(MOST_CANDIDATES)
            )
        )
    return found


def current_link(session: Session, patient_pk: int) -> PersonLink | None:
    return session.scalar(
        select(PersonLink).where(PersonLink.patient_pk == patient_pk, PersonLink.undone_at.is_(None))
    )


def members(session: Session, person_id: int) -> Sequence[PersonLink]:
    """The links that make up a person now, oldest first."""
    return session.scalars(
        select(PersonLink)
        .where(PersonLink.person_id == person_id, PersonLink.undone_at.is_(None))
        .order_by(PersonLink.id)
    ).all()


def proposal_of(session: Session, one_pk: int, other_pk: int) -> PersonProposal | None:
    low, high = sorted((one_pk, other_pk))
    return session.scalar(
        select(PersonProposal).where(PersonProposal.patient_pk == low, PersonProposal.other_pk == high)
    )


def proposals(session: Session, states: Collection[str], most: int = 200) -> Sequence[PersonProposal]:
    """Proposals in these states: first those that one number for two people raised, then the likeliest."""
    return session.scalars(
        select(PersonProposal)
        .where(PersonProposal.state.in_(states))
        .order_by(PersonProposal.state != "flagged", PersonProposal.score.desc(), PersonProposal.id.desc())
        .limit(most)
    ).all()


def same_person(patient_pk: ColumnElement[int] | Any, other_pk: ColumnElement[int] | Any) -> ColumnElement[bool]:
    """The condition that two patient columns are one person: the same row, or linked to one person now."""
    mine, theirs = aliased(PersonLink), aliased(PersonLink)
    linked = (
        select(theirs.patient_pk)
        .join(mine, mine.person_id == theirs.person_id)
        .where(mine.patient_pk == patient_pk, mine.undone_at.is_(None), theirs.undone_at.is_(None))
        .correlate_except(mine, theirs)
    )
    return or_(other_pk == patient_pk, other_pk.in_(linked))


def ties(session: Session, patient_pk: int, others: Collection[int]) -> dict[int, dict[str, Any]]:
    """Why each of ``others`` is the same person as this patient: how, by whom, since when, on which grounds.

    Nothing for the patient's own row, which needs no reason. Of the two links the later one made them one.
    """
    own = current_link(session, patient_pk)
    if own is None:
        return {}
    rows = session.execute(
        select(PersonLink, Account.name)
        .outerjoin(Account, Account.id == PersonLink.linked_by)
        .where(PersonLink.person_id == own.person_id, PersonLink.undone_at.is_(None))
    ).all()
    names = {link.id: name for link, name in rows}
    found = {}
    for link, _ in rows:
        if link.patient_pk in others and link.patient_pk != patient_pk:
            later = max(own, link, key=lambda one: one.id)
            found[link.patient_pk] = {
                "how": later.how, "reasons": later.reasons, "score": later.score,
                "by": names[later.id], "at": later.linked_at.isoformat(),
            }  # fmt: skip
    return found


def with_site(session: Session, patient_pks: Collection[int]) -> dict[int, tuple[Patient, Site]]:
    rows = session.execute(
        select(Patient, Site).join(Site, Site.id == Patient.site_id).where(Patient.id.in_(patient_pks))
    )
    return {patient.id: (patient, site) for patient, site in rows}


def studies_of_patients(
    session: Session, patient_pks: Collection[int], most: int = 20, sight: ColumnElement[bool] | None = None
) -> Sequence[Study]:
    """The newest ones; ``sight``: the condition on Study that whoever asks is held to."""
    query = select(Study).where(Study.patient_pk.in_(patient_pks), true() if sight is None else sight)
    return session.scalars(query.order_by(Study.received_at.desc()).limit(most)).all()


def linked_persons(session: Session, most: int = 200) -> Sequence[int]:
    """Persons of more than one patient, the newest link first."""
    other = aliased(PersonLink)
    rows = session.execute(
        select(PersonLink.person_id, PersonLink.id)
        .join(other, and_(other.person_id == PersonLink.person_id, other.id < PersonLink.id))
        .where(PersonLink.undone_at.is_(None), other.undone_at.is_(None))
        .order_by(PersonLink.id.desc())
        .limit(most)
    )
    return list(dict.fromkeys(person_id for person_id, _ in rows))
