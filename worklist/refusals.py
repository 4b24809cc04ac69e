"""Refused associations in the audit trail, also those refused because the database took no row just then. [app]"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import OperationalError

from worklist.base import audit
from worklist.base.db import Database

log = logging.getLogger("teleread.inbox")

MOST_WAITING = 500  # a flood is in the log; the newest of it come to the trail
WAITS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)  # then each time the last one again


@dataclass(frozen=True)
class Refusal:
    """``reason``: what the trail calls it; ``cause``: of the database, where that is why."""

    at: datetime
    calling_ae: str
    called_ae: str
    address: str
    reason: str
    cause: str = ""


def cause_of(error: OperationalError) -> str:
    """The database's own name for its trouble, without its sentence: that may name hosts and values."""
    original = error.orig
    name = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return str(name or type(original).__name__)


class RefusalNotes:
    """Writes each refusal at once, or as soon as the database takes rows again; safe for many threads."""

    def __init__(self, db: Database, waits_s: Sequence[float] = WAITS_S, sleep: Callable[[float], None] = time.sleep):
        self._db, self._waits_s, self._sleep = db, waits_s, sleep
        self._waiting: deque[Refusal] = deque(maxlen=MOST_WAITING)
        self._is_writing = False
        self._lock = threading.Lock()

    def note(self, refusal: Refusal) -> None:
        """Never raises for a database that is busy or away: the peer has its answer, the row comes later."""
        try:
            self._write([refusal])
        except OperationalError as error:
            self.note_later(refusal, error)

    def note_later(self, refusal: Refusal, error: OperationalError) -> None:
        """Log it now, write it when the database is back."""
        log.error(
            "association of %s from %s refused (%s), not in the trail yet: %s",
            refusal.calling_ae or "?", refusal.address, refusal.reason, cause_of(error),
        )  # fmt: skip
        with self._lock:
            self._waiting.append(refusal)
            if self._is_writing:
                return
            self._is_writing = True
        threading.Thread(target=self._catch_up, name="refusals", daemon=True).start()

    def _catch_up(self) -> None:
        n_tries = 0
        while True:
            self._sleep(self._waits_s[min(n_tries, len(self._waits_s) - 1)])
            n_tries += 1
            with self._lock:
                waiting = list(self._waiting)
            try:
                self._write(waiting)
            except OperationalError:
                continue
            with self._lock:
                for refusal in waiting:
                    if refusal in self._waiting:  # a flood may have pushed it out
                        self._waiting.remove(refusal)
                if not self._waiting:
                    self._is_writing = False
                    return

    def _write(self, refusals: Sequence[Refusal]) -> None:
        with self._db.write() as session:
            for one in refusals:
                audit.record(
                    session, now=one.at, actor=one.calling_ae or "?", role="device", site="?", act="association.open",
                    object_type="association", object_uid=one.called_ae, result=one.reason,
                    details={"address": one.address} | ({"cause": one.cause} if one.cause else {}),
                )  # fmt: skip
