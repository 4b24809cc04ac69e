"""A frame as a lossless HTJ2K codestream whose prefixes are complete smaller pictures. [adapter]

ISO/IEC 15444-15, progression RPCL, TLM, one tile-part for each resolution (PS3.5 A.4.4.2 asks the first three of
1.2.840.10008.1.2.4.202): the first ``bytes_end`` bytes of a level decode to that level and need nothing after them.
"""

from math import ceil
from typing import TypedDict

import imagecodecs
import numpy as np

SMALLEST_LEVEL = 64  # px: the lowest resolution is no larger, PS3.5 A.4.4.2
SOT, EOC_BYTES = 0xFF90, 2


class Level(TypedDict):
    """``bytes_end``: length of the prefix that decodes to width x height."""

    width: int
    height: int
    bytes_end: int


def encode_frame(array: np.ndarray) -> tuple[bytes, list[Level]]:
    """(codestream, levels from the smallest to full size). ``array``: (rows, columns) uint8 | uint16 | int16, or
    (rows, columns, 3) uint8 | uint16; the samples come back exactly. Raises ValueError for any other array."""
    if array.dtype not in (np.uint8, np.uint16, np.int16) or array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(f"no HTJ2K for {array.dtype} {array.shape}")
    rows, columns = array.shape[:2]
    halvings = _halvings(max(rows, columns))
    whole = np.ascontiguousarray(array)
    data = bytes(imagecodecs.htj2k_encode(whole, reversible=True, tlm=True, tilepart=1, resolutions=halvings))
    ends = _tile_part_ends(data)
    if len(ends) != halvings + 1:
        raise ValueError("the encoder did not write one tile-part for each resolution")
    ends[-1] = len(data)
    sizes = [(ceil(columns / 2**k), ceil(rows / 2**k)) for k in range(halvings, -1, -1)]
    return data, [Level(width=w, height=h, bytes_end=end) for (w, h), end in zip(sizes, ends, strict=True)]


def _halvings(longest: int) -> int:
    halvings = 1  # the encoder takes 0 for "as you like"
    while ceil(longest / 2**halvings) > SMALLEST_LEVEL:
        halvings += 1
    return halvings


def _tile_part_ends(data: bytes) -> list[int]:
    """Where each tile-part stops: Psot of each SOT marker segment, ISO/IEC 15444-1 A.4.2."""
    at, ends = 2, []
    while at < len(data) - EOC_BYTES:
        marker = int.from_bytes(data[at : at + 2], "big")
        if marker == SOT:
            at += int.from_bytes(data[at + 6 : at + 10], "big")
            ends.append(at)
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return ends
