"""The person index: numbers kept, patients linked, proposed or flagged; links accepted, refused, undone. [service]

Whoever links takes the order of appended events first, so that two patients who meet each other in two
workers are linked once. Nothing here is told to anybody with a name or a number in it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from worklist import person_store
from worklist.access import Act, Actor, Refused, check
from worklist.base import audit, outbox
from worklist.base.db import insert_once, lock_append_order
from worklist.id_number import IdNumber
from worklist.person_tables import PatientNumber, Person, PersonLink, PersonProposal
from worklist.same_person import Finding, PatientFacts, Verdict, compare
from worklist.tables import Patient

AUTOMATIC, ACCEPTED = "automatic", "accepted"
_DECIDED = ("accepted", "refused", "undone", "settled")  # a person has spoken: no machine speaks after them
MOST_STUDIES_TOLD = 50


class Vault(Protocol):
    """Seals numbers and finds them again (``worklist.number_vault``)."""

    def seal(self, number: IdNumber) -> str: ...
    def open(self, kind: str, sealed: str) -> IdNumber: ...
    def digest(self, number: IdNumber) -> str: ...


def promise_index(session: Session, patient_pk: int, now: datetime, instance_id: int | None = None) -> None:
    """Have the worker look who this patient is; with an instance also which numbers that object carries."""
    key = f"index_person:{patient_pk}" + (f":{instance_id}" if instance_id is not None else "")
    payload = {"patient_pk": patient_pk} | ({"instance_id": instance_id} if instance_id is not None else {})
    outbox.promise(session, "index_person", key, payload, now=now)


def keep_numbers(
    session: Session, vault: Vault, patient_pk: int, numbers: Iterable[IdNumber], source: str, now: datetime
) -> None:
    """Write down the numbers that a patient carries; one that is there already changes nothing."""
    for number in numbers:
        insert_once(
            session, PatientNumber, patient_pk=patient_pk, kind=number.kind, digest=vault.digest(number),
            sealed=vault.seal(number), source=source, added_at=now,
        )  # fmt: skip


def facts_of(session: Session, vault: Vault, patient: Patient) -> PatientFacts:
    """What the index knows of a patient, numbers opened; never leaves the process."""
    numbers = [vault.open(row.kind, row.sealed) for row in person_store.numbers_of(session, patient.id)]
    return PatientFacts(
        patient.name, patient.name_pinyin, patient.birth_date, patient.sex, tuple(numbers), patient.name_is_doubtful
    )


def index_patient(session: Session, vault: Vault, patient_pk: int, now: datetime) -> None:
    """Compare a patient with everybody who might be the same person; link, propose or flag."""
    patient = session.get(Patient, patient_pk)
    if patient is None:
        return
    lock_append_order(session)
    facts = facts_of(session, vault, patient)
    for other_pk in sorted(person_store.candidates(session, patient)):
        found = compare(facts, facts_of(session, vault, session.get_one(Patient, other_pk)))
        _conclude(session, vault, patient_pk, other_pk, found, now)


def _conclude(session: Session, vault: Vault, one_pk: int, other_pk: int, found: Finding, now: datetime) -> None:
    known = person_store.proposal_of(session, one_pk, other_pk)
    if known is not None and known.state in _DECIDED:
        return
    if found.verdict is Verdict.LINK and (against := _contradiction(session, vault, one_pk, other_pk)) is not None:
        found = Finding(Verdict.PROPOSE, found.score, (*found.reasons, against))
    if found.verdict is Verdict.NONE and known is None:
        return
    states = {Verdict.LINK: "linked", Verdict.PROPOSE: "open", Verdict.FLAG: "flagged", Verdict.NONE: "gone"}
    state = states[found.verdict]
    if known is not None and (known.state, known.score, known.reasons) == (state, found.score, list(found.reasons)):
        return
    was_flagged = known is not None and known.state == "flagged"
    _write_proposal(session, known, one_pk, other_pk, state, found, now)
    if found.verdict is Verdict.LINK:
        _join(session, one_pk, other_pk, AUTOMATIC, found.score, found.reasons, None, now)
    elif found.verdict is Verdict.FLAG and not was_flagged:
        _audit(session, None, "person.number_reused", f"{one_pk}-{other_pk}", now)


def _write_proposal(
    session: Session, known: PersonProposal | None, one_pk: int, other_pk: int, state: str, found: Finding,
    now: datetime,
) -> PersonProposal:  # fmt: skip
    if known is None:
        low, high = sorted((one_pk, other_pk))
        known = PersonProposal(patient_pk=low, other_pk=high, made_at=now)
        session.add(known)
    known.state, known.score, known.reasons = state, found.score, list(found.reasons)
    session.flush()
    return known


def _contradiction(session: Session, vault: Vault, one_pk: int, other_pk: int) -> str | None:
    """What speaks against joining everybody behind these two: a member of one side is not one of the other's."""
    for mine in _side(session, one_pk):
        for theirs in _side(session, other_pk):
            if {mine, theirs} == {one_pk, other_pk}:
                continue
            decided = person_store.proposal_of(session, mine, theirs)
            if decided is not None and decided.state in ("refused", "undone"):
                return "member_refused"
            rows = [session.get_one(Patient, pk) for pk in (mine, theirs)]
            found = compare(*(facts_of(session, vault, row) for row in rows))
            if found.verdict is Verdict.FLAG or "number_differs" in found.reasons:
                return "member_contradicts"
    return None


def _side(session: Session, patient_pk: int) -> Sequence[int]:
    link = person_store.current_link(session, patient_pk)
    return [row.patient_pk for row in person_store.members(session, link.person_id)] if link else [patient_pk]


