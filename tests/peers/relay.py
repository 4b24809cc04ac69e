"""Between a real peer and the listener: adds what the peer cannot propose, and spares it what it cannot bear.

No command line tool proposes SOP Class Extended Negotiation (PS3.7 D.3.3.5): its item is put into the peer's own
A-ASSOCIATE-RQ. GDCM (3.0.21, 3.2.6) ends by an exception when it reads an A-RELEASE-RP, whoever sends it: it gets the
end of the connection in its place.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.peers.fuzzing import pdu
from tests.peers.raw_dimse import named

_REQUEST, _ACCEPTED, _RELEASED = 1, 2, 6
_HEAD_BYTES = 68  # of an A-ASSOCIATE, before its items
_USER_INFORMATION, _EXTENDED = 0x50, 0x56


@dataclass
class Relay:
    """``answers``: what the listener said to the extended negotiation, by SOP class."""

    port: int
    answers: dict[str, bytes] = field(default_factory=dict)


@contextlib.contextmanager
def relay(to_port: int, *, extended: dict[str, bytes] | None = None, keeps_release: bool = False) -> Iterator[Relay]:
    """A port that leads to ``to_port`` of this machine, one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Relay(server.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(server, to_port, made, extended or {}, keeps_release), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _serve(server: socket.socket, to_port: int, made: Relay, extended: dict[str, bytes], keeps_release: bool) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, socket.create_connection(("127.0.0.1", to_port)) as listener:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there = threading.Thread(target=_forth, args=(client, listener, extended), daemon=True)
            there.start()
            _back(listener, client, made, keeps_release)
            for sock in (client, listener):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            there.join(5)


def _forth(client: socket.socket, listener: socket.socket, extended: dict[str, bytes]) -> None:
    with contextlib.suppress(OSError):
        for kind, body in _pdus(client):
            listener.sendall(pdu(kind, _with(body, extended) if kind == _REQUEST else body))


def _back(listener: socket.socket, client: socket.socket, made: Relay, keeps_release: bool) -> None:
    for kind, body in _pdus(listener):
        if kind == _ACCEPTED:
            made.answers.update(_answers(body))
        if kind == _RELEASED and keeps_release:
            return
        with contextlib.suppress(OSError):
            client.sendall(pdu(kind, body))


def _pdus(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    with contextlib.suppress(OSError), sock.makefile("rb") as stream:
        while len(head := stream.read(6)) == 6:
            kind, _, length = struct.unpack(">BBI", head)
            yield kind, stream.read(length)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, _, length = struct.unpack_from(">BBH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _with(body: bytes, extended: dict[str, bytes]) -> bytes:
    more = b"".join(named(_EXTENDED, one, wish) for one, wish in extended.items())
    items = [
        (kind, data + more if kind == _USER_INFORMATION else data) for kind, data in _items(body[_HEAD_BYTES:])
    ]
    return body[:_HEAD_BYTES] + b"".join(struct.pack(">BBH", kind, 0, len(data)) + data for kind, data in items)


def _answers(body: bytes) -> dict[str, bytes]:
    user = next(data for kind, data in _items(body[_HEAD_BYTES:]) if kind == _USER_INFORMATION)
    found = {}
    for kind, data in _items(user):
        if kind == _EXTENDED:
            (length,) = struct.unpack_from(">H", data)
            found[data[2 : 2 + length].decode()] = data[2 + length :]
    return found
