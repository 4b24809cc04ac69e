"""UPS by DIMSE: dcmjs-dimse and pynetdicom as the other ends; the worklist's own work, tasks of others, events."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom import AE
from pynetdicom.association import Association
from sqlalchemy import select

from pacs_bridge import ups
from pacs_bridge.listener import Listener
from tests.conftest import Clock
from tests.peers.dcmjs import script
from tests.peers.listening import allow
from tests.peers.ports import free_port
from tests.peers.township import Township, township
from worklist import workitem_service
from worklist.access import Refused
from worklist.account_tables import Account
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.base.outbox import OutboxJob
from worklist.tables import Workitem
from worklist.ups import follow
from worklist.ups_tables import UpsEvent
from worklist.work import make_worker
from worklist.workitem import WorkitemMove

CODE = {"CodeValue": "110003", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Image Processing"}
READ = {"CodeValue": "110005", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Interpretation"}
STATION = {"CodeValue": "AI1", "CodingSchemeDesignator": "99TEST", "CodeMeaning": "AI 1"}


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Clock) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        reader = made.actor("radiologist").account_id
        allow(made, "QS_CT", performs_as=reader, port=None, address_range="127.0.0.1/32")
        yield made


@contextmanager
def associated(listener: Listener, title: str = "QS_CT") -> Iterator[Association]:
    entity = AE(ae_title=title)
    for uid in (ups.PUSH, ups.WATCH, ups.PULL, ups.QUERY):
        entity.add_requested_context(uid)
    association = entity.associate("127.0.0.1", listener.port, ae_title="TELEREAD")
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def dataset(values: dict[str, Any]) -> Dataset:
    """A data set from keywords; dicts and lists of dicts are sequences."""
    found = Dataset()
    for keyword, value in values.items():
        if isinstance(value, dict):
            value = [value]  # noqa: PLW2901
        is_sequence = isinstance(value, list) and (keyword.endswith("Sequence"))
        setattr(found, keyword, [dataset(item) for item in value] if is_sequence else value)
    return found


def pushed(**changes: Any) -> dict[str, Any]:
    """What an N-CREATE of an image processing step needs."""
    return {
        "ScheduledProcedureStepPriority": "HIGH", "ProcedureStepLabel": "Nodules", "WorklistLabel": "",
        "ScheduledProcedureStepStartDateTime": "20260302093000", "ScheduledWorkitemCodeSequence": [CODE],
        "InputReadinessState": "READY", "ProcedureStepState": "SCHEDULED", "PatientName": "Zhao^Yan",
        "PatientID": "AI-1", "SpecificCharacterSet": "ISO_IR 192",
    } | changes  # fmt: skip


def act(association: Association, uid: str, action: int, values: dict[str, Any], meta: str = ups.PULL) -> Any:
    """The status of an N-ACTION."""
    information = dataset(values) if values else None
    status, _ = association.send_n_action(information, action, UID(ups.PUSH), UID(uid), meta_uid=UID(meta))
    return status.Status


def claim(association: Association, uid: str, transaction: str) -> Any:
    return act(association, uid, ups.CHANGE_STATE, {"ProcedureStepState": "IN PROGRESS", "TransactionUID": transaction})


def read_back(association: Association, uid: str) -> Dataset:
    status, found = association.send_n_get([], UID(ups.PUSH), UID(uid), meta_uid=UID(ups.PULL))
    assert status.Status == 0 and found is not None
    return found


def events_of(county: Township, title: str) -> list[tuple[str, int, dict[str, Any]]]:
    with county.roof.db.read() as session:
        rows = session.scalars(select(UpsEvent).where(UpsEvent.ae_title == title).order_by(UpsEvent.id)).all()
        return [(row.workitem_uid, row.event_type, row.information) for row in rows]


def states_told(county: Township, title: str, uid: str) -> list[str]:
    state = ups.tag("ProcedureStepState")
    return [
        information[state]["Value"][0]
        for one, kind, information in events_of(county, title)
        if one == uid and kind == ups.STATE_REPORT
    ]


def test_reading_work_is_found_and_shown_whole(county: Township, listener: Listener, tmp_path: Path) -> None:
    study, item = county.study(tmp_path)
    with associated(listener) as association:
        keys = dataset({"ProcedureStepState": "SCHEDULED", "SOPInstanceUID": "", "PatientName": "*^*",
                        "ScheduledWorkitemCodeSequence": [{"CodeValue": "110005"}], "StudyInstanceUID": "",
                        "ReferencedRequestSequence": [{"AccessionNumber": ""}]})  # fmt: skip
        answers = [found for status, found in association.send_c_find(keys, UID(ups.PULL)) if found is not None]
        assert [found.SOPInstanceUID for found in answers] == [item.workitem_uid]
        assert answers[0].SOPClassUID == ups.PUSH
        whole = read_back(association, item.workitem_uid)
        assert whole.StudyInstanceUID == study.study_instance_uid
        assert whole.InputInformationSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert "DICOMRetrievalSequence" in whole.InputInformationSequence[0]
        assert whole.ReferencedRequestSequence[0].IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "QINGSHAN"
        assert whole.IssuerOfPatientID == "QINGSHAN" and "TransactionUID" not in whole
        assert str(whole.PatientName.ideographic)
        nothing = dataset({"ProcedureStepState": "COMPLETED", "SOPInstanceUID": ""})
        assert [found for _, found in association.send_c_find(nothing, UID(ups.WATCH)) if found is not None] == []
        started = dataset({"ScheduledProcedureStepStartDateTime": "20260302-20260303", "SOPInstanceUID": ""})
        assert len([1 for _, found in association.send_c_find(started, UID(ups.QUERY)) if found is not None]) == 1
        late = dataset({"ScheduledProcedureStepStartDateTime": "20260304-", "SOPInstanceUID": ""})
        assert [found for _, found in association.send_c_find(late, UID(ups.QUERY)) if found is not None] == []
    allow(county, "BS_CT", site="BAISHUI", port=None, address_range="127.0.0.1/32")
    with associated(listener, "BS_CT") as stranger:
        status, _ = stranger.send_n_get([], UID(ups.PUSH), UID(item.workitem_uid), meta_uid=UID(ups.PULL))
        assert status.Status == ups.NO_SUCH_UPS


def test_reading_work_is_claimed_and_given_back_and_ends_by_its_report_alone(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    _, item = county.study(tmp_path)
    uid, transaction = item.workitem_uid, generate_uid()
    final = {"ProcedureStepState": "COMPLETED", "TransactionUID": transaction}
    with associated(listener) as association:
        assert act(association, uid, ups.CHANGE_STATE, {"ProcedureStepState": "IN PROGRESS"}) == ups.WRONG_TRANSACTION
        assert act(association, uid, ups.CHANGE_STATE, {"ProcedureStepState": "SCHEDULED"}) == ups.NEVER_SCHEDULED
        assert act(association, uid, ups.CHANGE_STATE, final) == ups.NOT_IN_PROGRESS
        assert act(association, uid, ups.REQUEST_CANCEL, {}) == ups.WILL_NOT_CANCEL
        assert claim(association, uid, transaction) == 0
        assert claim(association, uid, generate_uid()) == ups.ALREADY_IN_PROGRESS
        assert county.row(Workitem, uid).actual_performer == county.actor("radiologist").account_id
        assert county.row(Workitem, uid).transaction_uid == transaction
        assert act(association, uid, ups.CHANGE_STATE, final | {"TransactionUID": generate_uid()}) == ups.WRONG_TRANSACTION
        assert act(association, uid, ups.CHANGE_STATE, final) == ups.FINAL_STATE_NOT_MET
        progress = {"ProcedureStepProgress": "40", "ReasonForCancellation": "called away"}
        status, _ = association.send_n_set(
            dataset({"TransactionUID": transaction, "ProcedureStepProgressInformationSequence": [progress]}),
            UID(ups.PUSH), UID(uid), meta_uid=UID(ups.PULL),
        )  # fmt: skip
        assert status.Status == 0
        assert act(association, uid, ups.REQUEST_CANCEL, {}) == ups.NO_CONTACT
        cancel = {"ProcedureStepState": "CANCELED", "TransactionUID": transaction}
        assert act(association, uid, ups.CHANGE_STATE, cancel) == 0
        assert act(association, uid, ups.CHANGE_STATE, cancel) == ups.ALREADY_CANCELED
        assert act(association, uid, ups.CHANGE_STATE, final) == ups.NO_LONGER_UPDATED
        ended = county.row(Workitem, uid)
        assert (ended.state, ended.reason) == ("CANCELED", "called away")
        after = county.open_workitem(item.study_id)
        assert read_back(association, after.workitem_uid).ReplacedProcedureStepSequence[0].ReferencedSOPInstanceUID == uid
        shown = read_back(association, uid)
        assert shown.ProcedureStepProgressInformationSequence[0].ReasonForCancellation == "called away"
        assert shown.ProcedureStepProgressInformationSequence[0].ProcedureStepCancellationDateTime
    with county.roof.db.write() as session:  # a report that is signed ends it; here by the worklist's own service
        row = session.get_one(Workitem, after.workitem_uid)
        workitem_service.claim(session, county.actor("radiologist"), row.workitem_uid, county.clock(), transaction_uid=transaction)
        session.refresh(row)
        workitem_service.move(session, row, WorkitemMove.COMPLETE, county.clock())
    with associated(listener) as association:
        assert act(association, after.workitem_uid, ups.CHANGE_STATE, final) == ups.ALREADY_COMPLETED
        assert act(association, after.workitem_uid, ups.REQUEST_CANCEL, {}) == ups.CANCEL_COMPLETED
        status, _ = association.send_n_set(
            dataset({"TransactionUID": transaction}), UID(ups.PUSH), UID(after.workitem_uid), meta_uid=UID(ups.PULL)
        )
        assert status.Status == ups.NO_LONGER_UPDATED
    with county.roof.db.read() as session:
        refused = session.scalars(select(AuditEvent.result).where(AuditEvent.act == "ups.request")).all()
    assert {"C301", "C303", "C304", "C310"} <= set(refused)


def test_who_performs_is_the_reader_of_the_station(county: Township, listener: Listener, tmp_path: Path) -> None:
    _, item = county.study(tmp_path)
    allow(county, "QS_CT", performs_as=None)
    with associated(listener) as association:
        assert claim(association, item.workitem_uid, generate_uid()) == ups.NOT_AUTHORISED
    allow(county, "QS_CT", performs_as=county.actor("cardiologist").account_id)  # not of this kind
    with associated(listener) as association:
        assert claim(association, item.workitem_uid, generate_uid()) in (ups.NOT_AUTHORISED, ups.NO_SUCH_UPS)
    with county.roof.db.write() as session:
        session.scalars(select(Account).where(Account.username == "radiologist")).one().enabled = False
    allow(county, "QS_CT", performs_as=county.actor("radiologist").account_id)
    with associated(listener) as association:
        assert claim(association, item.workitem_uid, generate_uid()) == ups.NOT_AUTHORISED
    assert county.row(Workitem, item.workitem_uid).state == "SCHEDULED"
    allow(county, "QS_CT", exception_reason=None)
    entity = AE(ae_title="QS_CT")
    entity.add_requested_context(ups.PULL)
    assert not entity.associate("127.0.0.1", listener.port, ae_title="TELEREAD").is_established


def test_fifty_claims_of_one_step_give_one_success(county: Township, listener: Listener, tmp_path: Path) -> None:
    _, item = county.study(tmp_path)

    def one(number: int) -> int:
        with associated(listener) as association:
            return int(claim(association, item.workitem_uid, f"2.25.{number + 1}"))

    def by_page(number: int) -> str:
        try:
            with county.roof.db.write() as session:
                workitem_service.claim(session, county.actor("radiologist2"), item.workitem_uid, county.clock())
        except Refused as refused:
            return refused.code
        return "claimed"

    with ThreadPoolExecutor(16) as pool:
        dimse = [pool.submit(one, number) for number in range(40)]
        pages = [pool.submit(by_page, number) for number in range(10)]
        statuses, codes = [future.result() for future in dimse], [future.result() for future in pages]
    held_by_page = county.row(Workitem, item.workitem_uid).actual_performer == county.actor("radiologist2").account_id
    assert statuses.count(0) == (0 if held_by_page else 1)
    assert set(statuses) <= {0, ups.ALREADY_IN_PROGRESS}
    assert set(codes) <= ({"claimed"} if held_by_page else {"already_claimed"}) | {"already_claimed"}
    assert ("claimed" in codes) == held_by_page


def test_a_task_of_others_from_push_to_completion(county: Township, listener: Listener, clock: Clock) -> None:
    uid, transaction = generate_uid(), generate_uid()
    performed = {
        "PerformedStationNameCodeSequence": [STATION], "PerformedProcedureStepStartDateTime": "20260302093100",
        "PerformedWorkitemCodeSequence": [CODE], "PerformedProcedureStepEndDateTime": "20260302093200",
        "OutputInformationSequence": [],
    }  # fmt: skip
    final = {"ProcedureStepState": "COMPLETED", "TransactionUID": transaction}
    requests = [
        {"op": "create", "uid": generate_uid(), "attributes": pushed(ProcedureStepState="IN PROGRESS")},
        {"op": "create", "uid": generate_uid(), "attributes": pushed(ScheduledProcedureStepPriority="")},
        {"op": "create", "uid": generate_uid(), "attributes": pushed(ScheduledProcedureStepPriority="NOW")},
        {"op": "create", "uid": uid, "attributes": pushed(PatientName="赵^䶮")},
        {"op": "create", "uid": uid, "attributes": pushed()},
        {"op": "set", "uid": uid, "attributes": {"ProcedureStepLabel": "Nodules, chest", "SpecificCharacterSet": "ISO_IR 192"}},
        {"op": "set", "uid": uid, "attributes": {"PatientID": "other"}},
        {"op": "action", "uid": uid, "action": 1, "context": ups.PULL,
         "attributes": {"ProcedureStepState": "IN PROGRESS", "TransactionUID": transaction}},
        {"op": "set", "uid": uid, "context": ups.PULL, "attributes": {"ProcedureStepLabel": "x"}},
        {"op": "action", "uid": uid, "action": 1, "context": ups.PULL, "attributes": final},
        {"op": "set", "uid": uid, "context": ups.PULL, "attributes": {
            "TransactionUID": transaction, "UnifiedProcedureStepPerformedProcedureSequence": [performed],
            "ProcedureStepProgressInformationSequence": [{"ProcedureStepProgress": "100"}]}},
        {"op": "action", "uid": uid, "action": 1, "context": ups.PULL, "attributes": final},
        {"op": "action", "uid": uid, "action": 1, "context": ups.PULL, "attributes": final},
        {"op": "get", "uid": uid, "context": ups.PULL, "attributes": ["ProcedureStepState", "ProcedureStepLabel", "PatientName"]},
        {"op": "get", "uid": "1.2.3.4"},
    ]  # fmt: skip
    with script("ups.js", "ask", port=listener.port, **{"from": "QS_CT", "to": "TELEREAD"}, requests=requests) as peer:
        peer.wait("closed")
        answers = peer.all("op")
    assert [f"{answer['status']:04X}" for answer in answers] == [
        "C309", "0121", "0106", "0000", "0111", "0000", "0106", "0000", "C301", "C304", "0000", "0000", "B306", "0000", "C307",
    ]  # fmt: skip
    shown = answers[13]["dataset"]
    assert (shown["ProcedureStepState"], shown["ProcedureStepLabel"]) == ("COMPLETED", "Nodules, chest")
    assert "䶮" in json.dumps(shown["PatientName"], ensure_ascii=False)
    assert "TransactionUID" not in shown


def test_a_performer_that_is_gone_holds_no_task_for_ever(county: Township, listener: Listener, clock: Clock) -> None:
    allow(county, "QS_DR", port=None, address_range="127.0.0.1/32")
    uid = generate_uid()
    with associated(listener) as association:
        assert association.send_n_create(dataset(pushed()), UID(ups.PUSH), UID(uid))[0].Status == 0
    with associated(listener, "QS_DR") as performer:
        assert claim(performer, uid, "1.2.3") == 0
    reason = {"ReasonForCancellation": "no answer"}
    with associated(listener) as association:
        assert act(association, uid, ups.REQUEST_CANCEL, reason, ups.PUSH) == ups.NO_CONTACT
        clock.forward(16 * 60)
        assert act(association, uid, ups.REQUEST_CANCEL, reason, ups.PUSH) == 0
        shown = read_back(association, uid)
    assert shown.ProcedureStepState == "CANCELED"
    assert shown.ProcedureStepProgressInformationSequence[0].ReasonForCancellation == "no answer"


def test_reading_that_is_asked_for_becomes_reading_work(county: Township, listener: Listener, tmp_path: Path) -> None:
    study, item = county.study(tmp_path)
    wish = pushed(ScheduledWorkitemCodeSequence=[READ], StudyInstanceUID=study.study_instance_uid)
    with associated(listener) as association:
        status, _ = association.send_n_create(dataset(wish), UID(ups.PUSH), UID(generate_uid()))
        assert status.Status == ups.DUPLICATE  # it is open already
    with county.roof.db.write() as session:
        workitem_service.claim(session, county.actor("radiologist"), item.workitem_uid, county.clock())
        row = session.get_one(Workitem, item.workitem_uid, populate_existing=True)
        workitem_service.move(session, row, WorkitemMove.COMPLETE, county.clock())
    uid = generate_uid()
    with associated(listener) as association:
        status, _ = association.send_n_create(dataset(wish), UID(ups.PUSH), UID(uid))
        assert status.Status == ups.CREATED_MODIFIED
        assert read_back(association, uid).ScheduledWorkitemCodeSequence[0].CodeValue == "addendum"
    made = county.row(Workitem, uid)
    assert (made.step, made.scheduled_performer) == ("addendum", county.actor("radiologist").account_id)


def test_subscribers_hear_of_every_change_wherever_it_was_made(
    county: Township, listener: Listener, tmp_path: Path, clock: Clock
) -> None:
    port = free_port()
    allow(county, "QS_CT", port=port)
    worker = make_worker(county.roof, None)  # type: ignore[arg-type]
    with associated(listener) as association:
        everything = {"ReceivingAE": "QS_CT", "DeletionLock": "FALSE"}
        nobody = everything | {"ReceivingAE": "NOBODY"}
        assert act(association, ups.GLOBAL, ups.SUBSCRIBE, nobody, ups.WATCH) == ups.UNKNOWN_RECEIVER
        assert act(association, ups.GLOBAL, ups.CHANGE_STATE, {}, ups.WATCH) == ups.NOT_APPROPRIATE
        assert act(association, "1.2.3", ups.SUBSCRIBE, everything, ups.WATCH) == ups.NO_SUCH_UPS
        assert act(association, "1.2.3", 9, everything, ups.WATCH) == ups.NO_SUCH_ACTION
        assert act(association, ups.GLOBAL, ups.SUBSCRIBE, everything, ups.WATCH) == 0
    clock.forward(1)
    _, item = county.study(tmp_path)  # made by storing
    with county.roof.db.write() as session:  # changed on the page
        workitem_service.claim(session, county.actor("radiologist"), item.workitem_uid, clock.forward(1))
        after = workitem_service.release(session, county.actor("radiologist"), item.workitem_uid, "other duty", clock.forward(1))
        successor = after.workitem_uid
    with associated(listener) as association:  # changed by DIMSE
        assert claim(association, successor, generate_uid()) == 0
    follow(county.roof, clock())
    assert states_told(county, "QS_CT", item.workitem_uid) == ["SCHEDULED", "IN PROGRESS", "CANCELED"]
    assert states_told(county, "QS_CT", successor) == ["SCHEDULED", "IN PROGRESS"]
    worker.run_due()  # the peer is not there: nothing is lost
    with script("ups.js", "hear", port=port) as peer:
        peer.wait("listening")
        clock.forward(60)
        worker.run_due()
        peer.wait("event")
        heard = [(line["uid"], line["event"], line["information"].get("ProcedureStepState")) for line in peer.all("event")]
    assert heard == [
        (uid, kind, information.get(ups.tag("ProcedureStepState"), {}).get("Value", [None])[0])
        for uid, kind, information in events_of(county, "QS_CT")
    ]
    with county.roof.db.read() as session:
        assert session.scalar(select(UpsEvent.id).where(UpsEvent.told_at.is_(None))) is None
        assert session.scalar(select(OutboxJob.id).where(OutboxJob.kind == "ups_event", OutboxJob.finished_at.is_(None))) is None


def test_subscriptions_are_filtered_suspended_and_ended(county: Township, listener: Listener, clock: Clock) -> None:
    allow(county, "QS_CT", port=free_port())
    watch = {"ReceivingAE": "QS_CT", "DeletionLock": "TRUE"}
    first, second, third, fourth = (generate_uid() for _ in range(4))
    with associated(listener) as association:
        def push(uid: str, **changes: Any) -> None:
            clock.forward(1)
            status, _ = association.send_n_create(dataset(pushed(**changes)), UID(ups.PUSH), UID(uid))
            assert status.Status == 0

        push(first)
        assert act(association, ups.FILTERED, ups.SUBSCRIBE, watch, ups.WATCH) == ups.MISSING_ATTRIBUTE
        only = watch | {"ProcedureStepLabel": "Heart*"}
        assert act(association, ups.FILTERED, ups.SUBSCRIBE, only, ups.WATCH) == 0
        push(second, ProcedureStepLabel="Heart 3-D", ScheduledStationNameCodeSequence=[STATION])
        push(third)
        assert [event[:2] for event in events_of(county, "QS_CT")] == [(second, 1), (second, 5)]
        # the step itself, beside the filter; its state is told at once
        assert act(association, first, ups.SUBSCRIBE, watch, ups.WATCH) == 0
        assert states_told(county, "QS_CT", first) == ["SCHEDULED"]
        assert act(association, first, ups.REQUEST_CANCEL, {"ReasonForCancellation": "not needed"}, ups.WATCH) == 0
        kinds = [kind for uid, kind, _ in events_of(county, "QS_CT") if uid == first]
        assert kinds == [ups.STATE_REPORT, ups.CANCEL_REQUESTED, ups.STATE_REPORT, ups.STATE_REPORT]
        assert states_told(county, "QS_CT", first) == ["SCHEDULED", "IN PROGRESS", "CANCELED"]
        assert act(association, first, ups.SUSPEND, watch, ups.WATCH) == ups.NOT_APPROPRIATE
        assert act(association, ups.FILTERED, ups.SUSPEND, watch, ups.WATCH) == 0
        push(fourth, ProcedureStepLabel="Heart later")
        assert states_told(county, "QS_CT", fourth) == []
        assert claim(association, second, "1.2.3.4.5") == 0  # was there before: still told
        assert states_told(county, "QS_CT", second) == ["SCHEDULED", "IN PROGRESS"]
        assert act(association, second, ups.REQUEST_CANCEL, {"ReasonForCancellation": "stop"}, ups.WATCH) == 0
        assert act(association, second, ups.UNSUBSCRIBE, watch, ups.WATCH) == 0
        cancel = {"ProcedureStepState": "CANCELED", "TransactionUID": "1.2.3.4.5"}
        assert act(association, second, ups.CHANGE_STATE, cancel) == 0
        assert states_told(county, "QS_CT", second) == ["SCHEDULED", "IN PROGRESS"]
        # with a lock the state of everything that matches is told
        assert act(association, ups.GLOBAL, ups.SUBSCRIBE, watch, ups.WATCH) == 0
        assert len(events_of(county, "QS_CT")) >= 10
        assert act(association, ups.GLOBAL, ups.UNSUBSCRIBE, watch, ups.WATCH) == 0
        before = len(events_of(county, "QS_CT"))
        push(generate_uid(), ProcedureStepLabel="Heart again")
        assert len(events_of(county, "QS_CT")) == before
