"""Objects stored over HTTP go the same road as a modality's: spooled, durable, filed in one association. [app]"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from pacs_bridge.extract import extract
from pacs_bridge.multipart import Part
from pacs_bridge.ports import ReceivedObject
from pacs_bridge.records import ObjectRecord, Problem
from pacs_bridge.spool import Spooled, SpoolFile
from worklist.access import Actor
from worklist.base import audit
from worklist.inbox import IndexInbox
from worklist.receive_service import Filed
from worklist.roof import Roof
from worklist.stored import CANNOT_UNDERSTAND, MISMATCH, OUT_OF_RESOURCES, PROCESSING_FAILURE, Stored, failure_of

log = logging.getLogger("teleread.stow")

DICOM = "application/dicom"
MOST_OBJECT_BYTES = 2 << 30  # a DICOM element's length ends at 4 GiB; beyond this nobody reads it on a screen
FALLBACK_CHARACTER_SET = "GB18030"


@dataclass(frozen=True)
class StowDesk:
    """Takes STOW-RS requests of one web process."""

    roof: Roof
    inbox: IndexInbox

    def store(self, actor: Actor, parts: Iterator[Part], study_instance_uid: str | None) -> list[Stored]:
        """What became of each part, in order; what is said to be stored is on disk and in the index.

        Raises MultipartError; parts that came whole before it are filed all the same.
        """
        outcomes: list[Stored] = []
        places: list[int] = []  # where in the outcomes each filed object belongs

        def received(association_id: int) -> Iterator[ReceivedObject]:
            for part in parts:
                found = self._received(association_id, part, study_instance_uid)
                if isinstance(found, Stored):
                    outcomes.append(found)
                    continue
                places.append(len(outcomes))
                outcomes.append(_unfiled(found))
                yield found

        is_whole = False
        try:
            filed = self.inbox.file_upload(actor.site_id, "STOW", received)
            for place, result in zip(places, filed, strict=True):
                outcomes[place] = _outcome(outcomes[place], result)
            is_whole = True
        finally:
            self._note(actor, outcomes, is_whole)
        return outcomes

    def _note(self, actor: Actor, outcomes: list[Stored], is_whole: bool) -> None:
        """Who brought it: one audit row for each study. What broke off may have been filed up to its last object."""
        studies = dict.fromkeys(one.study_instance_uid for one in outcomes if one.failure is None or not is_whole)
        n_failed = sum(one.failure is not None for one in outcomes)
        with self.roof.db.write() as session:
            for study in studies or ({"": None} if outcomes else {}):
                audit.record(
                    session, now=self.roof.now(), actor=actor.username, role=actor.role, site=actor.site_code,
                    act="study.store", object_type="study", object_uid=study or "?",
                    result=("ok" if studies else "refused") if is_whole else "broken",
                    details={"objects": len(outcomes), "failed": n_failed},
                )  # fmt: skip

    def _received(self, association_id: int, part: Part, study_instance_uid: str | None) -> ReceivedObject | Stored:
        """The object, durable in the store; or why it is refused and not kept."""
        spooled = self._spooled(part)
        if spooled is None:
            return Stored(failure=OUT_OF_RESOURCES)
        if part.headers.get("content-type", DICOM).partition(";")[0].strip().lower() != DICOM:
            spooled.path.unlink()
            return Stored(failure=CANNOT_UNDERSTAND)
        record, problem = self._read(spooled)
        known = record or (problem.record if problem else None)
        if known is not None and study_instance_uid not in (None, known.study_instance_uid):
            spooled.path.unlink()
            uids = (known.study_instance_uid, known.series_instance_uid, known.sop_class_uid, known.sop_instance_uid)
            return Stored(*uids, MISMATCH)
        key = self.roof.blobs.adopt(spooled.path, spooled.digest)
        return ReceivedObject(
            association_id=association_id, blob_key=key, digest=spooled.digest, size_bytes=spooled.size_bytes,
            sop_class_uid=known.sop_class_uid if known else "",
            sop_instance_uid=known.sop_instance_uid if known else "",
            transfer_syntax_uid=known.transfer_syntax_uid if known else "", record=record, problem=problem,
        )  # fmt: skip

    def _read(self, spooled: Spooled) -> tuple[ObjectRecord | None, Problem | None]:
        try:
            return extract(
                spooled.path, fallback_character_set=FALLBACK_CHARACTER_SET, zone=self.roof.settings.zone
            ), None  # fmt: skip
        except Problem as problem:
            return None, problem
        except (OSError, MemoryError):
            spooled.path.unlink(missing_ok=True)
            raise
        except Exception as error:
            # As at the listener: a fault of ours costs no object; a person looks at it in quarantine.
            log.error("object unreadable: %s", type(error).__name__)
            return None, Problem("malformed", {"part": type(error).__name__})

    def _spooled(self, part: Part) -> Spooled | None:
        """The part's bytes in the spool, fsynced; None for more than an object may have. Raises OSError (disk full)."""
        file = SpoolFile(lambda: self.roof.blobs.spool_dir, b"")
        size = 0
        try:
            for chunk in part.chunks:
                size += len(chunk)
                if size <= MOST_OBJECT_BYTES:
                    file.write(chunk)
        except BaseException:
            file.discard()
            raise
        if size > MOST_OBJECT_BYTES:
            file.discard()
            return None
        return file.finish()


def _unfiled(received: ReceivedObject) -> Stored:
    record: ObjectRecord | None = received.record
    return Stored(
        record.study_instance_uid if record else "", record.series_instance_uid if record else "",
        received.sop_class_uid, received.sop_instance_uid, PROCESSING_FAILURE,
    )  # fmt: skip


def _outcome(known: Stored, filed: Filed) -> Stored:
    failure = None if filed.outcome != "quarantined" else failure_of(filed.reason or "")
    return Stored(
        known.study_instance_uid, known.series_instance_uid, known.sop_class_uid, known.sop_instance_uid, failure
    )
