"""The parameters of a UPS-RS search or filter as matching keys (PS3.18 8.3.4, 11.9). [domain]"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from pacs_bridge.ups import Attributes, person

MOST_ANSWERS, USUAL_ANSWERS = 1000, 100
_MOST_DEPTH = 4


class BadParameter(ValueError):
    """A parameter that names no attribute, or a number that is none; its name is the message."""


@dataclass(frozen=True)
class UpsSearch:
    """What is asked for; ``include``: attributes beyond the usual ones, by tag, "all" for everything."""

    keys: Attributes = field(default_factory=dict)
    include: frozenset[str] = frozenset()
    limit: int = USUAL_ANSWERS
    offset: int = 0


def read(pairs: Iterable[tuple[str, str]]) -> UpsSearch:
    """Raises BadParameter."""
    keys: Attributes = {}
    include: set[str] = set()
    numbers = {"limit": USUAL_ANSWERS, "offset": 0}
    for name, value in pairs:
        if name == "includefield":
            include |= {"all" if one == "all" else _tag(one.rpartition(".")[0] or one) for one in value.split(",")}
        elif name in numbers:
            if not (value.isascii() and value.isdecimal() and len(value) < 10):
                raise BadParameter(name)
            numbers[name] = int(value)
        elif name == "fuzzymatching":
            if value not in ("true", "false"):
                raise BadParameter(name)
        else:
            put_key(keys, name, value)
    return UpsSearch(keys, frozenset(include), min(numbers["limit"], MOST_ANSWERS), numbers["offset"])


def filter_keys(text: str) -> Attributes:
    """The ``filter`` of a filtered subscription: keys and values parted by commas (PS3.18 11.10.1.4)."""
    keys: Attributes = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadParameter(name[:64])
        put_key(keys, name, value)
    return keys


def put_key(keys: Attributes, path: str, value: str) -> None:
    """One key by its path of tags or keywords with dots between. Raises BadParameter."""
    names = path.split(".")
    if len(names) > _MOST_DEPTH:
        raise BadParameter(path[:64])
    into = keys
    for name in names[:-1]:
        outer = into.setdefault(_tag(name), {"vr": "SQ", "Value": [{}]})
        if outer["vr"] != "SQ" or dictionary_VR(int(_tag(name), 16)) != "SQ":
            raise BadParameter(path[:64])
        into = outer["Value"][0]
    found = _tag(names[-1])
    vr = dictionary_VR(int(found, 16))
    if vr == "SQ":
        into.setdefault(found, {"vr": "SQ"})
        return
    texts = value.replace(",", "\\").split("\\") if vr == "UI" else [value]
    held: list[Any] = [person(one) if vr == "PN" else one for one in texts if one]
    into[found] = {"vr": vr, "Value": held} if held else {"vr": vr}


def _tag(name: str) -> str:
    """Raises BadParameter for what is no attribute of the standard."""
    number = tag_for_keyword(name)
    if number is None and len(name) == 8 and set(name.upper()) <= set("0123456789ABCDEF"):
        number = int(name, 16)
    try:
        if number is None or number < 0x00080000:
            raise KeyError(name)
        dictionary_VR(number)
    except KeyError:
        raise BadParameter(name[:64]) from None
    return f"{number:08X}"
