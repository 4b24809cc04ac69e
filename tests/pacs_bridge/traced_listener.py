"""A listener with a small SQLite index, to be run under strace: prints its port, ends at the end of its input."""

import sqlite3
import sys
import threading
from pathlib import Path

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.listener import Listener
from pacs_bridge.ports import ReceivedObject
from tests.pacs_bridge.inbox import MemoryInbox


class SqliteInbox(MemoryInbox):
    """Commits one row per object, fully synchronous, as the product's index does."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE instance (sop_instance_uid TEXT, blob_key TEXT)")
        self._connection.commit()
        self._write = threading.Lock()

    def receive(self, received: ReceivedObject) -> int:
        received.wait_durable()
        with self._write, self._connection:
            self._connection.execute(
                "INSERT INTO instance VALUES (?, ?)", (received.sop_instance_uid, received.blob_key)
            )
        return 0x0000


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    listener = Listener(SqliteInbox(directory / "index.db"), FileBlobs(directory / "blobs"), "TELEREAD", "127.0.0.1", 0)
    listener.start()
    print(listener.port, flush=True)
    sys.stdin.read()
    if not listener.stop(8):
        sys.exit("associations did not end")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