def _join(
    session: Session, one_pk: int, other_pk: int, how: str, score: int, reasons: Sequence[str],
    actor: Actor | None, now: datetime,
) -> None:  # fmt: skip
    """Make two patients one person, with everybody who is already behind either."""
    mine, theirs = (person_store.current_link(session, pk) for pk in (one_pk, other_pk))
    if mine is not None and theirs is not None and mine.person_id == theirs.person_id:
        return
    if mine is None and theirs is not None:
        mine, theirs, one_pk, other_pk = theirs, None, other_pk, one_pk
    person_id = mine.person_id if mine is not None else _new_person(session, now)

    def add(patient_pk: int) -> None:
        session.add(
            PersonLink(
                person_id=person_id, patient_pk=patient_pk, how=how, reasons=list(reasons), score=score,
                linked_by=actor.account_id if actor else None, linked_at=now,
            )
        )  # fmt: skip

    if mine is None:
        add(one_pk)
    moving = person_store.members(session, theirs.person_id) if theirs is not None else []
    for link in moving:
        link.undone_at, link.undone_by, link.undone_reason = now, actor.account_id if actor else None, "joined"
    session.flush()  # one current link each: the old one ends before the new one begins
    for patient_pk in [link.patient_pk for link in moving] or [other_pk]:
        add(patient_pk)
    session.flush()
    _audit(session, actor, "person.link", str(person_id), now, how=how, patients=[one_pk, other_pk], score=score)
    _tell(session, [row.patient_pk for row in person_store.members(session, person_id)], actor, now)


def _new_person(session: Session, now: datetime) -> int:
    person = Person(made_at=now)
    session.add(person)
    session.flush()
    return person.id


def accept(session: Session, actor: Actor, proposal_id: int, reason: str, now: datetime) -> PersonProposal:
    """A named person says that two patients are one.

    Raises Refused: not_found, reason_missing, already_settled (decided, or not so any more), person_flagged.
    """
    proposal = _open_proposal(session, actor, proposal_id, reason)
    if proposal.state != "open":
        raise Refused("person_flagged")
    _decide(proposal, "accepted", actor, reason, now)
    _join(
        session, proposal.patient_pk, proposal.other_pk, ACCEPTED, proposal.score, proposal.reasons, actor, now
    )
    return proposal


def refuse(session: Session, actor: Actor, proposal_id: int, reason: str, now: datetime) -> PersonProposal:
    """A named person says that two patients are two, or that a flag was dealt with. Raises Refused as ``accept``."""
    proposal = _open_proposal(session, actor, proposal_id, reason)
    _decide(proposal, "settled" if proposal.state == "flagged" else "refused", actor, reason, now)
    session.flush()
    _audit(session, actor, "person.refuse", str(proposal.id), now, score=proposal.score)
    return proposal


def _open_proposal(session: Session, actor: Actor, proposal_id: int, reason: str) -> PersonProposal:
    check(actor, Act.PERSON_LINK)
    if not reason.strip():
        raise Refused("reason_missing")
    lock_append_order(session)
    proposal = session.get(PersonProposal, proposal_id, populate_existing=True)
    if proposal is None:
        raise Refused("not_found")
    if proposal.state not in ("open", "flagged"):
        raise Refused("already_settled")
    return proposal


def _decide(proposal: PersonProposal, state: str, actor: Actor, reason: str, now: datetime) -> None:
    proposal.state, proposal.decided_at, proposal.decided_by = state, now, actor.account_id
    proposal.decided_reason = reason.strip()[:256]


def unlink(session: Session, actor: Actor, link_id: int, reason: str, now: datetime) -> None:
    """Take a patient out of a person again; neither shows the other's studies from this moment on.

    No machine links the patient with these others again. Raises Refused: not_found, reason_missing, already_settled.
    """
    check(actor, Act.PERSON_LINK)
    if not reason.strip():
        raise Refused("reason_missing")
    lock_append_order(session)
    link = session.get(PersonLink, link_id, populate_existing=True)
    if link is None:
        raise Refused("not_found")
    if link.undone_at is not None:
        raise Refused("already_settled")
    others = [row.patient_pk for row in person_store.members(session, link.person_id) if row.id != link.id]
    link.undone_at, link.undone_by, link.undone_reason = now, actor.account_id, reason.strip()[:256]
    for other_pk in others:
        known = person_store.proposal_of(session, link.patient_pk, other_pk)
        found = Finding(Verdict.PROPOSE, known.score if known else link.score, tuple(known.reasons if known else ()))
        known = _write_proposal(session, known, link.patient_pk, other_pk, "undone", found, now)
        _decide(known, "undone", actor, reason, now)
    session.flush()
    _audit(session, actor, "person.unlink", str(link.person_id), now, patient=link.patient_pk)
    _tell(session, [link.patient_pk, *others], actor, now)


def _tell(session: Session, patient_pks: Sequence[int], actor: Actor | None, now: datetime) -> None:
    """Open lists and reading pages look at the priors of these patients' studies again."""
    for study in person_store.studies_of_patients(session, patient_pks, MOST_STUDIES_TOLD):
        audit.emit(
            session, "priors_changed", now=now, actor=actor.username if actor else "system",
            site_id=study.site_id, study_id=study.id,
        )  # fmt: skip


def _audit(
    session: Session, actor: Actor | None, act: str, object_uid: str, now: datetime, **details: object
) -> None:
    audit.record(
        session, now=now, actor=actor.username if actor else "system", role=actor.role if actor else "",
        site=actor.site_code if actor else "", act=act, object_type="person", object_uid=object_uid, details=details,
    )  # fmt: skip
