"""Seen by the kernel: fsync file, rename, fsync directory, index commit, and only then the response."""

import os
import re
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pacs_bridge.blobs import FileBlobs
from tests.peers import dcmtk
from tests.peers.data import shared_data

ROOT = Path(__file__).parents[2]
N_INSTANCES = 100
CALLS = "openat,rename,renameat,renameat2,fsync,fdatasync,sendto,unlink"


@pytest.fixture
def hundred_slices(tmp_path: Path) -> Path:
    directory = tmp_path / "ct"
    with tarfile.open(shared_data("dicom", "ct", "cmb-crc-01068_lung_100.tar.xz")) as archive:
        archive.extractall(directory, filter="data")
    return directory


@contextmanager
def traced_listener(directory: Path, trace: Path) -> Iterator[int]:
    strace = dcmtk.require("strace")
    command = [strace, "-f", "-y", "-qq", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace),
               sys.executable, "-m", "tests.pacs_bridge.traced_listener", str(directory)]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    with process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def steps(trace: Path) -> Iterator[str]:
    """The trace as steps: spool-sync, rename KEY, dir-sync KEY-DIRECTORY, index-sync, response."""
    for line in completed_lines(trace):
        if line.startswith(("fsync", "fdatasync")):
            path = re.search(r"<([^>]*)>", line)
            assert path is not None
            assert line.endswith("= 0")
            name = path.group(1)
            if "/spool/" in name and not name.endswith(".lock"):
                yield f"file-sync {name}"
            elif name.endswith(("index.db", "index.db-wal")):
                yield "index-sync"
            elif "/objects" in name:
                yield f"dir-sync {name}"
        elif line.startswith("rename") and "/objects/" in line:
            old, new = re.findall(r'"([^"]*)"', line)
            assert line.endswith("= 0")
            yield f"rename {old} {new}"
        elif line.startswith("sendto") and r'"\4\0' in line:  # a P-DATA-TF PDU: the C-STORE response
            yield "response"


def completed_lines(trace: Path) -> Iterator[str]:
    """System calls in the order they ended, those cut by another thread joined."""
    unfinished: dict[str, str] = {}
    for raw in trace.read_text(errors="replace").splitlines():
        thread, line = raw.split(maxsplit=1)
        if line.endswith("<unfinished ...>"):
            unfinished[thread] = line.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", line)
        yield unfinished.pop(thread) + resumed.group(1) if resumed else line


def test_nothing_is_acknowledged_before_it_is_durable(tmp_path: Path, hundred_slices: Path) -> None:
    trace = tmp_path / "trace"
    with traced_listener(tmp_path / "data", trace) as port:
        result = dcmtk.dcmsend(port, "QS_CT", [hundred_slices], "+sd", "+r")
        assert result.returncode == 0, result.stderr
    n_responses = 0
    pending: list[str] = []
    for step in steps(trace):
        if step != "response":
            pending.append(step)
            continue
        check_one(pending)
        pending = []
        n_responses += 1
    assert n_responses == N_INSTANCES
    blobs = FileBlobs(tmp_path / "data" / "blobs")
    with closing(sqlite3.connect(tmp_path / "data" / "index.db")) as index:
        rows = index.execute("SELECT blob_key FROM instance").fetchall()
    assert len(rows) == N_INSTANCES
    assert all(blobs.verify(key) for (key,) in rows)


def check_one(pending: list[str]) -> None:
    """The steps between two responses tell exactly the story of one object."""
    renames = [step for step in pending if step.startswith("rename")]
    assert len(renames) == 1, pending
    _, spooled, stored = renames[0].split()
    at = pending.index(renames[0])
    assert pending.index(f"file-sync {spooled}") < at
    directory = stored.rsplit("/", 1)[0]
    directory_at = max(index for index, step in enumerate(pending) if step == f"dir-sync {directory}")
    assert at < directory_at
    index_at = max(index for index, step in enumerate(pending) if step == "index-sync")
    assert directory_at < index_at == len(pending) - 1
    # A directory that is new is itself made durable in its parent before anything relies on it.
    if (parent := f"dir-sync {directory.rsplit('/', 1)[0]}") in pending:
        assert pending.index(parent) < at


def test_the_check_can_fail() -> None:
    story = ["file-sync /s/a", "rename /s/a /objects/aa/bb/k", "dir-sync /objects/aa/bb", "index-sync"]
    check_one(story)
    for cut in range(4):
        with pytest.raises((AssertionError, ValueError)):
            check_one(story[:cut] + story[cut + 1 :])
    with pytest.raises(AssertionError):
        check_one([story[0], story[1], story[3], story[2]])
