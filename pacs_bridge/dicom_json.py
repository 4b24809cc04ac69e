"""A data set as DICOM JSON (PS3.18 Annex F): always UTF-8, whatever the source said of its characters. [domain]

Raw values are converted one by one, so that a value that is none (a word where a number should stand) costs itself
and not the data set. Long binary values become references: ``BulkDataURI`` begins with BULK_MARK, and whoever sends
the text puts the address there.
"""

import base64
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, private_dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement

from pacs_bridge import character_set
from pacs_bridge.corrections import MODIFIED_AT, REASON, SYSTEM

BULK_MARK = "@bulk/"
METADATA_FILE = "metadata-1.json"  # beside an instance's derived data; another number when the conversion changes
UTF8 = "ISO_IR 192"
MOST_INLINE_BYTES = 1024
_DEFER_BYTES = 64 * 1024  # longer values are not read at all: pixels, waveforms
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_ONE_TEXT = frozenset(("ST", "LT", "UT", "UR"))
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "SV": "q", "UV": "Q"}
_ORIGINAL_ATTRIBUTES = "04000561"
_EXACT_INTEGER = 1 << 53  # beyond it a JSON reader may round
_MOST_DEPTH = 32
Element = dict[str, Any]


class _Source:
    """What its parts must know of the whole: character sets, signedness, where an element lies."""

    def __init__(self, sets: tuple[str, ...], is_signed: bool, fallback: str, private: Mapping[int, str]) -> None:
        self.sets, self.is_signed, self.fallback, self.private = sets, is_signed, fallback, private


