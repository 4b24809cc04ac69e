"""A listener on a free port with an inbox that remembers."""

import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.listener import Limits, Listener
from tests.pacs_bridge.inbox import MemoryInbox
from tests.peers.data import shared_data


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[FileBlobs]:
    store = FileBlobs(tmp_path / "blobs")
    yield store
    store.close()


@pytest.fixture
def start_listener(inbox: MemoryInbox, blobs: FileBlobs) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(**limits: float) -> Listener:
        listener = Listener(inbox, blobs, "TELEREAD", "127.0.0.1", 0, Limits(**limits))  # type: ignore[arg-type]
        listener.start()
        started.append(listener)
        return listener

    yield start
    for listener in started:
        assert listener.stop(8)


@pytest.fixture
def listener(start_listener: Callable[..., Listener]) -> Listener:
    return start_listener()


@pytest.fixture(scope="session")
def ct_series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The 28 slices of a real head CT."""
    directory = tmp_path_factory.mktemp("ct")
    with tarfile.open(shared_data("dicom", "ct", "ge_head_variable_tilt_28.tar.xz")) as archive:
        archive.extractall(directory, filter="data")
    return sorted(path for path in directory.rglob("*") if path.is_file())


def wait_for(condition: Callable[[], bool], timeout_s: float = 5) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return condition()
