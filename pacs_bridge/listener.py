"""The DICOM listener: takes connections, gives each a thread, keeps their number in bounds. [adapter]

Several processes may share one listening socket: whichever is free takes the next connection, a busy one steps
back a little, and what waits in the queue outlives the death of any of them. (With SO_REUSEPORT a connection is
bound to a process by its hash: four associations may meet in one, and a dead process takes its queue along.)
They count together (``census``).
"""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import A_ASSOCIATE

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.census import Bounds, Census, Limit, Refused, Seat
from pacs_bridge.hall import LOCAL_LIMIT_EXCEEDED, Caller, Hall
from pacs_bridge.ports import Inbox
from pacs_bridge.provider import Provider
from pacs_bridge.pynetdicom_hooks import DirectAssociation
from pacs_bridge.scp import TEMPORARY_CONGESTION, Office, Services
from pacs_bridge.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacs_bridge.tls_context import ServerTls

log = logging.getLogger(__name__)

_THROTTLED = "connections of a source that keeps failing are refused for a while"


@dataclass(frozen=True)
class Limits:
    """Bounds against clumsy and hostile peers; the numbers are those of all processes of a listener together."""

    max_connections: int = 128
    max_connections_per_source: int = 32
    max_failures_per_source: int = 30  # handshakes and requests refused, or given up before a request
    failure_forgiven_s: float = 2.0  # each after so long; all of them by one association that is accepted
    max_pdu_bytes: int = 131_072
    handshake_timeout_s: float = 10.0  # from connect to a complete A-ASSOCIATE-RQ
    network_timeout_s: float = 60.0  # for one PDU, for one send, and for silence between messages
    backlog: int = 1024  # bursts wait here; whoever finds it full is heard a second later (TCP sends its SYN again)

    def census(self, n_processes: int) -> Census:
        """What the processes count in, made before they part."""
        forgiveness = self.max_failures_per_source, self.failure_forgiven_s
        return Census(n_processes, Bounds(self.max_connections, self.max_connections_per_source, *forgiveness))


@dataclass(frozen=True)
class Sockets:
    """What is listened on. ``is_shared``: other processes take connections from them too."""

    plain: socket.socket
    tls: socket.socket | None = None
    is_shared: bool = False

    def close(self) -> None:
        self.plain.close()
        if self.tls is not None:
            self.tls.close()


