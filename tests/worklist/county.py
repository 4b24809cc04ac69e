"""A small county for tests of access: four sites, and accounts for every role at two of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy.orm import Session

from worklist.access import ROLES, Actor
from worklist.account_service import create_account, hash_password
from worklist.base.db import Database
from worklist.tables import Patient, Site, Study

SITES = ("COUNTY", "QINGSHAN", "BAISHUI", "HEPING")
PASSWORD = "correct horse 7"


@cache
def password_hash() -> str:
    """Hashed once a run: what is tested here is not argon2."""
    return hash_password(PASSWORD)


@dataclass(frozen=True)
class Person:
    username: str
    role: str
    site: str


PEOPLE = tuple(Person(f"{role}-{site}".lower(), role, site) for role in ROLES for site in ("QINGSHAN", "BAISHUI"))


def make_county(db: Database, now: datetime) -> dict[str, int]:
    """Sites and PEOPLE; site ids by code."""
    with db.write() as session:
        sites = {code: Site(code=code, name_zh=code, name_en=code) for code in SITES}
        session.add_all(sites.values())
        session.flush()
        ids = {code: site.id for code, site in sites.items()}
        for person in PEOPLE:
            add_person(session, person, ids[person.site], now)
    return ids


def add_person(session: Session, person: Person, site_id: int, now: datetime) -> None:
    kinds = ("image", "ecg") if person.role in ("reader", "reviewer", "trainee") else ()
    create_account(
        session,
        None,
        username=person.username,
        password_hash=password_hash(),
        name=f"张{person.role}",
        role=person.role,
        site_id=site_id,
        kinds=kinds,
        now=now,
    )


def add_study(session: Session, site_id: int, kind: str, uid: str, now: datetime) -> int:
    """A study of that site with a patient of its own; its id."""
    patient = Patient(site_id=site_id, identity_key=uid, patient_id=uid[-12:], name="测试")
    session.add(patient)
    session.flush()
    study = Study(
        study_instance_uid=uid,
        site_id=site_id,
        patient_pk=patient.id,
        kind=kind,
        modality="CT" if kind == "image" else "ECG",
        input_readiness="READY",
        received_at=now - timedelta(minutes=5),
        last_received_at=now,
        quiet_time_s=0,
        progress_told_at=now,
    )
    session.add(study)
    session.flush()
    return study.id


def actor(
    role: str, site_id: int, site_code: str = "QINGSHAN", kinds: tuple[str, ...] = (), account_id: int = 1
) -> Actor:
    return Actor(account_id, role, role, role, site_id, site_code, frozenset(kinds), "sitting", "zh")
