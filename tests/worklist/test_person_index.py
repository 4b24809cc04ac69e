"""Patients of several sites become one person, are proposed, flagged, taken apart again. On both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from pydicom.dataset import Dataset
from sqlalchemy import select

from tests.peers.instances import write_instance
from tests.peers.township import Township
from worklist import items_store, person_service, person_store, store
from worklist.access import Act, Refused
from worklist.access_store import visible_studies
from worklist.base.audit import AuditEvent, WorkflowEvent
from worklist.base.outbox import Job, OutboxJob
from worklist.id_number import RESIDENT_ID, IdNumber
from worklist.items_store import ItemFilter
from worklist.number_vault import KEY_FILE, NumberVault, open_vault
from worklist.person_tables import PatientNumber, PersonLink, PersonProposal
from worklist.person_work import index_person
from worklist.tables import Patient, Study

ID = "11010519491231002X"
BORN = {"PatientBirthDate": "19491231", "PatientSex": "F"}


def other_ids(number: str, issuer: str = "CN") -> list[Dataset]:
    item = Dataset()
    item.PatientID, item.IssuerOfPatientID, item.TypeOfPatientID = number, issuer, "TEXT"
    return [item]


def work(county: Township) -> None:
    """What the worker would do now."""
    with county.roof.db.read() as session:
        jobs = session.scalars(
            select(OutboxJob).where(OutboxJob.kind == "index_person", OutboxJob.finished_at.is_(None)).order_by(OutboxJob.id)
        ).all()
    for row in jobs:
        index_person(county.roof, Job(row.id, row.kind, row.key, row.payload, 1, 1, "test", row.created_at))
        with county.roof.db.write() as session:
            session.get_one(OutboxJob, row.id).finished_at = county.clock()


def arrive(county: Township, folder: Path, ae_title: str, name: str = "王芳", number: str = ID, **changes: Any) -> Study:
    values: dict[str, Any] = {"PatientName": f"={name}", "PatientID": ae_title, **BORN} | changes
    if number:
        values["OtherPatientIDsSequence"] = other_ids(number)
    filed = county.receive(write_instance(folder, side=8, **values), ae_title)
    assert filed.study_id is not None, filed
    work(county)
    county.clock.forward(60)
    found: Study = county.row(Study, filed.study_id)
    return found


def rows(county: Township, table: Any, *conditions: Any) -> list[Any]:
    with county.roof.db.read() as session:
        return list(session.scalars(select(table).where(*conditions).order_by(table.id)))


def priors(county: Township, study: Study, username: str = "radiologist") -> list[str]:
    with county.roof.db.read() as session:
        sees = visible_studies(county.actor(username), county.clock())
        return [row.study_instance_uid for row in store.priors_of_study(session, study, sees)]


def n_priors(county: Township, study: Study, username: str) -> int:
    with county.roof.db.read() as session:
        found, _ = items_store.items(
            session, county.actor(username), ItemFilter(study_instance_uid=study.study_instance_uid), limit=5,
            cursor=None, now=county.clock(),
        )  # fmt: skip
    return int(found[0]["n_priors"])


def test_one_number_at_two_sites_is_one_person_with_shared_priors(county: Township, folder: Path) -> None:
    first, second = arrive(county, folder, "QS_CT"), arrive(county, folder, "BS_DR")
    links = rows(county, PersonLink)
    assert [(link.patient_pk, link.how, link.undone_at) for link in links] == [
        (first.patient_pk, "automatic", None), (second.patient_pk, "automatic", None),
    ] or {link.patient_pk for link in links} == {first.patient_pk, second.patient_pk}  # fmt: skip
    assert priors(county, second) == [first.study_instance_uid]
    assert (n_priors(county, second, "radiologist"), n_priors(county, first, "radiologist")) == (1, 0)
    # A technician of the second site never sees the first site's study, nor that there is one.
    assert (priors(county, second, "tech2"), n_priors(county, second, "tech2")) == ([], 0)
    with county.roof.db.read() as session:
        ties = person_store.ties(session, second.patient_pk, {first.patient_pk})
    assert ties[first.patient_pk]["how"] == "automatic"
    assert {"number_equal", "birth_date_equal", "sex_equal"} <= set(ties[first.patient_pk]["reasons"])


def test_the_number_is_nowhere_in_plain(county: Township, folder: Path) -> None:
    arrive(county, folder, "QS_CT")
    (kept,) = rows(county, PatientNumber)
    assert ID not in str(vars(kept)) and len(kept.digest) == 64
    written = [str(row.details) + row.object_uid for row in rows(county, AuditEvent)]
    written += [str(row.details) for row in rows(county, WorkflowEvent)]
    written += [str(row.payload) + row.key for row in rows(county, OutboxJob)]
    assert not [text for text in written if ID in text or "王芳" in text]
    vault = open_vault(county.roof.keys_dir)
    assert vault.open(kept.kind, kept.sealed) == IdNumber(RESIDENT_ID, ID)
    assert kept.digest == vault.digest(IdNumber(RESIDENT_ID, ID))
    key = county.roof.keys_dir / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    stranger = NumberVault(bytes(64))
    assert stranger.digest(IdNumber(RESIDENT_ID, ID)) != kept.digest
    with pytest.raises(InvalidTag):
        stranger.open(kept.kind, kept.sealed)


def test_undoing_a_link_takes_the_prior_away_at_once_and_for_good(county: Township, folder: Path) -> None:
    first, second = arrive(county, folder, "QS_CT"), arrive(county, folder, "BS_DR")
    reviewer = county.actor("reviewer")
    link = next(link for link in rows(county, PersonLink) if link.patient_pk == second.patient_pk)
    with county.roof.db.write() as session:
        person_service.unlink(session, reviewer, link.id, "电话核实：借用身份证", county.clock())
    assert (priors(county, second), n_priors(county, second, "radiologist")) == ([], 0)
    third = arrive(county, folder, "BS_DR")  # another examination of the same patient: the machine stays silent
    assert priors(county, third) == [second.study_instance_uid]
    (proposal,) = rows(county, PersonProposal)
    assert (proposal.state, proposal.decided_by) == ("undone", reviewer.account_id)
    told = {row.study_id for row in rows(county, WorkflowEvent, WorkflowEvent.kind == "priors_changed")}
    assert {first.id, second.id} <= told
    with county.roof.db.write() as session, pytest.raises(Refused, match="already_settled"):
        person_service.unlink(session, reviewer, link.id, "again", county.clock())


def test_without_a_number_a_person_decides(county: Township, folder: Path) -> None:
    first, second = arrive(county, folder, "QS_CT", number=""), arrive(county, folder, "BS_DR", number="")
    (proposal,) = rows(county, PersonProposal)
    assert (proposal.state, proposal.score, priors(county, second)) == ("open", 65, [])
    with county.roof.db.write() as session:
        with pytest.raises(Refused, match="forbidden"):
            person_service.accept(session, county.actor("radiologist"), proposal.id, "同一人", county.clock())
        with pytest.raises(Refused, match="reason_missing"):
            person_service.accept(session, county.actor("reviewer"), proposal.id, " ", county.clock())
        person_service.accept(session, county.actor("reviewer"), proposal.id, "电话核实", county.clock())
    assert priors(county, second) == [first.study_instance_uid]
    with county.roof.db.read() as session:
        tie = person_store.ties(session, second.patient_pk, {first.patient_pk})[first.patient_pk]
    assert (tie["how"], tie["by"]) == ("accepted", county.actor("reviewer").name)


def test_a_refusal_is_remembered(county: Township, folder: Path) -> None:
    arrive(county, folder, "QS_CT", number="")
    arrive(county, folder, "BS_DR", number="")
    (proposal,) = rows(county, PersonProposal)
    with county.roof.db.write() as session:
        person_service.refuse(session, county.actor("admin"), proposal.id, "同名不同人", county.clock())
    arrive(county, folder, "BS_DR")  # now even with the number: a person has spoken
    arrive(county, folder, "QS_CT")
    assert [row.state for row in rows(county, PersonProposal)] == ["refused"]
    assert rows(county, PersonLink) == []


def test_a_reused_number_is_flagged_and_cannot_be_accepted(county: Township, folder: Path) -> None:
    arrive(county, folder, "QS_CT")
    stranger = arrive(county, folder, "BS_DR", "刘强", PatientBirthDate="19880505", PatientSex="M")
    (flag,) = rows(county, PersonProposal)
    assert (flag.state, flag.score, priors(county, stranger)) == ("flagged", 0, [])
    with county.roof.db.write() as session:
        with pytest.raises(Refused, match="person_flagged"):
            person_service.accept(session, county.actor("reviewer"), flag.id, "?", county.clock())
        person_service.refuse(session, county.actor("reviewer"), flag.id, "登记错误，已通知乡镇", county.clock())
    assert rows(county, PersonProposal)[0].state == "settled"
    assert rows(county, PersonLink) == []


def test_a_newborn_under_its_mothers_number_has_no_priors(county: Township, folder: Path) -> None:
    arrive(county, folder, "QS_CT", PatientBirthDate="19491231")
    child = arrive(county, folder, "BS_DR", "王芳之女", PatientBirthDate="20260301")
    assert (priors(county, child), rows(county, PersonLink), rows(county, PersonProposal)) == ([], [], [])


def test_nobody_is_nobody_else(county: Township, folder: Path) -> None:
    for _ in range(3):
        arrive(county, folder, "QS_CT", "无名氏", "", PatientBirthDate="", PatientID="")
        last = arrive(county, folder, "BS_DR", "无名氏", "", PatientBirthDate="", PatientID="")
    assert (priors(county, last), rows(county, PersonLink), rows(county, PersonProposal)) == ([], [], [])


def test_a_third_site_joins_only_where_nobody_contradicts(county: Township, folder: Path) -> None:
    """Two are linked; a third who shares the number but contradicts one of them waits for a person."""
    arrive(county, folder, "QS_CT")
    arrive(county, folder, "BS_DR")
    heping = next(row for row in rows(county, Patient) if row.patient_id == "BS_DR")
    with county.roof.db.write() as session:  # a clerk changes the birth date of one row afterwards
        session.get_one(Patient, heping.id).birth_date = date(1988, 5, 5)
    third = arrive(county, folder, "QS_DR", PatientID="third")
    states = sorted(row.state for row in rows(county, PersonProposal))
    assert states == ["flagged", "linked", "open"]
    assert third.patient_pk not in {link.patient_pk for link in rows(county, PersonLink)}
    waiting = next(row for row in rows(county, PersonProposal) if row.state == "open")
    assert "member_contradicts" in waiting.reasons


def test_two_workers_at_once_make_one_person(county: Township, folder: Path) -> None:
    for title in ("QS_CT", "BS_DR"):
        values = {"PatientName": "=王芳", "PatientID": title, "OtherPatientIDsSequence": other_ids(ID), **BORN}
        county.receive(write_instance(folder, side=8, **values), title)
    jobs = rows(county, OutboxJob, OutboxJob.kind == "index_person")
    with ThreadPoolExecutor(4) as pool:
        jobs_of_all = [Job(row.id, row.kind, row.key, row.payload, 1, 1, "test", row.created_at) for row in jobs * 4]
        list(pool.map(lambda job: index_person(county.roof, job), jobs_of_all))
    current = rows(county, PersonLink, PersonLink.undone_at.is_(None))
    assert len(current) == 2 and len({link.person_id for link in current}) == 1
    assert len(rows(county, PatientNumber)) == 2


def test_who_may_link() -> None:
    from worklist.access import ACTS_BY_ROLE

    assert {role for role, acts in ACTS_BY_ROLE.items() if Act.PERSON_LINK in acts} == {"reviewer", "admin"}
