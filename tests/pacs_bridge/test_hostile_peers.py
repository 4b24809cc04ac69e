"""Peers that stall, lie about lengths or come in crowds: others are served all the while."""

import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.listener import Listener
from tests.pacs_bridge.conftest import wait_for
from tests.pacs_bridge.inbox import MemoryInbox
from tests.peers import dcmtk
from tests.peers.data import shared_data
from tests.peers.raw_modality import RawModality


def connect(listener: Listener) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", listener.port), 5)
    sock.settimeout(10)
    return sock


def resident_kb() -> int:
    status = Path("/proc/self/status").read_text().split("VmRSS:")[1]
    return int(status.split()[0])


def until_closed(sock: socket.socket) -> bytes:
    """Everything the listener says until it hangs up."""
    received = b""
    try:
        while chunk := sock.recv(4096):
            received += chunk
    except ConnectionError:
        pass
    return received


@pytest.mark.parametrize("pdu_type", [1, 4, 5, 7, 9])
def test_a_huge_announced_pdu_is_not_read(listener: Listener, pdu_type: int) -> None:
    before_kb = resident_kb()
    with connect(listener) as sock:
        sock.sendall(struct.pack(">BBI", pdu_type, 0, 512 << 20))
        chunk = b"\0" * (1 << 20)
        try:
            for _ in range(100):
                sock.sendall(chunk)
        except OSError:
            pass
        until_closed(sock)
    assert resident_kb() - before_kb < 20_000
    assert wait_for(lambda: listener.n_connections == 0)
    assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0


def test_a_huge_pdu_within_an_association_ends_only_that(listener: Listener, inbox: MemoryInbox) -> None:
    with RawModality(listener.port) as modality:
        modality.association.dul.socket.socket.sendall(struct.pack(">BBI", 4, 0, 131_073) + b"\0" * 1000)
        assert wait_for(lambda: inbox.outcomes.get(1) in {"aborted", "lost"})
    assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0


def test_silent_and_trickling_connections_are_closed_in_time(start_listener: Callable[..., Listener]) -> None:
    listener = start_listener(handshake_timeout_s=1.0)
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(listener)) for _ in range(20)]
        trickling = stack.enter_context(connect(listener))
        trickling.sendall(struct.pack(">BBI", 1, 0, 200))
        started_s = time.monotonic()
        assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0  # nobody waits for them
        try:
            while time.monotonic() - started_s < 5:
                trickling.sendall(b"\0")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - started_s < 4
        for sock in silent:
            until_closed(sock)
    assert wait_for(lambda: listener.n_connections == 0)


def test_silence_within_an_association_ends_it(start_listener: Callable[..., Listener], inbox: MemoryInbox) -> None:
    listener = start_listener(network_timeout_s=1.0)
    with RawModality(listener.port):
        assert wait_for(lambda: inbox.outcomes == {1: "aborted"})


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_source"])
def test_one_source_cannot_take_all(
    start_listener: Callable[..., Listener], inbox: MemoryInbox, limit: str
) -> None:
    listener = start_listener(handshake_timeout_s=30.0, **{limit: 3})
    with ExitStack() as stack:
        held = [stack.enter_context(RawModality(listener.port)) for _ in range(3)]
        assert listener.n_connections == 3
        for _ in range(2):
            said = dcmtk.echoscu(listener.port, "QS_CT")
            assert "Local Limit Exceeded" in said.stdout + said.stderr
        assert wait_for(lambda: bool(inbox.refused))
        assert inbox.refused == [("QS_CT", "TELEREAD", "127.0.0.1", "busy")]  # once a minute, the first of them
        assert listener.n_connections == 3
        held[0].association.release()
        assert wait_for(lambda: listener.n_connections == 2)
        assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0


# PS3.8 9.3.4: rejected-transient, by the presentation layer's provider, local limit exceeded.
REJECTED = bytes((3, 0, 0, 0, 0, 4, 0, 2, 3, 2))


def test_who_has_no_place_hears_so_if_it_asks_and_is_one_of_few(start_listener: Callable[..., Listener]) -> None:
    listener = start_listener(max_connections_per_source=1, handshake_timeout_s=30.0)
    with RawModality(listener.port) as held, ExitStack() as stack:
        began_s = time.monotonic()
        extra = [stack.enter_context(connect(listener)) for _ in range(40)]
        assert [until_closed(sock) for sock in extra[16:]] == [b""] * 24  # a crowd is hung up on
        assert time.monotonic() - began_s < 0.8
        slow, silent, browser, endless = extra[:4]
        slow.sendall(struct.pack(">BBI", 1, 0, 100_000))
        assert slow.recv(100) == REJECTED
        assert slow.recv(1) == b""
        slow.sendall(bytes(100_000))  # is read, or the answer might have been lost
        time.sleep(0.05)
        assert slow.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        browser.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert until_closed(browser) == b""
        try:
            while time.monotonic() - began_s < 5:
                endless.sendall(struct.pack(">BBI", 1, 0, 100_000) + bytes(1 << 20))
        except OSError:
            pass
        assert until_closed(silent) == b""
        assert time.monotonic() - began_s < 2.5
        assert listener.n_connections == 1
        held.association.release()
        assert wait_for(lambda: dcmtk.echoscu(listener.port, "QS_CT").returncode == 0)


