"""Attribute matching of UPS queries (PS3.4 C.2.2.2, CC.2.8.3), on the DICOM JSON model. [domain]"""

import re
import unicodedata
from collections.abc import Mapping
from fnmatch import translate
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VR

from pacs_bridge.ups import Attributes, tag

_RANGES = frozenset(("DA", "TM", "DT"))
_WILD = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_NOT_KEYS = frozenset(tag(keyword) for keyword in ("SpecificCharacterSet", "TransactionUID", "TimezoneOffsetFromUTC"))


def matches(attributes: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
    """Whether every key with a value is met."""
    return all(
        name in _NOT_KEYS or _element_matches(name, attributes.get(name, {}), key) for name, key in keys.items()
    )


def _element_matches(name: str, element: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    wanted = [one for one in key.get("Value", []) if one not in (None, "", {})]
    if not wanted:
        return True  # universal
    held = [one for one in element.get("Value", []) if one is not None]
    vr = _vr(name, key)
    if vr == "SQ":
        return any(matches(item, wanted[0]) for item in held) or not any(_asks(item) for item in wanted)
    return any(_value_matches(vr, one, want) for one in held for want in wanted)


def _asks(item: Mapping[str, Any]) -> bool:
    """Whether a sequence's item asks for anything."""
    return any(_asks(one) if isinstance(one, dict) and "Alphabetic" not in one else one not in (None, "")
               for element in item.values() for one in element.get("Value", []))  # fmt: skip


def _vr(name: str, key: Mapping[str, Any]) -> str:
    try:
        return dictionary_VR(int(name, 16))
    except (KeyError, ValueError):
        return str(key.get("vr", "UN"))


def _value_matches(vr: str, held: Any, want: Any) -> bool:
    if vr == "PN":
        return _name_matches(held, want)
    one, other = str(held).strip(), str(want).strip()
    if vr in _RANGES:
        return _within(one, other)
    if vr in _WILD and ("*" in other or "?" in other):
        return _pattern(other).fullmatch(one) is not None
    return one == other


@cache
def _pattern(wild: str) -> re.Pattern[str]:
    """``*`` and ``?`` alone are wild."""
    return re.compile(translate(wild.replace("[", "[[]")))


def _name_matches(held: Any, want: Any) -> bool:
    """Any group against any group, without regard to case, width and how the parts are parted."""
    groups = list(held.values()) if isinstance(held, dict) else [str(held)]
    wishes = list(want.values()) if isinstance(want, dict) else [str(want)]
    return any(_pattern(_folded(wish)).fullmatch(_folded(group)) for wish in wishes for group in groups if wish)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().replace("^", "").replace(" ", "")


def _within(held: str, wish: str) -> bool:
    """A range by its ends, each as precise as it is written; a single value by its precision. Moments in one zone."""
    low, dash, high = _split(wish)
    value = _bare(held)
    if not dash:
        return value.startswith(_bare(wish))
    low, high = _bare(low), _bare(high)
    return (not low or value[: len(low)] >= low) and (not high or value[: len(high)] <= high)


def _split(wish: str) -> tuple[str, str, str]:
    """At the hyphen that is no sign of an offset (PS3.5 6.2: -ZZXX has four digits at the end)."""
    found = re.fullmatch(r"(\d[\d.]*(?:[+-]\d{4})?)?-(\d[\d.]*(?:[+-]\d{4})?)?", wish)
    if found is None or re.fullmatch(r"\d{10,}(?:\.\d+)?-\d{4}", wish):
        return wish, "", ""
    return found[1] or "", "-", found[2] or ""


def _bare(value: str) -> str:
    """Without the offset: both sides are written in the zone of the place."""
    return re.sub(r"(?<=\d)[+-]\d{4}$", "", value)


def selected(attributes: Mapping[str, Any], keys: Mapping[str, Any]) -> Attributes:
    """What was asked for, and no more; sequences whole or by their asked attributes."""
    found: Attributes = {}
    for name, key in keys.items():
        if name in _NOT_KEYS:
            continue
        element = attributes.get(name)
        if element is None:
            found[name] = {"vr": _vr(name, key)}
        elif element.get("vr") == "SQ" and (wanted := key.get("Value")) and isinstance(wanted[0], dict) and wanted[0]:
            chosen = [selected(item, wanted[0]) for item in element.get("Value", [])]
            found[name] = {"vr": "SQ", "Value": chosen} if chosen else {"vr": "SQ"}
        else:
            found[name] = element
    return found
