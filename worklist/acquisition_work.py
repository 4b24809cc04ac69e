"""Modality Worklist and performed steps joined: what the listener asks about orders, and what it is told. [app]"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from pydicom.dataset import Dataset
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pacs_bridge.modality_worklist import ScheduledStep, Wanted
from pacs_bridge.mpps_scp import PerformedStepProvider
from pacs_bridge.mwl_scp import Told, WorklistProvider
from pacs_bridge.performed_step import NOTIFICATION_SOP_CLASS, StepState, record_of
from pacs_bridge.ports import Peer
from pacs_bridge.provider import Provider
from pacs_bridge.scu_events import Event, tell_events
from worklist import mpps_service, scheduled_service, step_notices
from worklist.base.outbox import Job
from worklist.outgoing import device_to_send_to
from worklist.person import spelled
from worklist.retry import GiveUp, Retry, next_attempt
from worklist.roof import Roof
from worklist.worker import Tick

log = logging.getLogger("teleread.acquisition")

NOTICES_PER_ASSOCIATION = 100
KEEP_TOLD, KEEP_WAITING = timedelta(days=7), timedelta(days=30)
FORGET_S = 3600.0
NO_ADDRESS = "no_address"


def acquisition_providers(roof: Roof) -> tuple[Provider, ...]:
    """Both services on the listener."""
    index = IndexWorklist(roof)
    return WorklistProvider(index.steps, index.note, spelled), PerformedStepProvider(IndexSteps(roof), spelled)


class IndexWorklist:
    """What the worklist provider asks."""

    def __init__(self, roof: Roof) -> None:
        self._roof = roof

    def steps(self, peer: Peer, wanted: Wanted) -> list[ScheduledStep]:
        if peer.site_id is None:
            return []
        with self._roof.db.read() as session:
            is_lacking = scheduled_service.lacks_study_uids(session, peer.site_id)
        if is_lacking:
            with self._roof.db.write() as session:
                scheduled_service.give_study_uids(session, peer.site_id)
        with self._roof.db.read() as session:
            return scheduled_service.steps(
                session, peer, wanted, zone=self._roof.settings.zone, now=self._roof.now()
            )

    def note(self, peer: Peer, told: list[Told]) -> None:
        """A device asks every minute: only what is new is written down."""
        if peer.device_id is None or not told:
            return
        pairs = [(one.order_uid, one.name_sent) for one in told]
        try:
            with self._roof.db.read() as session:
                new = scheduled_service.news(session, peer.device_id, pairs, self._roof.now())
            if new:
                with self._roof.db.write() as session:
                    scheduled_service.note_told(session, peer, new, self._roof.now())
        except SQLAlchemyError as error:
            log.error("worklist fetch not noted: %s", type(error).__name__)


class IndexSteps:
    """``pacs_bridge.mpps_scp.Steps`` on the index."""

    def __init__(self, roof: Roof) -> None:
        self._roof = roof

    def begin(self, peer: Peer, sop_instance_uid: str, step: Dataset) -> bool:
        try:
            with self._roof.db.write() as session:
                return mpps_service.begin(session, peer, sop_instance_uid, record_of(step), self._roof.now())
        except IntegrityError:  # the same step on two associations at once
            return False

    def find(self, peer: Peer, sop_instance_uid: str) -> Dataset | None:
        with self._roof.db.read() as session:
            found = mpps_service.find(session, peer, sop_instance_uid)
        return Dataset.from_json(found) if found is not None else None

    def change(self, peer: Peer, sop_instance_uid: str, before: StepState, step: Dataset) -> bool:
        with self._roof.db.write() as session:
            return mpps_service.change(session, peer, sop_instance_uid, before, record_of(step), self._roof.now())


def notice_handlers(roof: Roof) -> tuple[dict[str, Callable[[Job], None]], list[Tick]]:
    """What the worker does about performed steps: jobs by kind, and ticks."""

    def forget(now: datetime) -> None:
        with roof.db.write() as session:
            step_notices.forget(session, now - KEEP_TOLD, now - KEEP_WAITING)

    return {step_notices.KIND: partial(tell, roof)}, [Tick("step_notices_forget", FORGET_S, forget)]


def tell(roof: Roof, job: Job) -> None:
    """Outbox job: everything a device has not heard of performed steps, in order; finished after its answers."""
    title = str(job.payload["ae_title"])
    while events := _waiting(roof, title):
        with roof.db.read() as session:
            device = device_to_send_to(session, title)
            address = (device.host, device.port, device.character_set) if device is not None else None
        if address is None or not address[0] or address[1] is None:
            raise GiveUp(NO_ADDRESS)
        told, outcome = tell_events(
            events, address[0], address[1], called_ae=title, calling_ae=roof.settings.ae_title, term=address[2],
            spell=spelled, abstract_syntax=NOTIFICATION_SOP_CLASS,
        )  # fmt: skip
        with roof.db.write() as session:
            step_notices.note_told(session, told, roof.now())
        if outcome != "accepted":
            wait = next_attempt(job.n_attempts)
            if wait is None:
                raise GiveUp(outcome)
            raise Retry(outcome, roof.now() + wait)


def _waiting(roof: Roof, title: str) -> list[Event]:
    with roof.db.read() as session:
        rows = step_notices.waiting(session, title, NOTICES_PER_ASSOCIATION)
        return [Event(row.id, row.sop_instance_uid, row.event_type, {}) for row in rows]
