"""What a process and everything below it costs: CPU seconds and proportional memory, from /proc."""

import os
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """The process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children.get(process, [])
    return found


def pss_bytes(processes: list[int]) -> int:
    """Proportional set size: shared pages are counted once over all sharers."""
    return _rolled_up(processes, "Pss:")


def own_bytes(processes: list[int]) -> int:
    """Memory that is theirs alone, shared pages counted once: no mapped files, whose share others change by ending."""
    return _rolled_up(processes, "Pss_Anon:", "Pss_Shmem:")


def _rolled_up(processes: list[int], *names: str) -> int:
    total = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))
    return total


def cpu_share(root: int, over_s: float) -> float:
    """CPU of the tree over the next ``over_s`` seconds, as a share of one core."""
    before = _cpu_s(tree(root))
    time.sleep(over_s)
    return (_cpu_s(tree(root)) - before) / over_s


def _cpu_s(processes: list[int]) -> float:
    ticks = 0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S
