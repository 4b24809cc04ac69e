"""The index behind the listener: who a peer is, and filing with its commit before anyone is told so. [app]"""

import errno
import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from pacs_bridge.ports import OUT_OF_RESOURCES, PROCESSING_FAILURE, SUCCESS, Peer, ReceivedObject
from worklist import receive_service, settle_service, store
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.group_filing import GroupFiling
from worklist.known_filing import Item, Known
from worklist.receive_service import Filed, Sender
from worklist.refusals import Refusal, RefusalNotes, cause_of
from worklist.tables import Device, Site

log = logging.getLogger("teleread.inbox")

SEEN_EVERY = timedelta(seconds=30)
RACE_RETRIES = 6
# An end that is never noted leaves its studies waiting for ever: a busy database is waited for, in the
# association's own thread, longer than in a request.
CLOSE_WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
UPLOAD_CLOSE_WAITS_S = (0.5, 1.0)


class IndexInbox:
    """``pacs_bridge.ports.Inbox`` on the index; safe for many association threads at once."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        *,
        listener_run: str,
        same_content: Callable[[str, str], bool],
        signed_statuses: Callable[[Session, int], set[str]],
        now: Callable[[], datetime],
    ) -> None:
        self._db, self._settings, self._now = db, settings, now
        self._listener_run = listener_run
        self._same_content, self._signed_statuses = same_content, signed_statuses
        self._senders: dict[int, Sender] = {}
        self._known: dict[tuple[int, str, str], Known] = {}  # by association, study and series
        self._group = GroupFiling(db, now)
        self._lock = threading.Lock()
        self._refusals = RefusalNotes(db)

    def close_lost_associations(self, family: str | None = None) -> int:
        """At start: associations of earlier runs are over. ``family``: begins the names of all processes like us."""
        with self._db.write() as session:
            return settle_service.close_lost_associations(session, family or self._listener_run, self._now())

    def close_earlier_lives(self, slot: str) -> int:
        """At the start of one of several processes: what died in this place before has left nothing open."""
        with self._db.write() as session:
            return settle_service.close_associations_of(session, slot, self._listener_run, self._now())

    def close(self) -> None:
        """Nothing more is filed."""
        self._group.close()

    def identify(
        self, calling_ae: str, called_ae: str, address: str, certificate_sha256: str | None = None
    ) -> Peer | None:
        """The registered, enabled device of this AE title whose address range holds ``address``; its site is open.

        A device with a registered certificate must have come with it, and nobody may come with another's.
        """
        with self._refused_when_away(calling_ae, called_ae, address), self._db.read() as session:
            device = store.device_by_ae_title(session, calling_ae)
            if device is None or not device.enabled or not _in_range(address, device.address_range):
                return None
            if not session.get_one(Site, device.site_id).enabled or device.certificate_sha256 != certificate_sha256:
                return None
            return Peer(
                device_id=device.id, site_id=device.site_id, ae_title=device.ae_title,
                services=frozenset(device.services), quiet_time_s=device.quiet_time_s,
                fallback_character_set=device.fallback_character_set, character_set=device.character_set,
                sees_all=device.sees == "all", move_destinations=frozenset(device.move_destinations),
                is_authenticated=certificate_sha256 is not None,
                may_query=certificate_sha256 is not None or bool(device.exception_reason),
            )  # fmt: skip

    def association_opened(self, peer: Peer, calling_ae: str, called_ae: str, address: str) -> int:
        now = self._now()
        with self._refused_when_away(calling_ae, called_ae, address), self._db.write() as session:
            association_id = settle_service.open_association(
                session, device_id=peer.device_id, site_id=peer.site_id, calling_ae_title=calling_ae,
                called_ae_title=called_ae, peer_address=address, listener_run=self._listener_run, now=now,
            )  # fmt: skip
            if peer.device_id is not None:
                device = session.get_one(Device, peer.device_id)
                if device.last_seen_at is None or now - device.last_seen_at > SEEN_EVERY:
                    device.last_seen_at = now
        if peer.site_id is not None:
            with self._lock:
                self._senders[association_id] = Sender(peer.site_id, calling_ae, peer.device_id, peer.quiet_time_s)
        return association_id

    def association_closed(self, association_id: int, outcome: str) -> None:
        with self._lock:
            self._senders.pop(association_id, None)
            for series in [one for one in self._known if one[0] == association_id]:
                del self._known[series]
        self._close(association_id, outcome, CLOSE_WAITS_S)

    def _close(self, association_id: int, outcome: str, waits_s: Sequence[float]) -> None:
        for wait_s in (*waits_s, None):
            try:
                with self._db.write() as session:
                    return settle_service.close_association(session, association_id, outcome, self._now())
            except OperationalError as error:
                if wait_s is None:
                    raise
                log.warning("association end not noted yet: %s", type(error.orig).__name__)
                time.sleep(wait_s)
        return None

    def association_refused(self, calling_ae: str, called_ae: str, address: str, reason: str) -> None:
        self._refusals.note(Refusal(self._now(), calling_ae, called_ae, address, reason))

    @contextmanager
    def _refused_when_away(self, calling_ae: str, called_ae: str, address: str) -> Iterator[None]:
        """What the database refuses is a refused association (2/3/1): it comes to the trail with its cause."""
        try:
            yield
        except OperationalError as error:
            refusal = Refusal(self._now(), calling_ae, called_ae, address, "database_unavailable", cause_of(error))
            self._refusals.note_later(refusal, error)
            raise

    def receive(self, received: ReceivedObject) -> int:
        """File and commit. 0x0000 after the commit only; 0xA700 where the disk is full or the database is locked."""
        with self._lock:
            sender = self._senders[received.association_id]  # type: ignore[index]
        try:
            self._file_received(sender, received)
        except OperationalError as error:
            log.error("object not filed: %s", type(error.orig).__name__)
            return OUT_OF_RESOURCES
        except OSError as error:
            log.error("object not filed: %s", errno.errorcode.get(error.errno or 0, "OSError"))
            return OUT_OF_RESOURCES if error.errno in (errno.ENOSPC, errno.EDQUOT) else PROCESSING_FAILURE
        return SUCCESS

    def _file_received(self, sender: Sender, received: ReceivedObject) -> None:
        """The short way where this association has brought an object of that series before, else the long way."""
        record, association_id = received.record, received.association_id
        if record is None or received.problem is not None or association_id is None:
            received.wait_durable()
            self.file(sender, received)
            return
        series = (association_id, record.study_instance_uid, record.series_instance_uid)
        with self._lock:
            known = self._known.get(series)
        if known is not None:
            item = Item(known, sender.site_id, receive_service.identity_key_of(record), received)
            if self._group.file(item):
                return
        received.wait_durable()
        filed = self.file(sender, received)
        if filed.outcome == "filed" and filed.study_id is not None and filed.series_id is not None:
            with self._lock:
                self._known[series] = Known(filed.study_id, filed.series_id)

    def file(self, sender: Sender, received: ReceivedObject) -> Filed:
        """File one object in one transaction; a race over a new study or patient is run once more."""
        for tries_left in reversed(range(RACE_RETRIES)):
            try:
                with self._db.write() as session:
                    return receive_service.file_object(
                        session, sender, received, same_content=self._same_content,
                        signed_statuses=self._signed_statuses, zone=self._settings.zone, now=self._now(),
                    )  # fmt: skip
            except IntegrityError:
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    def file_upload(
        self, site_id: int, source: str, received: Callable[[int], Iterable[ReceivedObject]]
    ) -> list[Filed]:
        """File objects that a person brought: one association that opens and closes here.

        ``received`` makes the objects, given the association's id.
        """
        with self._db.write() as session:
            site = session.get_one(Site, site_id)
            association_id = settle_service.open_association(
                session, device_id=None, site_id=site.id, calling_ae_title=source, called_ae_title="HTTP",
                peer_address="", listener_run=self._listener_run, now=self._now(),
            )  # fmt: skip
        sender = Sender(site_id, source, None, 0)
        try:
            filed = [self.file(sender, item) for item in received(association_id)]
        finally:
            self._close(association_id, "released", UPLOAD_CLOSE_WAITS_S)
        return filed


def _in_range(address: str, address_range: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(address_range, strict=False)
    except ValueError:
        return False


