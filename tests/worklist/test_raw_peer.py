"""What only a peer that speaks in bytes does: requests sent ahead, data sets that never come, cancels in between."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_bridge.listener import Listener
from tests.conftest import Clock
from tests.pacs_bridge.test_hostile_peers import resident_kb
from tests.peers import dcmjs, dcmtk
from tests.peers import raw_dimse as raw
from tests.peers.fuzzing import corpus, pdu
from tests.peers.instances import write_instance
from tests.peers.listening import allow, listening, receive_all
from tests.peers.product import until
from tests.peers.raw_dimse import (
    ANSWERS,
    C_ECHO,
    C_FIND,
    C_GET,
    C_MOVE,
    C_STORE,
    FIELD,
    N_ACTION,
    RESPONSE,
    STATUS,
    RawPeer,
    data_set,
    request,
    stored,
    text,
)
from tests.peers.township import Township, township
from worklist.base.db import Database

ECHO, CT = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
CLASSES = (ECHO, FIND, MOVE, GET, CT, COMMITMENT)
CONTEXT = {one: 2 * number + 1 for number, one in enumerate(CLASSES)}
N_OBJECTS, N_STUDIES = 40, 5000  # their answers take seconds
STUDY = "1.2.826.0.1.3680043.9.78.1"
WANTED = data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDY)


@pytest.fixture(scope="module")
def county(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Township]:
    """One study of some objects and thousands without; on SQLite alone: nothing here asks the database."""
    folder = tmp_path_factory.mktemp("raw_peer")
    shutil.copyfile(migrated_sqlite, folder / "teleread.sqlite3")
    database = Database(f"sqlite:///{folder / 'teleread.sqlite3'}")
    with township(database, folder / "county", Clock()) as made:
        allow(made, "QS_CT", port=1)
        series = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": STUDY + ".1", "side": 16}
        receive_all(made, [write_instance(folder, **series) for _ in range(N_OBJECTS)])
        made.repeat_study(N_STUDIES)
        yield made
    database.dispose()


@pytest.fixture(scope="module")
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


def test_however_many_are_sent_ahead_all_are_answered(peer: RawPeer) -> None:
    """More than are kept waiting: the rest stays with the peer meanwhile."""
    peer.send(asked(C_GET, 1), *(asked(C_ECHO, number, None) for number in range(2, 252)))
    assert order_of_answers(peer, 251) == list(range(1, 252))


def test_a_cancel_means_what_is_not_answered(peer: RawPeer) -> None:
    """One that comes while its request waits is kept for it; one that comes too late means nobody."""
    everything = data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientName="")
    too_late = raw.cancel(CONTEXT[FIND], 2)
    peer.send(asked(C_GET, 1), asked(C_FIND, 2, everything), raw.cancel(CONTEXT[FIND], 2))
    assert order_of_answers(peer, 1) == [1]
    n_answers = 0
    while (answer := peer.read()).number(STATUS) == 0xFF00:
        n_answers += 1
    assert (answer.number(ANSWERS), answer.number(STATUS)) == (2, 0xFE00)
    assert n_answers < N_STUDIES / 2
    peer.send(too_late, asked(C_FIND, 2))
    assert [peer.read().number(STATUS) for _ in range(2)] == [0xFF00, 0x0000]


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
    assert (answer.number(ANSWERS), answer.number(STATUS), answer.number(raw.ACTION)) == (7, 0x0115, -1)
    assert answer.number(raw.HAS_DATA) == raw.NO_DATA
    whole = asked(C_FIND, 8)
    end_of_command = len(asked(C_FIND, 8, b""))
    peer.send(whole[:end_of_command])
    time.sleep(0.5)  # an identifier that is late is still one
    peer.send(whole[end_of_command:])
    assert [peer.read().number(STATUS) for _ in range(2)] == [0xFF00, 0]
    peer.release()


def after_cancel(peer: RawPeer, message_id: int, kind: int, *then: bytes) -> tuple[raw.Message, list[raw.Message]]:
    """The final response to what is cancelled now, and what came before it; both within a second, nothing later."""
    peer.send(raw.cancel(CONTEXT[{C_FIND: FIND, C_MOVE: MOVE, C_GET: GET}[kind]], message_id), *then)
    began_s, before = time.monotonic(), []
    while (message := peer.read(5)).number(STATUS) != 0xFE00:
        before.append(message)
    assert time.monotonic() - began_s < 1
    peer.send(asked(C_ECHO, message_id + 1, None))
    assert peer.read().number(ANSWERS) == message_id + 1
    return message, before


def test_a_long_query_is_cancelled_within_a_second_and_costs_no_memory(peer: RawPeer) -> None:
    peer.send(asked(C_FIND, 1, data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientName="", StudyDate="")))
    for number in range(800):
        assert peer.read().number(STATUS) == 0xFF00
        if number == 300:
            before_kb = resident_kb()
    assert resident_kb() - before_kb < 1000  # of 10,000 answers it was 700 KB
    _, late = after_cancel(peer, 1, C_FIND)
    assert len(late) < 1000


def test_a_move_that_is_cancelled_says_what_it_sent(county: Township, peer: RawPeer, tmp_path: Path) -> None:
    with dcmtk.storescp(tmp_path / "got", "QS_WS") as destination:
        allow(county, "QS_WS", port=destination.port)
        peer.send(request(CONTEXT[MOVE], C_MOVE, 1, MOVE, WANTED, destination=b"QS_WS "))
        assert peer.read().number(STATUS) == 0xFF00
        final, _ = after_cancel(peer, 1, C_MOVE)
        time.sleep(0.2)  # nothing follows
        n_got = len(destination.files())
    assert (final.number(raw.COMPLETED), final.number(raw.REMAINING)) == (n_got, N_OBJECTS - n_got)
    assert (final.number(raw.FAILED), final.number(raw.WARNED)) == (0, 0)
    assert 0 < n_got < N_OBJECTS


@pytest.mark.parametrize("answers", [True, False])
def test_a_get_that_is_cancelled_says_what_was_taken(peer: RawPeer, answers: bool) -> None:
    """Whether the object on its way is still answered or not."""
    peer.send(asked(C_GET, 1))
    for _ in range(3):
        taken = peer.read()
        peer.send(stored(taken))
        assert peer.read().number(STATUS) == 0xFF00
    on_its_way = peer.read()
    assert on_its_way.number(FIELD) == C_STORE
    final, before = after_cancel(peer, 1, C_GET, *([stored(on_its_way)] if answers else []))
    assert (final.number(raw.COMPLETED), final.number(raw.REMAINING)) == (3 + answers, N_OBJECTS - 3 - answers)
    assert [one.number(FIELD) for one in before] == [RESPONSE | C_GET] * answers


@pytest.mark.parametrize("kind", ["find", "get"])
def test_dcmjs_cancels(listener: Listener, kind: str) -> None:
    options = {"port": listener.port, "from": "QS_CT", "to": "TELEREAD", "kind": kind, "cancel_after": 3}
    with dcmjs.script("query.js", "run", **options, keys={"StudyInstanceUID": STUDY if kind == "get" else ""}) as script:
        script.wait("closed")
        said = script.all("status")
    final = said[-1]
    assert final["status"] == 0xFE00
    assert {one["status"] for one in said[:-1]} == {0xFF00}
    assert 3 <= len(said) - 1 < N_STUDIES // 2
    assert final["at_ms"] - script.all("cancelled")[0]["at_ms"] < 1000
    if kind == "get":
        assert (final["completed"], final["remaining"]) == (script.all("stored")[-1]["stored"], N_OBJECTS - final["completed"])


def test_an_index_that_is_gone_in_the_middle_is_out_of_resources(county: Township, peer: RawPeer) -> None:
    """The association stands, the database's file does not: A701 (PS3.4 C.4.2.1.5), and on with it."""
    file = Path(county.roof.db.url.database or "")
    move = request(CONTEXT[MOVE], C_MOVE, 1, MOVE, WANTED, destination=b"QS_CT ")
    county.roof.db.dispose()
    file.rename(file.with_suffix(".away"))
    file.mkdir()  # or SQLite would make an empty one
    try:
        for message in (move, asked(C_GET, 2)):
            peer.send(message)
            assert peer.read(30).number(STATUS) == 0xA701
    finally:
        county.roof.db.dispose()
        file.rmdir()
        file.with_suffix(".away").rename(file)
    peer.send(asked(C_GET, 4))
    assert order_of_answers(peer, 1) == [4]
    peer.release()


def n_open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("kind", [C_STORE, C_FIND, C_ECHO])
def test_what_is_sent_ahead_while_we_wait_for_the_peer_is_bounded(listener: Listener, peer: RawPeer, kind: int) -> None:
    """Open files, memory, messages: past a bound of each the association is over, and its alone."""
    (first, *_) = corpus("dataset")
    long = text(" " * (3 << 20))
    data = {C_STORE: first, C_FIND: raw.element(0x00080052, long), C_ECHO: None}[kind]
    open_files, kb = n_open_files(), resident_kb()
    peer.send(asked(C_GET, 1))
    assert peer.read().number(FIELD) == C_STORE
    with pytest.raises(ConnectionError):
        peer.send(*(asked(kind, number, data) for number in range(2, 60 if kind == C_FIND else 1100)))
        while True:
            peer.read()
    until(lambda: n_open_files() <= open_files, 5, "its files are closed")
    assert resident_kb() - kb < 150_000
    with RawPeer(listener.port, CLASSES) as other:
        other.send(asked(C_ECHO, 1, None))
        assert other.read().number(STATUS) == 0
