"""Lost or damaged files fetched again, from another PACS or the archive, and taken only with a proof. [app]

The proof is the digest of the whole file: what a peer sends is a data set, so the file meta is written again as
our listener wrote it. Where the digest cannot be met (the peer encodes otherwise), a damaged file that still says
the same as the fetched one is a proof too; it is noted, and the row names the new bytes. Anything else is refused.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from blake3 import blake3
from sqlalchemy import select
from sqlalchemy.orm import Session

from pacs_bridge.blobs import write_durable
from pacs_bridge.cached_blobs import local_path
from pacs_bridge.compare import same_content
from pacs_bridge.extract import read_file_meta
from pacs_bridge.ports import ArchivedObject, ArchiveFailure
from pacs_bridge.scu_query import PeerFailure, Target, get
from pacs_bridge.spool import part10_preamble
from worklist import archive_store, derive_store, store
from worklist.base import audit
from worklist.roof import Roof
from worklist.tables import Association, Instance, Series, Study
from worklist.verify_storage import Damage


class Repair(NamedTuple):
    """``outcome``: repaired, repaired_same_content, not_fetched (why: ``detail``), not_proven or not_an_instance."""

    damage: Damage
    outcome: str
    detail: str = ""


class _Lost(NamedTuple):
    """What the index knows of the file."""

    study_instance_uid: str
    series_instance_uid: str
    instance: Instance
    source_ae: str


def repair(roof: Roof, damages: Sequence[Damage], target: Target | None) -> Iterator[Repair]:
    """One result each. ``target``: the PACS that is asked by C-GET; None: the configured archive."""
    for damage in damages:
        if damage.kind != "instance":
            yield Repair(damage, "not_an_instance")
            continue
        with roof.db.read() as session:
            lost = _lost(session, damage.uid)
        try:
            fetched = _from_archive(roof, lost) if target is None else _from_peer(roof, target, lost)
        except ArchiveFailure as failure:
            yield Repair(damage, "not_fetched", failure.code)
        except PeerFailure as failure:
            status = f" {failure.status:04X}H" if failure.status is not None else ""
            yield Repair(damage, "not_fetched", failure.outcome + status)
        else:
            yield Repair(damage, _take(roof, lost, fetched)) if fetched else Repair(damage, "not_fetched", "0")


def _lost(session: Session, sop_instance_uid: str) -> _Lost:
    study_uid, series_uid, instance, source_ae = session.execute(
        select(Study.study_instance_uid, Series.series_instance_uid, Instance, Association.calling_ae_title)
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Series.study_id)
        .outerjoin(Association, Association.id == Instance.association_id)
        .where(Instance.sop_instance_uid == sop_instance_uid)
    ).one()
    return _Lost(study_uid, series_uid, instance, source_ae or "")


def _from_archive(roof: Roof, lost: _Lost) -> bytes:
    if roof.archive is None:
        raise ArchiveFailure("archive_missing")
    with roof.db.read() as session:
        found = archive_store.archived_object(session, roof.archive.name, lost.instance.blob_key)
    archived = found[0] if found is not None else ArchivedObject(
        lost.study_instance_uid, lost.series_instance_uid, lost.instance.sop_instance_uid, lost.instance.digest, "",
        lost.instance.size_bytes,
    )  # fmt: skip
    return b"".join(roof.archive.retrieve(archived))


def _from_peer(roof: Roof, target: Target, lost: _Lost) -> bytes:
    keys = {
        "StudyInstanceUID": lost.study_instance_uid, "SeriesInstanceUID": lost.series_instance_uid,
        "SOPInstanceUID": lost.instance.sop_instance_uid,
    }  # fmt: skip
    taken = [(lost.instance.sop_class_uid, [lost.instance.transfer_syntax_uid])]
    with TemporaryDirectory(dir=roof.blobs.spool_dir) as folder:
        result = get(target, "IMAGE", keys, Path(folder), taken)
        if result.status is not None and not result.paths:
            raise PeerFailure(result.outcome, result.status)
        return result.paths[0].read_bytes() if result.paths else b""


def _take(roof: Roof, lost: _Lost, fetched: bytes) -> str:
    """The outcome."""
    for content in _spellings(lost, fetched):
        if blake3(content).hexdigest() == lost.instance.digest:
            roof.blobs.put(content)
            _note(roof, lost, "repaired", lost.instance.digest, len(content))
            return "repaired"
    if not _says_the_same(roof, lost, fetched):
        return "not_proven"
    _note(roof, lost, "repaired_same_content", roof.blobs.put(fetched), len(fetched))
    return "repaired_same_content"


def _spellings(lost: _Lost, fetched: bytes) -> Iterator[bytes]:
    """As fetched; then the data set behind the file meta that our listener wrote when it was received."""
    yield fetched
    data_set = fetched[read_file_meta(fetched)[1] :]
    one = lost.instance
    yield part10_preamble(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid, lost.source_ae) + data_set


def _says_the_same(roof: Roof, lost: _Lost, fetched: bytes) -> bool:
    """Whether the damaged file can still be read and holds every element and pixel of the fetched one."""
    damaged = local_path(roof.blobs, lost.instance.blob_key)
    if not damaged.is_file():
        return False
    path = write_durable(roof.blobs.spool_dir, fetched)
    try:
        return same_content(damaged, path)
    finally:
        path.unlink()


def _note(roof: Roof, lost: _Lost, outcome: str, key: str, size_bytes: int) -> None:
    """One audit row; where the bytes are others than before, the row names them and the display data is made anew."""
    now = roof.now()
    with roof.db.write() as session:
        instance = store.instance_by_uid(session, lost.instance.sop_instance_uid)
        if instance is None:
            return
        details = {"digest": key}
        if key != instance.blob_key:
            details["before"] = instance.digest
            instance.blob_key = instance.digest = key
            instance.size_bytes = size_bytes
            if instance.derived_state != "none":
                instance.derived_state = "pending"
                derive_store.promise_instance(session, instance.id, now)
        audit.record(
            session, now=now, actor="system", role="", site="", act="object.repair", object_type="instance",
            object_uid=instance.sop_instance_uid, result=outcome, details=details,
        )  # fmt: skip
