"""MPPS Notification to devices that asked for it: each change, in order, retried, of their own site alone; N-GET after."""

from typing import Any

from pydicom.uid import generate_uid

from pacs_bridge.listener import Listener
from tests.conftest import Clock
from tests.peers.dcmjs import script
from tests.peers.listening import EVERY_SERVICE, allow
from tests.peers.ports import free_port
from tests.peers.township import Township
from tests.worklist.test_mpps import begun, ended, message, say, status_of
from worklist.base import outbox
from worklist.web_admin import WORD_TO_PEERS
from worklist.work import make_worker

NOTIFICATION = "1.2.840.10008.3.1.2.3.5"


def test_every_change_of_a_step_is_told_to_those_who_asked(
    county: Township, listener: Listener, clock: Clock
) -> None:
    port, other = free_port(), free_port()
    allow(county, "QS_CT", port=None, services=[*EVERY_SERVICE, "mpps_notify"])  # it knows what it did itself
    allow(county, "QS_PACS", port=port, services=["mpps", "mpps_notify"])
    allow(county, "BS_PACS", port=other, services=["mpps", "mpps_notify"], site="BAISHUI")
    worker = make_worker(county.roof, None)  # type: ignore[arg-type]
    first, second = generate_uid(), generate_uid()
    stopped: dict[str, Any] = {"PerformedProcedureStepEndDate": "20260302", "PerformedProcedureStepEndTime": "0939",
                               "PerformedProcedureStepStatus": "DISCONTINUED"}  # fmt: skip
    assert status_of(
        listener, message("create", first, begun()),
        message("set", first, {"PerformedProcedureStepDescription": "Head and neck"}),
        message("set", first, ended(["2.25.5"])),
        message("set", first, ended(["2.25.5"])),  # refused: nothing to tell
        message("create", second, begun("1.2.3.4")), message("set", second, stopped),
    ) == ["0000", "0000", "0000", "0110", "0000", "0000"]  # fmt: skip
    worker.run_due()  # nobody is there
    with county.roof.db.read() as session:
        assert [(job.key, job.last_error) for job in outbox.retrying(session, WORD_TO_PEERS)] == [
            ("mpps_event:QS_PACS", "unreachable")
        ]
    clock.forward(60)
    with script("mpps.js", "hear", port=port) as peer:
        peer.wait("listening")
        worker.run_due()
        heard = peer.several("event", 5)
    assert [(line["uid"], line["event"]) for line in heard] == [
        (first, 1), (first, 4), (first, 2), (second, 1), (second, 3),
    ]  # fmt: skip
    assert {(line["sopClass"], line["hasInformation"]) for line in heard} == {(NOTIFICATION, False)}
    (answer,) = say(listener, message("get", first), calling="QS_PACS")
    assert answer["dataset"]["PerformedProcedureStepStatus"] == "COMPLETED"
    with county.roof.db.read() as session:
        assert outbox.retrying(session, WORD_TO_PEERS) == []
