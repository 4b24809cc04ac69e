"""UPS on the running product: events over WebSocket without loss, fifty claims at once, its stop and start told."""

import json
import os
import signal
import time
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from pacs_bridge import ups
from tests.peers.dcmjs import script
from tests.peers.instances import write_instance
from tests.peers.ports import free_port
from tests.peers.product import PASSWORD, Api, ApiError, Product, until

JSON = "application/dicom+json"
EVERYTHING = f"/dicom-web/workitems/{ups.GLOBAL}/subscribers"
CT = "1.2.840.10008.5.1.4.1.1.2"


def send(product: Product, folder: Path, **changes: Any) -> str:
    """A new study as the CT sends it; its UID."""
    folder.mkdir(exist_ok=True)
    path = write_instance(folder, side=16, **changes)
    entity = AE(ae_title="QS_CT")
    entity.add_requested_context(CT, pydicom.dcmread(path).file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", product.dicom_port, ae_title="TELEREAD")
    assert association.is_established
    assert association.send_c_store(pydicom.dcmread(path)).Status == 0
    association.release()
    return str(pydicom.dcmread(path).StudyInstanceUID)


def attributes(**values: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keyword, value in values.items():
        ups.put(found, keyword, value)
    return found


def call(api: Api, method: str, path: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    return api.call(method, path, data=data, content_type=JSON if body is not None else "")


def listen(product: Product, title: str, username: str = "radiologist") -> ClientConnection:
    headers = {"Authorization": f"Bearer {product.api(username).token}"}
    url = f"ws://127.0.0.1:{product.http_port}/dicom-web/ws/subscribers/{title}"
    return connect(url, additional_headers=headers, open_timeout=10, legacy=True)


class Heard:
    """What a subscriber has been sent, read as it comes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.events = socket, list[dict[str, Any]]()

    def until(self, is_it: Callable[[dict[str, Any]], bool], within_s: float = 15) -> dict[str, Any]:
        """The first event that is it; those before are kept."""
        end_s = time.monotonic() + within_s
        for event in self.events:
            if is_it(event):
                return event
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                self.events.append(json.loads(self.socket.recv(timeout=left_s)))
            except TimeoutError:
                break
            if is_it(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"not heard: {self.events}")


def state_of(event: dict[str, Any], uid: str) -> str:
    return ups.text(event, "ProcedureStepState") if event["00001000"]["Value"] == [uid] else ""


def workitem_of(product: Product, study: str) -> str:
    def found() -> str:
        answer = call(product.api("radiologist"), "GET", f"/dicom-web/workitems?StudyInstanceUID={study}")
        return ups.text(answer[0], "SOPInstanceUID") if answer else ""

    return str(until(found, 10, "the workitem"))


def test_events_of_storing_pages_and_http_arrive_and_none_is_lost_over_a_reconnect(
    product: Product, tmp_path: Path
) -> None:
    reader = product.api("radiologist")
    with pytest.raises(InvalidStatus):  # nobody has subscribed yet
        listen(product, "READER_1")
    call(reader, "POST", f"{EVERYTHING}/READER_1")
    with pytest.raises(InvalidStatus):  # somebody else's
        listen(product, "READER_1", "radiologist2")
    with pytest.raises(InvalidStatus):  # another site's page, with our cookie
        _as_browser(product, "https://evil.example")
    _as_browser(product, product.url).close()
    socket = listen(product, "READER_1")
    heard = Heard(socket)
    first = workitem_of(product, send(product, tmp_path / "one"))
    made = heard.until(lambda event: state_of(event, first) == "SCHEDULED")
    assert made["00001002"]["Value"] == [ups.STATE_REPORT] and made["00000002"]["Value"] == [ups.PUSH]
    reader.post(f"/api/workitems/{first}/claim")  # on the page
    claimed = heard.until(lambda event: state_of(event, first) == "IN PROGRESS")
    socket.socket.close()  # the line breaks before anything was sure to have arrived
    reader.post(f"/api/workitems/{first}/release", {"reason": "other duty"})
    second = workitem_of(product, send(product, tmp_path / "two"))
    time.sleep(1)
    again = Heard(listen(product, "READER_1"))
    repeated = again.until(lambda event: state_of(event, first) == "IN PROGRESS")
    assert repeated["00000110"] == claimed["00000110"]  # the same event, by its Message ID
    again.until(lambda event: state_of(event, first) == "CANCELED")
    again.until(lambda event: state_of(event, second) == "SCHEDULED")
    again.socket.close()  # in order: what was sent has arrived
    task = attributes(
        ScheduledProcedureStepPriority="LOW", ProcedureStepLabel="3-D", ProcedureStepState="SCHEDULED",
        ScheduledProcedureStepStartDateTime="20260302093000", InputReadinessState="READY",
    )  # fmt: skip
    call(reader, "POST", "/dicom-web/workitems?2.25.4711", task)  # by HTTP
    product.kill("serve")
    product.wait_healthy()
    last = Heard(until(lambda: _try_listen(product), 10, "the web server"))
    last.until(lambda event: state_of(event, "2.25.4711") == "SCHEDULED")
    assert not [event for event in last.events if state_of(event, first)]
    newer = listen(product, "READER_1")  # the newest takes over
    with pytest.raises(ConnectionClosed):
        while True:
            last.socket.recv(timeout=5)
    newer.close()


def _as_browser(product: Product, origin: str) -> ClientConnection:
    """A page of ``origin`` with the cookie of a browser that is logged in."""
    form = {"username": "radiologist", "password": PASSWORD}
    answer = httpx.post(f"{product.url}/login", data=form, headers={"Origin": product.url})
    assert answer.status_code == 303
    headers = {"Cookie": f"teleread_session={answer.cookies['teleread_session']}"}
    url = f"ws://127.0.0.1:{product.http_port}/dicom-web/ws/subscribers/READER_1"
    return connect(url, additional_headers=headers, origin=Origin(origin), legacy=True)


def _try_listen(product: Product) -> ClientConnection | None:
    try:
        return listen(product, "READER_1")
    except (OSError, InvalidStatus):
        return None


def test_fifty_claims_by_dimse_and_http_give_one_success(product: Product, tmp_path: Path) -> None:
    admin = product.api("admin")
    trust = {"services": ["echo", "store", "ups"], "exception_reason": "no TLS there", "performs_as": "radiologist2"}
    admin.call("PATCH", "/api/admin/devices/QS_CT", trust)
    uid = workitem_of(product, send(product, tmp_path / "three"))
    reader = product.api("radiologist")

    def by_http(number: int) -> int:
        body = attributes(ProcedureStepState="IN PROGRESS", TransactionUID=f"2.25.{number}")
        try:
            call(reader, "PUT", f"/dicom-web/workitems/{uid}/state", body)
        except ApiError as error:
            return error.status
        except urllib.error.URLError:
            return -1
        return 200

    def by_dimse(number: int) -> int:
        entity = AE(ae_title="QS_CT")
        entity.add_requested_context(ups.PULL)
        association = entity.associate("127.0.0.1", product.dicom_port, ae_title="TELEREAD")
        information = Dataset()
        information.ProcedureStepState, information.TransactionUID = "IN PROGRESS", f"2.25.{number}"
        status, _ = association.send_n_action(information, 1, UID(ups.PUSH), UID(uid), meta_uid=UID(ups.PULL))
        association.release()
        return int(status.Status)

    with ThreadPoolExecutor(25) as pool:
        futures = [pool.submit(by_http if number % 2 else by_dimse, number) for number in range(1, 51)]
        outcomes = [future.result() for future in futures]
    assert outcomes.count(0) + outcomes.count(200) == 1
    assert set(outcomes) <= {0, 200, 409, ups.ALREADY_IN_PROGRESS}


def test_the_product_says_that_it_goes_down_and_that_it_is_back(product: Product) -> None:
    until(lambda: "work" in product.children() and "worker ready" in product.log(), 20, "the worker")
    port = free_port()
    admin, reader = product.api("admin"), product.api("radiologist")
    trust = {"services": ["echo", "ups"], "exception_reason": "no TLS there", "host": "127.0.0.1", "port": port}
    admin.call("PATCH", "/api/admin/devices/QS_CT", trust)
    entity = AE(ae_title="QS_CT")
    entity.add_requested_context(ups.WATCH)
    association = entity.associate("127.0.0.1", product.dicom_port, ae_title="TELEREAD")
    information = Dataset()
    information.ReceivingAE, information.DeletionLock = "QS_CT", "FALSE"
    status, _ = association.send_n_action(
        information, ups.SUBSCRIBE, UID(ups.PUSH), UID(ups.GLOBAL), meta_uid=UID(ups.WATCH)
    )
    association.release()
    assert status.Status == 0
    call(reader, "POST", f"{EVERYTHING}/READER_2")
    heard = Heard(listen(product, "READER_2"))
    with script("ups.js", "hear", port=port) as peer:
        peer.wait("listening")
        os.kill(product.children()["work"], signal.SIGTERM)  # the supervisor starts it again
        heard.until(lambda event: ups.text(event, "SCPStatus") == "GOING DOWN")
        back = heard.until(lambda event: ups.text(event, "SCPStatus") == "RESTARTED", 30)
        assert back["00001000"]["Value"] == [ups.GLOBAL] and ups.text(back, "SubscriptionListStatus") == "WARM START"
        said = peer.several("event", 2)
        assert [*map(scp_status, said)] == ["GOING DOWN", "RESTARTED"]
        product.process.send_signal(signal.SIGTERM)
        assert scp_status(peer.several("event", 3)[2]) == "GOING DOWN"
        heard.events.clear()
        heard.until(lambda event: ups.text(event, "SCPStatus") == "GOING DOWN")
        product.process.wait(12)


def scp_status(line: dict[str, Any]) -> str:
    return str(line["information"].get("SCPStatus"))
