"""A real file system that is soon full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """``size_bytes`` in memory, mounted at ``folder``; needs root: without it skips loudly, fails with CI=true."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        message = "cannot mount a small file system (needs root)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
