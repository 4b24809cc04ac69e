"""Bad objects, a full disk, a failing index: each has its status on the wire, and nothing is half listed."""

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pydicom
import pytest

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.extract import read_file_meta
from pacs_bridge.listener import Listener
from pacs_bridge.records import Problem
from tests.pacs_bridge.inbox import MemoryInbox
from tests.peers import dcmtk
from tests.peers.data import shared_data
from tests.peers.raw_modality import RawModality
from tests.peers.small_disk import small_disk

CT_SMALL = ("dicom", "ct", "CT_small.dcm")


def data_set(*parts: str) -> bytes:
    data = shared_data(*parts).read_bytes()
    return data[read_file_meta(data)[1] :]


def spool_is_empty(blobs: FileBlobs) -> bool:
    return list(blobs.spool_dir.iterdir()) == []


@pytest.fixture
def sop_instance_uid() -> str:
    return str(pydicom.dcmread(shared_data(*CT_SMALL)).SOPInstanceUID)


# (bytes sent as a data set, what is wrong with them)
@pytest.mark.parametrize(("name", "code"), [
    ("MR_truncated.dcm", "truncated"), ("rtplan_truncated.dcm", "truncated"),
    ("GH220.dcm", "missing_study_instance_uid"),
    ("fuzz/TC0859_missing_sop_class.dcm", "missing_sop_class_uid"),
    ("fuzz/TC0969_midvalue_truncation.dcm", "truncated"),
    ("fuzz/TC0863_missing_study_uid.dcm", "missing_study_instance_uid"), ("UN_sequence.dcm", "missing_sop_class_uid"),
    ("fuzz/TC0711_encap_frag_len_maxuint_minus1.dcm", "truncated"),
    ("fuzz/TC1179_uid_traversal_win.dcm", "invalid_uid"),
    ("fuzz/TC0765_patientname_4096.dcm", "value_too_long"),
])  # fmt: skip
def test_a_bad_object_is_safe_and_goes_to_quarantine(
    listener: Listener, inbox: MemoryInbox, blobs: FileBlobs, name: str, code: str
) -> None:
    sent = data_set("dicom", "malformed", *name.split("/"))
    with RawModality(listener.port) as modality:
        assert modality.store(sent) == 0x0000
        assert modality.store(data_set(*CT_SMALL)) == 0x0000  # the association has not suffered
    bad = inbox.received[0]
    assert bad.problem is not None
    assert bad.problem.code == code
    kept = blobs.path(bad.blob_key).read_bytes()
    assert kept[read_file_meta(kept)[1] :] == sent


def test_bytes_that_are_nothing_are_kept_too(listener: Listener, inbox: MemoryInbox) -> None:
    with RawModality(listener.port) as modality:
        assert modality.store(os.urandom(1000)) == 0x0000
    assert inbox.received[0].problem is not None


def test_an_unknown_or_private_class_is_kept(listener: Listener, inbox: MemoryInbox) -> None:
    for sop_class in ("1.3.12.2.1107.5.9.1", "1.2.840.10008.5.1.4.1.1.999"):
        sent = data_set(*CT_SMALL).replace(b"1.2.840.10008.5.1.4.1.1.2\0", sop_class.encode().ljust(26, b"\0")[:26])
        with RawModality(listener.port, sop_class=sop_class) as modality:
            assert modality.store(sent) == 0x0000
        assert inbox.received[-1].problem is not None
        assert inbox.received[-1].sop_class_uid == sop_class


def test_a_query_class_is_not_storage(listener: Listener) -> None:
    with RawModality(listener.port, sop_class="1.2.840.10008.5.1.4.1.2.2.1") as modality:
        assert not modality.association.is_established


def test_other_uids_outside_than_inside(listener: Listener, inbox: MemoryInbox, sop_instance_uid: str) -> None:
    with RawModality(listener.port) as modality:
        assert modality.store(data_set(*CT_SMALL), "9.9.9") == 0x0000
        assert modality.store(data_set(*CT_SMALL), "../../etc/passwd") == 0x0000
        assert modality.store(data_set(*CT_SMALL), sop_instance_uid) == 0x0000
    codes = [received.problem.code if received.problem else None for received in inbox.received]
    assert codes == ["sop_instance_mismatch", "sop_instance_mismatch", None]


class DriverError(Exception):
    """As SQLAlchemy wraps a driver's error."""

    def __init__(self, orig: Exception) -> None:
        self.orig = orig


