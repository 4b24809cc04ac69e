"""Every stored file read again and held against the index; what is lost is told, and mended where it can be. [app]

Slower than ``teleread check`` and complete: each byte is hashed. Files without a row are settled as the check does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pacs_bridge.ports import ArchiveFailure
from worklist import archive_store
from worklist.check_storage import Finding, orphan_findings, rows_with_files
from worklist.roof import Roof

Progress = Callable[[str, int, int], None]  # what is looked at, how much of it is done, how much there is


@dataclass(frozen=True)
class Damage:
    """A row whose file is gone (``is_missing``) or says something else than was received."""

    kind: str  # instance, quarantine, report, preparation
    uid: str
    key: str
    is_missing: bool

    @property
    def finding(self) -> Finding:
        code = "file_missing" if self.is_missing else "digest_differs"
        return Finding(code, {"kind": self.kind, "uid": self.uid, "key": self.key})


@dataclass
class Verdict:
    """What was looked at and what was found; ``damages`` are what is still wrong in the end."""

    n_rows: int = 0
    n_files: int = 0
    n_only_in_archive: int = 0
    n_copies: int = 0
    damages: list[Damage] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)  # besides the damages
    n_repaired: int = 0

    @property
    def is_well(self) -> bool:
        return not self.damages and not any(finding.is_problem for finding in self.findings)


def verify_storage(roof: Roof, progress: Progress) -> Verdict:
    """Look at everything; nothing is repaired here but files without a row. Raises SQLAlchemyError."""
    verdict = Verdict()
    roof.blobs.sweep_spool()
    # First the files, then the rows: what is filed in between is not taken for a file without a row.
    stored = set(roof.blobs.keys())
    rows: dict[str, list[tuple[str, str]]] = {}
    with roof.db.read() as session:
        for kind, uid, key, _ in rows_with_files(session):
            rows.setdefault(key, []).append((kind, uid))
    verdict.n_rows, verdict.n_files = sum(map(len, rows.values())), len(stored)
    verdict.findings += orphan_findings(roof, sorted(stored - rows.keys()))
    in_archive = _confirmed(roof)
    for done, key in enumerate(sorted(rows), start=1):
        damage = _damage(roof, key, is_stored=key in stored)
        if damage is not None and damage and key in in_archive:
            verdict.n_only_in_archive += 1  # let go here; whether the archive still has it is asked below
        elif damage is not None:
            verdict.damages += [Damage(kind, uid, key, damage) for kind, uid in rows[key]]
        progress("files", done, len(rows))
    verdict.findings += _lost_copies(roof, verdict, stored, progress)
    return verdict


def _damage(roof: Roof, key: str, *, is_stored: bool) -> bool | None:
    """None: whole. True: not here. False: here, with other bytes or unreadable."""
    if not is_stored:
        return True
    try:
        return None if roof.blobs.verify(key) else False
    except FileNotFoundError:
        return True  # gone meanwhile
    except OSError:
        return False


def _confirmed(roof: Roof) -> set[str]:
    if roof.archive is None:
        return set()
    with roof.db.read() as session:
        return {archived.digest for archived in archive_store.stored_objects(session, roof.archive.name)}


def _lost_copies(roof: Roof, verdict: Verdict, stored: set[str], progress: Progress) -> Iterator[Finding]:
    """Copies that the archive confirmed once and has no more; where the file is here, it is copied again."""
    if roof.archive is None:
        return
    with roof.db.read() as session:
        copies = archive_store.stored_objects(session, roof.archive.name)
    n_again = 0
    for done, archived in enumerate(copies, start=1):
        try:
            has = roof.archive.has(archived)
        except ArchiveFailure as failure:
            cause = f"{failure.code} {failure.detail}"
            yield Finding("archive_failing", {"archive": roof.archive.name, "cause": cause})
            return
        verdict.n_copies += 1
        if not has and archived.digest in stored:
            n_again += 1
            with roof.db.write() as session:
                archive_store.copy_again(session, roof.archive.name, archived.digest, roof.now())
        elif not has:
            verdict.n_only_in_archive -= 1
            verdict.damages.append(Damage("instance", archived.sop_instance_uid, archived.digest, is_missing=True))
        progress("archive", done, len(copies))
    if n_again:
        yield Finding("copies_again", {"n": n_again, "archive": roof.archive.name}, is_problem=False)

