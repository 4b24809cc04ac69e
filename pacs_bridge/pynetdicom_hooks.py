"""Every place where we reach into pynetdicom, read from version 3.0.4. [adapter]

pynetdicom keeps the state machine (PS3.8 9.2), PDU items and DIMSE messages; its threads, sleeps and sockets
go. One thread per association waits in poll(), reads one PDU and runs the state machine to the end of it.
What is replaced, and the fault it mends:

- ``transport.AssociationSocket``: ``select`` fails above descriptor 1023; no TCP_NODELAY; 4,096-byte reads;
  a rejection by a peer that hangs up at once is not heard.
- ``dul.DULServiceProvider``: a thread that sleeps 1 ms; an announced PDU length is believed, whatever it is.
- ``dimse.DIMSEServiceProvider``: C-STORE data goes to the system's temporary directory, unsynced.
- A C-STORE request and its response, which have a handful of elements each, are read and written without pydicom.
- ``acse.ACSE``: negotiation by global lists; ours asks a callable.
- ``association.Association``: a second thread that sleeps 1 ms.
- ``_config``, and ``pydicom.config`` with it: patient data in logs and warnings.
"""

import contextlib
import logging
import queue
import socket
import struct
import threading
import time
from typing import Any, Protocol

import pynetdicom
from pydicom import config as pydicom_config
from pynetdicom import _config
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from pacs_bridge.pynetdicom_dimse import Sink, SpooledDimse, StoreRequest, discard_sink
from pacs_bridge.pynetdicom_socket import PolledSocket, RequestorEntity
from pacs_bridge.tls_context import ServerTls, fingerprint, refusal_of

READ_FROM_VERSION = "3.0.4"
# The hooks below touch private names; another version must be read before it is believed.
if pynetdicom.__version__ != READ_FROM_VERSION:
    raise ImportError(f"hooks are written for pynetdicom {READ_FROM_VERSION}, found {pynetdicom.__version__}")

_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.STORE_SEND_CHUNKED_DATASET = True  # scu: file bytes leave as they are
# pydicom quotes values in its warnings and logs; a UID that bends PS3.5 9.1 is passed on as it is.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its errors quote what the peer sent

_PDU_HEADER_BYTES = 6
_P_DATA = 0x04
# PS3.8 9.3.2-9.3.8. An A-ASSOCIATE carries up to 128 contexts with some dozens of syntaxes each.
_MAX_PDU_BYTES = {0x01: 1 << 20, 0x02: 1 << 20, 0x03: 64, 0x05: 64, 0x06: 64, 0x07: 64}
# pynetdicom announces an empty data set and sends none: such a request is answered too, when none has come by then.
EMPTY_AFTER_S = 5.0
_LOOK_EVERY_S = 1.0  # whether we are to stop; what comes from the peer is seen at once
_CLOSING_WAIT_S = 1.0  # how long the peer may take to close after our last PDU, before we do


class _PData:
    """A received P-DATA-TF as the state machine wants it: ``to_primitive`` gives the PDVs, uncopied."""

    def __init__(self, body: memoryview) -> None:
        self.presentation_data_value_list: list[tuple[int, memoryview]] = []
        position = 0
        while position < len(body):
            (length,) = struct.unpack_from(">I", body, position)
            end = position + 4 + length
            if length < 2 or end > len(body):
                raise ValueError("PDV length does not fit its PDU")  # PS3.8 9.3.5.1
            self.presentation_data_value_list.append((body[position + 4], body[position + 5 : end]))
            position = end

    def to_primitive(self) -> "_PData":
        return self


