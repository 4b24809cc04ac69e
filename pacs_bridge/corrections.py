"""A stored object with other patient and study attributes: only its header is written anew. [domain]

PS3.3 C.12.1.1.9 (Original Attributes Sequence), PS3.5 6.1 and 7.5 (character sets, nested items). Elements are
copied as bytes: pixels are never decoded, and what no correction names stays as it was, odd encodings
included. Where the object's character set cannot hold a new value, all text is written again in UTF-8, the
previous values too: an item with a set of its own is more than many readers can follow.
"""

import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword

from pacs_bridge import character_set, elements
from pacs_bridge.elements import UNDEFINED, Encoding, Header
from pacs_bridge.extract import read_file_meta
from pacs_bridge.records import Problem

UNICODE = "ISO_IR 192"
MODIFIED_AT = "AttributeModificationDateTime"  # among the corrections: when, not what
SYSTEM, REASON = "TELEREAD", "CORRECT"
_CHARACTER_SET, _ORIGINAL_ATTRIBUTES, _PIXELS_FROM = 0x00080005, 0x04000561, 0x7FE00000
_MODIFIED_ATTRIBUTES, _MODIFIED_AT, _MODIFYING_SYSTEM = 0x04000550, 0x04000562, 0x04000563
_SOURCE, _REASON = 0x04000564, 0x04000565
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TEXT = frozenset((b"PN", b"LO", b"SH", b"ST", b"LT", b"UT", b"UC"))
_WHOLE_SETS = {"ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gbk"}  # no code extensions, no second value
_IMPLICIT = Encoding(implicit=True, little=True)
_COPY_BYTES = 1 << 20


def write_corrected(path: Path, corrections: Mapping[str, str], target: Path, *, fallback: str = "GB18030") -> None:
    """A copy with other values, keyword to value ("" empties one), its pixels copied in blocks.

    Raises Problem where the object has no structure.
    """
    with (
        path.open("rb") as stream, target.open("wb") as out,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):  # fmt: skip
        out.writelines(_parts(data, corrections, fallback))


def _parts(data: mmap.mmap, corrections: Mapping[str, str], fallback: str) -> Iterator[bytes]:
    syntax, start = read_file_meta(data)
    yield data[:start]
    if syntax in elements.DEFLATED:
        inflated, is_whole = elements.inflate(data, start)
        if not is_whole:  # longer than we inflate: half of it must not leave as the whole
            raise Problem("malformed", {"part": "deflated data set"})
        body, rest = _body(inflated, 0, elements.EXPLICIT_LITTLE, corrections, fallback)
        deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = deflater.compress(body) + deflater.compress(inflated[rest:]) + deflater.flush()
        yield packed + b"\0" * (len(packed) % 2)
        return
    body, rest = _body(data, start, elements.encoding_of(syntax), corrections, fallback)
    yield body
    for position in range(rest, len(data), _COPY_BYTES):
        yield data[position : position + _COPY_BYTES]


@dataclass(frozen=True)
class _Spans:
    """Where each element of the header lies, [from, to), and where the pixels and all after them begin."""

    of: dict[int, tuple[int, int]]
    rest: int


def _spans(data: elements.Data, start: int, encoding: Encoding) -> _Spans:
    found: dict[int, tuple[int, int]] = {}
    position = start
    while len(data) - position >= 8:
        header = elements.read_header(data, position, encoding)
        if header.tag >= _PIXELS_FROM or not header.tag:  # the pixels, or zeros that pad the end
            break
        following = elements.after(data, header, encoding)
        found[header.tag] = (position, following)
        position = following
    return _Spans(found, position)


def _body(
    data: elements.Data, start: int, encoding: Encoding, corrections: Mapping[str, str], fallback: str
) -> tuple[bytes, int]:
    """(the corrected elements before the pixels, where in ``data`` the rest begins)."""
    spans = _spans(data, start, encoding)
    wanted = {_tag(keyword): value for keyword, value in corrections.items() if keyword != MODIFIED_AT}
    terms = _terms(data, spans, encoding)
    is_unicode = not _holds(terms, wanted.values())
    codec = "utf_8" if is_unicode else _codec(terms)
    recoder = _Recoder(data, encoding, fallback) if is_unicode else None

    def kept(tag: int) -> bytes:
        span = spans.of[tag]
        return recoder.elements(*span, terms) if recoder is not None else bytes(data[slice(*span)])

    previous = [kept(tag) for tag in sorted(wanted) if tag in spans.of]
    new = {tag: _element(tag, value.encode(codec), encoding) for tag, value in wanted.items()}
    if is_unicode:
        new[_CHARACTER_SET] = _element(_CHARACTER_SET, UNICODE.encode(), encoding)
    moment = corrections.get(MODIFIED_AT, "").encode("ascii", "replace")
    history = _items(data, spans, encoding, recoder, terms) + _modification(b"".join(previous), moment, encoding)
    new[_ORIGINAL_ATTRIBUTES] = _sequence(_ORIGINAL_ATTRIBUTES, history, encoding)
    whole = [new[tag] if tag in new else kept(tag) for tag in sorted({*spans.of, *new})]
    return b"".join(whole), spans.rest


def _terms(data: elements.Data, spans: _Spans, encoding: Encoding) -> tuple[str, ...]:
    if _CHARACTER_SET not in spans.of:
        return ()
    position, end = spans.of[_CHARACTER_SET]
    header = elements.read_header(data, position, encoding)
    text = bytes(data[header.start : end]).decode("ascii", "replace").strip(" \0")
    return tuple(term.strip() for term in text.split("\\")) if text else ()


