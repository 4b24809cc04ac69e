"""Objects of several associations, filed by one commit; each is answered after it. [app]

Whoever comes while a commit is under way joins the next one. A single association is its own leader and waits
for nobody. An object that the short way does not take goes the long way, alone: it spoils nobody's commit.
"""

import contextlib
import threading
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from worklist.base.db import Database, Writer
from worklist.known_filing import Changed, Item, file_known
from worklist.receive_service import PROGRESS_INTERVAL

MOST_AT_ONCE = 32


class _Waiting:
    def __init__(self, item: Item) -> None:
        self.item = item
        self.is_done = self.is_filed = False
        self.error: OperationalError | None = None


class GroupFiling:
    """``file`` may be called from many threads at once."""

    def __init__(self, db: Database, now: Callable[[], datetime]) -> None:
        self._db, self._now = db, now
        self._arrived = threading.Lock()
        self._commit = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._writer: Writer | None = None  # touched by who holds the commit lock

    def file(self, item: Item) -> bool:
        """True: filed and committed. False: not taken, nothing is changed. Raises what the database raises."""
        own = _Waiting(item)
        with self._arrived:
            self._waiting.append(own)
        with self._commit:
            if not own.is_done:
                self._commit_group(own)
        if own.error is not None:
            raise own.error
        return own.is_filed

    def _commit_group(self, own: _Waiting) -> None:
        with self._arrived:
            group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            if own not in group:  # more came before us than one commit takes: we lead, so we are in it
                self._waiting.remove(own)
                group.append(own)
        try:
            filed = self._file_all([one.item for one in group])
        except (Changed, IntegrityError, OSError):  # a disk that did not take one of them: each hears for itself
            filed = [False] * len(group)
        except OperationalError as error:
            # Perhaps only this connection is gone: the long way has another, and says what is wrong if all are.
            # A database that was locked to the end of our patience is not asked a second time.
            filed = [False] * len(group)
            for one in group:
                one.error = error if self._db.is_sqlite else None
            self._forget_connection()
        except BaseException:
            # The others try on their own, and hear for themselves what is wrong.
            for one in group:
                one.is_done = True
            self._forget_connection()
            raise
        for one, is_filed in zip(group, filed, strict=True):
            one.is_filed, one.is_done = is_filed, True

    def _file_all(self, items: list[Item]) -> list[bool]:
        if self._writer is None:
            self._writer = self._db.writer()
        with self._writer.transaction() as cursor:
            filed = file_known(cursor, self._writer.database, items, self._now(), PROGRESS_INTERVAL)
            for item in items:  # the disk has been at it meanwhile
                item.received.wait_durable()
            return filed

    def _forget_connection(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._writer.close()
        self._writer = None

    def close(self) -> None:
        """Nothing more comes; a later call opens again."""
        with self._commit:
            self._forget_connection()