class DirectDul(DULServiceProvider):
    """The upper layer without a thread: ``pump`` waits, reads one PDU and runs the state machine."""

    socket: PolledSocket
    assoc: "DirectAssociation"

    def __init__(self, assoc: "DirectAssociation", max_pdu_bytes: int, pdu_timeout_s: float) -> None:
        super().__init__(assoc)
        self._max_pdu_bytes = max_pdu_bytes
        self._buffer: memoryview | None = None
        self._pdu_timeout_s = pdu_timeout_s
        self.first_pdu_deadline_s: float | None = None  # monotonic

    def start(self) -> None:
        """Run the transport indication (Evt5) that the socket has queued; starts ARTIM."""
        self.assoc._dul_ready.set()
        self._idle_timer.start()
        self._run_events()

    def is_alive(self) -> bool:
        return not self._kill_thread

    def stop_dul(self) -> bool:
        """Bring the state machine home (it may wait in Sta13 for the peer to close) and stop."""
        deadline_s = time.monotonic() + 2 * _CLOSING_WAIT_S
        while not self._kill_thread and self.state_machine.current_state != "Sta1" and time.monotonic() < deadline_s:
            self.pump(0.05)
        self._kill_thread = True
        return True

    def send_pdu(self, primitive: Any) -> None:
        self._idle_timer.restart()  # a long answer is no silence
        super().send_pdu(primitive)
        while self._process_recv_primitive() and not self._kill_thread:
            self._run_events()

    def send_data(self, pdu: bytes) -> None:
        """Send a whole P-DATA-TF PDU now: DT-1, or AR-7 for who has asked to release before it was answered."""
        if self._is_flowing() or (self.state_machine.current_state == "Sta8" and not self._kill_thread):
            self.socket.send(pdu)
            self._run_events()

    def pump(self, timeout_s: float) -> None:
        """One turn: a timer, or one PDU received and acted upon. Never raises; a broken machine is dead."""
        try:
            if self.artim_timer.expired:
                self.event_queue.put("Evt18")
            elif self.state_machine.current_state == "Sta13":
                # Only ABORT, RJ or RELEASE-RP have brought us here: nothing more is owed to the peer.
                self.socket.drain(_CLOSING_WAIT_S)
                self.socket.close()
            elif self.socket.wait(timeout_s):
                self._read_pdu_data()
                while self.assoc.dimse.receiving and self._is_flowing():
                    if self.assoc.dimse.awaits_identifier and not self.socket.wait(EMPTY_AFTER_S):
                        self.assoc.dimse.receive_nothing()
                        break
                    self._read_pdu_data()  # the rest of a message that has begun: no turn of the reactor for each
                self._idle_timer.restart()
            self._run_events()
        except Exception:
            self._kill_thread = True

    def _is_flowing(self) -> bool:
        """Whether data is all that is going on: established, nothing queued for the state machine."""
        return self.state_machine.current_state == "Sta6" and self.event_queue.empty() and not self._kill_thread

    def _run_events(self) -> None:
        while not self._kill_thread:
            try:
                event = self.event_queue.get(block=False)
            except queue.Empty:
                return
            self.state_machine.do_action(event)

    def _deadline_s(self) -> float:
        if self.state_machine.current_state == "Sta2" and self.first_pdu_deadline_s is not None:
            return self.first_pdu_deadline_s
        return time.monotonic() + self._pdu_timeout_s

    def _read_pdu_data(self) -> None:
        """Read one PDU, its length checked against its type first. Events as in the stock method."""
        deadline_s = self._deadline_s()
        header = bytearray(_PDU_HEADER_BYTES)
        try:
            self.socket.recv_into(memoryview(header), deadline_s)
            pdu_type, _, length = struct.unpack(">BBI", header)
            limit = self._max_pdu_bytes if pdu_type == _P_DATA else _MAX_PDU_BYTES.get(pdu_type, -1)
            if length > limit:
                self.event_queue.put("Evt19")
                return
            body = self._buffer_of(length) if pdu_type == _P_DATA else memoryview(bytearray(length))
            self.socket.recv_into(body, deadline_s)
        except OSError:
            self.event_queue.put("Evt17")
            return
        self._decode(pdu_type, header, body)

    def _buffer_of(self, length: int) -> memoryview:
        """One buffer for all data of this association, made with its first data: a connection alone costs none."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(self._max_pdu_bytes))
        return self._buffer[:length]

    def _decode(self, pdu_type: int, header: bytearray, body: memoryview) -> None:
        try:
            if pdu_type == _P_DATA:
                pdu: Any = _PData(body)
                if self._is_flowing():  # action DT-2 of the state machine, which stays in Sta6
                    self.assoc.dimse.receive_primitive(pdu)
                    return
                event = "Evt10"
            else:
                pdu, event = self._decode_pdu(header + body)
        except Exception:
            self.event_queue.put("Evt19")
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)


class DirectAcse(ACSE):
    """Acceptance decided by the association's own policy instead of global lists."""

    assoc: "DirectAssociation"

    def _negotiate_as_acceptor(self) -> None:
        request: A_ASSOCIATE = self.requestor.primitive  # type: ignore[assignment]
        self.requestor.ae_title = request.calling_ae_title
        refusal = self.assoc.policy.admit(self.assoc, request)
        if refusal is not None:
            self.send_reject(*refusal)
            self.assoc.is_rejected = True
            self.assoc.kill()
            return
        contexts, items = self.assoc.policy.negotiate(self.assoc, request)
        self.assoc._accepted_cx = {cx.context_id: cx for cx in contexts if cx.result == 0x00}  # type: ignore[misc]
        self.assoc._rejected_cx = [cx for cx in contexts if cx.result != 0x00]
        for item in items:
            self.acceptor.add_negotiation_item(item)
        self.send_accept()
        self.assoc.is_established = True


