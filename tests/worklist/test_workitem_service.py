"""Reading work under many hands: one winner, named holders, successors, what the list shows to whom."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from reports import service
from tests.peers.instances import write_instance
from tests.peers.township import Township
from worklist import items_store, workitem_service
from worklist.access import Refused
from worklist.base.audit import AuditEvent, WorkflowEvent
from worklist.items_store import STATUS, BadCursor, ItemFilter
from worklist.status import SIGNED_STATUSES, STATES_OF_STATUS, STATUSES, status
from worklist.study import InputReadiness
from worklist.tables import Order, Study, Workitem
from worklist.triage import PRIORITIES
from worklist.workitem import IllegalMove, WorkitemState, WorkitemStep

SECTIONS = {"findings": "双肺纹理清晰。", "impression": "未见明显异常。"}
REPORT_STATUSES = ("none", "draft", "returned", "submitted", "preliminary", *SIGNED_STATUSES)


def work(county: Township, folder: Path, ae_title: str = "QS_DR", **tags: Any) -> Workitem:
    """A new study, READY, and its open workitem."""
    filed = county.receive(write_instance(folder, side=16, **tags), ae_title)
    assert filed.study_id is not None
    county.clock.forward(30)
    county.settle()
    return county.open_workitem(filed.study_id)


def claim(county: Township, username: str, uid: str) -> str:
    with county.roof.db.write() as session:
        return workitem_service.claim(session, county.actor(username), uid, county.clock())


def call(county: Township, function: Any, username: str, *arguments: Any) -> Any:
    with county.roof.db.write() as session:
        return function(session, county.actor(username), *arguments, county.clock())


def listed(county: Township, username: str, limit: int = 100, **narrow: Any) -> list[dict[str, Any]]:
    with county.roof.db.read() as session:
        rows, _ = items_store.items(
            session, county.actor(username), ItemFilter(**narrow), limit=limit, cursor=None, now=county.clock()
        )
    return rows


# --- claims


def test_of_thirty_claims_at_once_exactly_one_wins(county: Township, folder: Path) -> None:
    item = work(county, folder)
    names = ["radiologist", "radiologist2", "reviewer"]
    actors = {name: county.actor(name) for name in names}
    barrier = threading.Barrier(30)

    def attempt(number: int) -> tuple[str, str]:
        name = names[number % 3]
        barrier.wait()
        try:
            with county.roof.db.write() as session:
                return name, workitem_service.claim(session, actors[name], item.workitem_uid, county.clock())
        except Refused as refused:
            return name, f"{refused.code} {refused.params.get('holder')}"

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(attempt, range(30)))
    row = county.row(Workitem, item.workitem_uid)
    (winner,) = {name for name, answer in answers if answer == row.transaction_uid}
    holder = actors[winner]
    assert (row.state, row.actual_performer) == ("IN PROGRESS", holder.account_id)
    # The holder asking again gets the same one; everybody else hears the holder's name.
    assert {answer for name, answer in answers if name == winner} == {row.transaction_uid}
    assert {answer for name, answer in answers if name != winner} == {f"already_claimed {holder.name}"}
    with county.roof.db.read() as session:
        for column, word in ((AuditEvent.act, "workitem.claim"), (WorkflowEvent.kind, "claimed")):
            assert session.scalar(select(func.count()).where(column == word)) == 1


def test_an_ended_workitem_is_claimed_by_nobody(county: Township, folder: Path) -> None:
    item = work(county, folder)
    claim(county, "radiologist", item.workitem_uid)
    call(county, workitem_service.release, "radiologist", item.workitem_uid, "换班")
    for name in ("radiologist", "radiologist2"):
        with pytest.raises(Refused) as refused:
            claim(county, name, item.workitem_uid)
        assert (refused.value.code, refused.value.params) == ("workitem_ended", {"state": "CANCELED"})


@pytest.mark.parametrize(("username", "code"), [
    ("tech", "forbidden"), ("clinician", "forbidden"), ("manager", "forbidden"), ("admin", "forbidden"),
    ("cardiologist", "not_found"), ("tech2", "forbidden"),
])  # fmt: skip
def test_who_may_not_read_images_claims_none(county: Township, folder: Path, username: str, code: str) -> None:
    item = work(county, folder)
    with pytest.raises(Refused) as refused:
        claim(county, username, item.workitem_uid)
    assert refused.value.code == code
    assert county.row(Workitem, item.workitem_uid).state == "SCHEDULED"


def test_only_the_holder_may_work_on_it(county: Township, folder: Path) -> None:
    item = work(county, folder)
    with pytest.raises(Refused, match="not_claimed"):
        call(county, service.save_draft, "radiologist", item.workitem_uid, "dr-chest", SECTIONS, 0)
    claim(county, "radiologist", item.workitem_uid)
    for function, arguments in (
        (service.save_draft, ("dr-chest", SECTIONS, 0)), (workitem_service.release, ("不是我的",)),
        (workitem_service.see_conflicts, ("看过",)), (workitem_service.dismiss, ("不需要",)),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            call(county, function, "radiologist2", item.workitem_uid, *arguments)
        assert (refused.value.code, refused.value.params) == ("already_claimed", {"holder": "陈知远"})


# --- successors


def test_released_work_keeps_its_due_time_and_draft(county: Township, folder: Path) -> None:
    item = work(county, folder)
    claim(county, "radiologist", item.workitem_uid)
    report = call(county, service.save_draft, "radiologist", item.workitem_uid, "dr-chest", SECTIONS, 0)
    county.clock.forward(600)
    with pytest.raises(Refused, match="reason_missing"):
        call(county, workitem_service.release, "radiologist", item.workitem_uid, "  ")
    after = call(county, workitem_service.release, "radiologist", item.workitem_uid, "换班")
    before = county.row(Workitem, item.workitem_uid)
    assert (before.state, before.reason, before.ended_at) == ("CANCELED", "换班", county.clock())
    assert (after.state, after.replaces, after.due_at) == ("SCHEDULED", item.workitem_uid, item.due_at)
    assert (after.report_uid, after.transaction_uid, after.scheduled_performer) == (report.report_uid, None, None)
    # The next reader goes on where the first stopped.
    claim(county, "radiologist2", after.workitem_uid)
    more = call(county, service.save_draft, "radiologist2", after.workitem_uid, "dr-chest", SECTIONS, report.version)
    assert (more.report_uid, more.version) == (report.report_uid, report.version + 1)


def test_reassigned_before_a_claim_it_stays_the_same_workitem(county: Township, folder: Path) -> None:
    item = work(county, folder)
    after = call(county, workitem_service.reassign, "radiologist", item.workitem_uid, "radiologist2", "专长")
    assert (after.workitem_uid, after.state) == (item.workitem_uid, "SCHEDULED")
    assert after.scheduled_performer == county.actor("radiologist2").account_id
    assert listed(county, "radiologist")[0]["assigned_to"] == "林书恒"


def test_reassigned_after_a_claim_a_successor_follows(county: Township, folder: Path) -> None:
    item = work(county, folder)
    claim(county, "radiologist", item.workitem_uid)
    with pytest.raises(Refused) as refused:
        call(county, workitem_service.reassign, "radiologist2", item.workitem_uid, "radiologist2", "我来")
    assert (refused.value.code, refused.value.params) == ("already_claimed", {"holder": "陈知远"})
    after = call(county, workitem_service.reassign, "radiologist", item.workitem_uid, "radiologist2", "会诊")
    assert (after.replaces, after.due_at) == (item.workitem_uid, item.due_at)
    assert after.scheduled_performer == county.actor("radiologist2").account_id
    assert county.row(Workitem, item.workitem_uid).state == "CANCELED"


@pytest.mark.parametrize("to", ["nobody", "tech", "admin", "cardiologist"])
def test_work_goes_only_to_those_who_read_its_kind(county: Township, folder: Path, to: str) -> None:
    item = work(county, folder)
    with pytest.raises(Refused, match="reader_unknown"):
        call(county, workitem_service.reassign, "radiologist", item.workitem_uid, to, "代读")


def test_only_an_addendum_can_be_dismissed(county: Township, folder: Path) -> None:
    item = work(county, folder)
    claim(county, "radiologist", item.workitem_uid)
    with pytest.raises(IllegalMove):
        call(county, workitem_service.dismiss, "radiologist", item.workitem_uid, "无需补充")
    with county.roof.db.write() as session:
        session.execute(update(Workitem).values(step="addendum"))
        session.execute(update(Study).values(late_images_at=county.clock()))
    call(county, workitem_service.dismiss, "radiologist", item.workitem_uid, "无需补充")
    row = county.row(Workitem, item.workitem_uid)
    assert (row.state, row.reason) == ("CANCELED", "无需补充")
    assert county.row(Study, item.study_id).late_images_at is None


def test_released_twice_at_once_there_is_one_successor(county: Township, folder: Path) -> None:
    item = work(county, folder)
    claim(county, "radiologist", item.workitem_uid)
    reader, barrier = county.actor("radiologist"), threading.Barrier(8)

    def release(_: int) -> str:
        barrier.wait()
        try:
            with county.roof.db.write() as session:
                return workitem_service.release(
                    session, reader, item.workitem_uid, "换班", county.clock()
                ).workitem_uid
        except Refused as refused:
            return refused.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(release, range(8)))
    assert len([answer for answer in answers if answer not in ("stale", "workitem_ended")]) == 1
    with county.roof.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Workitem)) == 2


# --- what the list shows


def test_the_status_in_sql_is_the_status_of_the_domain(county: Township, folder: Path) -> None:
    work(county, folder)
    combinations = list(itertools.product(WorkitemState, WorkitemStep, InputReadiness, REPORT_STATUSES, (None, "motion")))
    assert len(combinations) > 400
    with county.roof.db.write() as session:
        for state, step, readiness, report_status, retake in combinations:
            session.execute(update(Workitem).values(state=state.value, step=step.value, retake_reason=retake))
            session.execute(update(Study).values(input_readiness=readiness.value, report_status=report_status))
            found = session.scalar(
                select(STATUS).select_from(Workitem).join(Study, Study.id == Workitem.study_id)
            )
            assert found == status(state, step, readiness, report_status, retake), (state, step, readiness, report_status)


def test_a_status_is_looked_up_by_the_states_it_can_stand_in(county: Township, folder: Path) -> None:
    for state, step, readiness, report_status, retake in itertools.product(
        WorkitemState, WorkitemStep, InputReadiness, REPORT_STATUSES, (None, "motion")
    ):
        assert state in STATES_OF_STATUS[status(state, step, readiness, report_status, retake)]
    assert set(STATES_OF_STATUS) == set(STATUSES)
    item = work(county, folder)
    assert [row["status"] for row in listed(county, "radiologist", status=("waiting", "reading"))] == ["waiting"]
    with county.roof.db.write() as session:
        session.execute(update(Workitem).values(state="CANCELED"))
    rows = listed(county, "radiologist", status=("cancelled",))
    assert [(row["workitem_uid"], row["status"]) for row in rows] == [(item.workitem_uid, "cancelled")]
    assert listed(county, "radiologist") == listed(county, "radiologist", status=("nonsense",)) == []


def test_the_transaction_uid_is_in_no_list(county: Township, folder: Path) -> None:
    item = work(county, folder)
    transaction_uid = claim(county, "radiologist", item.workitem_uid)
    for name in ("radiologist", "radiologist2", "tech", "reviewer"):
        rows = listed(county, name)
        assert rows[0]["claimed_by"] == "陈知远"
        assert transaction_uid not in str(rows)
    with county.roof.db.read() as session:
        assert transaction_uid not in str(items_store.items_by_study(session, [item.study_id], county.roof.settings.zone))


def test_pages_show_every_row_once_in_order_of_urgency(county: Township, folder: Path) -> None:
    items = [work(county, folder, PatientID=f"{number:04}") for number in range(23)]
    with county.roof.db.write() as session:
        for number, item in enumerate(items):
            row = session.get_one(Workitem, item.workitem_uid)
            row.priority = PRIORITIES[number % len(PRIORITIES)]
            # Several are due at the very same moment.
            row.due_at = county.clock() + timedelta(minutes=number // 4)
            order = session.get_one(Order, session.get_one(Study, item.study_id).order_uid)
            order.pathway = {5: "stroke", 11: "chest_pain"}.get(number)
    everything = [row["workitem_uid"] for row in listed(county, "radiologist")]
    assert sorted(everything) == sorted(item.workitem_uid for item in items)
    lanes = [row["lane"] for row in listed(county, "radiologist")]
    assert [lane for lane, _ in itertools.groupby(lanes)] == ["stroke", "chest_pain", "emergency", "routine"]
    for limit in (1, 4, 22, 23, 24):
        assert list(_paged(county, limit)) == everything


def _paged(county: Township, limit: int) -> Iterator[str]:
    cursor: str | None = None
    while True:
        with county.roof.db.read() as session:
            rows, cursor = items_store.items(
                session, county.actor("radiologist"), ItemFilter(), limit=limit, cursor=cursor, now=county.clock()
            )
        assert len(rows) <= limit
        yield from (row["workitem_uid"] for row in rows)
        if cursor is None:
            return


@pytest.mark.parametrize("cursor", ["x", "e30", "WzEsMiwzXQ", "WzEsIjIwMjYiLDNd", "////", "WyJ4IiwgIngiLCAieCJd", "é"])
def test_a_made_up_cursor_is_refused(county: Township, cursor: str) -> None:
    with pytest.raises(BadCursor), county.roof.db.read() as session:
        items_store.items(
            session, county.actor("radiologist"), ItemFilter(), limit=5, cursor=cursor, now=county.clock()
        )


@pytest.mark.parametrize(("q", "found"), [
    ("郑立群", True), ("立群", True), ("zhengliqun", True), ("zhengli", True), ("Zheng Liqun", True), ("zlq", True),
    ("ZLQ", True), ("ACC-7", True), ("QS-0077", True), ("QS-00", True), ("liqun", False), ("郑立军", False),
    ("%", False), ("_", False), ("zh_ng", False), ("\\", False), ("0077", False), ("' OR 1=1 --", False),
])  # fmt: skip
def test_people_are_found_by_characters_pinyin_initials_and_numbers(
    county: Township, folder: Path, q: str, found: bool
) -> None:
    work(county, folder, PatientName="=郑立群", PatientID="QS-0077", AccessionNumber="ACC-77")
    work(county, folder, PatientName="=马国强", PatientID="BX-1")
    names = [row["patient"]["name"] for row in listed(county, "radiologist", q=q)]
    assert names == (["郑立群"] if found else [])


@pytest.mark.parametrize("narrow", [
    {"state": ("IN PROGRESS",)}, {"status": ("reading", "final")}, {"modality": "CT"}, {"site": "BAISHUI"},
    {"priority": "stat"},
])  # fmt: skip
def test_filters_narrow_the_list(county: Township, folder: Path, narrow: dict[str, Any]) -> None:
    first = work(county, folder, "BS_DR", Modality="CT")
    work(county, folder, "QS_DR", Modality="CR")
    claim(county, "radiologist", first.workitem_uid)
    with county.roof.db.write() as session:
        session.execute(update(Workitem).where(Workitem.workitem_uid == first.workitem_uid).values(priority="stat"))
    assert [row["workitem_uid"] for row in listed(county, "radiologist", **narrow)] == [first.workitem_uid]


def test_everyone_sees_their_own_part(county: Township, folder: Path) -> None:
    ours, theirs = work(county, folder, "QS_DR"), work(county, folder, "BS_DR")
    seen = {
        name: {row["workitem_uid"] for row in listed(county, name)}
        for name in ("tech", "tech2", "clinician", "radiologist", "cardiologist", "manager", "admin")
    }
    both = {ours.workitem_uid, theirs.workitem_uid}
    assert (seen["tech"], seen["tech2"], seen["radiologist"]) == ({ours.workitem_uid}, {theirs.workitem_uid}, both)
    assert seen["clinician"] <= {ours.workitem_uid}
    assert seen["cardiologist"] == seen["manager"] == seen["admin"] == set()
