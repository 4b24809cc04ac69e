"""Names of lease owners that tell which process it is, and whether it has died. [adapter]

A process is its number, the moment it started and the space in which the number counts: one boot of one kernel and
one PID namespace (pid_namespaces(7)). Of an owner in another space nothing is known but that its lease runs out.
"""

import hashlib
import os
import re
import secrets
from functools import cache
from pathlib import Path

_STARTED = 19  # starttime, the 22nd field of proc_pid_stat(5), counted behind the command's ")" and from 0
_OWNER = re.compile(r"([0-9a-f]{16})\.(\d+)\.(\d+):.*")


def new_owner() -> str:
    """A name no other worker has, in this life or an earlier one; at most 56 characters."""
    process_id = os.getpid()
    return f"{_space()}.{process_id}.{_started(process_id)}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Whether its process is known to have ended; what its number means now is another one's."""
    known = _OWNER.fullmatch(owner)
    return known is not None and known[1] == _space() and _started(int(known[2])) != int(known[3])


@cache
def _space() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]


def _started(process_id: int) -> int | None:
    """Clock ticks after the boot; None where there is no such process."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[_STARTED])
