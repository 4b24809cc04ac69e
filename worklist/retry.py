"""When a failed piece of outbox work is tried again, and when it is given up. [domain]"""

import re
from datetime import datetime, timedelta

FIRST_WAITS_S = (10, 30, 60, 120, 300, 900)
LAST_WAIT_S = 1800
GIVE_UP_AFTER = timedelta(hours=72)  # a township's PACS may stand still over a long weekend


class Retry(Exception):
    """A handler failed for now. ``retry_at`` overrides the schedule below."""

    def __init__(self, code: str, retry_at: datetime | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_at = retry_at


class GiveUp(Exception):
    """A handler failed for good: trying again cannot help."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def next_attempt(n_attempts: int) -> timedelta | None:
    """How long to wait after the ``n_attempts``-th failure (1, 2, …); None: give up.

    10 s, 30 s, 1, 2, 5, 15, then every 30 minutes, until 72 hours of waiting would be exceeded.
    """
    wait_s = FIRST_WAITS_S[n_attempts - 1] if n_attempts <= len(FIRST_WAITS_S) else LAST_WAIT_S
    waited_s = sum(FIRST_WAITS_S[:n_attempts]) + LAST_WAIT_S * max(0, n_attempts - len(FIRST_WAITS_S))
    return timedelta(seconds=wait_s) if timedelta(seconds=waited_s) <= GIVE_UP_AFTER else None


def code_of(error: BaseException) -> str:
    """The code kept in the outbox and the log: never the message, which may hold a patient's name."""
    code = getattr(error, "code", None)
    is_code = isinstance(code, str) and re.fullmatch(r"[a-z0-9_.:]{1,64}", code)
    return str(code) if is_code else type(error).__name__
