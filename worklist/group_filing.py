"""Objects of several associations, filed by one commit; each is answered after it. [app]

Whoever comes while a commit is under way joins the next one. A single association is its own leader and waits
for nobody. An object that the short way does not take goes the long way, alone: it spoils nobody's commit.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from worklist.base.db import Database, Writer
from worklist.base.together import Together
from worklist.known_filing import Changed, Item, file_known
from worklist.receive_service import PROGRESS_INTERVAL

log = logging.getLogger("teleread.inbox")

MOST_AT_ONCE = 32


class GroupFiling:
    """``file`` may be called from many threads at once."""

    def __init__(self, db: Database, now: Callable[[], datetime]) -> None:
        self._db, self._now = db, now
        self._together = Together(self._commit_group, MOST_AT_ONCE)
        self._writer: Writer | None = None  # touched by whoever has the turn

    def file(self, item: Item) -> bool:
        """True: filed and committed. False: not taken, nothing is changed. Raises what the database raises."""
        outcome = self._together(item)
        if isinstance(outcome, OperationalError):
            raise outcome
        return outcome

    def _commit_group(self, items: list[Item]) -> Sequence[bool | OperationalError]:
        """Where it did not do, each tries the long way, alone, and hears for itself what is wrong."""
        try:
            return self._file_all(items)
        except (Changed, IntegrityError, OSError):  # the last: a disk that did not take one of them
            return [False] * len(items)
        except OperationalError as error:
            # Perhaps only this connection is gone: the long way has another, and says what is wrong if all are.
            # A database that was locked to the end of our patience is not asked a second time.
            self._forget_connection()
            return [error if self._db.is_sqlite else False] * len(items)
        except Exception as error:
            log.error("objects not filed together: %s", type(error).__name__)
            self._forget_connection()
            return [False] * len(items)

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
        with self._together.turn:
            self._forget_connection()
