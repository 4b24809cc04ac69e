"""Medians, P90 and shares against numpy and by hand; the facts behind them, on both databases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy.orm import Session

from tests.conftest import Clock
from tests.worklist.county import PEOPLE, add_study, make_county
from tests.worklist.roofs import Caller, make_pages, make_roof
from worklist import statistics
from worklist.base import audit
from worklist.base.db import Database
from worklist.base.i18n import LANGUAGES, translate
from worklist.statistics import ReportFact, percentile, period_start
from worklist.tables import Order, Study, Workitem
from worklist.web_statistics import KPIS, PARTS
from worklist.web_statistics import statistics as statistics_pages

ZONE = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


def fact(minutes: float, *, late: bool = False, **changes: object) -> ReportFact:
    final = NOON + timedelta(minutes=minutes)
    values: dict[str, object] = {
        "site_id": 1, "priority": "routine", "pathway": None, "received_at": NOON, "ready_at": NOON,
        "due_at": final - timedelta(seconds=1) if late else final, "final_at": final, "is_returned": True,
        "is_acknowledged": False,
    }  # fmt: skip
    return ReportFact(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [1, 2, 3, 10, 31, 200])
def test_percentiles_are_numpys(n: int) -> None:
    values = np.random.default_rng(n).exponential(30, n)
    for percent in (0, 10, 50, 90, 100):
        assert percentile(values, percent) == pytest.approx(np.percentile(values, percent))


def test_nothing_has_no_median() -> None:
    assert percentile([], 50) is None
    found = statistics.group([])
    assert (found.n, found.median_min, found.p90_min, found.in_time_percent, found.few) == (0, None, None, None, True)


def test_a_report_at_the_due_moment_is_in_time_and_one_second_later_is_not() -> None:
    assert statistics.group([fact(10), fact(20), fact(30), fact(40, late=True)]).in_time_percent == 75.0


def test_thirty_reports_may_be_compared_and_twenty_nine_not() -> None:
    assert statistics.group([fact(1)] * 29).few
    assert not statistics.group([fact(1)] * 30).few


def test_lanes_keep_their_order_and_critical_is_hidden_while_empty() -> None:
    facts = [fact(1), fact(2, pathway="stroke"), fact(3, priority="stat")]
    lanes = statistics.by_lane(facts)
    assert {name: len(rows) for name, rows in lanes.items()} == {
        "stroke": 1, "chest_pain": 0, "emergency": 1, "routine": 1,
    }  # fmt: skip
    assert list(lanes) == ["stroke", "chest_pain", "emergency", "routine"]


@pytest.mark.parametrize(
    ("period", "begins"),
    [("today", "2026-03-04"), ("week", "2026-03-02"), ("month", "2026-03-01")],
)
def test_periods_begin_at_local_midnight(period: str, begins: str) -> None:
    late_evening_utc = datetime(2026, 3, 3, 17, 0, tzinfo=UTC)  # Wednesday 01:00 in Shanghai
    assert period_start(period, late_evening_utc, ZONE) == datetime.fromisoformat(f"{begins}T00:00:00+08:00")


def test_an_unknown_period_is_an_error() -> None:
    with pytest.raises(ValueError, match="decade"):
        period_start("decade", NOON, ZONE)


def test_every_indicator_is_defined_in_both_languages() -> None:
    for code in KPIS:
        for part in PARTS:
            for language in LANGUAGES:
                assert translate(f"statistics.{code}.{part}", language)


def reported(session: Session, site_id: int, uid: str, now: datetime, minutes: float, *events: str) -> int:
    """A study ready at ``now`` whose first report is final ``minutes`` later, due after 60."""
    study_id = add_study(session, site_id, "image", uid, now)
    study = session.get_one(Study, study_id)
    order = Order(
        order_uid=f"{uid}.1", site_id=site_id, patient_pk=study.patient_pk, modality="CT", accession_number=uid[-16:],
        priority="routine", made_from_object=True, created_at=now, body_part="",
    )  # fmt: skip
    session.add(order)
    session.flush()
    study.order_uid = order.order_uid
    workitem = Workitem(
        workitem_uid=f"{uid}.2", study_id=study_id, step="interpretation", state="COMPLETED", priority="routine",
        due_at=study.received_at + timedelta(minutes=60), created_at=now, ended_at=now + timedelta(minutes=minutes),
    )  # fmt: skip
    session.add(workitem)
    session.flush()
    audit.emit(session, "ready", now=now, site_id=site_id, study_id=study_id)
    final = now + timedelta(minutes=minutes)
    for number, kind in enumerate(("final", *events)):
        at = final + timedelta(minutes=number)
        audit.emit(session, kind, now=at, study_id=study_id, site_id=site_id, workitem_uid=workitem.workitem_uid)
    study.report_status = "acknowledged" if "acknowledged" in events else "delivered" if events else "final"
    return study_id


def test_the_page_tells_what_the_events_say(database: Database, clock: Clock, tmp_path: Path) -> None:
    """Four reports of two sites today, one of last month; an addendum changes nothing."""
    ids = make_county(database, clock())
    roof = make_roof(tmp_path, database, clock)
    start = clock()
    with database.write() as session:
        first = reported(session, ids["QINGSHAN"], "1.2.3.1", start, 10)
        reported(session, ids["QINGSHAN"], "1.2.3.2", start, 20, "accepted", "opened", "acknowledged")
        reported(session, ids["QINGSHAN"], "1.2.3.3", start, 90, "accepted")
        reported(session, ids["BAISHUI"], "1.2.3.4", start, 40)
        reported(session, ids["BAISHUI"], "1.2.3.5", start - timedelta(days=33), 40, "acknowledged")
        audit.emit(
            session, "final", now=start + timedelta(minutes=200), study_id=first, site_id=ids["QINGSHAN"],
            workitem_uid="1.2.3.1.2",
        )  # fmt: skip
    clock.forward(4 * 3600)
    call = Caller(make_pages(roof, [statistics_pages]), "manager-qingshan")
    status, said = call("GET", "/api/statistics?period=today")
    assert status == 200
    kpis = {kpi["code"]: (kpi["value"], kpi["n"]) for kpi in said["kpis"]}
    assert kpis == {
        "signed": (4, 4), "median": (30.0, 4), "in_time": (75.0, 4), "delivered": (50.0, 4),
        "acknowledged": (25.0, 4), "waiting": (0, 0),
    }  # fmt: skip
    (routine,) = [lane for lane in said["lanes"] if lane["lane"] == "routine"]
    assert (routine["n"], routine["median_min"], routine["limit_min"], routine["few"]) == (4, 30.0, 60, True)
    assert routine["p90_min"] == pytest.approx(np.percentile([10, 20, 90, 40], 90), abs=0.05)
    sites = {site["code"]: site for site in said["sites"]}
    assert (sites["QINGSHAN"]["n"], sites["QINGSHAN"]["median_min"]) == (3, 20.0)
    assert sites["QINGSHAN"]["oldest_unacknowledged_min"] == 230  # final after 10 of 240 minutes
    assert sites["HEPING"]["oldest_unacknowledged_min"] is None
    assert said["definition"]["median"]["end"]
    assert "测试" not in str(said)  # no patient, no doctor


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.username)
def test_only_managers_see_statistics(database: Database, clock: Clock, tmp_path: Path, person: object) -> None:
    make_county(database, clock())
    call = Caller(make_pages(make_roof(tmp_path, database, clock), [statistics_pages]), person.username)  # type: ignore[attr-defined]
    assert call("GET", "/api/statistics")[0] == (200 if person.role == "manager" else 403)  # type: ignore[attr-defined]


def test_an_unknown_period_is_400(database: Database, clock: Clock, tmp_path: Path) -> None:
    make_county(database, clock())
    call = Caller(make_pages(make_roof(tmp_path, database, clock), [statistics_pages]), "manager-qingshan")
    assert call("GET", "/api/statistics?period=decade")[0] == 400
    assert call("GET", "/api/statistics?reader=1")[0] == 400
