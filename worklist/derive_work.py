"""Display data are made: of a series a share at a time, so that nobody waits behind a whole long one. [app]"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from pacs_bridge.ports import ArchiveFailure
from viewer.derive_pool import DerivePool
from worklist import derive_store
from worklist.base import audit, outbox
from worklist.base.outbox import Job
from worklist.retry import code_of, next_attempt
from worklist.roof import Roof
from worklist.tables import Instance, Series, Study

log = logging.getLogger("teleread.derive")

SHARE, SHARE_S = 16, 1.0  # instances, and how long a share may take until nothing more of it is begun
BURST, LONGEST_WAIT = timedelta(seconds=0.5), timedelta(seconds=5)

Made = dict[str, Any] | Exception


class Deriving:
    """What the worker does for "derive" jobs. A bad picture is a failed instance, not a failed job."""

    def __init__(self, roof: Roof, pool: DerivePool) -> None:
        self._roof, self._pool = roof, pool

    def derive(self, job: Job) -> bool:
        """Make display data. True: the job is settled already, in the transaction of what was made."""
        if "series_id" in job.payload:
            return self._share(job, job.payload["series_id"])
        return self._one(job, job.payload["instance_id"])

    def _share(self, job: Job, series_id: int) -> bool:
        """Some of a series; where more is left, the job goes behind what is due now."""
        with self._roof.db.read() as session:
            share = derive_store.pending_of_series(session, series_id, SHARE)
            last_received_at = derive_store.last_received_at(session, series_id)
        if len(share) == SHARE and last_received_at is not None and self._waits(job, last_received_at):
            return True
        made = self._make(share)
        now = self._roof.now()
        with self._roof.db.write() as session:
            study_id = derive_store.study_of_series(session, series_id)
            if study_id is None:
                return False
            derive_store.lock_study(session, study_id)
            for instance, result in made:
                if isinstance(result, Exception):
                    self._leave_alone(session, instance, result, now)
                else:
                    _note(session, instance, result)
            # In a statement of its own, after the lock: on PostgreSQL it sees what came until then.
            if derive_store.pending_of_series(session, series_id, 1):
                outbox.again(session, job, now)
                return True
            outbox.finish(session, job, now)
            if made:
                _tell_when_all_made(session, study_id, now)
        return True

    def _waits(self, job: Job, last_received_at: datetime) -> bool:
        """Whether so many come so quickly that they are better taken in first: both need the processor and the disk."""
        now = self._roof.now()
        if now - last_received_at >= BURST or now - job.created_at >= LONGEST_WAIT:
            return False
        with self._roof.db.write() as session:
            outbox.again(session, job, now, due_at=now + BURST)
        return True

    def _one(self, job: Job, instance_id: int) -> bool:
        with self._roof.db.read() as session:
            instance = session.get(Instance, instance_id)
        if instance is None:
            return False
        ((_, result),) = self._make([instance])
        if isinstance(result, Exception):
            raise result
        now = self._roof.now()
        with self._roof.db.write() as session:
            study_id = session.get_one(Series, instance.series_id).study_id
            derive_store.lock_study(session, study_id)
            _note(session, instance, result)
            outbox.finish(session, job, now)
            _tell_when_all_made(session, study_id, now)
        return True

    def _make(self, instances: Sequence[Instance]) -> list[tuple[Instance, Made]]:
        """As far as the time of a share goes; an exception is what kept us from making it."""
        blobs = self._roof.blobs
        away: list[tuple[Instance, Made]] = []
        here: dict[Instance, tuple[Path, Path]] = {}
        for one in instances:
            try:
                here[one] = blobs.path(one.blob_key), blobs.derived_dir(one.blob_key)
            except ArchiveFailure as failure:  # a lost file that the archive does not give back either
                away.append((one, failure))
        return away + list(zip(here, self._pool.derive_all(list(here.values()), SHARE_S), strict=False))

    def _leave_alone(self, session: Session, instance: Instance, error: Exception, now: datetime) -> None:
        """A file that cannot be read, a full disk: tried again by a job of its own, that may end as a dead letter."""
        log.warning("derive of instance %s failed: %s", instance.id, code_of(error))
        wait = next_attempt(1)
        derive_store.promise_instance(session, instance.id, now, due_at=now + wait if wait else None)


def _note(session: Session, instance: Instance, manifest: dict[str, Any]) -> None:
    """Unless other bytes have taken the place of those that were looked at: their job is promised."""
    session.execute(
        update(Instance)
        .where(Instance.id == instance.id, Instance.blob_key == instance.blob_key)
        .values(derived_state=manifest["state"], derived_reason=manifest.get("reason"))
        .execution_options(synchronize_session=False)
    )


def _tell_when_all_made(session: Session, study_id: int, now: datetime) -> None:
    """The study is locked: of the last two at once one sees the other."""
    if not derive_store.has_pending(session, study_id):
        site_id = session.get_one(Study, study_id).site_id
        audit.emit(session, "derived", now=now, site_id=site_id, study_id=study_id)
