"""Rows and files against each other: no row without its file, no file without a row. [app]"""

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
from sqlalchemy import select
from sqlalchemy.orm import Session

from pacs_bridge.cached_blobs import local_path
from pacs_bridge.transcode_pool import TranscodePool
from reports.tables import Preparation, Report
from worklist import archive_store, orphan_service, store
from worklist.archive_tables import STORED
from worklist.orphan_service import Orphan
from worklist.roof import Roof
from worklist.tables import Instance, Quarantine

# Between an object's last byte and the commit of its row lie at most some seconds; this is many times more.
SETTLED_AFTER = timedelta(minutes=10)
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Finding:
    """Something a check found. ``code`` is the sentence ``check.<code>``; a note is not wrong, only worth telling."""

    code: str
    params: dict[str, Any] = field(default_factory=dict)
    is_problem: bool = True


def storage_findings(roof: Roof, *, deep: bool, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    """Missing, damaged and orphaned files. Orphans are mended here: kept aside, or removed where nobody needs them.

    ``deep`` reads every object again; ``progress(done, all)`` hears of it.
    """
    swept = roof.blobs.sweep_spool()
    if swept:
        yield Finding("spool_swept", {"n": swept}, is_problem=False)
    # First the files, then the rows: what is filed in between is not taken for an orphan.
    stored = set(roof.blobs.keys())
    named: set[str] = set()
    with roof.db.read() as session:
        for kind, uid, key, size_bytes in rows_with_files(session):
            named.add(key)
            yield from _row_findings(roof, kind, uid, key, size_bytes)
    yield from orphan_findings(roof, sorted(stored - named))
    yield from _derived_findings(roof, named)
    if deep:
        yield from _damaged(roof, sorted(stored & named), progress)


def rows_with_files(session: Session) -> Iterator[tuple[str, str, str, int | None]]:
    """(kind, UID or number, blob key, size) of every row that names an object."""
    queries: tuple[tuple[str, Any], ...] = (
        ("instance", select(Instance.sop_instance_uid, Instance.blob_key, Instance.size_bytes)),
        ("quarantine", select(Quarantine.id, Quarantine.blob_key, Quarantine.size_bytes)),
        ("report", select(Report.report_uid, Report.pdf_key, Report.pdf_size_bytes).where(Report.pdf_key.is_not(None))),
        ("preparation", select(Preparation.report_uid, Preparation.pdf_key)),
    )
    for kind, query in queries:
        for row in session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)):
            yield kind, str(row[0]), row[1], row[2] if len(row) > 2 else None


def _row_findings(roof: Roof, kind: str, uid: str, key: str, size_bytes: int | None) -> Iterator[Finding]:
    try:
        found = local_path(roof.blobs, key).stat().st_size
    except (OSError, ValueError):
        if not is_in_archive(roof, key):
            yield Finding("row_without_file", {"kind": kind, "uid": uid, "key": key})
        return
    if size_bytes is not None and found != size_bytes:
        yield Finding("file_damaged", {"key": key, "path": str(local_path(roof.blobs, key))})


def is_in_archive(roof: Roof, key: str) -> bool:
    """Whether the configured archive has confirmed that it holds this file, which was let go here."""
    if roof.archive is None:
        return False
    with roof.db.read() as session:
        found = archive_store.archived_object(session, roof.archive.name, key)
    return found is not None and found[1] == STORED


def orphan_findings(roof: Roof, keys: list[str]) -> Iterator[Finding]:
    """Files that no row names, mended: kept aside, or removed where nobody needs them."""
    counts = {"kept": 0, "removed": 0, "equal": 0, "young": 0}
    settled_before = None if not roof.blobs.has_other_runs() else roof.now() - SETTLED_AFTER
    for key in keys:
        counts[_settle_orphan(roof, key, settled_before)] += 1
    for outcome, number in counts.items():
        if number:
            yield Finding(f"orphans_{outcome}", {"n": number}, is_problem=False)


def _settle_orphan(roof: Roof, key: str, settled_before: datetime | None) -> str:
    """kept, removed, equal or young. Removed are the PDF of a report that was never recorded (it is made again) and
    a copy that came again in another encoding (``equal``): its first copy is filed.
    """
    path = roof.blobs.path(key)
    try:
        status = path.stat()
        with path.open("rb") as stream:
            is_pdf = stream.read(5) == b"%PDF-"
    except OSError:
        return "removed"  # gone meanwhile
    if settled_before is not None and status.st_mtime > settled_before.timestamp():
        return "young"
    if is_pdf:
        roof.blobs.remove(key)
        return "removed"
    source, uid = _who_sent(path)
    if uid is not None and _is_filed(roof, path, uid):
        roof.blobs.remove(key)
        return "equal"
    with roof.db.write() as session:
        orphan_service.keep_aside(session, Orphan(key, status.st_size, source, uid), roof.now())
    return "kept"


def _is_filed(roof: Roof, path: Path, uid: str) -> bool:
    """Whether the same object, equal after decoding, has a row and its file."""
    with roof.db.read() as session:
        instance = store.instance_by_uid(session, uid)
    if instance is None:
        return False
    pool = TranscodePool(max_frame_bytes=roof.settings.max_frame_bytes_number)
    try:
        return pool.same_content(roof.blobs.path(instance.blob_key), path)
    finally:
        pool.close()


def _who_sent(path: Path) -> tuple[str, str | None]:
    """(AE title that sent it, SOP Instance UID) as the file meta says; blanks where it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = pydicom.filereader.read_file_meta_info(path)
            uid = str(meta.get("MediaStorageSOPInstanceUID", ""))[:128]
            return str(meta.get("SourceApplicationEntityTitle", "")).strip()[:16], uid or None
    except Exception:  # a damaged object may fail the reader anywhere
        return "", None


def _derived_findings(roof: Roof, named: set[str]) -> Iterator[Finding]:
    """Display data of objects that are no more: it can be made again and is nobody's."""
    if roof.blobs.has_other_runs():
        return
    removed = 0
    for folder in (roof.blobs.root / "derived").glob("*"):
        if folder.name not in named:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    if removed:
        yield Finding("derived_removed", {"n": removed}, is_problem=False)


def _damaged(roof: Roof, keys: list[str], progress: Callable[[int, int], None]) -> Iterator[Finding]:
    """Every object read again and its digest compared with its name."""
    for done, key in enumerate(keys, start=1):
        try:
            whole = roof.blobs.verify(key)
        except OSError:
            whole = False
        if not whole:
            yield Finding("file_damaged", {"key": key, "path": str(roof.blobs.path(key))})
        progress(done, len(keys))
