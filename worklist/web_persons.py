"""The person index on /admin/persons: proposals, links, and what a named person decides. [web]"""

from collections.abc import Collection
from typing import Any

from flask import Blueprint, render_template
from sqlalchemy import true
from sqlalchemy.orm import Session

from worklist import id_number, person_service, person_store
from worklist.access import Act, may
from worklist.access_store import visible_studies
from worklist.account_tables import Account
from worklist.base import audit
from worklist.person_tables import PersonProposal
from worklist.shown import patient_json
from worklist.tables import Site, Study
from worklist.web import Field, actor, adapter, now, read, read_json, register_codes, route_needs, today, write

persons = Blueprint("persons", __name__)

register_codes({"person_flagged": 409})

REASON = {"reason": Field(str, max_len=256, min_len=1)}
MOST_STUDIES = 5


@persons.get("/admin/persons")
@route_needs(Act.PERSON_LINK, summary="Patients of several sites that are, or may be, one person")
def persons_page() -> str:
    return render_template("persons.html")


@persons.get("/api/persons/proposals")
@route_needs(Act.PERSON_LINK, summary="Who may be one person, and numbers that two people carry", touches=False)
def proposals() -> dict[str, Any]:
    with read() as session:
        rows = person_store.proposals(session, ("open", "flagged"))
        shown = patients_json(session, {pk for row in rows for pk in (row.patient_pk, row.other_pk)})
        return {"proposals": [_proposal_json(row, shown) for row in rows]}


def _proposal_json(row: PersonProposal, shown: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "proposal_id": row.id, "state": row.state, "score": row.score, "reasons": row.reasons,
        "made_at": row.made_at.isoformat(), "patients": [shown[row.patient_pk], shown[row.other_pk]],
    }  # fmt: skip


def patients_json(session: Session, patient_pks: Collection[int]) -> dict[int, dict[str, Any]]:
    """Patients as somebody who judges identities sees them: masked numbers, the site, the newest studies.

    A reader's eyes end where they end everywhere; who repairs identities sees of every study that it is there.
    """
    vault = adapter("vault")()
    person = actor()
    sight = true() if may(person, Act.IDENTITY_REPAIR) else visible_studies(person, now())
    found = {}
    for pk, (patient, site) in person_store.with_site(session, patient_pks).items():
        numbers = [vault.open(row.kind, row.sealed) for row in person_store.numbers_of(session, pk)]
        found[pk] = patient_json(patient, today()) | {
            "patient_pk": pk, "site": _site_json(site),
            "numbers": [
                {"kind": number.kind, "masked": number.masked, "is_valid": number.is_valid} for number in numbers
            ],
            "studies": [
                _study_json(row) for row in person_store.studies_of_patients(session, [pk], MOST_STUDIES, sight)
            ],
        }  # fmt: skip
    return found


def _site_json(site: Site) -> dict[str, Any]:
    return {"code": site.code, "name": site.name_zh, "name_en": site.name_en}


def _study_json(study: Study) -> dict[str, Any]:
    return {
        "study_instance_uid": study.study_instance_uid, "modality": study.modality, "kind": study.kind,
        "description": study.description or study.body_part, "n_instances": study.n_instances,
        "acquired_at": (study.acquired_at or study.received_at).isoformat(), "report_status": study.report_status,
    }  # fmt: skip


@persons.get("/api/persons")
@route_needs(Act.PERSON_LINK, summary="People of more than one patient, the newest link first", touches=False)
def linked() -> dict[str, Any]:
    with read() as session:
        people = []
        for person_id in person_store.linked_persons(session):
            links = person_store.members(session, person_id)
            shown = patients_json(session, [link.patient_pk for link in links])
            people.append({
                "person_id": person_id,
                "links": [
                    {"link_id": link.id, "how": link.how, "reasons": link.reasons, "score": link.score,
                     "at": link.linked_at.isoformat(), "by": _name(session, link.linked_by),
                     "patient": shown[link.patient_pk]}
                    for link in links
                ],
            })  # fmt: skip
        return {"persons": people}


def _name(session: Session, account_id: int | None) -> str | None:
    return session.get_one(Account, account_id).name if account_id is not None else None


NUMBER = {"number": Field(str, max_len=80, min_len=1)}


@persons.post("/api/persons/search")
@route_needs(Act.PERSON_LINK, summary="Who carries an ID number, in the body", body=NUMBER, touches=False)
def search() -> dict[str, Any]:
    number = id_number.read(read_json(NUMBER)["number"])
    if number is None:
        return {"patients": []}
    digest = adapter("vault")().digest(number)
    with write() as session:
        found = person_store.patients_by_digest(session, [digest])
        person = actor()
        audit.record(
            session, now=now(), actor=person.username, role=person.role, site=person.site_code, act="person.search",
            object_type="person", object_uid=number.kind, details={"matches": len(found)},
        )  # fmt: skip
        return {"patients": list(patients_json(session, found).values())}


@persons.post("/api/persons/proposals/<int:proposal_id>/accept")
@route_needs(Act.PERSON_LINK, summary="They are one person: their studies become each other's priors", body=REASON)
def accept(proposal_id: int) -> dict[str, Any]:
    reason = read_json(REASON)["reason"]
    with write() as session:
        person_service.accept(session, actor(), proposal_id, reason, now())
    return {}


@persons.post("/api/persons/proposals/<int:proposal_id>/refuse")
@route_needs(Act.PERSON_LINK, summary="They are two people, or the number was put right", body=REASON)
def refuse(proposal_id: int) -> dict[str, Any]:
    reason = read_json(REASON)["reason"]
    with write() as session:
        person_service.refuse(session, actor(), proposal_id, reason, now())
    return {}


@persons.post("/api/persons/links/<int:link_id>/undo")
@route_needs(Act.PERSON_LINK, summary="Take a patient out of a person again", body=REASON)
def undo_link(link_id: int) -> dict[str, Any]:
    reason = read_json(REASON)["reason"]
    with write() as session:
        person_service.unlink(session, actor(), link_id, reason, now())
    return {}
