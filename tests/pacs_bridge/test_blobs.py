"""The blob store: named by content, safe to repeat, swept of what dead processes left."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from pacs_bridge.blobs import FileBlobs


def test_put_twice_is_one_object(blobs: FileBlobs) -> None:
    key = blobs.put(b"bytes")
    assert blobs.put(b"bytes") == key == blake3(b"bytes").hexdigest()
    assert list(blobs.keys()) == [key]
    with blobs.open(key) as stream:
        assert stream.read() == b"bytes"
    assert blobs.verify(key)
    assert blobs.path(key).stat().st_mode & 0o077 == 0
    assert list(blobs.spool_dir.iterdir()) == []


def test_a_changed_object_is_noticed(blobs: FileBlobs) -> None:
    key = blobs.put(b"bytes")
    blobs.path(key).write_bytes(b"bytez")
    assert not blobs.verify(key)
    blobs.put(b"bytes")  # sent again: mended
    assert blobs.verify(key)


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_keys_name_objects(blobs: FileBlobs, key: str) -> None:
    with pytest.raises(ValueError, match="not a blob key"):
        blobs.path(key)


def test_many_threads_store_the_same(blobs: FileBlobs) -> None:
    threads = [threading.Thread(target=lambda: [blobs.put(b"%d" % n) for n in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(blobs.keys()) == sorted(blake3(b"%d" % n).hexdigest() for n in range(20))
    assert all(blobs.verify(key) for key in blobs.keys())  # noqa: SIM118


LEAVE_HALF = """
import os, sys, tempfile
from pacs_bridge.blobs import FileBlobs
blobs = FileBlobs(sys.argv[1])
tempfile.mkstemp(dir=blobs.spool_dir)
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_spool_of_a_killed_process_is_swept_that_of_a_living_one_not(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVE_HALF, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        blobs = FileBlobs(tmp_path)
        assert blobs.sweep_spool() == 0
        process.kill()
    assert blobs.sweep_spool() == 1
    assert list((tmp_path / "spool").iterdir()) == []


def test_derived_data_appears_whole_and_goes_with_its_object(blobs: FileBlobs) -> None:
    key = blobs.put(b"bytes")
    path = blobs.put_derived(key, "1.jphc", b"frame")
    assert path == blobs.root / "derived" / key / "1.jphc"
    assert path.read_bytes() == b"frame"
    blobs.remove(key)
    assert not path.exists()
    assert not blobs.exists(key)
