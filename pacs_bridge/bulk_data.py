"""One binary value of a stored object, found by the path that its metadata gave (PS3.18 10.4.1.1.5). [domain]

Where it can be, a value is named as ranges of the file and not read at all.
"""

import mmap
import re
from array import array
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR

from pacs_bridge import elements
from pacs_bridge.extract import read_file_meta
from pacs_bridge.frame_places import Range, frame_places

PIXEL_DATA = "7FE00010"
_TEXT = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
# 54000100/2/54001010: a tag, then the number of an item and a tag in it, as often as sequences lie in each other.
_PATH = re.compile(r"[0-9A-Fa-f]{8}(/[1-9][0-9]{0,5}/[0-9A-Fa-f]{8})*")


@dataclass(frozen=True)
class Bulk:
    """``parts``: one, or a codestream for each frame; each is bytes or pieces of the file. ``syntax``: of
    compressed frames, else ""."""

    parts: tuple[bytes | tuple[Range, ...], ...]
    syntax: str = ""


def bulk_of(path: Path, where: str) -> Bulk | None:
    """None where no such value is. Raises PixelError, Problem, and what pydicom raises on a broken object."""
    if not _PATH.fullmatch(where):
        return None
    where = where.upper()
    if where == PIXEL_DATA:
        places = frame_places(path)
        if places.frames and not places.is_raw:
            return Bulk(places.frames, places.transfer_syntax_uid)
    if "/" not in where and (place := _place(path, int(where, 16))) is not None:
        return Bulk(((place,),))
    return _value(
        dcmread(path), [int(part, 16 if number % 2 == 0 else 10) for number, part in enumerate(where.split("/"))]
    )


def _place(path: Path, tag: int) -> Range | None:
    """Where a top-level value lies, when its bytes are in the order that leaves (little endian)."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        syntax, position = read_file_meta(data)
        encoding = elements.encoding_of(syntax)
        if syntax in elements.DEFLATED or not encoding.little:
            return None
        while position + 8 <= len(data):
            header = elements.read_header(data, position, encoding)
            if header.tag >= tag:
                is_value = header.tag == tag and header.length != elements.UNDEFINED
                return (header.start, header.length) if is_value and _is_binary(header) else None
            position = elements.after(data, header, encoding)
    return None


def _is_binary(header: elements.Header) -> bool:
    """Text is no bulk data: it leaves in metadata and objects, where a repaired identity stands in its place."""
    vr = header.vr.decode("ascii", "replace") if header.vr else ""
    if not vr or vr == "UN":
        try:
            vr = dictionary_VR(header.tag)
        except KeyError:
            return True  # a private element
    return vr not in _TEXT


def _value(dataset: Dataset, path: list[int]) -> Bulk | None:
    is_big = not dataset.original_encoding[1] if dataset.original_encoding[1] is not None else False
    for number in range(0, len(path) - 1, 2):
        items = dataset[path[number]].value if path[number] in dataset else None
        if items is None or dataset[path[number]].VR != "SQ" or path[number + 1] > len(items):
            return None
        dataset = items[path[number + 1] - 1]
    if path[-1] not in dataset or not isinstance(dataset[path[-1]].value, bytes):
        return None
    element = dataset[path[-1]]
    value: bytes = element.value
    return Bulk((_swapped(value) if is_big and element.VR == "OW" else value,))


def _swapped(value: bytes) -> bytes:
    words = array("H", value[: len(value) // 2 * 2])
    words.byteswap()
    return words.tobytes()