def bind(host: str, port: int, backlog: int = Limits.backlog) -> socket.socket:
    """A listening socket that does not block. Raises OSError when the port is taken."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


class Listener:
    """Verification, storage and the services of ``providers`` on one port.

    ``start`` returns when connections are taken; ``stop`` when all ended.

    ``port`` 0 takes a free one, to be read from ``port`` after ``start``. ``zone``: of moments without an offset.
    """

    def __init__(  # the order callers rely on
        self, inbox: Inbox, blobs: FileBlobs, ae_title: str, host: str, port: int, limits: Limits = Limits(),
        *, zone: tzinfo = UTC, providers: Sequence[Provider] = (), sockets: "Sockets | None" = None,
        tls: ServerTls | None = None, seat: Seat | None = None,
    ) -> None:  # fmt: skip
        self._office = Office(inbox, blobs, ae_title, zone, tuple(providers))
        self._address = (host, port)
        self._limits = limits
        self._tls = tls
        self._sockets = sockets
        self._ae = ApplicationEntity(ae_title)
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._associations: dict[int, DirectAssociation] = {}  # by place
        self._seat = limits.census(1).seat(0) if seat is None else seat
        self._hall = Hall()
        self._thread: threading.Thread | None = None
        self._refused_logged_s = 0.0

    @property
    def port(self) -> int:
        """The bound port. RuntimeError before ``start``."""
        if self._sockets is None:
            raise RuntimeError("the listener has not been started")
        return int(self._sockets.plain.getsockname()[1])

    @property
    def n_connections(self) -> int:
        with self._lock:
            return len(self._associations) + len(self._hall)

    @property
    def is_listening(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Sweep the spool of dead runs, bind, listen. Raises OSError when the port is taken."""
        swept = self._office.blobs.sweep_spool()
        if swept:
            log.warning("removed %d half received files of an earlier run", swept)
        _ = self._office.blobs.spool_dir  # made now, so that the first object finds it
        if self._sockets is None:
            self._sockets = Sockets(bind(*self._address, self._limits.backlog))
        self._thread = threading.Thread(target=self._accept_all, name="dicom-accept", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 8.0) -> bool:
        """Take no more; let running C-STOREs finish, abort the rest. True when all ended within ``timeout`` s."""
        deadline_s = time.monotonic() + timeout
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
        if self._sockets is not None:
            self._sockets.close()
        with self._lock:
            silent = [one for one in self._associations.values() if not one.has_begun]
        for association in silent:
            association.hang_up()
        ended = self._wait_for_end(deadline_s - 0.5)
        if not ended:
            with self._lock:
                remaining = list(self._associations.values())
            for association in remaining:
                association.hang_up()
            ended = self._wait_for_end(deadline_s)
        if ended:
            self._office.blobs.close()
        return ended

    def _wait_for_end(self, deadline_s: float) -> bool:
        while self.n_connections and time.monotonic() < deadline_s:
            time.sleep(0.02)
        return self.n_connections == 0

    def _accept_all(self) -> None:
        """The accepting thread: takes connections, lets them wait for their first byte, gives each a thread then."""
        sockets = self._sockets
        if sockets is None:
            return
        self._hall = Hall(*(one for one in (sockets.plain, sockets.tls) if one is not None), told=self._tell_busy)
        while not self._stopping.is_set():
            speaking, knocked_at = self._hall.wait(0.25)
            for caller in speaking:
                self._begin(caller)
            for listening in knocked_at:
                if sockets.is_shared and (n_ahead := self._seat.n_ahead()):
                    time.sleep(0.001 * min(n_ahead, 10))  # a process with less to do is quicker, and takes it
                self._accept(listening, is_tls=listening is sockets.tls)
            for place in self._seat.leavers():  # for one that another process has taken
                self._show_out(place)
            for caller in self._hall.take_overdue(time.monotonic()):
                self._drop(caller)
            self._hall.close_overdue(time.monotonic())
        for caller in self._hall.take_overdue(float("inf")):
            self._drop(caller)
        self._hall.close_overdue(float("inf"))

    def _accept(self, listening: socket.socket, *, is_tls: bool) -> None:
        try:
            client, address = listening.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                time.sleep(0.1)  # wait until an association ends; the backlog holds the caller meanwhile
            return None  # or another process was quicker
        try:
            place = self._seat.take(address[0])
        except Refused as refused:
            return self._turn_away(client, address[0], refused.limit, is_tls=is_tls)
        if place.leaver is not None:
            self._show_out(place.leaver)
        until_s = time.monotonic() + self._limits.handshake_timeout_s
        return self._hall.add(Caller(client, address, place.at, is_tls, until_s))

    def _turn_away(self, client: socket.socket, address: str, limit: Limit, *, is_tls: bool) -> None:
        """Told why where that is cheap: not who keeps failing, and not in the clear who speaks TLS."""
        self._log_refusal(limit)
        if limit is Limit.THROTTLED:  # which has been told
            client.close()
        else:
            self._hall.turn_away(client, address, may_hear_why=not is_tls)

    def _tell_busy(self, address: str, calling_ae: str, called_ae: str) -> None:
        if self._seat.turned_away(address):
            self._tell(address, "busy", calling_ae, called_ae)

    def _tell(self, address: str, reason: str, calling_ae: str = "", called_ae: str = "") -> None:
        """In a thread: the trail may have to wait for its database."""
        try:
            told = self._office, address, reason, calling_ae, called_ae
            threading.Thread(target=_tell_refused, args=told, name="refusal", daemon=True).start()
        except RuntimeError:  # no thread to be had
            log.error("refusal not noted: %s", reason)

    def _show_out(self, place: int) -> None:
        if (caller := self._hall.take(place)) is not None:
            return self._drop(caller)
        with self._lock:
            association = self._associations.get(place)
        if association is not None:
            association.hang_up()  # its thread ends by itself
        return None

    def _drop(self, caller: Caller) -> None:
        caller.client.close()
        self._forget(caller.place)

    def _begin(self, caller: Caller) -> None:
        """The first byte is there, or the end: a thread for the one, a failure of its source the other."""
        try:
            if not caller.is_gone():
                return self._start_association(caller)
            if self._seat.failed(caller.address[0]):
                log.warning(_THROTTLED)
                self._tell(caller.address[0], "source_throttled")
        except Exception as error:  # no thread, no memory: this caller only
            log.error("connection dropped: %s", type(error).__name__)
        self._drop(caller)
        return None

    def _log_refusal(self, limit: str) -> None:
        now_s = time.monotonic()
        if now_s - self._refused_logged_s > 60:  # a flood must not flood the log
            self._refused_logged_s = now_s
            log.warning("connections refused: %s", limit)

    def _start_association(self, caller: Caller) -> None:
        client, limits = caller.client, self._limits
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        association = DirectAssociation(
            self._ae, client, caller.address, _Counted(self._office, self._seat, caller, self._stopping, self._forget),
            max_pdu_bytes=limits.max_pdu_bytes, handshake_timeout_s=max(0.0, caller.until_s - time.monotonic()),
            network_timeout_s=limits.network_timeout_s, stopping=self._stopping,
            tls=self._tls if caller.is_tls else None,
        )  # fmt: skip
        with self._lock:
            self._associations[caller.place] = association
        association.start()

    def _forget(self, place: int) -> None:
        with self._lock:
            self._associations.pop(place, None)
        self._seat.leave(place)


