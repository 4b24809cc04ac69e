"""The top level of a data set walked without decoding it: what lies where, and whether it is whole. [domain]

PS3.5 7.1 (element structures), 7.5 (sequences, delimiters), A.4 (encapsulated pixel data) and PS3.10 7.1
(file meta). Only the values asked for are copied, so half a megabyte of CT costs a few dozen steps.
"""

import mmap
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pacs_bridge.records import Problem

Data = bytes | mmap.mmap
UNDEFINED: Final = 0xFFFFFFFF
LONG_VR = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT_VR = frozenset((
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
))  # fmt: skip
_PLAIN, _LENGTH = struct.Struct("<HH2sH").unpack_from, struct.Struct("<I").unpack_from
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MAX_DEPTH = 64  # nesting beyond any real object; a bound on recursion
_MAX_VALUE_BYTES = 1 << 16  # index values are short; a longer one is cut here and refused as too long later
_KEPT_INFLATED_BYTES = 64 << 20  # what lies beyond is not read for the index
# A real data set deflates to a tenth. Blank pixels do better, so small ones are not weighed.
MAX_DEFLATE_RATIO, _NOT_WEIGHED_BYTES, _MOST_INFLATED_BYTES = 200, 1 << 20, 1 << 30
_INFLATE_STEP_BYTES = 1 << 13

