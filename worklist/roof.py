"""What every role stands on: settings, database, files, the clock. [app]"""

import logging
import os
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pacs_bridge.archives import open_archive
from pacs_bridge.blobs import FileBlobs
from pacs_bridge.cached_blobs import CachedBlobs
from pacs_bridge.ports import Archive
from worklist.archive_fetch import fetch_from
from worklist.base.config import ConfigError, Settings
from worklist.base.db import Database
from worklist.migrations.metadata import metadata


def clock() -> datetime:
    """The one place where the product asks for the time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Roof:
    """One process's share of the machine."""

    settings: Settings
    db: Database
    blobs: FileBlobs
    now: Callable[[], datetime] = clock
    archive: Archive | None = None  # None: our own store is all there is

    @property
    def keys_dir(self) -> Path:
        return self.settings.data_path / "keys"

    def close(self) -> None:
        self.blobs.close()
        if self.archive is not None:
            self.archive.close()
        self.db.dispose()


def run_name(role: str) -> str:
    """What this run of a role is called in the index: ``role:host:unique``, at most 64 characters."""
    return f"{role}:{socket.gethostname()[:20]}:{uuid4().hex}"


def _hush_pydicom() -> None:
    """Its warnings quote values of data sets, and those are patients'."""
    warnings.filterwarnings("ignore", module="pydicom")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def open_roof(settings: Settings) -> Roof:
    """Open the data directory (0700) and the database. Raises ConfigError for an address that we cannot use."""
    if settings.blob_url != "file:":
        raise ConfigError(f"TELEREAD_BLOB_URL={settings.blob_url}: 只支持 file: / only file: is supported")
    _hush_pydicom()
    metadata()  # every table is known from here on: foreign keys cross the packages
    os.umask(0o077)
    settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    db, folder = Database(settings.resolved_database_url), settings.data_path / "blobs"
    try:
        archive = open_archive(settings.archive)
    except ValueError:
        raise ConfigError("TELEREAD_ARCHIVE: 地址无法使用 / is no address of an archive") from None
    if archive is None:
        return Roof(settings, db, FileBlobs(folder))
    return Roof(settings, db, CachedBlobs(folder, fetch_from(db, archive, clock), clock), archive=archive)