def test_idle_sockets_make_room_for_who_has_something_to_say(start_listener: Callable[..., Listener]) -> None:
    """Of one source even: the oldest connection that has said nothing goes."""
    listener = start_listener(max_connections_per_source=10, handshake_timeout_s=30.0)
    before_kb = resident_kb()
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(listener)) for _ in range(300)]
        began_s = time.monotonic()
        assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0
        assert time.monotonic() - began_s < 1
        assert until_closed(idle[0]) == b""
        assert wait_for(lambda: listener.n_connections <= 10)
    assert resident_kb() - before_kb < 50_000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """1,100 open files: the next descriptor is beyond what select() can take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_beyond_1023(
    many_descriptors: None, start_listener: Callable[..., Listener], inbox: MemoryInbox
) -> None:
    listener = start_listener()
    assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0
    assert dcmtk.storescu(listener.port, "QS_CT", [shared_data("dicom", "ct", "CT_small.dcm")]).returncode == 0
    assert len(inbox.received) == 1


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00",
    b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x01\x03", b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00", b"\xff" * 100,
])  # fmt: skip
def test_what_is_no_dicom_is_hung_up_on(start_listener: Callable[..., Listener], garbage: bytes) -> None:
    listener = start_listener(handshake_timeout_s=1.0)
    with connect(listener) as sock:
        sock.sendall(garbage)
        until_closed(sock)
    assert wait_for(lambda: listener.n_connections == 0)
    assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0


def p_data(context_id: int, header: int, body: bytes) -> bytes:
    pdv = struct.pack(">IBB", len(body) + 2, context_id, header) + body
    return struct.pack(">BBI", 4, 0, len(pdv)) + pdv


@pytest.mark.parametrize("pdu", [
    p_data(1, 0, b"data before a command"), p_data(1, 3, b"\xff" * 50), p_data(1, 1, b"\0" * 100_000),
    struct.pack(">BBI", 4, 0, 10) + struct.pack(">IBB", 5000, 1, 2) + b"\0\0\0\0",
])  # fmt: skip
def test_broken_messages_end_only_their_association(listener: Listener, inbox: MemoryInbox, pdu: bytes) -> None:
    with RawModality(listener.port) as modality:
        modality.association.dul.socket.socket.sendall(pdu)
        assert wait_for(lambda: 1 in inbox.outcomes)
    assert inbox.outcomes[1] in {"aborted", "lost"}
    assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0


def test_a_line_cut_within_an_object_leaves_nothing(listener: Listener, inbox: MemoryInbox, blobs: FileBlobs) -> None:
    with RawModality(listener.port) as modality:
        sock = modality.association.dul.socket.socket
        sock.sendall(p_data(1, 3, store_command("1.2.3.4.5")) + p_data(1, 0, b"\0" * 50_000))
        assert wait_for(lambda: list(blobs.spool_dir.iterdir()) != [])
        sock.shutdown(socket.SHUT_RDWR)
        assert wait_for(lambda: inbox.outcomes == {1: "lost"})
    assert list(blobs.spool_dir.iterdir()) == []
    assert list(blobs.keys()) == []


def store_command(sop_instance_uid: str) -> bytes:
    """A C-STORE-RQ command set, implicit little endian (PS3.7 9.3.1.1)."""

    def element(number: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HHI", 0, number, len(value)) + value

    short = struct.Struct("<H").pack
    body = b"".join((
        element(0x0002, b"1.2.840.10008.5.1.4.1.1.2"), element(0x0100, short(1)), element(0x0110, short(7)),
        element(0x0700, short(0)), element(0x0800, short(0)), element(0x1000, sop_instance_uid.encode()),
    ))  # fmt: skip
    return element(0x0000, struct.pack("<I", len(body))) + body


def test_stop_lets_a_running_object_finish(start_listener: Callable[..., Listener], inbox: MemoryInbox) -> None:
    import threading

    listener = start_listener()
    data = shared_data("dicom", "ct", "CT_small.dcm").read_bytes()
    body = data[data.index(b"\x08\x00\x05\x00") :]
    with RawModality(listener.port) as modality:
        modality.pause()  # or its own reactor might take the response
        sock = modality.association.dul.socket.socket
        sock.sendall(p_data(1, 3, store_command("1.2.3.4.5")) + p_data(1, 0, body[:10_000]))
        time.sleep(0.3)
        stopped: list[bool] = []
        stopper = threading.Thread(target=lambda: stopped.append(listener.stop(8)))
        stopper.start()
        time.sleep(0.5)
        sock.sendall(p_data(1, 2, body[10_000:]))
        _, response = modality.association.dimse.get_msg(block=True)
        modality.association._reactor_checkpoint.set()
        stopper.join(10)
    assert response is not None
    assert response.Status == 0x0000
    assert len(inbox.received) == 1
    assert stopped == [True]
    assert inbox.outcomes == {1: "aborted"}


def test_stop_does_not_wait_for_ever(start_listener: Callable[..., Listener]) -> None:
    listener = start_listener()
    with RawModality(listener.port) as modality:
        modality.association.dul.socket.socket.sendall(p_data(1, 3, store_command("1.2.3.4.5")))
        time.sleep(0.2)
        started_s = time.monotonic()
        assert listener.stop(3)
        assert time.monotonic() - started_s < 4
