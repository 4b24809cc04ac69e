"""Files and folders taken in on the command line, on the same road as what a modality sends. [app]

One object at a time: copied to the spool and synced, read, adopted, filed and committed. Taking the same
files in twice changes nothing: a WFDB record gets UIDs made from its content and its patient.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecg.formats import dicom as ecg_dicom
from ecg.formats import wfdb_record
from ecg.formats.reader import UploadedEcg, read_upload
from ecg.waveform import EcgError
from pacs_bridge.extract import extract
from pacs_bridge.objects import ObjectError, StudyIdentity
from pacs_bridge.ports import ReceivedObject
from pacs_bridge.records import ObjectRecord, Problem
from pacs_bridge.spool import Spooled, SpoolFile
from worklist import settle_service
from worklist.base import audit
from worklist.inbox import IndexInbox
from worklist.listen import make_inbox
from worklist.receive_service import Sender
from worklist.roof import Roof, run_name
from worklist.tables import Site
from worklist.uploads import content_uids, waveform_object

SOURCE = "import"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima", ".dic")
_SIGNAL_SUFFIXES = (".dat", ".mat")
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Taken:
    """What became of one file. ``outcome``: filed, duplicate, quarantined (kept aside), refused (not taken) or
    skipped (not ours to take); ``reason`` is the key of a sentence, "" where filed or a duplicate."""

    path: Path
    outcome: str
    reason: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


class _NotTakenError(Exception):
    def __init__(self, outcome: str, reason: str, params: Mapping[str, Any] | None = None) -> None:
        self.outcome, self.reason, self.params = outcome, reason, params or {}


def files_below(path: Path) -> list[Path]:
    """The file itself, or every file below the folder in the order of names; hidden ones are left out."""
    if not path.is_dir():
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


class Importer:
    """Takes files for one site, as one association that opens with the first and closes with ``close``."""

    def __init__(self, roof: Roof, site: Site, patient_name: str = "", patient_id: str = "") -> None:
        self._roof, self._site = roof, site
        self._patient_name, self._patient_id = patient_name, patient_id
        run = run_name("import")
        self._inbox: IndexInbox = make_inbox(roof, run)
        self._sender = Sender(site.id, SOURCE, None, 0)
        self._counts: dict[str, int] = {}
        with roof.db.write() as session:
            self._association_id = settle_service.open_association(
                session, device_id=None, site_id=site.id, calling_ae_title=SOURCE, called_ae_title="",
                peer_address="", listener_run=run, now=roof.now(),
            )  # fmt: skip

    def close(self) -> None:
        """The studies of this import are complete; one audit row says how much came in."""
        now = self._roof.now()
        with self._roof.db.write() as session:
            settle_service.close_association(session, self._association_id, "released", now)
            audit.record(
                session, now=now, actor="system", role="", site="", act="objects.import", object_type="site",
                object_uid=self._site.code, details=self._counts,
            )  # fmt: skip

    def take(self, paths: list[Path]) -> Iterator[Taken]:
        """One result per file. Raises OSError where our own storage fails, OperationalError for the database."""
        used: set[Path] = set()  # signal files that a header of their folder has named
        for path in sorted(paths, key=lambda one: (one.parent, one.suffix.lower() != ".hea", one.name)):
            if path in used:
                continue
            try:
                result = self._take(path, used, is_asked_for=len(paths) == 1)
            except _NotTakenError as refusal:
                result = Taken(path, refusal.outcome, refusal.reason, refusal.params)
            self._counts[result.outcome] = self._counts.get(result.outcome, 0) + 1
            yield result

    def _take(self, path: Path, used: set[Path], *, is_asked_for: bool) -> Taken:
        head = _head(path)
        suffix = path.suffix.lower()
        if suffix == ".hea":
            return self._take_wfdb(path, used)
        if path.name.upper() == "DICOMDIR":
            raise _NotTakenError("skipped", "import.dicomdir")
        if head[128:132] == b"DICM":
            return self._take_dicom(path)
        if not head:
            raise _NotTakenError("refused", "ecg.empty_file")
        if suffix in _DICOM_SUFFIXES:
            raise _NotTakenError("refused", "quarantine.not_dicom")
        if suffix in _SIGNAL_SUFFIXES:
            raise _NotTakenError("refused", "ecg.no_header")
        if suffix == ".zip":
            raise _NotTakenError("refused", "import.zip")
        raise _NotTakenError("refused" if is_asked_for else "skipped", "import.unknown_format")

    def _take_dicom(self, path: Path) -> Taken:
        spool = SpoolFile(lambda: self._roof.blobs.spool_dir, b"")
        try:
            with path.open("rb") as stream:
                while chunk := _read(stream):
                    spool.write(chunk)
            spooled = spool.finish()
            return self._file(path, spooled, *self._look_at(spooled.path))
        finally:
            spool.discard()  # adopted by now, or not to be kept

    def _look_at(self, spooled: Path) -> tuple[ObjectRecord | None, Problem | None]:
        """What the object says. Raises _NotTakenError for a media directory, or an ECG that has no scale."""
        zone = self._roof.settings.zone
        try:
            record = extract(spooled, fallback_character_set="GB18030", zone=zone)
        except Problem as problem:
            if problem.record is not None and problem.record.sop_class_uid == MEDIA_DIRECTORY:
                raise _NotTakenError("skipped", "import.dicomdir") from None
            if problem.params.get("sop_class_uid") == MEDIA_DIRECTORY or _is_media_directory(spooled):
                raise _NotTakenError("skipped", "import.dicomdir") from None
            return None, problem
        if record.kind == "ecg":
            try:
                ecg_dicom.read(spooled, zone)
            except EcgError as error:
                raise _NotTakenError("refused", f"ecg.{error.code}", error.params) from None
        return record, None

    def _take_wfdb(self, header: Path, used: set[Path]) -> Taken:
        content = {header.name: _bytes(header)}
        try:
            text = content[header.name].decode("utf-8", "replace")
            names = wfdb_record.check_header(text, _Folder(header.parent))
            used |= {header.parent / name for name in names}
            content |= {name: _bytes(header.parent / name) for name in names}
            (ecg,) = read_upload(content, self._roof.settings.zone).ecgs
            if not self._patient_name:
                raise _NotTakenError("refused", "import.no_identity")
            data = self._waveform(ecg, header)
        except EcgError as error:
            raise _NotTakenError("refused", f"ecg.{error.code}", error.params) from None
        except ObjectError as error:
            raise _NotTakenError("refused", f"import.{error.code}", error.params) from None
        spool = SpoolFile(lambda: self._roof.blobs.spool_dir, data)
        try:
            spooled = spool.finish()
            return self._file(header, spooled, *self._look_at(spooled.path))
        finally:
            spool.discard()

    def _waveform(self, ecg: UploadedEcg, header: Path) -> bytes:
        """The record as an object; where the header has no time of recording, the object says that it is unknown."""
        written = datetime.fromtimestamp(header.stat().st_mtime, UTC).replace(microsecond=0)
        recorded_at = ecg.recording.acquired_at
        study_uid, series_uid, sop_uid = content_uids(ecg, self._site.code, self._patient_name, self._patient_id)
        study = StudyIdentity(
            study_instance_uid=study_uid, patient_name=self._patient_name, patient_id=self._patient_id or None,
            started_at=recorded_at.astimezone(self._roof.settings.zone) if recorded_at else None,
        )  # fmt: skip
        received_at = written.astimezone(self._roof.settings.zone)
        return waveform_object(ecg, study, recorded_at, received_at, (series_uid, sop_uid))

    def _file(self, path: Path, spooled: Spooled, record: ObjectRecord | None, problem: Problem | None) -> Taken:
        key = self._roof.blobs.adopt(spooled.path, spooled.digest)
        known = record or (problem.record if problem else None)
        filed = self._inbox.file(
            self._sender,
            ReceivedObject(
                association_id=self._association_id, blob_key=key, digest=spooled.digest,
                size_bytes=spooled.size_bytes, sop_class_uid=known.sop_class_uid if known else "",
                sop_instance_uid=known.sop_instance_uid if known else "",
                transfer_syntax_uid=known.transfer_syntax_uid if known else "", record=record, problem=problem,
            ),
        )  # fmt: skip
        return Taken(path, filed.outcome, f"quarantine.{filed.reason}" if filed.reason else "")


class _Folder(Mapping[str, bytes]):
    """The files of a folder, read when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> bytes:
        return _bytes(self._folder / name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (self._folder / name).is_file()

    def __iter__(self) -> Iterator[str]:
        return (path.name for path in self._folder.iterdir() if path.is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(132)
    except OSError as error:
        raise _NotTakenError("refused", "import.unreadable", {"cause": error.strerror or ""}) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _NotTakenError("refused", "import.unreadable", {"cause": error.strerror or ""}) from None


def _read(stream: Any) -> bytes:
    """The next bytes of a file that is not ours: its failure is its own, not our storage's."""
    try:
        return bytes(stream.read(_READ_BYTES))
    except OSError as error:
        raise _NotTakenError("refused", "import.unreadable", {"cause": error.strerror or ""}) from None


def _is_media_directory(path: Path) -> bool:
    """By the class in the file meta, which lies in the first bytes."""
    with path.open("rb") as stream:
        return MEDIA_DIRECTORY.encode() in stream.read(1024)

