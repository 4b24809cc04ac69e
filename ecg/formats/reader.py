"""What an upload holds: DICOM ECG files, WFDB records, or zip files of these; everything else is refused. [adapter]"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from io import BytesIO
from pathlib import PurePosixPath

from ecg.formats import dicom, wfdb_record
from ecg.formats.wfdb_record import WfdbRecord
from ecg.waveform import EcgError, Recording

MOST_UNPACKED_BYTES = 200_000_000
MOST_FILES = 50


@dataclass(frozen=True, eq=False)
class UploadedEcg:
    """One recording of an upload. ``data`` are the bytes of a DICOM object as sent; ``wfdb`` is set for a WFDB record.

    ``name`` is the uploaded file's name (of the header for WFDB), ``kind`` is ``dicom`` or ``wfdb``.
    """

    name: str
    kind: str
    recording: Recording
    data: bytes | None = None
    wfdb: WfdbRecord | None = None


@dataclass(frozen=True, eq=False)
class Upload:
    """All recordings of an upload in order of their names, and the files that belong to none (annotations, notes)."""

    ecgs: tuple[UploadedEcg, ...]
    ignored: tuple[str, ...]


def read_upload(files: Mapping[str, bytes], zone: tzinfo | None = None) -> Upload:
    """Everything in ``files`` (name to bytes). One bad recording refuses the whole upload, so nothing is half taken.

    Raises EcgError empty_upload, empty_file, too_many_files, too_large, damaged_zip, unknown_format, or the code of the
    reader, always with ``file`` among the params.
    """
    unpacked = unpack(files)
    if not unpacked:
        raise EcgError("empty_upload")
    ecgs, used = [], set()
    for name in sorted(name for name in unpacked if name.lower().endswith(".hea")):
        ecg, names = _wfdb(name, unpacked, zone)
        ecgs.append(ecg)
        used |= names
    for name in sorted(set(unpacked) - used):
        if _may_be_dicom(name, unpacked[name]):
            with _named(name):
                ecgs.append(UploadedEcg(name, "dicom", dicom.read(unpacked[name], zone), data=unpacked[name]))
            used.add(name)
    ignored = tuple(sorted(set(unpacked) - used))
    if not ecgs:
        raise _refusal(ignored, unpacked)
    return Upload(tuple(sorted(ecgs, key=lambda ecg: ecg.name)), ignored)


def unpack(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with zip files replaced by what they hold, ``archive.zip/inner/name``; zips inside zips stay files.

    Raises EcgError too_many_files, too_large, damaged_zip; sizes are counted while unpacking, not as declared.
    """
    unpacked: dict[str, bytes] = {}
    size = 0
    for name, data in _members(files):
        size += len(data)
        if size > MOST_UNPACKED_BYTES:
            raise EcgError("too_large", file=name, most_mb=MOST_UNPACKED_BYTES // 1_000_000)
        if len(unpacked) == MOST_FILES:
            raise EcgError("too_many_files", file=name, most=MOST_FILES)
        unpacked[name] = data
    return unpacked


def _members(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, data in files.items():
        if data[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
            yield name, data
            continue
        try:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        yield f"{name}/{entry.filename}", _inflate(archive, entry)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise EcgError("damaged_zip", file=name) from error


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """At most one byte more than the limit, so a bomb is seen without being unpacked."""
    with archive.open(entry) as member:
        return member.read(MOST_UNPACKED_BYTES + 1)


def _wfdb(header: str, files: Mapping[str, bytes], zone: tzinfo | None) -> tuple[UploadedEcg, set[str]]:
    """A record from the files of its header's folder, and the full names it used."""
    folder = str(PurePosixPath(header).parent)
    beside = {PurePosixPath(name).name: name for name in files if str(PurePosixPath(name).parent) == folder}
    plain = {short: files[full] for short, full in beside.items()}
    with _named(header):
        short = PurePosixPath(header).name
        record = wfdb_record.read(plain, short, zone)
        names = wfdb_record.check_header(plain[short].decode("utf-8", "replace"), plain)
    return UploadedEcg(header, "wfdb", record.recording, wfdb=record), {header, *(beside[name] for name in names)}


def _may_be_dicom(name: str, data: bytes) -> bool:
    """By preamble, by name, or by a first element of group 0002 or 0008 where the preamble is lost."""
    is_dicomdir = PurePosixPath(name).name.upper() == "DICOMDIR"
    starts_as_dicom = data[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08") and data[2:4] != b""
    by_name = name.lower().endswith((".dcm", ".dicom"))
    return not is_dicomdir and (data[128:132] == b"DICM" or by_name or starts_as_dicom)


def _refusal(ignored: tuple[str, ...], files: Mapping[str, bytes]) -> EcgError:
    name = ignored[0]
    if not files[name]:
        return EcgError("empty_file", file=name)
    if name.lower().endswith((".dat", ".mat")):
        return EcgError("no_header", file=name)
    return EcgError("unknown_format", file=name)


class _named:  # noqa: N801 - reads as a verb at its use
    """Adds the file's name to the params of an EcgError that passes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EcgError):
            error.params.setdefault("file", self.name)
