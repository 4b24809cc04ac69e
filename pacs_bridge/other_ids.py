"""Every patient identifier that an object carries: Patient ID, Other Patient IDs and their sequence. [adapter]

PS3.3 C.2.3 (Patient ID (0010,0020), Other Patient IDs Sequence (0010,1002) with its Issuer) and the
retired Other Patient IDs (0010,1000), which devices still write. What an identifier is (a 身份证号, a
local number) is for the caller to say.
"""

from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

_TAGS = ["PatientID", "IssuerOfPatientID", "OtherPatientIDs", "OtherPatientIDsSequence"]
_RETIRED_OTHER_IDS = 0x00101000
_LONGEST = 64


@dataclass(frozen=True)
class Identifier:
    """One identifier and who issued it, "" where the object does not say."""

    value: str
    issuer: str = ""


def identifiers(path: Path) -> list[Identifier]:
    """The identifiers of a Part 10 file in order, without repetitions; none where they cannot be read."""
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        found = list(_of(dataset))
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError, EOFError, NotImplementedError):
        return []
    return list(dict.fromkeys(found))


def _of(dataset: Dataset) -> list[Identifier]:
    found = _plain(dataset, "PatientID")
    retired = dataset.get(_RETIRED_OTHER_IDS)
    for value in _values(retired.value if retired is not None else None):
        found.append(Identifier(value))
    for item in dataset.get("OtherPatientIDsSequence") or []:
        found += _plain(item, "PatientID")
    return found


def _plain(dataset: Dataset, keyword: str) -> list[Identifier]:
    issuer = "".join(_values(dataset.get("IssuerOfPatientID")))[:_LONGEST]
    return [Identifier(value, issuer) for value in _values(dataset.get(keyword))]


def _values(value: object) -> list[str]:
    if value is None:
        return []
    many = [value] if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") else list(value)
    return [text for text in (str(one).strip() for one in many) if text and len(text) <= _LONGEST]