IMPLICIT_LITTLE = frozenset(("1.2.840.10008.1.2", "1.2.840.113619.5.2"))  # the second: GE's private syntax
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = frozenset(("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))


@dataclass(frozen=True)
class Encoding:
    """How elements are laid out."""

    implicit: bool
    little: bool

    @property
    def order(self) -> str:
        return "<" if self.little else ">"


EXPLICIT_LITTLE = Encoding(implicit=False, little=True)


@dataclass(frozen=True)
class Header:
    """One element: its tag (0xggggeeee), where its value begins, and its length in bytes or UNDEFINED."""

    tag: int
    vr: bytes  # b"" in implicit VR
    start: int
    length: int


@dataclass(frozen=True)
class Walk:
    """``values``: raw bytes of the wanted tags; ``present``: every top-level tag; ``end``: one past the last byte."""

    values: dict[int, bytes]
    present: frozenset[int]
    end: int


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    if transfer_syntax_uid in IMPLICIT_LITTLE:
        return Encoding(implicit=True, little=True)
    return Encoding(implicit=False, little=transfer_syntax_uid != EXPLICIT_BIG)


def inflate(data: Data, start: int) -> tuple[bytes, bool]:
    """The inflated data set (PS3.5 A.5) and whether that is all of it.

    Raises Problem truncated, malformed, or deflate_ratio as soon as it swells beyond any real data set.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated, n_bytes, size = bytearray(), 0, len(data) - start
    most_bytes = min(max(MAX_DEFLATE_RATIO * size, _NOT_WEIGHED_BYTES), _MOST_INFLATED_BYTES)
    try:
        for position in range(start, len(data), _INFLATE_STEP_BYTES):
            # A step swells to 8 MB at most; what is beyond the index's need is weighed and forgotten.
            piece = inflater.decompress(data[position : position + _INFLATE_STEP_BYTES])
            n_bytes += len(piece)
            if n_bytes > most_bytes:
                raise Problem("deflate_ratio", {"most": MAX_DEFLATE_RATIO})
            inflated += piece[: _KEPT_INFLATED_BYTES - len(inflated)]
            if inflater.eof:
                return bytes(inflated), n_bytes == len(inflated)
    except zlib.error as error:
        raise Problem("malformed", {"part": "deflated data set"}) from error
    raise Problem("truncated", {"at_byte": len(data)})


def walk(data: Data, start: int, encoding: Encoding, wanted: Collection[int], *, group: int | None = None) -> Walk:
    """Every element from ``start`` to the end, or while its group is ``group``; see ``walk_into``."""
    values: dict[int, bytes] = {}
    present: set[int] = set()
    end = walk_into(values, present, data, start, encoding, wanted, group=group)
    return Walk(values, frozenset(present), end)


def walk_into(  # the two it fills, and where it reads
    values: dict[int, bytes], present: set[int], data: Data, start: int, encoding: Encoding,
    wanted: Collection[int], *, group: int | None = None,
) -> int:  # fmt: skip
    """Fill ``values`` and ``present`` as far as the data goes; returns the end. A repeated tag: the last counts.

    Raises Problem: truncated when an element is cut short, malformed when the structure makes no sense.
    What came before is then in ``values``.
    """
    position = start
    while True:
        if not encoding.implicit and encoding.little:
            position = _plain_run(values, present, data, position, wanted, group)
        if _at_end(data, position):
            break
        header = read_header(data, position, encoding)
        if group is not None and header.tag >> 16 != group:
            break
        following = after(data, header, encoding)
        present.add(header.tag)
        # Of undefined length only sequences have a value that somebody reads (``first_item``).
        if header.tag in wanted and (header.length != UNDEFINED or header.vr in (b"SQ", b"")):
            values[header.tag] = bytes(data[header.start : min(following, header.start + _MAX_VALUE_BYTES)])
        position = following
    return position


def first_item(sequence: bytes, encoding: Encoding, wanted: Collection[int]) -> dict[int, bytes]:
    """Raw values of the first item of a sequence's value; what is broken there is absent."""
    values: dict[int, bytes] = {}
    try:
        item = read_header(sequence, 0, encoding)
        end = len(sequence) if item.length == UNDEFINED else item.start + item.length
        if item.tag == _ITEM:
            _walk_item(values, sequence[item.start : end], encoding, wanted)
    except Problem:
        return values
    return values


def _walk_item(values: dict[int, bytes], item: bytes, encoding: Encoding, wanted: Collection[int]) -> None:
    """Fill ``values`` from an item's elements, up to its delimiter or its end. Raises Problem."""
    position = 0
    while position < len(item):
        header = read_header(item, position, encoding)
        if header.tag == _ITEM_END:
            return
        position = after(item, header, encoding)
        if header.tag in wanted:
            values[header.tag] = item[header.start : position]


def _plain_run(
    values: dict[int, bytes], present: set[int], data: Data, position: int, wanted: Collection[int], group: int | None
) -> int:
    """Step over elements as long as each is explicit little endian, of known length and whole: nearly all of them.

    Returns where one begins that is not so; it is for the careful way. Twenty times as fast as that.
    """
    end_of_data = len(data)
    while position + 8 <= end_of_data:
        high, low, vr, length = _PLAIN(data, position)
        start = position + 8
        if vr not in _SHORT_VR:
            if vr not in LONG_VR or position + 12 > end_of_data:
                return position
            (length,) = _LENGTH(data, start)
            start += 4
        following = start + length
        # A tag of zeros may be padding; an undefined length is beyond every end.
        if following > end_of_data or length == UNDEFINED or not (high or low) or (group is not None and high != group):
            return position
        tag = high << 16 | low
        present.add(tag)
        if tag in wanted:
            values[tag] = bytes(data[start : start + min(length, _MAX_VALUE_BYTES)])
        position = following
    return position


def _at_end(data: Data, position: int) -> bool:
    """At the last byte, or where only the zero padding that some writers append is left."""
    if len(data) - position >= 8 and data[position : position + 4] != b"\0\0\0\0":
        return False
    return not bytes(data[position:]).strip(b"\0")


def read_header(data: Data, position: int, encoding: Encoding) -> Header:
    """The element at ``position``. Raises Problem truncated when not even its header fits."""
    try:
        return _read_header(data, position, encoding)
    except struct.error:
        raise Problem("truncated", {"at_byte": len(data)}) from None


def _read_header(data: Data, position: int, encoding: Encoding) -> Header:
    order = encoding.order
    group, element = struct.unpack_from(order + "HH", data, position)
    tag = group << 16 | element
    vr = data[position + 4 : position + 6]
    # Item and delimiters have no VR in any syntax; a "VR" that is not two capitals is an implicit stray.
    if encoding.implicit or group == 0xFFFE or not (vr.isalpha() and vr.isupper()):
        return Header(tag, b"", position + 8, struct.unpack_from(order + "I", data, position + 4)[0])
    if vr in LONG_VR:
        return Header(tag, vr, position + 12, struct.unpack_from(order + "I", data, position + 8)[0])
    return Header(tag, vr, position + 8, struct.unpack_from(order + "H", data, position + 6)[0])


def after(data: Data, header: Header, encoding: Encoding, depth: int = 0) -> int:
    """One past the element's last byte. Raises Problem truncated when that lies beyond the data."""
    if header.length == UNDEFINED:
        # UN of undefined length is always implicit little endian inside, PS3.5 6.2.2.
        inner = Encoding(implicit=True, little=True) if header.vr == b"UN" else encoding
        return _after_sequence(data, header.start, inner, depth + 1)
    end = header.start + header.length
    if end > len(data):
        raise Problem("truncated", {"at_byte": len(data), "missing_bytes": end - len(data)})
    return end


def _after_sequence(data: Data, position: int, encoding: Encoding, depth: int) -> int:
    """Past the items (of a sequence, or fragments of pixel data) and the sequence delimiter."""
    if depth > _MAX_DEPTH:
        raise Problem("malformed", {"part": "nesting"})
    while True:
        header = read_header(data, position, encoding)
        if header.tag == _SEQUENCE_END:
            return header.start
        if header.tag != _ITEM:
            raise Problem("malformed", {"part": "sequence", "at_byte": position})
        if header.length == UNDEFINED:
            position = _after_item(data, header.start, encoding, depth)
        else:
            position = after(data, header, encoding, depth)


def after_item(data: Data, item: Header, encoding: Encoding) -> int:
    """One past an item of a sequence, its delimiter included. Raises Problem as ``after``."""
    return _after_item(data, item.start, encoding, 1) if item.length == UNDEFINED else after(data, item, encoding)


def _after_item(data: Data, position: int, encoding: Encoding, depth: int) -> int:
    is_plain = not encoding.implicit and encoding.little
    while True:
        if is_plain:
            position = _plain_run({}, set(), data, position, (), None)
        header = read_header(data, position, encoding)
        if header.tag == _ITEM_END:
            return header.start
        position = after(data, header, encoding, depth)
