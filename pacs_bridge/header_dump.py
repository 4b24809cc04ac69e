"""The header of a stored object in readable lines, for whoever asks what it is: no pixels, no report text. [adapter]"""

import mmap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from pacs_bridge import elements
from pacs_bridge.extract import read_file_meta
from pacs_bridge.records import Problem

MOST_ELEMENTS = 300
MOST_CHARACTERS = 200
MOST_ITEMS = 5  # of one sequence; how many there are stands in its line
_LARGE_BYTES = 4096  # larger values are looked at only when asked, and here nobody asks
# What a report says: TextValue of structured reports, and the retired interpretation texts (PS3.6).
_REPORT_TEXT = frozenset((0x0040A160, 0x4008010B, 0x40080115, 0x40080300, 0x40084000))
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))


def header_elements(path: Path) -> list[dict[str, str]]:
    """At most MOST_ELEMENTS of ``{tag, keyword, vr, value}`` in order, file meta first; the first items of a
    sequence follow it as ``(0040,0275)[1].(0040,0007)``.

    Never raises: what is not DICOM gives [], a damaged object what could be read of it.
    """
    found: list[dict[str, str]] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = _read(path)
            for part in (dataset.file_meta, dataset):
                for line in _lines(part, ""):
                    if len(found) == MOST_ELEMENTS:
                        return found
                    found.append(line)
    except InvalidDicomError:
        return []
    except Exception:  # a damaged file may fail the decoder anywhere; what was read before it stays
        return found
    return found


def _read(path: Path) -> pydicom.FileDataset:
    """Without the pixels. Of what was quarantined because it swells (``deflate_ratio``), the file meta alone."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            syntax, start = read_file_meta(data)
            if syntax in elements.DEFLATED:
                elements.inflate(data, start)
        except Problem as problem:
            if problem.code == "deflate_ratio":
                return pydicom.FileDataset(path, {}, file_meta=pydicom.filereader.read_file_meta_info(path))
    return pydicom.dcmread(path, stop_before_pixels=True, defer_size=_LARGE_BYTES)


def _lines(dataset: Dataset, prefix: str) -> Iterator[dict[str, str]]:
    for tag in sorted(dataset.keys()):
        raw: Any = dataset.get_item(tag)
        name = f"{prefix}({tag.group:04X},{tag.element:04X})"
        try:
            vr = str(raw.VR or "UN")
            length = getattr(raw, "length", 0)
            is_large = vr in _BINARY or (vr != "SQ" and length != 0xFFFFFFFF and length > _LARGE_BYTES)
            element = None if is_large or int(tag) in _REPORT_TEXT else dataset[tag]
        except Exception:  # one bad value hides itself, not the rest
            yield _line(name, tag, "", "?")
            continue
        if element is None:
            yield _line(name, tag, vr, f"<{length} B>")
            continue
        yield _line(name, tag, element.VR, _value(element))
        if element.VR == "SQ":
            for number, item in enumerate(element.value[:MOST_ITEMS], start=1):
                yield from _lines(item, f"{name}[{number}].")


def _line(name: str, tag: Any, vr: str, value: str) -> dict[str, str]:
    return {"tag": name, "keyword": pydicom.datadict.keyword_for_tag(tag), "vr": vr, "value": value}


def _value(element: DataElement) -> str:
    if element.VR == "SQ":
        return f"<{len(element.value)}>"
    if element.VR in _BINARY:
        return f"<{len(element.value or b'')} B>"
    values = element.value if isinstance(element.value, pydicom.multival.MultiValue) else [element.value]
    text = "\\".join("" if value is None else str(value) for value in values)
    return "".join(letter if letter.isprintable() else " " for letter in text)[:MOST_CHARACTERS]
