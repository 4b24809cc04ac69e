"""Our sending side against DCMTK's storescp and against peers that misbehave."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from pacs_bridge import scu
from pacs_bridge.extract import read_file_meta
from pacs_bridge.listener import Listener
from pacs_bridge.transcode_pool import TranscodePool
from tests.pacs_bridge.inbox import MemoryInbox
from tests.peers import dcmtk
from tests.peers.data import shared_data

QUICK = scu.Timeouts(connect_s=2, negotiation_s=1.5, response_s=1.5)


@pytest.fixture
def mixed_files() -> list[Path]:
    names = ["ct/CT_small.dcm", "dr/RG3_J2KR.dcm", "dr/CR-ModalitySequenceLUT.dcm", "nonimage/rtplan.dcm"]
    return [shared_data("dicom", *name.split("/")) for name in names]


def test_files_arrive_byte_for_byte_in_one_association(tmp_path: Path, mixed_files: list[Path]) -> None:
    seen: list[str] = []
    with dcmtk.storescp(tmp_path / "pacs", "QS_PACS") as pacs:
        results = scu.store_files(
            mixed_files,
            "127.0.0.1",
            pacs.port,
            "QS_PACS",
            "TELEREAD",
            progress=lambda result: seen.append(result.outcome),
        )
        arrived = {path.read_bytes()[read_file_meta(path.read_bytes())[1] :] for path in pacs.files()}
    assert [result.outcome for result in results] == ["accepted"] * 4 == seen
    assert [result.path for result in results] == mixed_files
    assert arrived == {path.read_bytes()[read_file_meta(path.read_bytes())[1] :] for path in mixed_files}


def test_echo(tmp_path: Path) -> None:
    with dcmtk.storescp(tmp_path, "QS_PACS") as pacs:
        assert scu.echo("127.0.0.1", pacs.port, called_ae="QS_PACS", calling_ae="TELEREAD").outcome == "accepted"


def test_what_cannot_be_read_is_said_and_the_rest_is_sent(tmp_path: Path) -> None:
    paths = [shared_data("dicom", "malformed", "not_dicom_text.dicom"), tmp_path / "absent",
             shared_data("dicom", "ct", "CT_small.dcm")]  # fmt: skip
    with dcmtk.storescp(tmp_path / "pacs", "QS_PACS") as pacs:
        results = scu.store_files(paths, "127.0.0.1", pacs.port, "QS_PACS", "TELEREAD")
    assert [result.outcome for result in results] == ["unreadable", "unreadable", "accepted"]


def test_a_peer_without_the_syntax_is_no_context(tmp_path: Path) -> None:
    with dcmtk.storescp(tmp_path, "QS_PACS", "+xi") as pacs:  # implicit VR only, overrides +xa
        results = scu.store_files(
            [shared_data("dicom", "dr", "RG3_J2KR.dcm"), shared_data("dicom", "dr", "NIH_chest_SC_as_DX.dcm")],
            "127.0.0.1", pacs.port, "QS_PACS", "TELEREAD",
        )  # fmt: skip
        alone = scu.store_files(
            [shared_data("dicom", "dr", "RG3_J2KR.dcm")], "127.0.0.1", pacs.port, "QS_PACS", "TELEREAD"
        )
    assert [result.outcome for result in results] == ["no_context", "accepted"]
    assert [result.outcome for result in alone] == ["no_context"]


@pytest.mark.parametrize(("option", "syntax"), [("+xe", "1.2.840.10008.1.2.1"), ("+xi", "1.2.840.10008.1.2")])
def test_a_peer_without_the_syntax_gets_a_copy_in_one_it_takes(tmp_path: Path, option: str, syntax: str) -> None:
    names = ("dr/RG3_J2KR.dcm", "dr/CR-ModalitySequenceLUT.dcm", "dr/NIH_chest_SC_as_DX.dcm")
    paths = [shared_data("dicom", *name.split("/")) for name in names]
    broken = []
    for end in (400, 100_000):  # before the identity, and within the JPEG
        broken.append(tmp_path / f"ends_at_{end}.dcm")
        broken[-1].write_bytes(paths[1].read_bytes()[:end])
    with closing(TranscodePool()) as pool, dcmtk.storescp(tmp_path / "pacs", "QS_PACS", option) as pacs:
        results = scu.store_files(
            [*paths, *broken], "127.0.0.1", pacs.port, "QS_PACS", "TELEREAD", transcoder=pool
        )  # fmt: skip
        got = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, pacs.files())}
    assert [result.outcome for result in results] == ["accepted"] * 3 + ["not_convertible"] * 2
    assert [result.sent_as for result in results] == [syntax, syntax, "", "", ""]
    for path in paths:
        stored = pydicom.dcmread(path)
        one = got[str(stored.SOPInstanceUID)]
        taken_as_it_is = stored.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
        assert one.file_meta.TransferSyntaxUID == ("1.2.840.10008.1.2" if taken_as_it_is else syntax)
        assert one.get("PatientName") == stored.get("PatientName")
        assert (one.pixel_array == stored.pixel_array).all()


def test_nobody_there_is_unreachable() -> None:
    port = dcmtk.free_port()
    paths = [shared_data("dicom", "ct", "CT_small.dcm")]
    assert [r.outcome for r in scu.store_files(paths, "127.0.0.1", port, "X", "Y", timeouts=QUICK)] == ["unreachable"]
    assert scu.echo("127.0.0.1", port, called_ae="X", calling_ae="Y", timeouts=QUICK).outcome == "unreachable"


def test_a_rejection_is_heard_also_by_who_looks_after_the_peer_has_hung_up(listener: Listener) -> None:
    """A busy machine: the answer is there, and the connection gone, before the thread that asked goes on."""
    late = [(evt.EVT_REQUESTED, lambda event: time.sleep(0.5))]
    contexts = [build_context(Verification)]
    found = scu.associate(
        "127.0.0.1", listener.port, "TELEREAD", "STRANGER", contexts, scu.DEFAULT_TIMEOUTS, events=late
    )
    assert found == (None, ("refused", "1/1/3"))


def test_a_rejected_association_is_refused_with_its_reason(listener: Listener) -> None:
    paths = [shared_data("dicom", "ct", "CT_small.dcm")]
    (result,) = scu.store_files(paths, "127.0.0.1", listener.port, "TELEREAD", "STRANGER")
    assert (result.outcome, result.detail) == ("refused", "1/1/3")
    assert scu.echo("127.0.0.1", listener.port, called_ae="NO", calling_ae="QS_CT").detail == "1/1/7"


def test_statuses_are_told_apart(listener: Listener, inbox: MemoryInbox, ct_series: list[Path]) -> None:
    inbox.answers = [0x0000, 0xA700, 0xB000, 0x0000]
    results = scu.store_files(ct_series[:4], "127.0.0.1", listener.port, "TELEREAD", "QS_CT")
    assert [(r.outcome, r.status) for r in results] == [
        ("accepted", 0), ("refused", 0xA700), ("warning", 0xB000), ("accepted", 0)
    ]  # fmt: skip
    assert results[0].sop_instance_uid == inbox.received[0].sop_instance_uid


@pytest.fixture
def bad_peer() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A TCP server that treats each caller as told; gives its port."""
    servers: list[socket.socket] = []

    def start(treat: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            try:
                client, _ = server.accept()
                with client:
                    treat(client)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.close()


def void(_: object) -> None:
    """Receive, then hang up."""


def test_silence_and_hanging_up_are_told_apart(bad_peer: Callable[[Callable[[socket.socket], None]], int]) -> None:
    paths = [shared_data("dicom", "ct", "CT_small.dcm")]
    over = threading.Event()

    def be_silent(client: socket.socket) -> None:
        client.recv(1000)
        over.wait(10)

    silent = bad_peer(be_silent)
    assert scu.store_files(paths, "127.0.0.1", silent, "X", "Y", timeouts=QUICK)[0].outcome == "timeout"
    over.set()
    rude = bad_peer(lambda client: void(client.recv(100000)))
    assert scu.store_files(paths, "127.0.0.1", rude, "X", "Y", timeouts=QUICK)[0].outcome == "aborted"


def test_an_answer_is_left_to_whoever_waits_for_it(tmp_path: Path) -> None:
    """pynetdicom's reactor may run on beside a request: once in thousands of objects it took the answer."""
    contexts = [build_context("1.2.840.10008.1.1")]
    with dcmtk.storescp(tmp_path, "QS_PACS") as pacs:
        association, _ = scu.associate("127.0.0.1", pacs.port, "QS_PACS", "TELEREAD", contexts, scu.Timeouts(response_s=10))
        assert association is not None
        association._reactor_checkpoint.wait = lambda timeout=None: bool(time.sleep(0.001))  # type: ignore[method-assign]
        statuses = [association.send_c_echo(number).get("Status") for number in range(1, 101)]
        del association._reactor_checkpoint.wait
        scu.end(association)
    assert statuses == [0] * 100
