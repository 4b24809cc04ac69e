"""Modality Worklist and performed steps joined: what the listener asks about orders, and what it is told. [app]"""

import logging

from pydicom.dataset import Dataset
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pacs_bridge.modality_worklist import ScheduledStep, Wanted
from pacs_bridge.mpps_scp import PerformedStepProvider
from pacs_bridge.mwl_scp import Told, WorklistProvider
from pacs_bridge.performed_step import StepState, record_of
from pacs_bridge.ports import Peer
from pacs_bridge.provider import Provider
from worklist import mpps_service, scheduled_service
from worklist.person import spelled
from worklist.roof import Roof

log = logging.getLogger("teleread.acquisition")


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
