"""The transport hook: pynetdicom's socket, waited for by poll() and read with a deadline. [adapter]

Part of ``pynetdicom_hooks``, which names what is replaced and why; read from pynetdicom 3.0.4.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from typing import Any

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

_MOST_PDUS_WAITING = 16


class PolledSocket(AssociationSocket):
    """Waits by poll(), reads into one buffer with a deadline, sends all or fails."""

    def connect(self, primitive: T_CONNECT) -> None:
        """As the stock method; then no delay, and a peer that stalls within a PDU cannot hold us for ever."""
        opened = self.socket
        super().connect(primitive)
        if self.socket is None and opened is not None:
            opened.close()
        elif self.socket is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.socket.settimeout(self.assoc.network_timeout)

    def close(self) -> None:
        """As the stock method, but that there was a connection is not forgotten.

        ACSE asks for it late, and would abort, unread, what a quick peer answered before it hung up: its rejection.
        """
        was_connected = self._is_connected
        super().close()
        self._is_connected = was_connected

    _poller: "select.poll | None" = None
    _waits_whole = False

    def wait_whole(self, timeout_s: float) -> None:
        """From now on one receive waits, in the kernel, for all of its bytes: one system call for a PDU.

        TLS has no such receive; there everything stays as it was.
        """
        sock = self.socket
        if sock is None or isinstance(sock, ssl.SSLSocket):
            return
        limit = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1_000_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.settimeout(None)
        self._waits_whole = True

    def _shutdown_socket(self) -> None:
        """The stock method leaves the descriptor open when the peer has gone first."""
        sock = self.socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def wait(self, timeout_s: float) -> bool:
        """Whether bytes, or the end of the connection, can be read within ``timeout_s``."""
        sock = self.socket
        if sock is None:
            return False
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        if self._poller is None:
            self._poller = select.poll()
            self._poller.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        return bool(self._poller.poll(max(0.0, timeout_s) * 1000))

    @property
    def ready(self) -> bool:
        """Stock code asks this; see ``AssociationSocket.ready``."""
        try:
            return self._is_connected and self.wait(0)
        except OSError:
            self.event_queue.put("Evt17")
            return False

    def recv_into(self, view: memoryview, deadline_s: float) -> None:
        """Fill ``view``. Raises TimeoutError past the monotonic ``deadline_s``, ConnectionError at the end."""
        if self._waits_whole and self.socket is not None:
            if (n_bytes := self.socket.recv_into(view, len(view), socket.MSG_WAITALL)) == len(view):
                return
            raise TimeoutError("PDU incomplete") if n_bytes else ConnectionError("closed by the peer")
        while view:
            if self.socket is None or not self.wait(deadline_s - time.monotonic()):
                raise TimeoutError("PDU incomplete at its deadline")
            n_bytes = self.socket.recv_into(view)
            if n_bytes == 0:
                raise ConnectionError("closed by the peer")
            view = view[n_bytes:]

    def recv(self, nr_bytes: int) -> bytearray:
        """As ``AssociationSocket.recv`` (short at the end of the connection), in as few reads as it takes."""
        received = bytearray()
        while self.socket is not None and len(received) < nr_bytes:
            chunk = self.socket.recv(min(nr_bytes - len(received), 1 << 17))
            if not chunk:
                break
            received += chunk
        return received

    def send(self, bytestream: bytes) -> None:
        """As ``AssociationSocket.send``; Evt17 when the peer does not take the bytes."""
        try:
            if self.socket is None:
                raise ConnectionError("closed")
            self.socket.sendall(bytestream)
        except OSError:
            self.event_queue.put("Evt17")

    def drain(self, seconds: float) -> None:
        """Throw away what still comes until the peer closes; unread bytes would turn our close into a reset."""
        deadline_s = time.monotonic() + seconds
        try:
            while (left := deadline_s - time.monotonic()) > 0 and self.wait(left):
                if self.socket is None or not self.socket.recv(1 << 16):
                    return
        except OSError:
            return


def pace(dul: DULServiceProvider) -> None:
    """Let the sender wait for the line: the stock queue takes in a whole file before its first byte has left."""
    send = dul.send_pdu

    def send_pdu(primitive: Any) -> None:
        while dul.to_provider_queue.qsize() > _MOST_PDUS_WAITING and dul.is_alive():
            time.sleep(0.001)
        send(primitive)

    dul.send_pdu = send_pdu  # type: ignore[method-assign]


def keep_answers(assoc: Association) -> None:
    """Leave answers to whoever waits for them.

    The stock reactor may have passed its checkpoint just before a request clears it, while ``_is_paused`` still says
    that it waits; it then takes the answer to that request for a request of the peer, and the sender waits in vain.
    """
    take = assoc.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        if not block and threading.current_thread() is assoc and not assoc._reactor_checkpoint.is_set():
            return None, None
        return take(block)

    assoc.dimse.get_msg = get_msg  # type: ignore[method-assign]


class RequestorEntity(ApplicationEntity):
    """Requests associations over polled sockets; see ``ApplicationEntity._create_socket``."""

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> PolledSocket:
        pace(assoc.dul)
        keep_answers(assoc)
        sock = PolledSocket(assoc, address=address)
        sock.tls_args = tls_args
        return sock
