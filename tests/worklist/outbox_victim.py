"""A worker process for tests that kill it: ``python -m tests.worklist.outbox_victim URL FOLDER [LEASE_S]``.

The handler holds a file lock while it acts: the kernel frees it at SIGKILL, and a second holder is seen.
"""

import fcntl
import random
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from worklist.base.db import Database
from worklist.base.outbox import Job
from worklist.worker import Worker

LEASE_S = 3.0


def main(url: str, folder: Path, lease_s: float) -> None:
    def act(job: Job) -> None:
        with (folder / f"{job.key}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                (folder / f"{job.key}.clash").touch()
            time.sleep(random.uniform(0.1, 0.3))
            with (folder / f"{job.key}.done").open("a") as done:
                done.write("x")
            time.sleep(random.uniform(0.0, 0.1))  # room for a kill between the act and its finish

    worker = Worker(Database(url), {"effect": act}, lambda: datetime.now(UTC), n_threads=2, lease_s=lease_s)
    worker.run(threading.Event())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else LEASE_S)
