"""A peer that speaks in bytes: any message at any moment, as no library's own order of things would let it."""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from pydicom.datadict import dictionary_VR, tag_for_keyword

from tests.peers.fuzzing import pdu

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_MOST_PDV_BYTES = 16_000
_ACCEPTED, _DATA, _RELEASED = 2, 4, 6
# Command elements (0000,xxxx): PS3.7 Annex E.
SOP_CLASS, REQUESTED_CLASS, FIELD, MESSAGE_ID, ANSWERS, DESTINATION, PRIORITY = 2, 3, 0x100, 0x110, 0x120, 0x600, 0x700
HAS_DATA, STATUS, INSTANCE, REQUESTED_INSTANCE, ACTION = 0x800, 0x900, 0x1000, 0x1001, 0x1008
REMAINING, COMPLETED, FAILED, WARNED = 0x1020, 0x1021, 0x1022, 0x1023
C_ECHO, C_FIND, C_MOVE, C_GET, C_STORE, C_CANCEL, N_ACTION = 0x30, 0x20, 0x21, 0x10, 0x01, 0xFFF, 0x130
RESPONSE, NO_DATA = 0x8000, 0x101


@dataclass
class Message:
    """What came: its presentation context, its command elements as bytes, its data set."""

    context: int
    command: dict[int, bytes] = field(default_factory=dict)
    data: bytes = b""

    def number(self, tag: int) -> int:
        """A US element; -1 where it is absent."""
        return int.from_bytes(self.command[tag], "little") if tag in self.command else -1


def element(tag: int, value: bytes) -> bytes:
    """One element of a data set, implicit VR little endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def text(value: str, pad: bytes = b" ") -> bytes:
    return value.encode() + pad * (len(value) % 2)


def data_set(**values: str) -> bytes:
    """A data set of texts by keyword."""
    tags = {tag_for_keyword(keyword) or 0: text(value, b"\0" if dictionary_VR(keyword) == "UI" else b" ")
            for keyword, value in values.items()}  # fmt: skip
    return b"".join(element(tag, tags[tag]) for tag in sorted(tags))


def _item(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(data)) + data


def _syntax(uid: str) -> bytes:
    return _item(0x40, uid.encode())


def named(kind: int, sop_class: str, rest: bytes) -> bytes:
    """A user information item that begins with a SOP class: role selection 0x54, extended negotiation 0x56."""
    return _item(kind, struct.pack(">H", len(sop_class)) + sop_class.encode() + rest)


class RawPeer:
    """An association, proposed with one context for each of ``classes``: 1, 3, 5 …, in implicit VR.

    ``takes``: storage classes that it takes as SCP (C-GET), in explicit VR.
    """

    def __init__(
        self, port: int, classes: Sequence[str], *, calling: str = "QS_CT", takes: Sequence[str] = (),
        extended: dict[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        contexts = b"".join(
            _item(0x20, bytes((2 * n + 1, 0, 0, 0)) + _item(0x30, one.encode()) + _syntax(EXPLICIT if one in takes else IMPLICIT))
            for n, one in enumerate(classes)
        )
        user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3.4")
        user += b"".join(named(0x54, one, b"\0\1") for one in takes)
        user += b"".join(named(0x56, one, wish) for one, wish in (extended or {}).items())
        names = b"TELEREAD".ljust(16) + calling.encode().ljust(16) + bytes(32)
        application = _item(0x10, b"1.2.840.10008.3.1.1.1")
        self.sock.sendall(pdu(1, struct.pack(">HH", 1, 0) + names + application + contexts + _item(0x50, user)))
        kind, self.answer = self._pdu()
        assert kind == _ACCEPTED, (kind, self.answer)

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.sock.close()

    def send(self, *messages: bytes) -> None:
        """All of them in one write."""
        self.sock.sendall(b"".join(messages))

    def read(self, timeout_s: float = 10) -> Message:
        """The next message. Raises TimeoutError, ConnectionError."""
        self.sock.settimeout(timeout_s)
        message = None
        command, is_whole = bytearray(), False
        while not is_whole:
            kind, body = self._pdu()
            if kind != _DATA:
                raise ConnectionError(f"PDU {kind} instead of data")
            while body:
                (length,) = struct.unpack_from(">I", body)
                context, header, value = body[4], body[5], body[6 : 4 + length]
                body = body[4 + length :]
                message = message or Message(context)
                if header & 1:
                    command += value
                else:
                    message.data += value
                if header == 3:
                    message.command = _elements(bytes(command))
                is_whole = header == 2 or (header == 3 and message.number(HAS_DATA) == NO_DATA)
        assert message is not None
        return message

    def release(self) -> None:
        """A-RELEASE, until the other side agrees."""
        self.sock.sendall(pdu(5, bytes(4)))
        while self._pdu()[0] != _RELEASED:
            pass

    def _pdu(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBI", self._exactly(6))
        return kind, self._exactly(length)

    def _exactly(self, n_bytes: int) -> bytes:
        found = b""
        while len(found) < n_bytes:
            if not (chunk := self.sock.recv(n_bytes - len(found))):
                raise ConnectionError("closed")
            found += chunk
        return found


def request(context: int, kind: int, message_id: int, sop_class: str, data: bytes | None = None, **more: bytes) -> bytes:
    """A request as PDUs; ``more``: further elements, by their names here in lower case."""
    values = {REQUESTED_CLASS if kind == N_ACTION else SOP_CLASS: text(sop_class, b"\0"), MESSAGE_ID: struct.pack("<H", message_id)}
    if kind < 0x30:
        values[PRIORITY] = struct.pack("<H", 0)
    return _message(context, kind, values | {globals()[name.upper()]: value for name, value in more.items()}, data)


def cancel(context: int, message_id: int) -> bytes:
    return _message(context, C_CANCEL, {ANSWERS: struct.pack("<H", message_id)}, None)


def stored(to: Message, status: int = 0) -> bytes:
    """The response to a C-STORE sub-operation."""
    values = {SOP_CLASS: to.command[SOP_CLASS], ANSWERS: to.command[MESSAGE_ID], INSTANCE: to.command[INSTANCE],
              STATUS: struct.pack("<H", status)}  # fmt: skip
    return _message(to.context, RESPONSE | C_STORE, values, None)


def _message(context: int, kind: int, values: dict[int, bytes], data: bytes | None) -> bytes:
    """``data`` b"": announced and never sent."""
    values = values | {FIELD: struct.pack("<H", kind), HAS_DATA: struct.pack("<H", NO_DATA if data is None else 1)}
    body = b"".join(element(tag, value) for tag, value in sorted(values.items()))
    parts = [(element(0, struct.pack("<I", len(body))) + body, 3)]
    if data:
        chunks = [data[at : at + _MOST_PDV_BYTES] for at in range(0, len(data), _MOST_PDV_BYTES)]
        parts += [(chunk, 0) for chunk in chunks[:-1]] + [(chunks[-1], 2)]
    return b"".join(pdu(4, struct.pack(">IBB", len(part) + 2, context, header) + part) for part, header in parts)


def _elements(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data):
        group, number, length = struct.unpack_from("<HHI", data, at)
        found[group << 16 | number] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found
