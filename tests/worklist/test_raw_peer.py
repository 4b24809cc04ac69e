"""What only a peer that speaks in bytes does: requests sent ahead, data sets that never come, cancels in between."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacs_bridge.listener import Listener
from tests.peers.fuzzing import corpus, pdu
from tests.peers.instances import write_instance
from tests.peers.listening import allow, listening, receive_all
from tests.peers.raw_dimse import (
    ACTION, ANSWERS, C_ECHO, C_FIND, C_GET, C_STORE, FIELD, HAS_DATA, N_ACTION, NO_DATA, STATUS, RawPeer, data_set,
    request, stored, text,
)  # fmt: skip
from tests.peers.township import Township, township
from worklist.base.db import Database

ECHO, CT = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
CLASSES = (ECHO, FIND, MOVE, GET, CT, COMMITMENT)
CONTEXT = {one: 2 * number + 1 for number, one in enumerate(CLASSES)}
STUDY = "1.2.826.0.1.3680043.9.78.1"
WANTED = data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDY)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # nothing here asks the database


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT", port=1)
        (tmp_path / "sent").mkdir()
        series = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": STUDY + ".1", "side": 16}
        receive_all(made, [write_instance(tmp_path / "sent", **series) for _ in range(20)])
        yield made


@pytest.fixture
def listener(county: Township) -> Iterator[Listener]:
    with listening(county) as running:
        yield running


@pytest.fixture
def peer(listener: Listener) -> Iterator[RawPeer]:
    with RawPeer(listener.port, CLASSES, takes=[CT]) as raw:
        yield raw


def asked(kind: int, message_id: int, data: bytes | None = WANTED) -> bytes:
    sop_class = {C_ECHO: ECHO, C_FIND: FIND, C_GET: GET, C_STORE: CT}[kind]
    more = {"instance": text(f"1.2.3.{message_id}", b"\0")} if kind == C_STORE else {}
    return request(CONTEXT[sop_class], kind, message_id, sop_class, data, **more)


def order_of_answers(peer: RawPeer, number: int) -> list[int]:
    """The ids of the requests in the order of their final responses; objects are taken meanwhile."""
    found: list[int] = []
    while len(found) < number:
        message = peer.read()
        if message.number(FIELD) == C_STORE:
            peer.send(stored(message))
        elif message.number(STATUS) & 0xFF00 != 0xFF00:
            found.append(message.number(ANSWERS))
    return found


def test_requests_sent_ahead_are_answered_in_their_order(peer: RawPeer) -> None:
    """The window is one, and yet whoever sends ahead is told about each: objects of a C-GET come in between."""
    (first, *_) = corpus("dataset")
    peer.send(asked(C_GET, 1), asked(C_FIND, 2), asked(C_STORE, 3, first), asked(C_GET, 4), asked(C_ECHO, 5, None))
    assert order_of_answers(peer, 5) == [1, 2, 3, 4, 5]
    peer.release()


def test_what_was_asked_before_the_release_is_answered_before_it(peer: RawPeer) -> None:
    (first, *_) = corpus("dataset")
    peer.send(asked(C_FIND, 1), asked(C_STORE, 2, first), asked(C_ECHO, 3, None), pdu(5, bytes(4)))
    assert order_of_answers(peer, 3) == [1, 2, 3]
    with pytest.raises(ConnectionError, match="PDU 6 "):
        peer.read()


def test_a_data_set_that_never_comes_is_an_empty_one(peer: RawPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom announces an empty data set and sends none."""
    monkeypatch.setattr("pacs_bridge.pynetdicom_hooks.EMPTY_AFTER_S", 0.2)
    peer.send(request(
        CONTEXT[COMMITMENT], N_ACTION, 7, COMMITMENT, b"", requested_instance=text(COMMITMENT_INSTANCE, b"\0"),
        action=b"\1\0",
    ))  # fmt: skip
    answer = peer.read()
    assert (answer.number(ANSWERS), answer.number(STATUS), answer.number(ACTION)) == (7, 0x0115, -1)
    assert answer.number(HAS_DATA) == NO_DATA
    peer.send(asked(C_FIND, 8, b""))
    assert peer.read().number(STATUS) == 0xA900
    peer.release()
