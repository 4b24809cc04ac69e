"""``teleread send`` to a DCMTK PACS: bit exact data sets, a summary, exit 1 where something was refused."""

from pathlib import Path

import pydicom
import pytest

from tests.peers.data import shared_data
from tests.peers.dcmtk import storescp
from tests.peers.ports import free_port
from worklist.base.config import ConfigError
from worklist.transfer import send_command


def test_files_and_folders_arrive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media = shared_data("dicom", "dicomdir", "media")
    one = shared_data("dicom", "ct", "CT_small.dcm")
    objects = [path for path in media.rglob("*") if path.is_file() and path.name != "DICOMDIR"] + [one]
    with storescp(tmp_path / "pacs", "PACS") as pacs:
        status = send_command([media, one], f"PACS@127.0.0.1:{pacs.port}", "TELEREAD")
        arrived = {pydicom.dcmread(path).SOPInstanceUID for path in pacs.files()}
    assert arrived == {pydicom.dcmread(path).SOPInstanceUID for path in objects}
    said = capsys.readouterr().out
    assert f"accepted {len(objects)}" in said
    assert status == 0
    assert "DICOMDIR" in said  # no storage object: left out, and said so


def test_what_the_peer_does_not_take_leaves_decompressed_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [shared_data("dicom", "dr", name) for name in ("RG3_J2KR.dcm", "NIH_chest_SC_as_DX.dcm")]
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(paths[0].read_bytes()[:400])
    with storescp(tmp_path / "pacs", "PACS", "+xe") as pacs:
        status = send_command([*paths, broken], f"PACS@127.0.0.1:{pacs.port}", "TELEREAD")
        arrived = [pydicom.dcmread(path) for path in pacs.files()]
    said = capsys.readouterr().out
    assert (status, sorted(one.file_meta.TransferSyntaxUID for one in arrived)) == (
        1, ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]
    )  # fmt: skip
    assert "accepted 2" in said
    assert "converted to an uncompressed syntax that the peer takes 1" in said
    assert "it cannot be decompressed" in said


def test_an_unreachable_peer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status = send_command([shared_data("dicom", "ct", "CT_small.dcm")], f"PACS@127.0.0.1:{free_port()}", "TELEREAD")
    assert status == 1
    assert "对端不通" in capsys.readouterr().out


def test_a_good_file_alone_exits_0(tmp_path: Path) -> None:
    with storescp(tmp_path / "pacs", "PACS") as pacs:
        assert send_command([shared_data("dicom", "ct", "CT_small.dcm")], f"PACS@127.0.0.1:{pacs.port}", "A") == 0


def test_what_does_not_exist_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        send_command([tmp_path / "gone"], "A@127.0.0.1:1", "B")
    with pytest.raises(ConfigError, match="AE@HOST:PORT"):
        send_command([tmp_path], "A@127.0.0.1", "B")
    with pytest.raises(ConfigError):
        send_command([tmp_path], "A@127.0.0.1:104", "B\\C")
