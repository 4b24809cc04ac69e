"""The message hook: DIMSE messages from PDVs, the data set of a C-STORE straight to a sink. [adapter]

Part of ``pynetdicom_hooks``, which names what is replaced and why; read from pynetdicom 3.0.4.
"""

import re
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.pdu_primitives import P_DATA

_MAX_COMMAND_BYTES = 1 << 16
_MAX_IDENTIFIER_BYTES = 4 << 20  # a commitment or MPPS of 10,000 instances
_MOST_WAITING = 100  # requests sent ahead of the answer to an earlier one
# What may lie here unserved while we wait for an answer of the peer's: messages, and the bytes of their data sets.
# An open file counts as bytes too: 200 of them are as many as may be.
_MOST_MESSAGES, _MOST_HELD_BYTES, _SINK_BYTES = 1000, 64 << 20, 320 << 10
_STORE_RQ, _NO_DATA_SET = b"\x01\x00", b"\x01\x01"  # PS3.7 E.1
_SOP_CLASS, _COMMAND, _MESSAGE_ID, _DATA_SET_TYPE, _SOP_INSTANCE = 0x0002, 0x0100, 0x0110, 0x0800, 0x1000
_STORE_ELEMENTS = frozenset(
    (0x0000, _SOP_CLASS, _COMMAND, _MESSAGE_ID, 0x0700, _DATA_SET_TYPE, _SOP_INSTANCE, 0x1030, 0x1031)
)
_PLAIN_UID = re.compile(rb"[0-9.]{1,64}\0?")
_COMMAND_ELEMENT = struct.Struct("<HHI").unpack_from


@dataclass
class StoreRequest:
    """A C-STORE-RQ (PS3.7 9.3.1.1), by pynetdicom's names. ``sink`` holds the data set; None where it had none."""

    context_id: int
    MessageID: int
    AffectedSOPClassUID: str
    AffectedSOPInstanceUID: str
    sink: "Sink | None" = None


