"""Copies to the archive until it confirms, and room made here for what is read. [app]"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pacs_bridge.cached_blobs import local_path
from pacs_bridge.ports import Archive, ArchiveFailure, FollowedArchive
from worklist import archive_store
from worklist.archive_follow import Follower
from worklist.archive_tables import DIFFERS, STORED
from worklist.base import audit
from worklist.base.outbox import Job
from worklist.retry import FIRST_WAITS_S, LAST_WAIT_S, GiveUp, Retry
from worklist.roof import Roof
from worklist.worker import Handler, Tick

PROMISED_AT_ONCE = 500
COPIES_AT_ONCE = 4
TICKS_S = {"promise_copies": 1.0, "follow_archive": 2.0, "make_room": 30.0}
# Whoever has just been given a file's place opens it within moments; only files unused for longer are let go.
UNUSED_FOR = timedelta(minutes=10)
_EVICTED_AT_ONCE = 500
_READ_BYTES = 1 << 20


@dataclass
class Copying:
    """What the worker does for the configured archive."""

    roof: Roof
    archive: Archive

    def __post_init__(self) -> None:
        self._seen = -1

    def promise(self, now: datetime) -> None:
        """New instances get their promise of a copy. The listener knows no archive: it is no slower for one."""
        with self.roof.db.read() as session:
            newest = archive_store.newest_instance(session)
        if newest == self._seen:
            return
        with self.roof.db.write() as session:
            promised = archive_store.promise_copies(session, self.archive.name, now, PROMISED_AT_ONCE)
        self._seen = newest if promised < PROMISED_AT_ONCE else -1

    def copy(self, job: Job) -> None:
        """Copy one file. Waits for an archive that is away as long as it takes; other bytes there end it."""
        name, key = self.archive.name, job.payload["blob_key"]
        if job.payload["archive"] != name:
            raise GiveUp("archive_replaced")
        path = local_path(self.roof.blobs, key)
        md5 = _md5(path)
        with self.roof.db.write() as session:
            archive_store.begin_copy(session, name, key, md5)
            found = archive_store.archived_object(session, name, key)
        if found is None:
            return
        try:
            self.archive.store(path, found[0])
        except ArchiveFailure as failure:
            if failure.code != "archive_differs":
                raise Retry(failure.code, self.roof.now() + _wait(job.n_attempts)) from failure
            self._end(key, DIFFERS, found[0].sop_instance_uid)
        else:
            self._end(key, STORED)

    def _end(self, key: str, state: str, differing_uid: str = "") -> None:
        now = self.roof.now()
        with self.roof.db.write() as session:
            archive_store.end_copy(session, self.archive.name, key, state, now)
            if differing_uid:
                audit.record(
                    session, now=now, actor="system", role="", site="", act="object.archive", object_type="instance",
                    object_uid=differing_uid, result="archive_differs",
                )  # fmt: skip

    def make_room(self, now: datetime) -> None:
        """Let go of local files that the archive has confirmed, the longest unused first, down to the bound."""
        bound = self.roof.settings.cache_bytes_number
        if bound is None:
            return
        with self.roof.db.read() as session:
            excess = archive_store.local_bytes(session, self.archive.name) - bound
            candidates = archive_store.least_used(session, self.archive.name, _EVICTED_AT_ONCE) if excess > 0 else []
        for copy in candidates:
            if excess <= 0:
                return
            if self._let_go(copy.blob_key, copy.used_at, now):
                excess -= copy.size_bytes

    def _let_go(self, key: str, used_at: datetime | None, now: datetime) -> bool:
        path = local_path(self.roof.blobs, key)
        try:
            used = datetime.fromtimestamp(path.stat().st_atime, UTC)
        except FileNotFoundError:
            used = datetime.min.replace(tzinfo=UTC)
        if now - used < UNUSED_FOR:
            if used_at is None or used > used_at:
                with self.roof.db.write() as session:
                    archive_store.note_used(session, self.archive.name, key, used)
            return False
        with self.roof.db.write() as session:
            archive_store.note_evicted(session, self.archive.name, key, now)
        path.unlink(missing_ok=True)  # a later reader finds it missing and fetches it, whatever the row says
        return True


def archive_handlers(roof: Roof) -> tuple[dict[str, Handler], list[Tick]]:
    """What the worker does and what recurs; nothing without an archive."""
    if roof.archive is None:
        return {}, []
    copying = Copying(roof, roof.archive)
    ticks = [
        Tick("promise_copies", TICKS_S["promise_copies"], copying.promise),
        Tick("make_room", TICKS_S["make_room"], copying.make_room),
    ]
    if isinstance(roof.archive, FollowedArchive):
        ticks.append(Tick("follow_archive", TICKS_S["follow_archive"], Follower(roof, roof.archive).follow))
    return {archive_store.JOB: copying.copy}, ticks


def _wait(n_attempts: int) -> timedelta:
    """As for other peers at first, then every half hour without end: what is not copied may not be forgotten."""
    return timedelta(seconds=FIRST_WAITS_S[n_attempts - 1] if n_attempts <= len(FIRST_WAITS_S) else LAST_WAIT_S)


def _md5(path: Path) -> str:
    hasher = hashlib.md5(usedforsecurity=False)  # what Orthanc compares by; our own proof is the BLAKE3 digest
    with path.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
