"""Whether two stored objects say the same, however they are encoded. [adapter]"""

from itertools import zip_longest
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import UID

from pacs_bridge.pixels import MAX_FRAME_BYTES, decode_frames

_PIXEL_DATA = 0x7FE00010
_TRAILING_PADDING = 0xFFFCFFFC  # PS3.10 7.2: without meaning


def same_content(one: Path, other: Path, max_frame_bytes: int = MAX_FRAME_BYTES) -> bool:
    """Equal after decoding: every element but group lengths and padding; pixels by their stored values.

    Decodes what strangers sent: ``transcode_pool`` runs it in a process that may die.

    Pixels of different lossy encodings are never taken as equal; what cannot be read is different.
    """
    try:
        a, b = pydicom.dcmread(one), pydicom.dcmread(other)
        return _same_elements(a, b) and _same_pixels(a, b, max_frame_bytes)
    except Exception:  # a decoder's failure of any kind means: not shown to be equal
        return False


def _same_elements(a: Dataset, b: Dataset) -> bool:
    return _tags(a) == _tags(b) and all(_same_element(a, b, tag) for tag in _tags(a))


def _tags(dataset: Dataset) -> list[int]:
    apart = (_PIXEL_DATA, _TRAILING_PADDING)
    return [int(tag) for tag in sorted(dataset.keys()) if tag & 0xFFFF and int(tag) not in apart]


def _same_element(a: Dataset, b: Dataset, tag: int) -> bool:
    one, other = a[tag], b[tag]
    if one.VR == "SQ" and other.VR == "SQ":
        return len(one.value) == len(other.value) and all(
            _same_elements(x, y) for x, y in zip(one.value, other.value, strict=True)
        )
    if "UN" in (one.VR, other.VR):  # an implicit copy of a private element
        return bool(one.VR == other.VR and one.value == other.value)
    return bool(one.value == other.value)


def _same_pixels(a: Dataset, b: Dataset, max_frame_bytes: int) -> bool:
    if (_PIXEL_DATA in a) != (_PIXEL_DATA in b):
        return False
    if _PIXEL_DATA not in a or a.PixelData == b.PixelData:
        return True
    if not (_is_lossless(a) and _is_lossless(b)) or (_is_native(a) and _syntax(a) == _syntax(b)):
        return False
    pairs = zip_longest(decode_frames(a, max_frame_bytes), decode_frames(b, max_frame_bytes))
    return all(one is not None and np.array_equal(one, other) for one, other in pairs)


def _syntax(dataset: Dataset) -> UID:
    return UID(dataset.file_meta.TransferSyntaxUID)


def _is_native(dataset: Dataset) -> bool:
    return not _syntax(dataset).is_encapsulated


def _is_lossless(dataset: Dataset) -> bool:
    return _is_native(dataset) or _syntax(dataset) in {
        "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202",
    }  # fmt: skip
