"""A real file system that is soon full."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.lacking import lacking


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """``size_bytes`` in memory, mounted at ``folder``; `lacking` where it may not be: that takes root."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        lacking("cannot mount a small file system (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
