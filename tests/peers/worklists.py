"""DCMTK's findscu and wlmscpfs as the modality and as the worklist of somebody else."""

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from tests.peers import dcmtk

WORKLIST = "1.2.840.10008.5.1.4.31"


def ask(
    port: int, folder: Path, keys: Sequence[str], *, calling: str = "QS_CT", called: str = "TELEREAD", options: Sequence[str] = ()
) -> tuple["subprocess.CompletedProcess[str]", list[Path]]:  # fmt: skip
    """What ``findscu -W`` was answered, as the files it wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("rsp*.dcm"):
        old.unlink()
    wanted = [word for key in keys for word in ("-k", key)]
    result = dcmtk.run(
        "findscu", "-v", "-d", "-W", "-X", "-od", str(folder), *options, "-aet", calling, "-aec", called, *wanted,
        "127.0.0.1", str(port),
    )  # fmt: skip
    return result, sorted(folder.glob("rsp*.dcm"))


def statuses(result: "subprocess.CompletedProcess[str]") -> list[str]:
    return re.findall(r"DIMSE Status\s*: 0x([0-9a-f]{4})", result.stdout + result.stderr)


def read(paths: Sequence[Path]) -> list[Dataset]:
    return [pydicom.dcmread(path, force=True) for path in paths]


def _without_empty_sequences(dataset: Dataset) -> None:
    """wlmscpfs takes a file with one of them for incomplete."""
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                _without_empty_sequences(item)
            if not element.value:
                del dataset[element.tag]


@contextlib.contextmanager
def wlmscpfs(folder: Path, entries: Sequence[Dataset], ae_title: str = "OTHER_WL") -> Iterator[int]:
    """A running ``wlmscpfs`` with these entries; its port."""
    own = folder / ae_title
    own.mkdir(parents=True)
    (own / "lockfile").touch()
    for number, entry in enumerate(entries):
        _without_empty_sequences(entry)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(WORKLIST), generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        FileDataset(str(own), entry, file_meta=meta, preamble=b"\0" * 128).save_as(
            own / f"{number}.wl", enforce_file_format=True
        )
    port = dcmtk.free_port()
    process = subprocess.Popen(
        [dcmtk.require("wlmscpfs"), "-dfp", str(folder), "-csk", "-nse", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        dcmtk._wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)
