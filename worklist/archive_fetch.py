"""How the local store gets back a file that it has let go. [app]"""

from collections.abc import Callable, Iterator
from datetime import datetime

from pacs_bridge.cached_blobs import Fetch
from pacs_bridge.ports import Archive, ArchivedObject
from worklist import archive_store
from worklist.archive_tables import STORED
from worklist.base.db import Database


def fetch_from(db: Database, archive: Archive, now: Callable[[], datetime]) -> Fetch:
    """The bytes of a key out of the archive; None where it has never confirmed to hold them."""

    def fetch(key: str) -> Iterator[bytes] | None:
        with db.read() as session:
            found = archive_store.archived_object(session, archive.name, key)
        return _noted(found[0]) if found is not None and found[1] == STORED else None

    def _noted(archived: ArchivedObject) -> Iterator[bytes]:
        yield from archive.retrieve(archived)
        with db.write() as session:
            archive_store.note_fetched(session, archive.name, archived.digest, now())

    return fetch
