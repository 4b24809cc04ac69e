"""Access beyond one's own: with a reason, for an hour, in the audit trail; and only for those who treat."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.peers.township import Township
from worklist import items_store, store, workitem_service
from worklist.access import Refused
from worklist.base.audit import AuditEvent
from worklist.items_store import ItemFilter


def seen(county: Township, username: str) -> int:
    with county.roof.db.read() as session:
        rows, _ = items_store.items(
            session, county.actor(username), ItemFilter(), limit=10, cursor=None, now=county.clock()
        )
        return len(rows)


def break_glass(county: Township, username: str, uid: str, reason: str) -> None:
    until = county.clock() + timedelta(hours=1)
    with county.roof.db.write() as session:
        workitem_service.break_glass(session, county.actor(username), uid, reason, until, county.clock())


def test_one_study_for_an_hour_with_a_row_in_the_audit(county: Township, tmp_path: Path) -> None:
    study, _ = county.study(tmp_path)
    assert [seen(county, name) for name in ("cardiologist", "clinician2", "tech2")] == [0, 0, 0]
    for name in ("cardiologist", "clinician2"):
        break_glass(county, name, study.study_instance_uid, "患者转来本院抢救")
        assert seen(county, name) == 1
    with pytest.raises(Refused, match="forbidden"):
        break_glass(county, "tech2", study.study_instance_uid, "患者转来本院抢救")
    with pytest.raises(Refused, match="reason_missing"):
        break_glass(county, "clinician2", study.study_instance_uid, "   ")
    with county.roof.db.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.act == "break_glass.use")).all()
        assert [(row.actor, row.object_uid, row.details["reason"]) for row in rows] == [
            (name, study.study_instance_uid, "患者转来本院抢救") for name in ("cardiologist", "clinician2")
        ]
    county.clock.forward(3601)
    assert seen(county, "cardiologist") == 0


def test_the_study_is_found_by_its_site_and_accession_number(county: Township, tmp_path: Path) -> None:
    study, _ = county.study(tmp_path)
    with county.roof.db.read() as session:
        from worklist.tables import Order

        number = session.get_one(Order, study.order_uid).accession_number
        assert store.study_uid_by_accession(session, "QINGSHAN", number) == study.study_instance_uid
        assert store.study_uid_by_accession(session, "BAISHUI", number) == ""
        assert store.study_uid_by_accession(session, "QINGSHAN", "") == ""
