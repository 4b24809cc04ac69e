"""The real DICOM files of ../shared/data/dicom as test parameters, CT archives unpacked a few slices deep."""

import tarfile
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from tests.peers.data import SHARED, shared_data

NO_DICOM = {"MANIFEST.md", "SHA256SUMS"}
SLICES = 3


def picture_names() -> list[str]:
    """Relative paths, archives as ``archive.tar.xz:slice number``; one placeholder where the data is absent."""
    root = SHARED / "dicom"
    if not root.exists():
        return ["absent"]
    names = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name not in NO_DICOM:
            name = str(path.relative_to(root))
            names += [f"{name}:{n}" for n in range(SLICES)] if name.endswith(".xz") else [name]
    return names


def picture_bytes(name: str) -> bytes:
    """`lacking` where the file is absent."""
    base, _, number = name.partition(":")
    path = shared_data("dicom", *Path(base).parts)
    if not number:
        return path.read_bytes()
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        member = archive.extractfile(members[int(number) * (len(members) - 1) // (SLICES - 1)])
        assert member is not None
        return member.read()


def picture(name: str) -> pydicom.Dataset:
    """Skips what pydicom cannot even parse: `test_no_file_does_harm` has those."""
    try:
        return pydicom.dcmread(BytesIO(picture_bytes(name)), force=True)
    except Exception:
        pytest.skip("pydicom does not parse this file")
