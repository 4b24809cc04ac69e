"""The delivery queue: counts, filters, tries, the oldest unacknowledged report, resending; on both databases."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from reports import delivery_service, delivery_store
from reports.tables import Delivery, DeliveryAttempt, Report
from reports.web_deliveries import deliveries
from tests.conftest import Clock
from tests.peers.dcmtk import storescp
from tests.worklist.county import add_study, make_county
from tests.worklist.roofs import Caller, make_pages, make_roof
from worklist.account_tables import Account
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.base.outbox import OutboxJob
from worklist.tables import Site, Study, Workitem
from worklist.web_admin import admin as admin_pages


class Queue:
    """Published reports of two sites, and the pages over them."""

    def __init__(self, database: Database, clock: Clock, tmp_path: Path) -> None:
        self.db, self.clock = database, clock
        self.sites = make_county(database, clock())
        with database.write() as session:
            site = session.get_one(Site, self.sites["QINGSHAN"])
            site.return_ae_title, site.return_host, site.return_port = "QS_PACS", "127.0.0.1", 11113
        self.app = make_pages(make_roof(tmp_path, database, clock), [deliveries, admin_pages])
        self.call = Caller(self.app, "admin-qingshan")

    def publish(self, uid: str, site: str = "QINGSHAN", status: str = "FINAL", revision: int = 1) -> dict[str, int]:
        """A signed report version and its promised deliveries, by channel."""
        with self.db.write() as session:
            study = session.scalar(select(Study).where(Study.study_instance_uid == uid))
            study_id = study.id if study else add_study(session, self.sites[site], "image", uid, self.clock())
            author = session.scalars(select(Account.id).where(Account.username == "reader-qingshan")).one()
            workitem = Workitem(
                workitem_uid=f"{uid}.{revision}", study_id=study_id, step="interpretation", state="COMPLETED",
                priority="routine", due_at=self.clock(), created_at=self.clock(),
            )  # fmt: skip
            session.add(workitem)
            session.flush()
            report = Report(
                report_uid=f"{uid}.9", revision=revision, version=revision, status=status, study_id=study_id,
                workitem_uid=workitem.workitem_uid, template="generic", sections={}, author=author,
                created_at=self.clock(), updated_at=self.clock(), signed_at=self.clock(), document_version=revision,
            )  # fmt: skip
            session.add(report)
            session.flush()
            delivery_service.promise_deliveries(session, report, session.get_one(Study, study_id), self.clock())
            rows = session.scalars(select(Delivery).where(Delivery.report_id == report.id))
            return {row.channel: row.id for row in rows}

    def attempt(self, delivery_id: int, outcome: str, status: str | None = None, wait_s: int | None = None) -> None:
        with self.db.write() as session:
            assert delivery_service.begin_attempt(session, delivery_id, self.clock()) is not None
        wait = timedelta(seconds=wait_s) if wait_s is not None else None
        with self.db.write() as session:
            delivery_service.end_attempt(
                session, delivery_id, outcome=outcome, status=status, retry_after=wait, now=self.clock()
            )

    def shown(self, query: str = "") -> tuple[list[int], dict[str, int]]:
        status, said = self.call("GET", f"/api/admin/deliveries{query}")
        assert status == 200, said
        return [row["delivery_id"] for row in said["deliveries"]], said["counts"]


@pytest.fixture
def queue(database: Database, clock: Clock, tmp_path: Path) -> Queue:
    return Queue(database, clock, tmp_path)


def test_filters_show_what_their_counts_say(queue: Queue) -> None:
    waiting, retrying, failed, accepted = (queue.publish(f"1.2.3.{n}") for n in range(4))
    other = queue.publish("1.2.3.9", site="BAISHUI")
    queue.attempt(retrying["dicom"], "unreachable", wait_s=60)
    queue.attempt(failed["dicom"], "no_context")
    queue.attempt(accepted["dicom"], "accepted", "0000")
    open_ids = [failed["dicom"], retrying["dicom"], waiting["dicom"]]
    counts = {"open": 3, "retrying": 1, "failed": 1, "all": 9}
    assert queue.shown() == (open_ids, counts)
    assert queue.shown("?state=retrying") == ([retrying["dicom"]], counts)
    assert queue.shown("?state=failed") == ([failed["dicom"]], counts)
    assert len(queue.shown("?state=all")[0]) == 9
    assert queue.shown("?state=all&site=BAISHUI") == (
        [other["portal"]], {"open": 0, "retrying": 0, "failed": 0, "all": 1},
    )  # fmt: skip


def test_a_row_tells_patient_peer_and_every_try(queue: Queue, clock: Clock) -> None:
    ids = queue.publish("1.2.3.1")
    queue.attempt(ids["dicom"], "unreachable", wait_s=60)
    first = clock().isoformat()
    second = clock.forward(60).isoformat()
    queue.attempt(ids["dicom"], "refused", "A700", wait_s=120)
    (row,) = queue.call("GET", "/api/admin/deliveries?state=retrying")[1]["deliveries"]
    assert row["attempts"] == [
        {"at": second, "outcome": "refused", "status": "A700", "detail": ""},
        {"at": first, "outcome": "unreachable", "status": None, "detail": ""},
    ]
    assert (row["patient_name"], row["modality"], row["document_version"]) == ("测试", "CT", 1)
    assert (row["peer"], row["channel"]) == ("QS_PACS@127.0.0.1:11113", "dicom")
    assert (row["state"], row["n_attempts"]) == ("RETRY", 2)
    assert row["next_attempt_at"] == (clock() + timedelta(seconds=120)).isoformat()
    assert row["last_error"] == "refused A700"
    assert [(one["channel"], one["state"]) for one in row["other_channels"]] == [("portal", "ACCEPTED")]
    assert "sections" not in row  # no report text


def test_only_the_newest_tries_are_shown(queue: Queue, clock: Clock) -> None:
    ids = queue.publish("1.2.3.1")
    with queue.db.write() as session:
        for number in range(30):
            session.add(DeliveryAttempt(delivery_id=ids["dicom"], at=clock(), outcome="timeout", detail=str(number)))
    (row,) = queue.call("GET", "/api/admin/deliveries")[1]["deliveries"]
    assert [int(one["detail"]) for one in row["attempts"]] == list(range(29, 9, -1))


def test_a_dead_delivery_is_sent_again_by_its_job(queue: Queue) -> None:
    ids = queue.publish("1.2.3.1")
    queue.attempt(ids["dicom"], "no_context")
    status, said = queue.call("POST", f"/api/admin/deliveries/{ids['dicom']}/resend", {})
    assert (status, said["state"]) == (200, "QUEUED")
    with queue.db.read() as session:
        job = session.scalars(select(OutboxJob).where(OutboxJob.key == f"deliver:{ids['dicom']}")).one()
        acts = session.scalars(select(AuditEvent.act).where(AuditEvent.act == "delivery.resend")).all()
    assert (job.finished_at, job.dead_at, len(acts)) == (None, None, 1)
    status, said = queue.call("POST", f"/api/admin/deliveries/{ids['dicom']}/resend", {})
    assert (status, said["error"]["code"]) == (409, "delivery_illegal_move")


def test_the_portal_is_not_sent_to(queue: Queue) -> None:
    ids = queue.publish("1.2.3.1")
    assert queue.call("POST", f"/api/admin/deliveries/{ids['portal']}/resend", {})[0] == 404
    assert queue.call("POST", "/api/admin/deliveries/987654/resend", {})[0] == 404


def acknowledge(queue: Queue, delivery_id: int) -> None:
    with queue.db.write() as session:
        session.get_one(Delivery, delivery_id).state = "ACKED"


def site_row(queue: Queue, code: str) -> dict[str, Any]:
    rows = queue.call("GET", "/api/admin/sites")[1]["sites"]
    return next(row for row in rows if row["code"] == code)


def test_the_oldest_unacknowledged_report_is_the_one_that_counts(queue: Queue, clock: Clock) -> None:
    """Not a preliminary one, not one that a later version has followed, not one that was confirmed."""
    queue.publish("1.2.3.1", status="PRELIM")
    clock.forward(60)
    confirmed = queue.publish("1.2.3.2")
    clock.forward(60)
    queue.publish("1.2.3.3")
    clock.forward(60)
    expected = clock()
    queue.publish("1.2.3.4", site="BAISHUI")
    clock.forward(60)
    newest = clock()
    queue.publish("1.2.3.3", status="APPENDED", revision=2)
    acknowledge(queue, confirmed["portal"])
    said = queue.call("GET", "/api/admin/deliveries")[1]
    assert said["oldest_unacknowledged"] == {"at": expected.isoformat(), "site": "BAISHUI"}
    assert site_row(queue, "QINGSHAN")["oldest_unacknowledged_at"] == newest.isoformat()
    assert site_row(queue, "HEPING")["oldest_unacknowledged_at"] is None


def test_a_sites_health_counts_its_own_deliveries(queue: Queue) -> None:
    queue.publish("1.2.3.1")
    queue.attempt(queue.publish("1.2.3.2")["dicom"], "unreachable", wait_s=60)
    queue.attempt(queue.publish("1.2.3.3")["dicom"], "no_context")
    queue.publish("1.2.3.4", site="BAISHUI")
    row = site_row(queue, "QINGSHAN")
    assert (row["n_undelivered"], row["n_retrying"], row["n_dead"]) == (3, 1, 1)
    with queue.db.read() as session:
        empty = delivery_store.site_deliveries(session, queue.sites["HEPING"])
    assert empty == {"n_undelivered": 0, "n_retrying": 0, "n_dead": 0, "oldest_unacknowledged_at": None}


def test_bad_filters_and_other_roles_are_refused(queue: Queue) -> None:
    assert queue.call("GET", "/api/admin/deliveries?state=lost")[0] == 400
    assert queue.call("GET", "/api/admin/deliveries?site=NOWHERE")[0] == 404
    for username in ("reader-qingshan", "manager-qingshan", "clinician-qingshan", "technician-qingshan"):
        call = Caller(queue.app, username)
        assert call("GET", "/api/admin/deliveries")[0] == 403
        assert call("POST", "/api/admin/deliveries/1/resend", {})[0] == 403


def test_echo_from_the_page_reaches_a_real_peer(queue: Queue, tmp_path: Path) -> None:
    with storescp(tmp_path / "pacs", "QS_PACS") as pacs:
        with queue.db.write() as session:
            session.get_one(Site, queue.sites["QINGSHAN"]).return_port = pacs.port
        status, said = queue.call("POST", "/api/admin/sites/QINGSHAN/echo", {})
        assert (status, said["outcome"]) == (200, "accepted")
        assert 0 <= said["duration_ms"] < 5000
    assert queue.call("POST", "/api/admin/sites/QINGSHAN/echo", {})[1]["outcome"] == "unreachable"
