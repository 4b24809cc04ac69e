"""``teleread echo`` and ``find``, and our retrieves, against DCMTK's archive and Orthanc."""

import json
from pathlib import Path

import pydicom
import pytest

from pacs_bridge.scu_query import PeerFailure, Target, find, get, move
from tests.peers.dcmqrscp import dcmqrscp
from tests.peers.dcmtk import storescp, storescu
from tests.peers.instances import write_instance
from tests.peers.orthanc import running_orthanc
from tests.peers.ports import free_port
from worklist.ask_peer import echo_command, find_command
from worklist.base.config import ConfigError

CT = ("1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"))


@pytest.fixture
def stored(tmp_path: Path) -> list[Path]:
    (tmp_path / "files").mkdir()
    first = [write_instance(tmp_path / "files", side=16, PatientID="P1", StudyDate="20260301", StudyInstanceUID="1.2.7",
                            SeriesInstanceUID="1.2.7.1") for _ in range(3)]  # fmt: skip
    return [*first, write_instance(tmp_path / "files", side=16, PatientID="P2", StudyDate="20260302")]


def test_echo_says_whether_a_peer_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with storescp(tmp_path, "PACS") as peer:
        assert echo_command(f"PACS@127.0.0.1:{peer.port}", "TELEREAD") == 0
    assert "有应答 / answers" in capsys.readouterr().out
    assert echo_command(f"PACS@127.0.0.1:{free_port()}", "TELEREAD") == 1
    assert "对端不通 / peer unreachable" in capsys.readouterr().err


def test_find_gives_lines_for_people_and_for_programs(
    tmp_path: Path, stored: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with dcmqrscp(tmp_path, stored) as port:
        peer = f"ORACLE@127.0.0.1:{port}"
        assert find_command(peer, "QS_CT", "STUDY", ["PatientID=P1"], as_json=True, most=0) == 0
        out = capsys.readouterr().out
        assert [json.loads(line)["StudyInstanceUID"] for line in out.splitlines()] == ["1.2.7"]
        assert json.loads(out)["PatientName"] == "=钱守义"
        assert find_command(peer, "QS_CT", "STUDY", ["StudyDate=20260301-"], as_json=False, most=0) == 0
        shown = capsys.readouterr()
        assert {line.split("\t")[:2][1] for line in shown.out.splitlines()} == {"P1", "P2"}
        assert "共 2 条 / 2 found" in shown.err
        assert find_command(peer, "QS_CT", "SERIES", ["StudyInstanceUID=1.2.7"], as_json=False, most=0) == 0
        assert "1.2.7.1" in capsys.readouterr().out
        assert find_command(f"NOBODY@127.0.0.1:{port}", "QS_CT", "STUDY", [], as_json=False, most=0) == 1
        assert "对端没有这个 AE 名称" in capsys.readouterr().err
        with pytest.raises(ConfigError, match="PatientNumber"):
            find_command(peer, "QS_CT", "STUDY", ["PatientNumber=1"], as_json=False, most=0)


def test_a_study_is_fetched_by_get(tmp_path: Path, stored: list[Path]) -> None:
    (tmp_path / "got").mkdir()
    with dcmqrscp(tmp_path, stored) as port:
        target = Target("127.0.0.1", port, "ORACLE", "QS_CT")
        result = get(target, "STUDY", {"StudyInstanceUID": "1.2.7"}, tmp_path / "got", [CT])
        assert (result.outcome, result.completed, result.failed) == ("accepted", 3, 0)
        wanted = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path).pixel_array.tobytes() for path in stored[:3]}
        assert {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path).pixel_array.tobytes() for path in result.paths} == wanted
        refused = move(target, "STUDY", {"StudyInstanceUID": "1.2.7"}, "NOWHERE")
        assert (refused.outcome, refused.status) == ("refused", 0xA801)
    with pytest.raises(PeerFailure) as failure:
        list(find(target, "STUDY", {}))
    assert failure.value.outcome == "unreachable"


def test_orthanc_moves_a_study_to_where_we_say(tmp_path: Path, stored: list[Path]) -> None:
    with storescp(tmp_path / "got", "WS") as workstation:
        modalities = {"ws": ["WS", "127.0.0.1", workstation.port], "us": ["TELEREAD", "127.0.0.1", 1]}
        with running_orthanc(tmp_path / "orthanc", DicomModalities=modalities) as orthanc:
            assert storescu(orthanc.dicom_port, "QS_CT", stored, called_ae="ORTHANC").returncode == 0
            target = Target("127.0.0.1", orthanc.dicom_port, "ORTHANC", "TELEREAD")
            (found,) = find(target, "STUDY", {"PatientID": "P1"})
            result = move(target, "STUDY", {"StudyInstanceUID": found["StudyInstanceUID"]}, "WS")
    assert (result.outcome, result.failed, len(workstation.files())) == ("accepted", 0, 3)
