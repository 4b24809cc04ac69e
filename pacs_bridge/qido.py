"""QIDO-RS as values: what parameters ask for, and an answer as DICOM JSON (PS3.18 8.3.4, 10.6, F.2). [domain]"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from pacs_bridge.query import Options, Query, plan
from pacs_bridge.query_attributes import ATTRIBUTES, LEVELS, SEQUENCE, UNIQUE, at_or_above, level_of

MOST_ANSWERS = 1000  # in one response; the rest by offset, and the response says so
_MOST_OFFSET = 1 << 31
_NOT_ATTRIBUTES = frozenset(("limit", "offset", "fuzzymatching", "includefield", "accept", "_"))
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBERS = frozenset(("IS", "US"))


class BadParameter(ValueError):
    """The parameter that cannot be; the text is its name."""


@dataclass(frozen=True)
class Search:
    """``paths``: what each answer says; ``unknown``: attributes named to be compared that are not."""

    query: Query
    paths: tuple[str, ...]
    limit: int
    offset: int
    unknown: tuple[str, ...] = ()


def read(level: str, within: Mapping[str, str], parameters: Iterable[tuple[str, str]]) -> Search:
    """``within``: unique keys by the resource's path. Raises BadParameter, query.BadKey."""
    given = list(parameters)
    single = _single(given)
    keys = dict(within)
    for name, value in single.items():
        path = _path(name)
        if path in within and value != within[path]:
            raise BadParameter(name)
        is_list = dictionary_VR(path.rsplit(".", maxsplit=1)[-1]) == "UI"
        keys[path] = value.replace(",", "\\") if is_list else value
    plain = dict(given)
    options = Options(relational=True, combined_moments=True, fuzzy_names=_flag(plain, "fuzzymatching"))
    query = plan(level, keys, options)
    includes = [one for name, value in given if name == "includefield" for one in value.split(",") if one]
    limit = min(_number(plain, "limit", MOST_ANSWERS), MOST_ANSWERS)
    paths = _paths(level, within, includes, single)
    return Search(query, paths, limit, _number(plain, "offset", 0), query.unmatched)


def _single(given: list[tuple[str, str]]) -> dict[str, str]:
    """The attributes, each named once."""
    found: dict[str, str] = {}
    for name, value in given:
        if name in _NOT_ATTRIBUTES:
            continue
        if name in found:
            raise BadParameter(name)
        found[name] = value
    return found


def _path(name: str) -> str:
    """A parameter's attribute, by keyword or tag, as a path of keywords. Raises BadParameter."""
    keywords = []
    for part in name.split("."):
        keyword = keyword_for_tag(int(part, 16)) if _TAG.fullmatch(part) else part
        if not keyword or tag_for_keyword(keyword) is None:
            raise BadParameter(name)
        keywords.append(keyword)
    return ".".join(keywords)


def _flag(given: Mapping[str, str], name: str) -> bool:
    value = given.get(name, "false").lower()
    if value not in ("true", "false"):
        raise BadParameter(name)
    return value == "true"


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > _MOST_OFFSET:
        raise BadParameter(name)
    return int(value)


def _paths(level: str, within: Mapping[str, str], includes: list[str], asked: Iterable[str]) -> tuple[str, ...]:
    """What every answer of this resource says, what is included, and what was asked for."""
    top = next((upper for upper in ("SERIES", "STUDY") if UNIQUE[upper] in within), "PATIENT")
    said = LEVELS[LEVELS.index(top) + (top != "PATIENT") :]
    reach = at_or_above(level)
    chosen = [path for path in reach if ATTRIBUTES[path].in_qido and level_of(path) in said]
    chosen += [UNIQUE[upper] for upper in LEVELS[1 : LEVELS.index(level) + 1]]
    for name in (*includes, *asked):
        if name == "all":
            chosen += reach
            continue
        path = _path(name)
        chosen += [one for one in reach if one == path or one.startswith(path + ".")]
    return tuple(dict.fromkeys(chosen))


def answer_json(answer: Mapping[str, Any], paths: Iterable[str], root: str) -> dict[str, Any]:
    """One answer as DICOM JSON; ``root``: our address, for Retrieve URL."""
    found: dict[str, Any] = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}, "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00081190": {"vr": "UR", "Value": [_address(answer, root)]},
    }  # fmt: skip
    item: dict[str, Any] = {}
    for path in paths:
        tag, vr = _element(path)
        value = answer.get(path)
        if value is None and vr in _NUMBERS:
            continue
        (item if path.startswith(SEQUENCE) else found)[tag] = _value(vr, value)
    if item:
        has_value = any("Value" in one for one in item.values())
        found["00400275"] = {"vr": "SQ", "Value": [item]} if has_value else {"vr": "SQ"}
    return dict(sorted(found.items()))


@cache
def _element(path: str) -> tuple[str, str]:
    keyword = path.rpartition(".")[2]
    return f"{tag_for_keyword(keyword):08X}", dictionary_VR(keyword)


def _value(vr: str, value: Any) -> dict[str, Any]:
    if value is None or value in ("", []):
        return {"vr": vr}
    if vr == "PN":
        groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.split("="), strict=False)
        return {"vr": vr, "Value": [{name: group for name, group in groups if group}]}
    if vr in _NUMBERS:
        return {"vr": vr, "Value": [int(value)]}
    return {"vr": vr, "Value": value if isinstance(value, list) else [value]}


def _address(answer: Mapping[str, Any], root: str) -> str:
    address = f"{root}/studies/{answer.get('StudyInstanceUID', '')}"
    if series := answer.get("SeriesInstanceUID"):
        address += f"/series/{series}"
    if instance := answer.get("SOPInstanceUID"):
        address += f"/instances/{instance}"
    return address
