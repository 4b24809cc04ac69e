"""Procedure steps joined: what the listener asks, and what the worker tells to those who subscribed. [app]"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from threading import Thread
from typing import TypeVar

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from pacs_bridge import ups
from pacs_bridge.ports import Peer
from pacs_bridge.scu import DEFAULT_TIMEOUTS, Timeouts
from pacs_bridge.scu_events import Event, tell_events
from pacs_bridge.ups import Attributes, UpsRefused
from pacs_bridge.ups_scp import UpsProvider
from reports.output import signed_objects
from worklist import ups_events, ups_service, ups_store, ups_subscriptions
from worklist.base.outbox import Job
from worklist.outgoing import device_to_send_to
from worklist.person import name_pinyin
from worklist.retry import GiveUp, Retry, next_attempt
from worklist.roof import Roof
from worklist.ups_asker import Asker, asker_of_peer
from worklist.ups_store import After, Place
from worklist.ups_tables import UpsEvent
from worklist.worker import Tick

EVENTS_PER_ASSOCIATION = 100
KEEP_TOLD, KEEP_WAITING = timedelta(days=7), timedelta(days=30)
FOLLOW_S, FORGET_S = 0.3, 3600.0
NO_ADDRESS = "no_address"
FAREWELL_S = 2.5  # the supervisor waits 8 s for everything
FAREWELL_TIMEOUTS = Timeouts(connect_s=1.0, negotiation_s=1.0, response_s=1.0)

log = logging.getLogger("teleread.ups")

T = TypeVar("T")


def place_of(roof: Roof) -> Place:
    """What our steps say of us."""
    settings = roof.settings
    return Place(settings.ae_title, f"{settings.base_url}/dicom-web", settings.zone, signed_objects)


def ups_provider(roof: Roof) -> UpsProvider:
    """The service on the listener."""
    return UpsProvider(IndexSteps(roof), name_pinyin)


class IndexSteps:
    """``pacs_bridge.ups_scp.Steps`` on the index; each call is a transaction of its own."""

    def __init__(self, roof: Roof) -> None:
        self._roof, self._place = roof, place_of(roof)

    def _write(self, peer: Peer, uid: str, act: Callable[[Session, Asker, datetime], T]) -> T:
        """In one transaction; a refusal leaves its audit row in another. Raises UpsRefused."""
        try:
            with self._roof.db.write() as session:
                return act(session, asker_of_peer(session, peer), self._roof.now())
        except UpsRefused as refusal:
            with self._roof.db.write() as session:
                asker = asker_of_peer(session, peer)
                ups_service.record_refusal(session, asker, uid, refusal, self._roof.now())
            raise

    def create(self, peer: Peer, uid: str | None, attributes: Attributes) -> tuple[str, int]:
        def act(session: Session, asker: Asker, now: datetime) -> ups_service.Created:
            return ups_service.create(session, self._place, asker, uid, attributes, now)

        try:
            made = self._write(peer, uid or "", act)
        except IntegrityError:  # two made it at once
            raise UpsRefused(ups.DUPLICATE, "there is a UPS of this UID") from None
        return made.workitem_uid, made.status

    def get(self, peer: Peer, uid: str) -> Attributes:
        with self._roof.db.read() as session:
            return ups_service.get(session, self._place, asker_of_peer(session, peer), uid)

    def set(self, peer: Peer, uid: str, transaction_uid: str, attributes: Attributes) -> int:
        return self._write(peer, uid, lambda s, asker, now: ups_service.set_attributes(
            s, self._place, asker, uid, transaction_uid, attributes, now
        ))  # fmt: skip

    def change_state(self, peer: Peer, uid: str, state: str, transaction_uid: str) -> int:
        return self._write(peer, uid, lambda s, asker, now: ups_service.change_state(
            s, self._place, asker, uid, state, transaction_uid, now
        ))  # fmt: skip

    def request_cancel(self, peer: Peer, uid: str, information: Attributes) -> int:
        return self._write(
            peer, uid, lambda s, asker, now: ups_service.request_cancel(s, self._place, asker, uid, information, now)
        )

    def subscription(
        self, peer: Peer, action: int, uid: str, receiver: str, *, has_lock: bool, keys: Attributes
    ) -> int:  # fmt: skip
        def act(session: Session, asker: Asker, now: datetime) -> int:
            if action == ups.SUBSCRIBE:
                return ups_subscriptions.subscribe(
                    session, self._place, asker, receiver, uid, has_lock=has_lock, keys=keys, now=now
                )
            end = ups_subscriptions.unsubscribe if action == ups.UNSUBSCRIBE else ups_subscriptions.suspend
            return end(session, asker, receiver, uid, now)

        return self._write(peer, uid, act)

    def search(self, peer: Peer, keys: Attributes) -> Iterator[Attributes]:
        """Each page is a transaction of its own, so that a slow peer holds none open."""
        after: After | None = After()
        while after is not None:
            with self._roof.db.read() as session:
                sight = asker_of_peer(session, peer).sight
                found, after = ups_store.page(session, self._place, sight, keys, after)
            yield from found


def follow(roof: Roof, now: datetime) -> None:
    """Tick of the worker: changes of reading work become events."""
    with roof.db.read() as session:
        if not ups_events.is_behind(session):
            return
    with roof.db.write() as session:
        ups_events.follow(session, place_of(roof), now)


def ups_handlers(roof: Roof) -> tuple[dict[str, Callable[[Job], None]], list[Tick]]:
    """What the worker does for procedure steps: jobs by kind, and ticks."""
    ticks = [Tick("ups", FOLLOW_S, partial(follow, roof)), Tick("ups_forget", FORGET_S, partial(forget, roof))]
    return {ups_events.KIND: partial(tell, roof)}, ticks


def forget(roof: Roof, now: datetime) -> None:
    """Tick of the worker: what was told, or waited for, long enough."""
    with roof.db.write() as session:
        ups_events.forget(session, now - KEEP_TOLD, now - KEEP_WAITING)


def tell(roof: Roof, job: Job) -> None:
    """Outbox job: everything a device has not heard yet, in order; finished after its answers."""
    title = str(job.payload["ae_title"])
    while events := _waiting(roof, title):
        told, outcome = _told(roof, title, events)
        with roof.db.write() as session:
            ups_events.note_told(session, told, roof.now())
        if outcome != "accepted":
            wait = None if outcome == NO_ADDRESS else next_attempt(job.n_attempts)
            if wait is None:
                raise GiveUp(outcome)
            raise Retry(outcome, roof.now() + wait)


def say_restarted(roof: Roof) -> None:
    """The worker starts: whoever subscribed to everything is told, devices by an outbox job that is not lost."""
    _say(roof, ups.RESTARTED)


def say_going_down(roof: Roof) -> None:
    """The worker stops in order: told to devices at once, all together for FAREWELL_S; WebSockets look for it."""
    saying = [
        Thread(target=_tell_once, args=(roof, title), name="ups-farewell", daemon=True)
        for title in _say(roof, ups.GOING_DOWN)
    ]
    for thread in saying:
        thread.start()
    until_s = time.monotonic() + FAREWELL_S
    for thread in saying:
        thread.join(max(0.0, until_s - time.monotonic()))


def _say(roof: Roof, status: str) -> list[str]:
    try:
        with roof.db.write() as session:
            return ups_events.change_status(session, status, roof.now())
    except SQLAlchemyError as error:  # nothing else waits for this
        log.warning("SCP status not told: %s", type(error).__name__)
        return []


def _tell_once(roof: Roof, title: str) -> None:
    try:
        told, _ = _told(roof, title, _waiting(roof, title), FAREWELL_TIMEOUTS)
        with roof.db.write() as session:
            ups_events.note_told(session, told, roof.now())
    except SQLAlchemyError as error:
        log.warning("SCP status not noted: %s", type(error).__name__)


def _waiting(roof: Roof, title: str) -> list[Event]:
    with roof.db.read() as session:
        rows: list[UpsEvent] = ups_events.waiting(session, title, 0, EVENTS_PER_ASSOCIATION)
        return [Event(row.id, row.workitem_uid, row.event_type, row.information) for row in rows]


def _told(
    roof: Roof, title: str, events: list[Event], timeouts: Timeouts = DEFAULT_TIMEOUTS
) -> tuple[list[int], str]:
    with roof.db.read() as session:
        device = device_to_send_to(session, title)
        if device is None or not device.host or device.port is None:
            return [], NO_ADDRESS
        host, port, term = device.host, device.port, device.character_set
    return tell_events(
        events, host, port, called_ae=title, calling_ae=roof.settings.ae_title, term=term, spell=name_pinyin,
        timeouts=timeouts,
    )  # fmt: skip
