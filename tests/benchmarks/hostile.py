"""Peers without manners from any address of this machine, and one with: a C-ECHO on bare sockets, timed."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count

from tests.peers.fuzzing import pdu

VERIFICATION, IMPLICIT = b"1.2.840.10008.1.1", b"1.2.840.10008.1.2"
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
HUGE_BYTES = 512 << 20


def _item(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(data)) + data


def request(calling_ae: str) -> bytes:
    """A-ASSOCIATE-RQ for Verification (PS3.8 9.3.2)."""
    context = _item(0x20, bytes((1, 0, 0, 0)) + _item(0x30, VERIFICATION) + _item(0x40, IMPLICIT))
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3.4")
    names = b"TELEREAD".ljust(16) + calling_ae.encode().ljust(16) + bytes(32)
    return pdu(1, struct.pack(">HH", 1, 0) + names + _item(0x10, b"1.2.840.10008.3.1.1.1") + context + _item(0x50, user))


def _echo() -> bytes:
    """C-ECHO-RQ (PS3.7 9.3.5.1)."""
    values = {0x0002: VERIFICATION + b"\0", 0x0100: b"\x30\0", 0x0110: b"\1\0", 0x0800: b"\1\1"}
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in values.items())
    body = struct.pack("<HHII", 0, 0, 4, len(body)) + body
    return pdu(4, struct.pack(">IBB", len(body) + 2, 1, 3) + body)


def receive_pdu(sock: socket.socket) -> int:
    """The type of the next PDU; ConnectionError at the end."""

    def exactly(count: int) -> bytes:
        found = b""
        while len(found) < count:
            chunk = sock.recv(count - len(found))
            if not chunk:
                raise ConnectionError("closed by the listener")
            found += chunk
        return found

    kind, _, length = struct.unpack(">BBI", exactly(6))
    exactly(length)
    return int(kind)


def connect(port: int, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 20, (source, 0))


def associate(port: int, source: str, calling_ae: str = "QS_CT") -> socket.socket:
    """An open association; AssertionError where it was not accepted."""
    sock = connect(port, source)
    sock.sendall(request(calling_ae))
    assert receive_pdu(sock) == 2
    return sock


def echo_s(port: int, source: str) -> float:
    """Seconds from the connect to the C-ECHO response, then a release."""
    began_s = time.monotonic()
    with associate(port, source) as sock:
        sock.sendall(_echo())
        assert receive_pdu(sock) == 4
        seconds = time.monotonic() - began_s
        sock.sendall(pdu(5, bytes(4)))
        assert receive_pdu(sock) == 6
    return seconds


# The peers: each is given the port and a stack that closes what it opens, and works until it is told to stop. --------


@dataclass(frozen=True)
class Hostile:
    """What it is called; on which port; for how long; what it does, in a thread of its own."""

    name: str
    attack: Callable[[int, ExitStack, threading.Event], None]
    is_tls: bool = False
    seconds: float = 8.0
    spares: tuple[str, ...] = ("127.0.0.1",)  # sources whose C-ECHO must be answered meanwhile


def huge_pdus(port: int, stack: ExitStack, stop: threading.Event) -> None:
    """Headers of 512 MB and then data, before an association and within one."""
    number = 0
    while not stop.is_set():
        number += 1
        with contextlib.suppress(OSError, AssertionError):
            source = f"127.0.2.{number % 200 + 1}"
            sock = associate(port, source) if number % 2 else connect(port, source)
            with sock:
                sock.settimeout(0.5)
                sock.sendall(struct.pack(">BBI", (4, 1)[number // 2 % 2], 0, HUGE_BYTES))
                for _ in range(64):
                    sock.sendall(bytes(1 << 20))
        stop.wait(0.05)


def trickles(port: int, stack: ExitStack, stop: threading.Event) -> None:
    """One byte a second: 30 requests from one source; 30 data PDUs in associations of another."""
    one, data = request("QS_CT"), pdu(4, bytes(100_000))
    senders = [(stack.enter_context(connect(port, "127.0.3.1")), one) for _ in range(30)]
    senders += [(stack.enter_context(associate(port, "127.0.3.2")), data) for _ in range(30)]
    for position in count():
        for sock, content in senders:
            with contextlib.suppress(OSError):
                sock.send(content[position : position + 1])
        if stop.wait(1.0):
            return


def idle_of_one(port: int, stack: ExitStack, stop: threading.Event) -> None:
    for _ in range(500):
        stack.enter_context(connect(port, "127.0.4.1"))
    stop.wait()


def idle_of_twenty(port: int, stack: ExitStack, stop: threading.Event) -> None:
    for number in range(500):
        stack.enter_context(connect(port, f"127.0.5.{number % 20 + 1}"))
    stop.wait()


def half_handshakes(port: int, stack: ExitStack, stop: threading.Event) -> None:
    for _ in range(100):
        sock = stack.enter_context(connect(port, "127.0.6.1"))
        with contextlib.suppress(OSError):
            sock.sendall(HALF_HELLO)
    stop.wait()


def failing_handshakes(port: int, stack: ExitStack, stop: threading.Event) -> None:
    """Four at a time without a certificate, again and again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def fail() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), connect(port, "127.0.7.1") as sock, context.wrap_socket(sock) as secure:
                secure.recv(1)

    _four(fail)


def failing_requests(port: int, stack: ExitStack, stop: threading.Event) -> None:
    """Four at a time under a title that nobody knows, again and again."""

    def fail() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), connect(port, "127.0.8.1") as sock:
                sock.sendall(request("NOBODY"))
                receive_pdu(sock)

    _four(fail)


def _four(act: Callable[[], None]) -> None:
    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


HOSTILES = (
    Hostile("headers of 512 MB, before and within associations, and up to 64 MB of data each", huge_pdus),
    Hostile("60 senders of 1 byte/s, 30 of them within associations", trickles, seconds=12.0),
    Hostile("500 idle sockets of one source", idle_of_one, spares=("127.0.0.1", "127.0.4.1")),
    Hostile("500 idle sockets of 20 sources", idle_of_twenty),
    Hostile("100 half TLS handshakes", half_handshakes, is_tls=True, spares=("127.0.0.1", "127.0.6.1")),
    Hostile("TLS handshakes that fail, as fast as 4 threads can", failing_handshakes, is_tls=True),
    Hostile("association requests that are refused, as fast as 4 threads can", failing_requests),
)


@dataclass
class Waits:
    """Seconds that a C-ECHO took, of all sources that are to be served."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@contextmanager
def echoing(port: int, sources: tuple[str, ...], every_s: float = 0.1) -> Iterator[Waits]:
    """C-ECHO after C-ECHO from each source in turn, until the block ends."""
    waits, stop = Waits(), threading.Event()

    def work() -> None:
        number = 0
        while not stop.wait(every_s):
            source = sources[number % len(sources)]
            number += 1
            try:
                waits.seconds.append(echo_s(port, source))
            except (OSError, AssertionError) as error:
                waits.failed.append(f"{source}: {type(error).__name__}")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield waits
    finally:
        stop.set()
        thread.join()