class Policy(Protocol):
    """What the services decide for one association; called from its thread, must not raise."""

    def admit(self, assoc: "DirectAssociation", request: A_ASSOCIATE) -> tuple[int, int, int] | None: ...
    def negotiate(
        self, assoc: "DirectAssociation", request: A_ASSOCIATE
    ) -> tuple[list[PresentationContext], list[Any]]: ...
    def open_sink(self, assoc: "DirectAssociation", request: StoreRequest) -> Sink: ...
    def serve(self, assoc: "DirectAssociation", message: Any, context: PresentationContext) -> None: ...
    def refused_in_tls(self, assoc: "DirectAssociation", reason: str) -> None: ...
    def closed(self, assoc: "DirectAssociation", outcome: str) -> None: ...


class DirectAssociation(Association):
    """An accepted connection, from its first byte to its end, in one thread."""

    def __init__(
        self, ae: ApplicationEntity, client: socket.socket, address: tuple[str, int], policy: Policy,
        *, max_pdu_bytes: int, handshake_timeout_s: float, network_timeout_s: float, stopping: threading.Event,
        tls: ServerTls | None = None,
    ) -> None:  # fmt: skip
        super().__init__(ae, "acceptor")
        self._tls = tls
        self.certificate_sha256: str | None = None  # of the peer's TLS client certificate
        self.has_begun = False  # an A-ASSOCIATE-RQ has come
        self.policy = policy
        self.peer_address = address[0]
        self._stopping = stopping
        self.acse = DirectAcse(self)
        self.dul: DirectDul = DirectDul(self, max_pdu_bytes, network_timeout_s)
        self.dimse: SpooledDimse = SpooledDimse(self, lambda request: policy.open_sink(self, request))
        # Set again: the stock constructor gave them to the layers that were replaced just now.
        self.acse_timeout = handshake_timeout_s
        self.network_timeout = network_timeout_s
        self.dul.first_pdu_deadline_s = time.monotonic() + handshake_timeout_s
        client.settimeout(network_timeout_s)
        self.set_socket(PolledSocket(self, client_socket=client))
        self.acceptor.maximum_length = max_pdu_bytes
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(client.getsockname()[:2])
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.requestor.address_info = AddressInformation.from_tuple(address[:2])
        self.outcome = "lost"
        self.name = "association"

    def run_reactor(self) -> None:
        """The thread's whole life; in every case the socket is closed and the policy told."""
        try:
            self._negotiate()
            if self.is_established:
                self.dul.socket.wait_whole(self.network_timeout or 0)
            while self.is_established and not self._kill:
                self._turn()
        except Exception as error:
            # Only the kind of error: its text may quote the peer.
            logging.getLogger(__name__).error("association ended by %s", type(error).__name__)
            self.outcome = "aborted"
        finally:
            self._finish()

    def _shake_hands(self) -> bool:
        """The TLS handshake, in this thread and within the deadline of the first PDU."""
        sock, deadline_s = self.dul.socket, self.dul.first_pdu_deadline_s
        if self._tls is None or sock is None or sock.socket is None or deadline_s is None:
            return True
        try:
            sock.socket = self._tls.context().wrap_socket(sock.socket, server_side=True, do_handshake_on_connect=False)
            sock.socket.settimeout(max(0.001, deadline_s - time.monotonic()))  # of the handshake as a whole
            sock.socket.do_handshake()
            sock.socket.settimeout(self.network_timeout)
        except OSError as error:
            if (reason := refusal_of(error)) is not None:
                self.policy.refused_in_tls(self, reason)
            return False
        self.certificate_sha256 = fingerprint(sock.socket)
        return True

    def _negotiate(self) -> None:
        if not self._shake_hands():
            return
        self.dul.start()
        while self.dul.is_alive() and self.acse.dul.peek_next_pdu() is None:
            if self._stopping.is_set():
                return
            self.dul.pump(0.25)
        request = self.dul.receive_pdu(wait=False)
        if isinstance(request, A_ASSOCIATE):
            self.has_begun = True
            self.requestor.primitive = request
            self.acse.negotiate_association()

    def _turn(self) -> None:
        context_id, message = self.dimse.get_msg(block=False)
        if message is not None:
            self._serve(message, context_id)
        elif self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self._end("released")
        elif self.acse.is_aborted():
            self._end("aborted" if isinstance(self.dul.peek_next_pdu(), A_ABORT) else "lost")
        elif not self.dul.is_alive():
            self._end("lost")
        elif self.dul.idle_timer_expired() or (self._stopping.is_set() and not self.dimse.receiving):
            self.abort_now()
        else:
            self.dul.pump(_LOOK_EVERY_S)

    @property
    def is_alive_now(self) -> bool:
        """Whether the peer is still there, as far as has been read."""
        return self.dul.is_alive() and self.is_established and not self.acse.is_aborted() and not self._kill

    def look(self) -> None:
        """Take in what the peer has sent meanwhile, a C-CANCEL above all; does not wait."""
        while self.is_alive_now and not self.dimse.is_crowded:
            if self.dul.socket is None or not self.dul.socket.wait(0):
                return
            self.dul.pump(0)

    def _serve(self, message: Any, context_id: int | None) -> None:
        context = self._accepted_cx.get(context_id or 0)
        if context is None:
            discard_sink(message)
            self.abort_now()
            return
        self.policy.serve(self, message, context)
        self.dimse.answered(getattr(message, "MessageID", None))

    def abort_now(self) -> None:
        """A-ABORT from this thread, then the end."""
        self._sent_abort = True
        self.is_aborted = True
        self.acse.send_abort(0x00)
        self._end("aborted")

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        self.is_released = outcome == "released"
        self.is_aborted = not self.is_released
        self.is_established = False

    def _finish(self) -> None:
        self.is_established = False
        self.dul.stop_dul()
        self.dimse.drop()
        while (waiting := self.dimse.get_msg(block=False))[1] is not None:
            discard_sink(waiting[1])
        self.hang_up()
        sock = self.dul.socket
        if sock is not None and sock.socket is not None:
            sock._shutdown_socket()
        self.policy.closed(self, self.outcome)

    def hang_up(self) -> None:
        """Shut the connection down, from any thread; its own thread then sees its end, and closes it."""
        sock = self.dul.socket
        with contextlib.suppress(OSError, AttributeError, TypeError):
            # Not SSLSocket's own, which takes its state away from under the thread that waits in it.
            socket.socket.shutdown(sock.socket, socket.SHUT_RDWR)  # type: ignore[arg-type]


__all__ = ["DirectAssociation", "Policy", "PolledSocket", "RequestorEntity", "Sink", "discard_sink"]
