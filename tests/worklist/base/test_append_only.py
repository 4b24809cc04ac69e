"""Audit rows, seals, events and signed reports cannot be changed or deleted, whoever asks the database."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from reports.tables import Report
from tests.conftest import Clock
from worklist.account_tables import Account
from worklist.base import audit, seal
from worklist.base.db import Database
from worklist.tables import Patient, Site, Study, Workitem

REFUSED = [
    "UPDATE audit_event SET actor = 'nobody'",
    "DELETE FROM audit_event",
    "UPDATE audit_seal SET chain_hash = 'x'",
    "DELETE FROM audit_seal",
    "UPDATE workflow_event SET kind = 'x'",
    "DELETE FROM workflow_event",
    "UPDATE report SET status = 'DRAFT' WHERE report_uid = 'signed'",
    "UPDATE report SET signed_at = NULL WHERE report_uid = 'signed'",
    "DELETE FROM report WHERE report_uid = 'signed'",
]
REFUSED_POSTGRESQL = ["TRUNCATE audit_event", "TRUNCATE report CASCADE"]
REFUSED_SQLITE = [
    "INSERT OR REPLACE INTO audit_event SELECT id, at, 'nobody', role, site, act, object_type, object_uid, result, "
    "details FROM audit_event LIMIT 1",
    "UPDATE OR REPLACE report SET report_uid = 'signed' WHERE report_uid = 'draft'",
]


@pytest.fixture
def filled(database: Database, clock: Clock) -> Database:
    """One audit row, one seal, one event, one signed report and one draft."""
    now = clock()
    with database.write() as session:
        session.add(Site(id=1, code="S", name_zh="站", name_en="S"))
        session.flush()
        session.add(Account(id=1, username="u", name="U", site_id=1, role="reader", password_hash="-", created_at=now))
        session.add(Patient(id=1, site_id=1, patient_id="0001", identity_key="0001", name="张三"))
        session.flush()
        session.add(Study(id=1, study_instance_uid="1.2", site_id=1, patient_pk=1, kind="image", modality="DX",
                          input_readiness="READY", received_at=now, last_received_at=now, progress_told_at=now,
                          quiet_time_s=0))  # fmt: skip
        session.flush()
        session.add(Workitem(workitem_uid="1.3", study_id=1, step="interpretation", state="IN PROGRESS",
                             priority="routine", due_at=now, created_at=now))  # fmt: skip
        session.flush()
        common = {"revision": 1, "version": 1, "status": "DRAFT", "study_id": 1, "workitem_uid": "1.3",
                  "template": "generic", "author": 1, "created_at": now, "updated_at": now}  # fmt: skip
        session.add(Report(report_uid="draft", **common))
        session.add(Report(report_uid="signed", **common))
        audit.record(session, now=now, actor="u", role="reader", site="S", act="login", object_type="account",
                     object_uid="u")  # fmt: skip
        audit.emit(session, "received", now=now, site_id=1, study_id=1)
        session.flush()
        session.execute(text("UPDATE report SET signed_at = created_at WHERE report_uid = 'signed'"))
    assert seal.seal(database, now) == 1
    return database


def execute(db: Database, statement: str) -> None:
    with db.write() as session:
        session.execute(text(statement))


def test_changing_what_must_stay_is_refused(filled: Database) -> None:
    own = REFUSED_SQLITE if filled.is_sqlite else REFUSED_POSTGRESQL
    for statement in REFUSED + own:
        with pytest.raises(DBAPIError, match=r"append-only|UNIQUE constraint"):
            execute(filled, statement)


def test_a_draft_can_still_be_written_and_then_signed(filled: Database, clock: Clock) -> None:
    execute(filled, "UPDATE report SET version = 2 WHERE report_uid = 'draft'")
    execute(filled, "UPDATE report SET signed_at = updated_at WHERE report_uid = 'draft'")
    with pytest.raises(DBAPIError, match="append-only"):
        execute(filled, "UPDATE report SET version = 3 WHERE report_uid = 'draft'")


def test_rows_can_still_be_added(filled: Database, clock: Clock) -> None:
    with filled.write() as session:
        audit.emit(session, "ready", now=clock() + timedelta(seconds=1), study_id=1)
        session.execute(insert(audit.AuditEvent).values(at=clock(), actor="a", role="r", site="s", act="x", details={},
                                                        object_type="o", object_uid="1", result="ok"))  # fmt: skip