def locked() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorname = "SQLITE_BUSY"
    return error


@pytest.mark.parametrize(("failure", "status"), [
    (DriverError(locked()), 0xA700), (OSError(errno.ENOSPC, "full"), 0xA700), (OSError(errno.EDQUOT, "quota"), 0xA700),
    (RuntimeError("bug"), 0x0110), (0xA700, 0xA700),
])  # fmt: skip
def test_when_the_index_fails_the_sender_hears_it_and_can_go_on(
    listener: Listener, inbox: MemoryInbox, blobs: FileBlobs, sop_instance_uid: str,
    failure: int | Exception, status: int,
) -> None:  # fmt: skip
    inbox.answers = [failure]
    with RawModality(listener.port) as modality:
        assert modality.store(data_set(*CT_SMALL), sop_instance_uid) == status
        assert inbox.received == []
        assert modality.store(data_set(*CT_SMALL), sop_instance_uid) == 0x0000
    assert [received.problem for received in inbox.received] == [None]
    assert spool_is_empty(blobs)


def test_an_inbox_that_cannot_open_is_congestion(
    listener: Listener, inbox: MemoryInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise locked()

    monkeypatch.setattr(inbox, "association_opened", fail)
    result = dcmtk.echoscu(listener.port, "QS_CT")
    assert "Temporary Congestion" in result.stdout + result.stderr


class TestFullDisk:
    """A real file system of one megabyte, filled; needs root to mount."""

    SIZE_BYTES: ClassVar[int] = 1 << 20

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[FileBlobs]:
        with small_disk(tmp_path / "small", self.SIZE_BYTES) as mount:
            store = FileBlobs(mount)
            yield store
            store.close()

    @pytest.mark.parametrize("free_bytes", [0, 4096, 20_000])
    def test_no_space_is_a700_and_recovers(
        self, listener: Listener, inbox: MemoryInbox, blobs: FileBlobs, sop_instance_uid: str, free_bytes: int
    ) -> None:
        filler = blobs.root / "filler"
        filler.write_bytes(b"x" * (self.SIZE_BYTES - 16384 - free_bytes) if free_bytes else b"")
        if not free_bytes:
            with filler.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
                while True:
                    stream.write(b"x" * 4096)
        large = data_set("dicom", "malformed", "GH626.dcm")
        with RawModality(listener.port) as modality:
            assert modality.store(large * 2) == 0xA700
            assert inbox.received == []
            assert spool_is_empty(blobs)
            filler.unlink()
            assert modality.store(data_set(*CT_SMALL), sop_instance_uid) == 0x0000
        assert [received.problem for received in inbox.received] == [None]


def test_a_file_size_limit_is_a700(
    listener: Listener, inbox: MemoryInbox, blobs: FileBlobs, sop_instance_uid: str
) -> None:
    """The write fails in the middle of the data set (EFBIG), as on a quota."""
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with RawModality(listener.port) as modality:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
            status = modality.store(data_set(*CT_SMALL), sop_instance_uid)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, previous)
        assert status == 0xA700
        assert inbox.received == []
        assert spool_is_empty(blobs)
        assert modality.store(data_set(*CT_SMALL), sop_instance_uid) == 0x0000


def test_the_same_object_again_is_the_same_blob(
    listener: Listener, inbox: MemoryInbox, blobs: FileBlobs, sop_instance_uid: str
) -> None:
    with RawModality(listener.port) as modality:
        assert [modality.store(data_set(*CT_SMALL), sop_instance_uid) for _ in range(3)] == [0, 0, 0]
    assert len({received.blob_key for received in inbox.received}) == 1
    assert len(list(blobs.keys())) == 1


def test_no_patient_data_in_logs(
    listener: Listener, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], inbox: MemoryInbox
) -> None:
    caplog.set_level(0)
    inbox.answers = [RuntimeError("SECRET^NAME")]
    with RawModality(listener.port) as modality:
        modality.store(data_set(*CT_SMALL).replace(b"CompressedSamples^CT1", b"SECRET^NAME^OF^PERSON"))
        modality.store(data_set("dicom", "malformed", "MR_truncated.dcm"), "SECRET.UID")
    captured = capfd.readouterr()
    text = caplog.text + captured.out + captured.err
    assert "SECRET" not in text
    assert str(Problem("truncated", {"keyword": "SECRET"})) == "truncated"
