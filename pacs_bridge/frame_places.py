"""Where each frame lies in a stored file, so that it can leave as a byte range. [domain]

PS3.5 8 (native), A.4 (encapsulated: items, Basic and Extended Offset Table). Nothing is decoded.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from pacs_bridge import elements
from pacs_bridge.extract import read_file_meta
from pacs_bridge.pixel_error import PixelError
from pacs_bridge.records import Problem

_PIXEL_DATA, _ITEM = 0x7FE00010, 0xFFFEE000
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _ALLOCATED = (
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
)  # fmt: skip
_EXTENDED_OFFSETS = 0x7FE00001
_WANTED = frozenset((_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _ALLOCATED, _EXTENDED_OFFSETS))
NATIVE_LITTLE = frozenset(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"))
_MOST_FRAMES = 100_000
_MOST_ITEMS = 1_000_000  # a file of empty fragments would fill the memory with their places
Range = tuple[int, int]  # offset and length in bytes


@dataclass(frozen=True)
class FramePlaces:
    """``frames``: for each frame its pieces in the file; empty where a frame is no range of bytes (deflated, packed
    bits across frame borders). ``is_raw``: the pieces are pixels in little endian, not a codestream."""

    transfer_syntax_uid: str
    n_frames: int
    samples: int
    photometric: str
    bits_allocated: int
    frame_bytes: int  # of one uncompressed frame
    is_raw: bool
    frames: tuple[tuple[Range, ...], ...]


def frame_places(path: Path) -> FramePlaces:
    """Raises PixelError: missing_pixel_data, undecodable, truncated."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _places(data)
        except Problem as problem:
            raise PixelError("truncated" if problem.code == "truncated" else "undecodable") from problem


def _places(file: elements.Data) -> FramePlaces:
    syntax, start = read_file_meta(file)
    data, is_deflated = file, syntax in elements.DEFLATED
    if is_deflated:
        data, start = elements.inflate(file, start)[0], 0
    encoding = elements.encoding_of(syntax)
    values, header = _header(data, start, encoding)

    def number(tag: int, default: int) -> int:
        raw = values.get(tag, b"")
        return struct.unpack(encoding.order + "H", raw[:2])[0] if len(raw) >= 2 else default

    samples, allocated = number(_SAMPLES, 1), number(_ALLOCATED, 0)
    photometric = values.get(_PHOTOMETRIC, b"").decode("ascii", "replace").strip(" \0")
    words = values.get(_FRAMES, b"").decode("ascii", "replace").strip(" \0")
    n_frames = int(words) if words.isdecimal() and 0 < int(words) <= _MOST_FRAMES else 1
    bits = number(_ROWS, 0) * number(_COLUMNS, 0) * samples * allocated
    if photometric == "YBR_FULL_422" and header.length != elements.UNDEFINED:
        bits = bits * 2 // 3
    frames: tuple[tuple[Range, ...], ...] = ()
    is_raw = header.length != elements.UNDEFINED
    if is_raw and syntax in NATIVE_LITTLE and bits and bits % 8 == 0:
        if n_frames * bits // 8 > header.length:
            raise PixelError("truncated", bytes=header.length)
        frames = tuple(((header.start + n * bits // 8, bits // 8),) for n in range(n_frames))
    elif not is_raw and not is_deflated:
        frames = _fragments(data, header.start, n_frames, values.get(_EXTENDED_OFFSETS, b""))
    return FramePlaces(syntax, n_frames, samples, photometric, allocated, (bits + 7) // 8, is_raw, frames)


def _header(data: elements.Data, start: int, encoding: elements.Encoding) -> tuple[dict[int, bytes], elements.Header]:
    """Values of the image pixel module, and the pixel data's own header."""
    values: dict[int, bytes] = {}
    position = start
    while position + 8 <= len(data):
        header = elements.read_header(data, position, encoding)
        if header.tag == _PIXEL_DATA:
            if header.length != elements.UNDEFINED and header.start + header.length > len(data):
                raise PixelError("truncated", bytes=len(data) - header.start)
            return values, header
        following = elements.after(data, header, encoding)
        if header.tag in _WANTED and header.length != elements.UNDEFINED:
            values[header.tag] = bytes(data[header.start : header.start + header.length])
        position = following
    raise PixelError("missing_pixel_data")


def _fragments(data: elements.Data, position: int, n_frames: int, extended: bytes) -> tuple[tuple[Range, ...], ...]:
    """Pieces by frame; offsets count from the first byte after the Basic Offset Table."""
    items: list[Range] = []
    while position + 8 <= len(data):
        tag_group, tag_element, length = struct.unpack_from("<HHI", data, position)
        if tag_group << 16 | tag_element != _ITEM:
            break
        if position + 8 + length > len(data):
            raise PixelError("truncated", bytes=len(data))
        items.append((position + 8, length))
        if len(items) > _MOST_ITEMS:
            raise PixelError("undecodable")
        position += 8 + length
    if len(items) < 2:
        raise PixelError("undecodable")
    (table_at, table_length), pieces = items[0], items[1:]
    if n_frames == 1:
        return (tuple(pieces),)
    if len(pieces) == n_frames:
        return tuple((piece,) for piece in pieces)
    table = bytes(data[table_at : table_at + table_length])
    starts = struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8]) if extended else ()
    starts = starts or struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])
    return _by_starts(pieces, starts, n_frames)


def _by_starts(pieces: list[Range], starts: tuple[int, ...], n_frames: int) -> tuple[tuple[Range, ...], ...]:
    first = pieces[0][0] - 8
    index = {offset - 8 - first: number for number, (offset, _) in enumerate(pieces)}
    if len(starts) != n_frames or any(start not in index for start in starts):
        raise PixelError("undecodable")
    numbers = [index[start] for start in starts] + [len(pieces)]
    if numbers != sorted(set(numbers)):
        raise PixelError("undecodable")
    return tuple(tuple(pieces[numbers[n] : numbers[n + 1]]) for n in range(n_frames))