class _Counted(Services):
    """Services whose begin and end the listener hears of, and the count of what a source fails at."""

    def __init__(
        self, office: Office, seat: Seat, caller: Caller, stopping: threading.Event, forget: Callable[[int], None]
    ) -> None:
        super().__init__(office)
        self._seat, self._caller, self._stopping, self._forget = seat, caller, stopping, forget
        self._is_refused = False

    def admit(self, assoc: DirectAssociation, request: A_ASSOCIATE) -> tuple[int, int, int] | None:
        if not self._seat.begin(self._caller.place):
            if self._seat.turned_away(assoc.peer_address):
                titles = request.calling_ae_title or "", request.called_ae_title or ""
                _tell_refused(self._office, assoc.peer_address, "busy", *titles)
            return LOCAL_LIMIT_EXCEEDED  # shown out in this moment
        refusal = super().admit(assoc, request)
        if refusal is None:
            self._seat.succeeded(assoc.peer_address)
        self._is_refused = refusal is not None and refusal != TEMPORARY_CONGESTION
        return refusal

    def refused_in_tls(self, assoc: DirectAssociation, reason: str) -> None:
        self._is_refused = True
        super().refused_in_tls(assoc, reason)

    def closed(self, assoc: DirectAssociation, outcome: str) -> None:
        try:
            super().closed(assoc, outcome)
            if self._is_failure(assoc) and self._seat.failed(assoc.peer_address):
                log.warning(_THROTTLED)
                _tell_refused(self._office, assoc.peer_address, "source_throttled")
        finally:
            self._forget(self._caller.place)

    def _is_failure(self, assoc: DirectAssociation) -> bool:
        """Refused, or gone before it asked for anything; not where we have ended it for its silence."""
        if self._is_refused or assoc.has_begun or self._stopping.is_set():
            return self._is_refused
        return time.monotonic() < self._caller.until_s and not self._seat.is_leaving(self._caller.place)


def _tell_refused(office: Office, address: str, reason: str, calling_ae: str = "", called_ae: str = "") -> None:
    """One row of the trail for many refusals; the titles are those of the first, where it has said them."""
    try:
        office.inbox.association_refused(calling_ae, called_ae or office.ae_title, address, reason)
    except Exception as error:
        log.error("refusal (%s) not noted: inbox raised %s", reason, type(error).__name__)
