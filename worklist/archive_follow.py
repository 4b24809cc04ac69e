"""Objects that others bring to the archive are filed here as if they had been received. [app]

The archive's list of changes is followed from a position that is kept; the position moves after what came before
it is filed. Two workers that follow at once file an object twice, which is noted as a duplicate.
"""

from datetime import datetime
from itertools import groupby

from pacs_bridge.extract import extract
from pacs_bridge.ports import Arrival, FollowedArchive, ReceivedObject
from pacs_bridge.records import ObjectRecord, Problem
from pacs_bridge.spool import SpoolFile
from worklist import archive_store, orphan_service, settle_service, store
from worklist.inbox import IndexInbox
from worklist.listen import make_inbox
from worklist.orphan_service import Orphan
from worklist.receive_service import Sender
from worklist.roof import Roof, run_name
from worklist.tables import Site

AT_ONCE = 100
QUIET_TIME_S = 20  # of what no registered device sent: an archive may take a study in over several looks
UNKNOWN_SOURCE = "archive_source_unknown"
_FALLBACK_CHARACTER_SET = "GB18030"


class Follower:
    """Follows one archive; one thread."""

    def __init__(self, roof: Roof, archive: FollowedArchive) -> None:
        self._roof, self._archive = roof, archive
        self._run = run_name("follow")
        self._inbox: IndexInbox | None = None
        self._sites = roof.settings.archive_site_codes

    def follow(self, now: datetime) -> None:
        """Everything that has come since the last look. Raises ArchiveFailure; then it goes on from there."""
        if self._inbox is None:
            self._inbox = make_inbox(self._roof, self._run)
            self._inbox.close_lost_associations()
        name = f"followed:{self._archive.name}"
        while True:
            with self._roof.db.read() as session:
                since = archive_store.position(session, name)
            arrivals, reached = self._archive.arrivals(since, AT_ONCE)
            if reached == since:
                return
            foreign = [arrival for arrival in arrivals if not self._is_own(arrival)]
            for source_ae, group in groupby(foreign, key=lambda arrival: arrival.source_ae):
                self._take_in(self._inbox, source_ae, list(group))
            with self._roof.db.write() as session:
                archive_store.set_position(session, name, reached)

    def _is_own(self, arrival: Arrival) -> bool:
        with self._roof.db.read() as session:
            return archive_store.is_own(session, self._archive.name, arrival.sop_instance_uid, arrival.md5)

    def _take_in(self, inbox: IndexInbox, source_ae: str, arrivals: list[Arrival]) -> None:
        sender, character_set = self._sender(source_ae)
        if sender is None:
            for arrival in arrivals:
                self._keep_aside(arrival)
            return
        with self._roof.db.write() as session:
            association_id = settle_service.open_association(
                session, device_id=sender.device_id, site_id=sender.site_id, calling_ae_title=source_ae[:16],
                called_ae_title="ARCHIVE", peer_address="", listener_run=self._run, now=self._roof.now(),
            )  # fmt: skip
        try:
            for arrival in arrivals:
                inbox.file(sender, self._received(arrival, association_id, character_set))
        finally:
            inbox.association_closed(association_id, "released")

    def _sender(self, source_ae: str) -> tuple[Sender | None, str]:
        """By the setting first, then by the registered device of that AE title; its site must be open."""
        with self._roof.db.read() as session:
            device = store.device_by_ae_title(session, source_ae) if source_ae else None
            code = self._sites.get(source_ae)
            if code is None and device is not None:
                site = session.get_one(Site, device.site_id)
            else:
                code = code or self._sites.get("*")
                found = store.site_by_code(session, code) if code else None
                if found is None:
                    return None, ""
                site = found
            if not site.enabled:
                return None, ""
            ours = device if device is not None and device.site_id == site.id else None
            quiet_time_s = ours.quiet_time_s if ours else QUIET_TIME_S
            character_set = ours.fallback_character_set if ours else _FALLBACK_CHARACTER_SET
            return Sender(site.id, source_ae[:16] or "archive", ours.id if ours else None, quiet_time_s), character_set

    def _received(self, arrival: Arrival, association_id: int, character_set: str) -> ReceivedObject:
        key, size_bytes = self._adopted(arrival)
        record: ObjectRecord | None = None
        problem: Problem | None = None
        try:
            record = extract(
                self._roof.blobs.path(key), fallback_character_set=character_set, zone=self._roof.settings.zone
            )
        except Problem as found:
            problem = found
        known = record or (problem.record if problem else None)
        return ReceivedObject(
            association_id=association_id, blob_key=key, digest=key, size_bytes=size_bytes,
            sop_class_uid=known.sop_class_uid if known else "",
            sop_instance_uid=known.sop_instance_uid if known else arrival.sop_instance_uid,
            transfer_syntax_uid=known.transfer_syntax_uid if known else "", record=record, problem=problem,
        )  # fmt: skip

    def _adopted(self, arrival: Arrival) -> tuple[str, int]:
        """The key under which its bytes are durable here, and their size."""
        spool = SpoolFile(lambda: self._roof.blobs.spool_dir, b"")
        try:
            for chunk in self._archive.read(arrival.key):
                spool.write(chunk)
            spooled = spool.finish()
            return self._roof.blobs.adopt(spooled.path, spooled.digest), spooled.size_bytes
        finally:
            spool.discard()  # adopted by now, or not to be kept

    def _keep_aside(self, arrival: Arrival) -> None:
        key, size_bytes = self._adopted(arrival)
        with self._roof.db.write() as session:
            orphan = Orphan(key, size_bytes, arrival.source_ae[:16], arrival.sop_instance_uid or None)
            orphan_service.keep_aside(session, orphan, self._roof.now(), UNKNOWN_SOURCE)
