"""Objects for tests, made from one real CT slice: new UIDs, other values, smaller pixels."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from pacs_bridge.corrections import write_corrected


@cache
def _ct_slice() -> Dataset:
    return pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))


def new_instance(*, side: int | None = None, **changes: Any) -> Dataset:
    """A CT slice with UIDs of its own. ``side``: pixels cut to a square of that many; a change of None deletes."""
    dataset = deepcopy(_ct_slice())
    if side is not None:
        cut = dataset.pixel_array[:side, :side]
        dataset.PixelData, dataset.Rows, dataset.Columns = cut.tobytes(), side, side
    values = {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "=钱守义", "PatientID": "0001", "AccessionNumber": "",
        "TimezoneOffsetFromUTC": None,  # the original file's zone is not the township's
        "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid(),
    } | changes  # fmt: skip
    for keyword, value in values.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    return dataset


def write_instance(folder: Path, **changes: Any) -> Path:
    """``new_instance`` as a Part 10 file."""
    dataset = new_instance(**changes)
    path = folder / f"{dataset.file_meta.MediaStorageSOPInstanceUID}-{len(list(folder.iterdir()))}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def corrected(path: Path, changes: Mapping[str, str]) -> bytes:
    """The copy of a stored object that leaves with other values (``pacs_bridge.corrections``)."""
    with TemporaryDirectory() as folder:
        target = Path(folder) / "copy.dcm"
        write_corrected(path, changes, target)
        return target.read_bytes()