def instance_json(path: Path, *, fallback_character_set: str = "GB18030") -> str:
    """The metadata of a stored instance as one JSON object. Raises what pydicom raises on a file it cannot read."""
    dataset = dcmread(path, force=True, defer_size=_DEFER_BYTES)
    found = _dataset(dataset, (), False, fallback_character_set, "", 0)
    found["00080005"] = {"vr": "CS", "Value": [UTF8]}
    try:
        syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
    except Exception:  # a file meta that pydicom cannot read
        syntax = ""
    if syntax:
        found["00083002"] = {"vr": "UI", "Value": [syntax]}  # Available Transfer Syntax UID
    return json.dumps(dict(sorted(found.items())), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def corrected_json(text: str, corrections: Mapping[str, str]) -> str:
    """The same with some attributes replaced: keyword to value; empty values stay empty.

    What they were stands in the Original Attributes Sequence, as in the copy (``corrections.write_corrected``).
    """
    if not corrections:
        return text
    found = json.loads(text)
    previous: dict[str, Element] = {}
    for keyword, value in corrections.items():
        tag = tag_for_keyword(keyword)
        if tag is None or keyword == MODIFIED_AT:
            continue
        name = f"{tag:08X}"
        if name in found:
            previous[name] = found[name]
        found[name] = element(dictionary_VR(tag), value)
    history = found.get(_ORIGINAL_ATTRIBUTES, {}).get("Value", [])
    item = {
        "04000550": {"vr": "SQ", "Value": [dict(sorted(previous.items()))]},
        "04000562": element("DT", corrections.get(MODIFIED_AT, "")), "04000563": element("LO", SYSTEM),
        "04000564": {"vr": "LO"}, "04000565": element("CS", REASON),
    }  # fmt: skip
    found[_ORIGINAL_ATTRIBUTES] = {"vr": "SQ", "Value": [*history, item]}
    return json.dumps(dict(sorted(found.items())), ensure_ascii=False, separators=(",", ":"))


def element(vr: str, text: str) -> Element:
    """An attribute of a text VR from its value with backslashes."""
    values = [text] if vr in _ONE_TEXT else text.split("\\")
    converted = [_text_value(vr, value) for value in values]
    return {"vr": vr, "Value": converted} if any(value is not None for value in converted) else {"vr": vr}


def _dataset(
    dataset: Dataset, sets: tuple[str, ...], is_signed: bool, fallback: str, where: str, depth: int
) -> dict[str, Element]:
    """``sets`` and ``is_signed``: of the data set around this one, where it does not say itself."""
    terms = _ascii(dataset, 0x00080005).split("\\") if 0x00080005 in dataset.keys() else sets  # noqa: SIM118
    own_sets = tuple(term.strip() for term in terms)
    representation = _raw_bytes(dataset, 0x00280103)
    is_signed = representation[:2] in (b"\x01\0", b"\0\x01") if representation else is_signed
    source = _Source(own_sets, is_signed, fallback, _creators(dataset))
    found: dict[str, Element] = {}
    for tag in dataset.keys():  # noqa: SIM118  iterating a Dataset would convert every value
        if tag.element == 0 or tag.group < 8 or tag.group == 0xFFFE:
            continue  # group lengths, stray delimiters: no data
        name = f"{int(tag):08X}"
        try:
            found[name] = _element(dataset, int(tag), source, where + name, depth)
        except Exception:  # an element that no reader of ours understands costs itself, not the data set
            found[name] = {"vr": "UN"}
    return found


def _element(dataset: Dataset, tag: int, source: _Source, where: str, depth: int) -> Element:
    raw = dataset.get_item(tag)
    vr = _vr(raw, tag, source)
    if vr == "SQ":
        return _sequence(dataset, tag, source, where, depth)
    if isinstance(raw, RawDataElement):
        length = raw.length
        if vr in _BINARY and (raw.value is None or length > MOST_INLINE_BYTES or tag in _PIXELS):
            return {"vr": vr, "BulkDataURI": BULK_MARK + where}
        value = raw.value if raw.value is not None else _raw_bytes(dataset, tag)
        return _from_bytes(vr, value or b"", source, raw.is_little_endian)
    return _from_value(raw, vr, source, where)


def _from_value(found: Any, vr: str, source: _Source, where: str) -> Element:
    """An element that pydicom has converted already (it does so with a few)."""
    if vr in _BINARY:
        data = bytes(found.value or b"")
        return {"vr": vr, "BulkDataURI": BULK_MARK + where} if len(data) > MOST_INLINE_BYTES else _inline(vr, data)
    value = found.value
    is_many = hasattr(value, "__iter__") and not isinstance(value, str)
    values = [] if value is None else list(value) if is_many else [value]
    if vr in _NUMBERS:
        return _with(vr, [_number(one) for one in values])
    return element(vr, "\\".join(str(one) for one in values))


def _sequence(dataset: Dataset, tag: int, source: _Source, where: str, depth: int) -> Element:
    if depth >= _MOST_DEPTH:
        return {"vr": "SQ"}
    try:
        items = list(dataset[tag].value or [])
    except Exception:  # a sequence that cannot be parsed is empty; the stored object keeps it
        return {"vr": "SQ"}
    converted = [
        _dataset(item, source.sets, source.is_signed, source.fallback, f"{where}/{number}/", depth + 1)
        for number, item in enumerate(items, 1)
    ]
    return {"vr": "SQ", "Value": converted} if converted else {"vr": "SQ"}


def _vr(raw: Any, tag: int, source: _Source) -> str:
    vr = str(raw.VR) if raw.VR else ""
    if not vr or vr == "UN":
        vr = _known_vr(tag, source) or "UN"
    if vr == "US or SS":
        return "SS" if source.is_signed else "US"
    return vr if len(vr) == 2 else "OW"  # "OB or OW", "US or OW": words


def _known_vr(tag: int, source: _Source) -> str | None:
    try:
        if not tag >> 16 & 1:
            return dictionary_VR(tag)
        if tag & 0xFF00 == 0:
            return "LO"  # a private creator
        return private_dictionary_VR(tag, source.private[tag >> 8])
    except KeyError:
        return None


def _creators(dataset: Dataset) -> dict[int, str]:
    """Private creator by group and block, as (group << 8 | block)."""
    return {
        int(tag) >> 16 << 8 | int(tag) & 0xFF: _ascii(dataset, int(tag))
        for tag in dataset.keys()  # noqa: SIM118
        if tag.group % 2 and 0x10 <= tag.element <= 0xFF
    }


def _raw_bytes(dataset: Dataset, tag: int) -> bytes:
    """The value's bytes; also of one that was not read at first."""
    found = dataset.get_item(tag)
    if found is None:
        return b""
    if isinstance(found, RawDataElement):
        if found.value is None and found.length:
            try:
                found = dataset.get_item(tag, keep_deferred=False)
            except Exception:
                return b""
        return found.value if found is not None and isinstance(found.value, bytes) else b""
    value = found.value
    if isinstance(value, bytes | int):
        return value if isinstance(value, bytes) else struct.pack("<H", value & 0xFFFF)
    is_many = hasattr(value, "__iter__") and not isinstance(value, str)
    text = "\\".join(str(one) for one in value) if is_many else str(value or "")
    return text.encode("utf-8", "replace")


def _ascii(dataset: Dataset, tag: int) -> str:
    return _raw_bytes(dataset, tag).decode("ascii", "replace").strip(" \0")


def _from_bytes(vr: str, data: bytes, source: _Source, is_little: bool) -> Element:
    if vr in _BINARY:
        return _inline(vr, data)
    if vr in _NUMBERS:
        size = struct.calcsize("<" + _NUMBERS[vr])
        count = len(data) // size
        values = struct.unpack(("<" if is_little else ">") + f"{count}{_NUMBERS[vr]}", data[: count * size])
        return _with(vr, [_number(value) for value in values])
    if vr == "AT":
        count = len(data) // 4
        words = struct.unpack(("<" if is_little else ">") + f"{2 * count}H", data[: count * 4])
        return _with(vr, [f"{words[2 * n]:04X}{words[2 * n + 1]:04X}" for n in range(count)])
    text = character_set.decode(data.rstrip(b"\0 "), source.sets, source.fallback).value
    return element(vr, text)


def _inline(vr: str, data: bytes) -> Element:
    return {"vr": vr, "InlineBinary": base64.b64encode(data).decode()} if data else {"vr": vr}


def _with(vr: str, values: list[Any]) -> Element:
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def _number(value: Any) -> Any:
    """PS3.18 F.2.2: what JSON's numbers cannot say is text."""
    if isinstance(value, int):
        return value if abs(value) <= _EXACT_INTEGER else str(value)
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _text_value(vr: str, text: str) -> Any:
    if vr == "PN":
        return _person(text)
    text = text.rstrip(" \0") if vr in _ONE_TEXT else text.strip(" \0")
    if not text:
        return None
    if vr in {"IS", "DS"}:
        return _decimal(text, vr)
    return text


def _decimal(text: str, vr: str) -> Any:
    """A number where the text is one; else the text itself, as it came."""
    try:
        number = int(text) if vr == "IS" else float(text)
    except ValueError:
        return text
    return int(number) if isinstance(number, float) and number.is_integer() and "." not in text else _number(number)


def _person(text: str) -> dict[str, str] | None:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    found = {name: group.rstrip(" \0") for name, group in groups if group.strip(" \0^")}
    return found or None
