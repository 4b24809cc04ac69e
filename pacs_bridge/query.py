"""A query as values, the same for C-FIND and QIDO-RS: level, what must match, what is unknown (PS3.4 C.2.2.2). [domain]

Keys are texts by path: ``PatientID``, ``RequestAttributesSequence.RequestedProcedureID``. Several values are
joined by backslashes, as in a data set.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

from pacs_bridge.extract import plain_date, plain_time
from pacs_bridge.query_attributes import ATTRIBUTES, LEVELS, UNIQUE, level_of

_WILDCARD = re.compile(r"[*?]")
_UID = re.compile(r"[0-9.]{1,64}")
_NO_WILDCARDS = frozenset(("UI", "DA", "TM", "DT", "IS", "DS", "US"))
_MOST_PATTERNS, _MOST_VALUES = 100, 10_000  # of one key: a statement bears no more, nor does a person mean it
_WORDS = re.compile(r"[\s^=,]+")


class BadKey(ValueError):
    """A key that cannot be matched: its path. The text holds no value of it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True)
class OneOf:
    """Equal to one of these: a single value, a list of UIDs, several values."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """Like one of these: ``*`` any run of characters, ``?`` one; nothing else is special."""

    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Between:
    """A date or a time from ``low`` to ``high``, both inclusive; "": open. Comparable as text with what is stored."""

    low: str
    high: str


@dataclass(frozen=True)
class Moments:
    """A range of date and time together, PS3.4 C.2.2.2.5.4; pairs as in Between."""

    time_path: str
    low: tuple[str, str]
    high: tuple[str, str]


@dataclass(frozen=True)
class Name:
    """A person's name. One group: it may be any of a name's groups; more: each its own. Folded, wildcards kept.

    ``is_fuzzy``: ``groups`` are words, each the beginning of some part of the name, in any order.
    """

    groups: tuple[str, ...]
    is_fuzzy: bool = False


Match = OneOf | Pattern | Between | Moments | Name


@dataclass(frozen=True)
class Options:
    """What was agreed on beyond the baseline (PS3.4 C.5.1.1; PS3.18 10.6)."""

    relational: bool = False
    combined_moments: bool = False
    fuzzy_names: bool = False


BASELINE = Options()


@dataclass(frozen=True)
class Query:
    """What to look for. ``unmatched``: keys with a value that is not compared (C-FIND says so by FF01)."""

    level: str
    matches: tuple[tuple[str, Match], ...] = ()
    unmatched: tuple[str, ...] = ()

    def value_of(self, path: str) -> str:
        """The one value that ``path`` must have, or ""."""
        found = dict(self.matches).get(path)
        return found.values[0] if isinstance(found, OneOf) and len(found.values) == 1 else ""

    def __contains__(self, path: str) -> bool:
        return any(path == one for one, _ in self.matches)


def plan(level: str, keys: Mapping[str, str], options: Options = BASELINE, *, top: str = "STUDY") -> Query:
    """The query of these keys. ``top``: the uppermost level of the model (PATIENT, or STUDY for study root).

    Raises BadKey: of a key that is no value of its kind, or of a unique key that is missing above ``level``.
    """
    if not options.relational:
        _need_unique_keys(level, keys, top)
    matches: dict[str, Match] = {}
    unmatched = []
    for path, text in keys.items():
        if not text.strip(" *"):  # universal matching, also by a lone asterisk
            continue
        attribute = ATTRIBUTES.get(path)
        if attribute is None or not attribute.is_matched or LEVELS.index(level_of(path)) > LEVELS.index(level):
            unmatched.append(path)
            continue
        matches[path] = match_of(path, text, options)
    if options.combined_moments:
        matches = with_moments(matches)
    return Query(level, tuple(matches.items()), tuple(unmatched))


def _need_unique_keys(level: str, keys: Mapping[str, str], top: str) -> None:
    """Hierarchical search: one value for the unique key of every level above (PS3.4 C.4.1.2.1)."""
    for upper in LEVELS[LEVELS.index(top) : LEVELS.index(level)]:
        value = keys.get(UNIQUE[upper], "").strip()
        if not value or _WILDCARD.search(value) or "\\" in value:
            raise BadKey(UNIQUE[upper])


def match_of(path: str, text: str, options: Options) -> Match:
    """What a key's text asks for, by the value representation of its attribute. Raises BadKey."""
    vr = dictionary_VR(path.rsplit(".", maxsplit=1)[-1])
    if vr in _NO_WILDCARDS and _WILDCARD.search(text):
        raise BadKey(path)
    if vr in ("DA", "TM"):
        return _span(path, text.strip(), vr)
    if vr == "PN":
        return _name(text, options)
    values = tuple(value.strip(" \0") for value in text.split("\\") if value.strip(" \0"))
    if vr == "UI" and not all(_UID.fullmatch(value) for value in values):
        raise BadKey(path)
    has_wildcards = any(_WILDCARD.search(value) for value in values)
    if len(values) > (_MOST_PATTERNS if has_wildcards else _MOST_VALUES):
        raise BadKey(path)
    if vr in ("IS", "US"):
        return OneOf(tuple(_integer(path, value) for value in values))
    return Pattern(values) if has_wildcards else OneOf(values)


