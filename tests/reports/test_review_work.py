"""Work under many hands at once, work left lying, work beyond one's qualification; on both databases."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from reports import service, store
from reports.tables import Report
from tests.peers.instances import write_instance
from tests.peers.township import Township
from worklist import workitem_service
from worklist.access import Refused
from worklist.account_tables import Account
from worklist.base.audit import AuditEvent, WorkflowEvent
from worklist.tables import Study, Viewing, Workitem

SECTIONS = {"findings": "双肺纹理清晰。", "impression": "未见明显异常。"}


@pytest.fixture
def item(county: Township, tmp_path: Path) -> Workitem:
    """A DR study, READY, claimed by radiologist."""
    folder = tmp_path / "sent"
    folder.mkdir()
    filed = county.receive(write_instance(folder, side=16), "QS_DR")
    county.clock.forward(30)
    county.settle()
    assert filed.study_id is not None
    made = county.open_workitem(filed.study_id)
    call(county, workitem_service.claim, "radiologist", made.workitem_uid)
    return made


def call(county: Township, function: Any, username: str, *arguments: Any, **named: Any) -> Any:
    with county.roof.db.write() as session:
        return function(session, county.actor(username), *arguments, county.clock(), **named)


def save(county: Township, username: str, uid: str, version: int = 0, findings: str = "双肺纹理清晰。") -> Report:
    report: Report = call(
        county, service.save_draft, username, uid, "dr-chest", SECTIONS | {"findings": findings}, version
    )
    return report


def meanwhile(county: Township, first: Callable[[Any], Any], second: Callable[[], Any]) -> Any:
    """``second`` begins while the transaction of ``first`` is open; what it returned or raised."""
    started = threading.Event()

    def run() -> Any:
        started.set()
        try:
            return second()
        except Exception as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        with county.roof.db.write() as session:
            first(session)
            answer = pool.submit(run)
            started.wait()
            time.sleep(0.3)
        return answer.result(20)


def take_over(county: Township, username: str, uid: str, reason: str = "值班交接") -> tuple[Workitem, str]:
    found: tuple[Workitem, str] = call(
        county, workitem_service.take_over, username, uid, reason, last_saved_at=store.saved_at
    )
    return found


def test_a_first_draft_saved_twice_at_once_is_one_report(county: Township, item: Workitem) -> None:
    def first(session: Any) -> None:
        actor = county.actor("radiologist")
        service.save_draft(session, actor, item.workitem_uid, "dr-chest", SECTIONS, 0, county.clock())

    lost = meanwhile(county, first, lambda: save(county, "radiologist", item.workitem_uid, 0, "另一页所写"))
    assert isinstance(lost, Refused) and (lost.code, lost.params) == ("stale_version", {"version": 1})
    with county.roof.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Report)) == 1


def test_a_draft_saved_during_a_release_is_refused_and_not_lost_in_ended_work(county: Township, item: Workitem) -> None:
    def first(session: Any) -> None:
        workitem_service.release(session, county.actor("radiologist"), item.workitem_uid, "下班", county.clock())

    refused = meanwhile(county, first, lambda: save(county, "radiologist", item.workitem_uid))
    assert isinstance(refused, Refused) and refused.code == "workitem_ended"


def test_images_opened_twice_at_once_are_one_row_and_no_fault(county: Township, item: Workitem) -> None:
    study = county.row(Study, item.study_id)

    def note(session: Any) -> bool:
        return workitem_service.note_viewing(session, county.actor("radiologist"), study, county.clock())

    def second() -> bool:
        with county.roof.db.write() as session:
            return note(session)

    assert meanwhile(county, note, second) is False
    with county.roof.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Viewing)) == 1
        rows = select(func.count()).select_from(AuditEvent).where(AuditEvent.act == "study.view_images")
        assert session.scalar(rows) == 1


def test_work_left_lying_is_taken_over_with_its_draft(county: Township, item: Workitem) -> None:
    county.clock.forward(600)
    saved = save(county, "radiologist", item.workitem_uid)
    county.clock.forward(899)
    with pytest.raises(Refused) as early:
        take_over(county, "radiologist2", item.workitem_uid)
    assert early.value.code == "already_claimed"
    assert early.value.params["holder"] == county.row(Account, county.actor("radiologist").account_id).name
    assert early.value.params["take_over_at"] == (county.clock() + timedelta(seconds=1)).isoformat()
    county.clock.forward(1)
    taken, transaction_uid = take_over(county, "radiologist2", item.workitem_uid)
    before, after = county.row(Workitem, item.workitem_uid), county.row(Workitem, taken.workitem_uid)
    assert (before.state, before.reason) == ("CANCELED", "值班交接")
    assert (after.state, after.replaces, after.due_at) == ("IN PROGRESS", item.workitem_uid, item.due_at)
    assert (after.actual_performer, after.transaction_uid) == (county.actor("radiologist2").account_id, transaction_uid)
    with pytest.raises(Refused, match="workitem_ended"):
        save(county, "radiologist", item.workitem_uid, saved.version)
    assert save(county, "radiologist2", taken.workitem_uid, saved.version).report_uid == saved.report_uid
    with county.roof.db.read() as session:
        acts = session.scalars(select(AuditEvent.act).where(AuditEvent.actor == "radiologist2")).all()
        assert {"workitem.take_over", "workitem.claim"} <= set(acts)
        kinds = session.scalars(select(WorkflowEvent.kind).where(WorkflowEvent.study_id == item.study_id)).all()
        assert kinds.index("taken_over") < len(kinds) - 1


def test_work_of_a_closed_account_is_taken_over_at_once(county: Township, item: Workitem) -> None:
    with pytest.raises(Refused, match="already_claimed"):
        take_over(county, "radiologist2", item.workitem_uid)
    with county.roof.db.write() as session:
        session.get_one(Account, county.actor("radiologist").account_id).enabled = False
    taken, _ = take_over(county, "radiologist2", item.workitem_uid)
    assert county.row(Workitem, taken.workitem_uid).state == "IN PROGRESS"


def test_what_cannot_be_taken_over(county: Township, item: Workitem) -> None:
    county.clock.forward(3600)
    with pytest.raises(Refused, match="reason_missing"):
        take_over(county, "radiologist2", item.workitem_uid, "  ")
    with pytest.raises(Refused, match="not_found"):
        take_over(county, "cardiologist", item.workitem_uid)
    with pytest.raises(Refused, match="forbidden"):
        take_over(county, "tech", item.workitem_uid)
    freed = call(county, workitem_service.release, "radiologist", item.workitem_uid, "下班")
    with pytest.raises(Refused, match="not_claimed"):
        take_over(county, "radiologist2", freed.workitem_uid)
    with pytest.raises(Refused, match="workitem_ended"):
        take_over(county, "radiologist2", item.workitem_uid)


def test_two_take_over_at_once_and_one_of_them_has_it(county: Township, item: Workitem) -> None:
    county.clock.forward(3600)

    def first(session: Any) -> None:
        workitem_service.take_over(
            session, county.actor("radiologist2"), item.workitem_uid, "交接", county.clock(),
            last_saved_at=store.saved_at,
        )  # fmt: skip

    refused = meanwhile(county, first, lambda: take_over(county, "reviewer", item.workitem_uid))
    assert isinstance(refused, Refused) and refused.code == "workitem_ended"
    assert county.open_workitem(item.study_id).actual_performer == county.actor("radiologist2").account_id


def test_broken_glass_lets_an_ecg_reader_see_an_image_study_but_not_report_it(county: Township, item: Workitem) -> None:
    freed = call(county, workitem_service.release, "radiologist", item.workitem_uid, "下班")
    study = county.row(Study, item.study_id)
    until = county.clock() + timedelta(hours=1)
    call(county, workitem_service.break_glass, "cardiologist", study.study_instance_uid, "患者在本科抢救", until)
    with pytest.raises(Refused, match="forbidden"):
        call(county, workitem_service.claim, "cardiologist", freed.workitem_uid)
    assert county.open_workitem(item.study_id).state == "SCHEDULED"
