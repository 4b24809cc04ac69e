"""One contract for every archive: a folder, Orthanc over its REST API, a DICOMweb server (Orthanc's plugin)."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from pacs_bridge.archives import check_archive, open_archive, without_credentials
from pacs_bridge.ports import Archive, ArchivedObject, ArchiveFailure, FollowedArchive
from tests.peers.data import shared_data
from tests.peers.dcmtk import storescu
from tests.peers.instances import new_instance
from tests.peers.orthanc import DICOMWEB, Orthanc, require_dicomweb, running_orthanc
from tests.peers.ports import free_port

PASSWORD = "p@ss/word"
Make = Callable[..., tuple[Path, ArchivedObject]]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    require_dicomweb()
    accounts = {"AuthenticationEnabled": True, "RegisteredUsers": {"teleread": PASSWORD}}
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), Plugins=[DICOMWEB], **accounts) as running:
        yield running


def address(kind: str, orthanc: Orthanc, folder: Path, password: str = "p%40ss%2Fword") -> str:
    server = f"http://teleread:{password}@127.0.0.1:{orthanc.http_port}"
    return {"local": f"local:{folder}", "orthanc": f"orthanc+{server}/", "dicomweb": f"dicomweb+{server}/dicom-web"}[kind]


@pytest.fixture(params=["local", "orthanc", "dicomweb"])
def archive(request: pytest.FixtureRequest, orthanc: Orthanc, tmp_path: Path) -> Iterator[Archive]:
    opened = open_archive(address(request.param, orthanc, tmp_path / "archive"))
    assert opened is not None
    yield opened
    opened.close()


def described(path: Path) -> ArchivedObject:
    import pydicom

    content, dataset = path.read_bytes(), pydicom.dcmread(path, stop_before_pixels=True)
    return ArchivedObject(
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID, blake3(content).hexdigest(),
        hashlib.md5(content).hexdigest(), len(content),
    )


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(**changes: object) -> tuple[Path, ArchivedObject]:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.dcm"
        new_instance(side=32, **changes).save_as(path, enforce_file_format=True)
        return path, described(path)

    return write


def test_what_is_stored_comes_back_bit_for_bit(archive: Archive, make: Make) -> None:
    path, archived = make()
    assert not archive.has(archived)
    archive.store(path, archived)
    assert archive.has(archived)
    assert b"".join(archive.retrieve(archived)) == path.read_bytes()
    archive.store(path, archived)  # twice changes nothing
    assert b"".join(archive.retrieve(archived)) == path.read_bytes()


@pytest.mark.parametrize("parts", [
    ("ct", "CT_small.dcm"), ("syntaxes", "MR_small_bigendian.dcm"), ("ct", "CT0012.not_fragmented_bot_jpeg_ls.80.dcm"),
])  # fmt: skip
def test_real_files_come_back_bit_for_bit(archive: Archive, parts: tuple[str, ...]) -> None:
    path = shared_data("dicom", *parts)
    archived = described(path)
    archive.store(path, archived)
    assert b"".join(archive.retrieve(archived)) == path.read_bytes()


def test_what_it_does_not_have_is_missing(archive: Archive, make: Make) -> None:
    _, archived = make()
    with pytest.raises(ArchiveFailure) as caught:
        b"".join(archive.retrieve(archived))
    assert caught.value.code == "archive_missing"


def test_other_bytes_under_the_same_uids_are_never_taken_for_ours(archive: Archive, make: Make) -> None:
    first, archived = make(InstanceNumber=1)
    archive.store(first, archived)
    second, other = make(
        StudyInstanceUID=archived.study_instance_uid, SeriesInstanceUID=archived.series_instance_uid,
        SOPInstanceUID=archived.sop_instance_uid, InstanceNumber=2,
    )  # fmt: skip
    if archive.name.startswith("local:"):  # named by content: both fit
        archive.store(second, other)
    else:
        with pytest.raises(ArchiveFailure) as caught:
            archive.store(second, other)
        assert caught.value.code == "archive_differs"
    assert b"".join(archive.retrieve(archived)) == first.read_bytes()


def test_a_copy_that_is_not_what_it_should_be_is_not_confirmed(archive: Archive, make: Make) -> None:
    path, archived = make()
    wrong = replace(archived, digest="0" * 64, md5="0" * 32)
    with pytest.raises(ArchiveFailure) as caught:
        archive.store(path, wrong)
    assert caught.value.code == "archive_differs"


@pytest.mark.parametrize("kind", ["orthanc", "dicomweb"])
def test_a_wrong_password_is_refused_and_nobody_home_is_unreachable(
    kind: str, orthanc: Orthanc, tmp_path: Path, make: Make
) -> None:
    path, archived = make()
    for url, code in (
        (address(kind, orthanc, tmp_path, "wrong"), "archive_refused"),
        (f"{kind}+http://127.0.0.1:{free_port()}", "archive_unreachable"),
    ):
        opened = open_archive(url)
        assert opened is not None
        for act in (
            lambda opened=opened: opened.store(path, archived), lambda opened=opened: opened.has(archived),
            lambda opened=opened: list(opened.retrieve(archived)),
        ):  # fmt: skip
            with pytest.raises(ArchiveFailure) as caught:
                act()
            assert caught.value.code == code
            assert PASSWORD not in str(caught.value)
        opened.close()


def test_orthanc_tells_what_others_bring(orthanc: Orthanc, tmp_path: Path, make: Make) -> None:
    archive = open_archive(address("orthanc", orthanc, tmp_path))
    assert isinstance(archive, FollowedArchive)
    position = 0
    while (found := archive.arrivals(position, 7))[1] != position:
        position = found[1]
    (path, archived), (own, ours) = make(), make()
    assert storescu(orthanc.dicom_port, "PACS_B", [path], called_ae="ORTHANC").returncode == 0
    archive.store(own, ours)
    came = []
    while (found := archive.arrivals(position, 3))[1] != position:
        came, position = came + found[0], found[1]
    assert [(one.sop_instance_uid, one.source_ae) for one in came] == [
        (archived.sop_instance_uid, "PACS_B"), (ours.sop_instance_uid, ""),
    ]  # fmt: skip
    assert came[1].md5 == ours.md5
    assert b"".join(archive.read(came[1].key)) == own.read_bytes()
    assert archive.arrivals(position, 3) == ([], position)
    archive.close()


@pytest.mark.parametrize(("url", "is_good"), [
    ("local:", True), ("local:/mnt/nas", True), ("local:mnt", False), ("", False), ("s3://bucket", False),
    ("orthanc+http://u:p@host:8042", True), ("orthanc+ftp://host", False), ("orthanc+http://", False),
    ("dicomweb+https://host/dicom-web", True), ("dicomweb+https://host:port/", False), ("http://host", False),
])  # fmt: skip
def test_addresses(url: str, is_good: bool) -> None:
    assert check_archive(url) is is_good
    if not is_good:
        with pytest.raises(ValueError, match="address"):
            open_archive(url)


def test_credentials_are_not_shown() -> None:
    shown = without_credentials("orthanc+https://user:secret@host:8042/x")
    assert shown == "orthanc+https://host:8042/x"
    opened = open_archive("dicomweb+https://user:secret@host/dicom-web/")
    assert opened is not None
    assert opened.name == "dicomweb+https://host/dicom-web"
    opened.close()