def plain_store_request(context_id: int, command: bytes | bytearray) -> StoreRequest | None:
    """The request in a command set as every modality writes it; None for anything else, which pydicom shall read."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 8 <= len(command):
        group, element, length = _COMMAND_ELEMENT(command, position)
        value = bytes(command[position + 8 : position + 8 + length])
        if group != 0 or element not in _STORE_ELEMENTS or element in found or len(value) != length:
            return None
        found[element] = value
        position += 8 + length
    sop_class, instance = found.get(_SOP_CLASS, b""), found.get(_SOP_INSTANCE, b"")
    is_plain = (
        position == len(command) and found.get(_COMMAND) == _STORE_RQ and len(found.get(_MESSAGE_ID, b"")) == 2
        and found.get(_DATA_SET_TYPE, _NO_DATA_SET) != _NO_DATA_SET
        and _PLAIN_UID.fullmatch(sop_class) and _PLAIN_UID.fullmatch(instance)
    )  # fmt: skip
    if not is_plain:
        return None
    return StoreRequest(
        context_id, int.from_bytes(found[_MESSAGE_ID], "little"), sop_class.rstrip(b"\0").decode("ascii"),
        instance.rstrip(b"\0").decode("ascii"),
    )  # fmt: skip


class Sink(Protocol):
    """Where the data set of a C-STORE goes as it arrives; must not raise."""

    def write(self, data: memoryview) -> None: ...
    def discard(self) -> None: ...


class SpooledDimse(DIMSEServiceProvider):
    """Messages put together from PDVs; the data set of a C-STORE goes straight to a sink."""

    def __init__(self, assoc: Association, open_sink: Callable[[StoreRequest], Sink]) -> None:
        super().__init__(assoc)
        self._open_sink = open_sink
        self._command = bytearray()
        self._message: DIMSEMessage | StoreRequest | None = None  # its command set is complete, its data set is not
        self._sink: Sink | None = None
        self._unanswered: set[int] = set()  # Message IDs
        self._held_bytes: deque[int] = deque()  # of the requests in the queue, in its order

    @property
    def receiving(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._command) or self._message is not None

    @property
    def awaits_identifier(self) -> bool:
        """Whether an N service has announced a data set and nothing of it has come.

        Only theirs may be empty (PS3.7 10.3): a C-FIND's that is late comes on a slow line.
        """
        message = self._message
        is_of_n_service = isinstance(message, DIMSEMessage) and type(message).__name__.startswith("N_")
        return is_of_n_service and not message.data_set.tell()  # type: ignore[union-attr]

    @property
    def is_crowded(self) -> bool:
        """As many requests wait as we keep: what comes next stays with the peer."""
        return self.msg_queue.qsize() >= _MOST_WAITING

    def answered(self, message_id: int | None) -> None:
        """The request is done; a C-CANCEL of it means nobody from now on."""
        if message_id is not None:
            self._unanswered.discard(message_id)
            self.cancel_req.pop(message_id, None)

    def receive_nothing(self) -> None:
        """The data set that was announced is an empty one."""
        try:
            self._end()
        except Exception:
            self.dul.event_queue.put("Evt19")

    def drop(self) -> None:
        """Forget a half received message."""
        if self._sink is not None:
            self._sink.discard()
        self._command, self._message, self._sink = bytearray(), None, None

    def receive_primitive(self, primitive: Any) -> None:
        """PDVs in, messages to ``msg_queue``. What breaks PS3.8 Annex E or PS3.7 6.3 aborts (Evt19)."""
        try:
            for context_id, value in primitive.presentation_data_value_list:
                self._take(context_id, value)
        except Exception:
            self.drop()
            self.dul.event_queue.put("Evt19")

    def _take(self, context_id: int, value: memoryview) -> None:
        is_command, is_last = value[0] & 1, value[0] & 2
        if is_command:
            if self._message is not None or len(self._command) + len(value) > _MAX_COMMAND_BYTES:
                raise ValueError("command fragment out of place")
            self._command += value[1:]
            if is_last:
                self._begin(context_id)
            return
        if self._message is None or context_id != self._message.context_id:
            raise ValueError("data fragment out of place")
        self._add_data(value[1:])
        if is_last:
            self._end()

    def _begin(self, context_id: int) -> None:
        command, self._command = self._command, bytearray()
        request = plain_store_request(context_id, command)
        if request is not None:
            self._message, self._sink = request, self._open_sink(request)
            return
        message = DIMSEMessage()
        pdata = P_DATA()
        pdata.presentation_data_value_list.append((context_id, b"\x03" + bytes(command)))
        is_whole = message.decode_msg(pdata)
        if isinstance(message, C_STORE_RQ):
            self._message = request = _store_request(context_id, message.message_to_primitive())
            self._sink = None if is_whole else self._open_sink(request)
        else:
            self._message = message
        if is_whole:
            self._end()

    def _add_data(self, data: memoryview) -> None:
        if self._sink is not None:
            self._sink.write(data)
            return
        kept: BytesIO = self._message.data_set  # type: ignore[union-attr,assignment]
        if kept.tell() + len(data) > _MAX_IDENTIFIER_BYTES:
            raise ValueError("identifier too long")
        kept.write(data)

    def _end(self) -> None:
        message, sink = self._message, self._sink
        self._message = self._sink = None
        if isinstance(message, StoreRequest):
            message.sink = sink
            self._unanswered.add(message.MessageID)
            self._hold(_SINK_BYTES, sink)
            self.msg_queue.put((message.context_id, message))  # type: ignore[arg-type]
            return
        if message is None or message.context_id is None:
            return
        n_bytes = message.data_set.tell() if message.data_set is not None else 0
        primitive = message.message_to_primitive()
        if isinstance(primitive, C_CANCEL):
            if primitive.MessageIDBeingRespondedTo in self._unanswered:  # one that comes too late means nobody
                self.cancel_req[primitive.MessageIDBeingRespondedTo] = primitive
            return
        if (message_id := getattr(primitive, "MessageID", None)) is not None:
            self._unanswered.add(message_id)
            self._hold(n_bytes)
        elif self.msg_queue.qsize() >= _MOST_MESSAGES:
            raise ValueError("answers that nobody waits for")
        self.msg_queue.put((message.context_id, primitive))

    def _hold(self, n_bytes: int, sink: Sink | None = None) -> None:
        """Room for one request more. Raises ValueError where the peer sent too much ahead; then its sink is gone.

        Answers are taken from between the requests; they have no entry, so that what remains here is never too little.
        """
        while len(self._held_bytes) > self.msg_queue.qsize():
            self._held_bytes.popleft()
        self._held_bytes.append(n_bytes)
        if len(self._held_bytes) > _MOST_MESSAGES or sum(self._held_bytes) > _MOST_HELD_BYTES:
            if sink is not None:
                sink.discard()
            raise ValueError("too much sent ahead")


def _store_request(context_id: int, primitive: Any) -> StoreRequest:
    """The same of what pydicom has read; UIDs that are missing are empty. Raises ValueError without a Message ID."""
    if primitive.MessageID is None:
        raise ValueError("C-STORE-RQ without Message ID")
    uids = [str(uid or "") for uid in (primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID)]
    return StoreRequest(context_id, primitive.MessageID, uids[0], uids[1])


def _element(number: int, value: bytes) -> bytes:
    """One command element, implicit VR little endian (PS3.7 6.3.1)."""
    return struct.pack("<HHI", 0, number, len(value)) + value


def _uid(value: str) -> bytes:
    text = value.encode("ascii", "replace")
    return text + b"\0" * (len(text) % 2)


def store_response(request: StoreRequest, status: int) -> bytes:
    """A C-STORE-RSP (PS3.7 9.3.1.2) as one P-DATA-TF PDU (PS3.8 9.3.5): four elements need no encoder."""
    body = b"".join((
        _element(0x0002, _uid(request.AffectedSOPClassUID)), _element(0x0100, b"\x01\x80"),
        _element(0x0120, struct.pack("<H", request.MessageID)), _element(0x0800, b"\x01\x01"),
        _element(0x0900, struct.pack("<H", status)), _element(0x1000, _uid(request.AffectedSOPInstanceUID)),
    ))  # fmt: skip
    command = _element(0x0000, struct.pack("<I", len(body))) + body
    pdv = struct.pack(">IBB", len(command) + 2, request.context_id, 3) + command
    return struct.pack(">BBI", 4, 0, len(pdv)) + pdv


def discard_sink(message: Any) -> None:
    """Drop the spooled data of a request that will not be served."""
    if isinstance(message, StoreRequest) and message.sink is not None:
        message.sink.discard()