def _codec(terms: tuple[str, ...]) -> str:
    return _WHOLE_SETS.get(terms[0], "ascii") if len(terms) == 1 else "ascii"


def _holds(terms: tuple[str, ...], values: Iterable[str]) -> bool:
    """Whether the object's own set can be believed to hold the values: plain ASCII always, else a whole set."""
    try:
        for value in values:
            value.encode(_codec(terms))
    except UnicodeEncodeError:
        return False
    return True


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None or _vr(tag) in (b"", b"SQ", b"OB", b"OW"):
        raise ValueError(f"{keyword} is no attribute that can be corrected")
    return int(tag)


def _vr(tag: int) -> bytes:
    """The VR of a tag by the dictionary of PS3.6; b"" where it is private or unknown."""
    try:
        return dictionary_VR(tag).encode()[:2]
    except KeyError:
        return b""


def _head(tag: int, vr: bytes, length: int, encoding: Encoding) -> bytes:
    order = encoding.order
    start = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if encoding.implicit or tag >> 16 == 0xFFFE:
        return start + struct.pack(order + "I", length)
    if vr in elements.LONG_VR:
        return start + vr + b"\0\0" + struct.pack(order + "I", length)
    return start + vr + struct.pack(order + "H", length)


def _element(tag: int, value: bytes, encoding: Encoding, vr: bytes = b"") -> bytes:
    vr = vr or _vr(tag)
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    if not encoding.implicit and vr not in elements.LONG_VR and len(value) > 0xFFFE:
        vr = b"UN"  # PS3.5 6.2.2 note 3: too long for its own VR
    return _head(tag, vr, len(value), encoding) + value


def _sequence(tag: int, items: bytes, encoding: Encoding) -> bytes:
    return _head(tag, b"SQ", len(items), encoding) + items


def _item(content: bytes, encoding: Encoding) -> bytes:
    return _head(_ITEM, b"", len(content), encoding) + content


def _modification(previous: bytes, moment: bytes, encoding: Encoding) -> bytes:
    """One item of the Original Attributes Sequence."""
    return _item(
        _sequence(_MODIFIED_ATTRIBUTES, _item(previous, encoding), encoding)
        + _element(_MODIFIED_AT, moment, encoding)
        + _element(_MODIFYING_SYSTEM, SYSTEM.encode(), encoding)
        + _element(_SOURCE, b"", encoding)
        + _element(_REASON, REASON.encode(), encoding),
        encoding,
    )


def _items(
    data: elements.Data, spans: _Spans, encoding: Encoding, recoder: "_Recoder | None", terms: tuple[str, ...]
) -> bytes:
    """Earlier items of the Original Attributes Sequence."""
    if _ORIGINAL_ATTRIBUTES not in spans.of:
        return b""
    position, end = spans.of[_ORIGINAL_ATTRIBUTES]
    header = elements.read_header(data, position, encoding)
    if recoder is not None:
        return recoder.items(header, end, terms)
    end -= 8 if header.length == UNDEFINED else 0
    return bytes(data[header.start : end])


class _Recoder:
    """Elements written again with their text in UTF-8; everything else as the bytes it was."""

    def __init__(self, data: elements.Data, encoding: Encoding, fallback: str) -> None:
        self._data, self._encoding, self._fallback = data, encoding, fallback

    def elements(self, position: int, end: int, terms: tuple[str, ...]) -> bytes:
        """What lies in [position, end), whose text is in the character set ``terms``."""
        parts = []
        while end - position >= 8:
            header = elements.read_header(self._data, position, self._encoding)
            following = elements.after(self._data, header, self._encoding)
            parts.append(self._element(header, position, following, terms))
            position = following
        return b"".join(parts)

    def _element(self, header: Header, position: int, end: int, terms: tuple[str, ...]) -> bytes:
        vr = header.vr or _vr(header.tag)
        if vr == b"UN" and _vr(header.tag) == b"SQ":  # PS3.5 6.2.2 note 2: implicit little endian inside
            inner = _Recoder(self._data, _IMPLICIT, self._fallback).items(header, end, terms)
            return _head(header.tag, b"UN", len(inner), self._encoding) + inner
        if vr == b"SQ":
            return _sequence(header.tag, self.items(header, end, terms), self._encoding)
        raw = bytes(self._data[header.start : end])
        if header.tag == _CHARACTER_SET:
            return _element(header.tag, UNICODE.encode(), self._encoding)
        if vr not in _TEXT or (raw.isascii() and b"\x1b" not in raw):
            return bytes(self._data[position:end])
        text = character_set.decode(raw.rstrip(b"\0 "), terms, self._fallback).value
        return _element(header.tag, text.encode("utf_8"), self._encoding, vr)

    def items(self, header: Header, end: int, terms: tuple[str, ...]) -> bytes:
        """The items of a sequence; one with a character set of its own is read by that."""
        parts, position = [], header.start
        while end - position >= 8:
            item = elements.read_header(self._data, position, self._encoding)
            if item.tag != _ITEM:
                break  # the delimiter
            following = elements.after_item(self._data, item, self._encoding)
            inner_end = following - 8 if item.length == UNDEFINED else following
            own = _terms(self._data, _spans(self._data[:inner_end], item.start, self._encoding), self._encoding)
            parts.append(_item(self.elements(item.start, inner_end, own or terms), self._encoding))
            position = following
        return b"".join(parts)