def _integer(path: str, value: str) -> str:
    if not re.fullmatch(r"[+-]?\d{1,9}", value):
        raise BadKey(path)
    return str(int(value))


def _name(text: str, options: Options) -> Name:
    value = text.split("\\", maxsplit=1)[0].casefold()
    if options.fuzzy_names:
        words = tuple(word for word in _WORDS.split(value.replace("*", " ").replace("?", " ")) if word)
        return Name(words, is_fuzzy=True)
    groups = tuple(group.strip(" ^") for group in value.split("="))
    while len(groups) > 1 and not groups[-1]:
        groups = groups[:-1]
    if len(groups) == 1 or any(groups[1:]):
        return Name(groups)
    return Name((groups[0], ""))


def _span(path: str, text: str, vr: str) -> Between:
    plain, lowest, highest = (plain_date, _day, _day) if vr == "DA" else (plain_time, earliest, latest)
    low, dash, high = text.partition("-")
    ends = [plain(end.strip()) for end in (low, high)]
    if any(end.strip() and not found for end, found in zip((low, high), ends, strict=True)) or not any(ends):
        raise BadKey(path)
    if not dash:
        return Between(lowest(ends[0]), ends[0] if vr == "DA" else _exactly(ends[0]))
    return Between(lowest(ends[0]) if ends[0] else "", highest(ends[1]) if ends[1] else "")


def _day(value: str) -> str:
    return value


def earliest(time: str) -> str:
    """The lowest text among all that write this moment or a later one within it: 100000 also stands as 10."""
    text = time.rstrip("0").rstrip(".") if "." in time else time
    while len(text) > 2 and text.endswith("00"):
        text = text[:-2]
    return text


def latest(time: str) -> str:
    """The end of what this value covers: 10 goes to 10:59:59.999999."""
    whole = time + "235959"[len(time) :] if len(time) < 6 else time
    return whole + (".999999" if "." not in whole else "9" * (6 - len(whole.partition(".")[2])))


def _exactly(time: str) -> str:
    """The highest text that writes this very moment: 1030 also stands as 103000.000000."""
    whole = time.ljust(6, "0")
    return whole + ("." + "0" * 6 if "." not in whole else "0" * (6 - len(whole.partition(".")[2])))


def with_moments(given: Mapping[str, Match]) -> dict[str, Match]:
    """Where both a date and its time are asked for and the date is a range: one range of moments."""
    matches = dict(given)
    for date_path in [path for path in matches if path.endswith("Date")]:
        time_path = date_path.removesuffix("Date") + "Time"
        days, times = matches[date_path], matches.get(time_path)
        if isinstance(days, Between) and isinstance(times, Between) and days.low != days.high:
            del matches[time_path]
            matches[date_path] = Moments(time_path, (days.low, times.low), (days.high, times.high))
    return matches
