"""Metadata of stored instances and of whole series as files, made once and sent as they are. [adapter]

METADATA_FILE beside an instance's other derived data (made with them, or here) has no addresses in it; the file of a
series has them, for the address it was asked by. All of it can be made again at any time: of series, studies and
instances that are asked for, the newest MOST_FOLDERS are kept.
"""

import gzip
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.dicom_json import BULK_MARK, METADATA_FILE, corrected_json, instance_json

MAKER = "teleread-metadata/2"
GZIP_LEVEL = 5  # series metadata shrink to a twentieth
MOST_FOLDERS, SHARDS = 20_480, 256
_KEPT = 6  # files of one series: it has as many addresses as the server has names
_MARKED = f'"BulkDataURI":"{BULK_MARK}'


@dataclass(frozen=True)
class Described:
    """An instance whose metadata are wanted. ``url``: of the instance, where its bulk data will be found."""

    blob_key: str
    url: str
    corrections: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MetadataFile:
    """One JSON array, plain and gzipped, and its validator."""

    plain: Path
    gzipped: Path
    etag: str


class MetadataCache:
    """Safe for many threads and processes at once: files appear whole."""

    def __init__(self, blobs: FileBlobs) -> None:
        self._blobs = blobs

    def instance(self, blob_key: str) -> str:
        """The metadata without addresses. Raises OSError where the object is gone."""
        path = self._blobs.derived_dir(blob_key) / METADATA_FILE
        with suppress(OSError):
            if text := path.read_text("utf-8"):
                return text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values of the data set, which are the patient's
            text = instance_json(self._blobs.path(blob_key))
        self._blobs.put_derived(blob_key, METADATA_FILE, text.encode())
        return text

    def described(self, one: Described) -> str:
        """The metadata as they leave: corrected, with addresses."""
        text = corrected_json(self.instance(one.blob_key), one.corrections)
        return text.replace(_MARKED, f'"BulkDataURI":"{one.url}/bulkdata/')

    def file_of(self, uid: str, wanted: Sequence[Described]) -> MetadataFile:
        """The array of all of these as a file; ``uid``: of the series or study that they are."""
        key = _key(wanted)
        name = blake3(uid.encode()).hexdigest()[:32]
        shard = self._blobs.root / "derived" / "metadata" / name[:2]
        folder = shard / name
        found = MetadataFile(folder / f"{key}.json", folder / f"{key}.json.gz", key)
        if not _is_there(found.gzipped) or not _is_there(found.plain):
            is_new = not folder.is_dir()
            text = "[" + ",".join(self.described(one) for one in wanted) + "]"
            self._put(found.plain, text.encode())
            self._put(found.gzipped, gzip.compress(text.encode(), GZIP_LEVEL, mtime=0))
            _thin_out(folder)
            if is_new:
                _let_go(shard, MOST_FOLDERS // SHARDS)
        return found

    def _put(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=self._blobs.spool_dir)  # each thread its own
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        Path(part).rename(path)


def _key(wanted: Sequence[Described]) -> str:
    hasher = blake3(MAKER.encode())
    for one in wanted:
        hasher.update(f"{one.blob_key} {one.url} {sorted(one.corrections.items())}\n".encode())
    return hasher.hexdigest()[:32]


def _is_there(path: Path) -> bool:
    """Whether the file is there with something in it: a power cut may leave an empty one."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _thin_out(folder: Path) -> None:
    """Old states of a growing series, and names by which the server is no longer called."""
    with suppress(FileNotFoundError):  # somebody else thins out
        files = sorted(folder.glob("*.json*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in files[2 * _KEPT :]:
            path.unlink(missing_ok=True)


def _let_go(shard: Path, most: int) -> None:
    """The folders that have been there longest go; whoever asks for one of them has it made again."""
    with suppress(FileNotFoundError):
        folders = sorted(shard.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for folder in folders[most:]:
            shutil.rmtree(folder, ignore_errors=True)
