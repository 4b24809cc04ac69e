"""The listener against DCMTK: what is sent is kept bit for bit, and who may send is known."""

import re
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.extract import read_file_meta
from pacs_bridge.listener import Listener
from tests.pacs_bridge.conftest import wait_for
from tests.pacs_bridge.inbox import MemoryInbox, peer
from tests.peers import dcmtk
from tests.peers.data import shared_data


def data_set_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return data[read_file_meta(data)[1] :]


def test_echo_is_answered_and_the_release_noted(listener: Listener, inbox: MemoryInbox) -> None:
    assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0
    assert inbox.opened == [("QS_CT", "TELEREAD", "127.0.0.1")]
    assert wait_for(lambda: inbox.outcomes == {1: "released"})


def test_unknown_calling_ae_is_rejected_1_1_3(listener: Listener, inbox: MemoryInbox) -> None:
    result = dcmtk.echoscu(listener.port, "STRANGER")
    assert result.returncode != 0
    assert "Calling AE Title Not Recognized" in result.stdout + result.stderr
    assert inbox.refused == [("STRANGER", "TELEREAD", "127.0.0.1", "calling_ae_unknown")]
    assert not inbox.opened


def test_wrong_called_ae_is_rejected_1_1_7(listener: Listener, inbox: MemoryInbox) -> None:
    result = dcmtk.echoscu(listener.port, "QS_CT", "SOMEONE")
    assert "Called AE Title Not Recognized" in result.stdout + result.stderr
    assert inbox.refused == [("QS_CT", "SOMEONE", "127.0.0.1", "called_ae_unknown")]


def test_a_service_that_is_not_the_devices_is_refused(listener: Listener, inbox: MemoryInbox) -> None:
    inbox.peers["ECHO_ONLY"] = peer("ECHO_ONLY", frozenset(("echo",)))
    assert dcmtk.echoscu(listener.port, "ECHO_ONLY").returncode == 0
    result = dcmtk.storescu(listener.port, "ECHO_ONLY", [shared_data("dicom", "ct", "CT_small.dcm")])
    assert "No Acceptable Presentation Contexts" in result.stdout + result.stderr
    assert not inbox.received


def test_a_real_series_is_kept_bit_for_bit(
    listener: Listener, inbox: MemoryInbox, blobs: FileBlobs, ct_series: list[Path]
) -> None:
    result = dcmtk.dcmsend(listener.port, "QS_CT", ct_series)
    assert result.returncode == 0, result.stderr
    assert len(inbox.received) == len(ct_series) == 28
    sent = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path for path in ct_series}
    for received in inbox.received:
        kept = blobs.path(received.blob_key)
        assert received.problem is None
        assert received.record is not None
        assert received.size_bytes == kept.stat().st_size
        assert blobs.verify(received.blob_key)
        assert data_set_bytes(kept) == data_set_bytes(sent[received.record.sop_instance_uid])
    meta = pydicom.dcmread(kept).file_meta
    assert meta.SourceApplicationEntityTitle == "QS_CT"
    assert meta.MediaStorageSOPInstanceUID == inbox.received[-1].sop_instance_uid
    assert dcmtk.run("dcmftest", str(kept)).returncode == 0
    assert wait_for(lambda: inbox.outcomes == {1: "released"})


SYNTAX_FILES = [
    ("-xs", "dr/CR-ModalitySequenceLUT.dcm"),
    ("-xy", "dr/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"),
    ("-xv", "dr/RG3_J2KR.dcm"),
    ("-xt", "dr/RG3_JLSL"),
    ("-xr", "us-xa/YBR_FULL-RLE.dcm"),
    ("-xi", "dr/NIH_chest_SC_as_DX.dcm"),
    ("-xb", "syntaxes/MR_small_bigendian.dcm"),
    ("-xd", "syntaxes/image_dfl.dcm"),
]


@pytest.mark.parametrize(("option", "name"), SYNTAX_FILES)
def test_every_transfer_syntax_is_stored_as_received(
    listener: Listener, inbox: MemoryInbox, blobs: FileBlobs, option: str, name: str
) -> None:
    path = shared_data("dicom", *name.split("/"))
    result = dcmtk.storescu(listener.port, "QS_DR", [path], option)
    assert result.returncode == 0, result.stderr
    (received,) = inbox.received
    assert received.problem is None
    assert received.transfer_syntax_uid == pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    assert dcmtk_values(blobs.path(received.blob_key)) == dcmtk_values(path)


def dcmtk_values(path: Path) -> str:
    """The data set as DCMTK prints it: storescu may re-encode lengths, so bytes may differ, values may not."""
    text = dcmtk.run("dcmdump", "+L", "-q", str(path)).stdout
    lines = text.split("# Dicom-Data-Set")[1].splitlines()
    values = [line.split("#")[0] for line in lines if ",0000)" not in line and "Delimi" not in line]
    return re.sub("with (undefined|explicit) length *", "", "\n".join(values))


def test_several_modalities_at_once(start_listener: Callable[..., Listener], inbox: MemoryInbox,
                                    ct_series: list[Path]) -> None:  # fmt: skip
    import concurrent.futures

    listener = start_listener()
    quarters = [ct_series[start::4] for start in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda part: dcmtk.dcmsend(listener.port, "QS_CT", part), quarters))
    assert [result.returncode for result in results] == [0, 0, 0, 0]
    assert len({received.sop_instance_uid for received in inbox.received}) == 28
    assert wait_for(lambda: listener.n_connections == 0)
