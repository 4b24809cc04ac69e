"""C-FIND identifiers: keys read from a request, answers written in a character set the peer can read. [domain]

Nothing leaves as a question mark: a name that the peer's set cannot write goes out spelled in Latin letters, in the
alphabetic group; so does other text.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

from pacs_bridge import character_set, escapes
from pacs_bridge.query_attributes import ATTRIBUTES, LEVELS, OF_EVERY_ANSWER, SEQUENCE, UNIQUE, level_of

_STRUCTURE = frozenset(("SpecificCharacterSet", "QueryRetrieveLevel", *OF_EVERY_ANSWER))
_TEXTS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
Spell = Callable[[str], str]  # a word in Latin letters


@dataclass(frozen=True)
class Asked:
    """``keys``: texts by path as ``query.plan`` takes them; ``has_unknown``: something is asked that no index knows."""

    keys: dict[str, str]
    has_unknown: bool = False


def read(identifier: Dataset, fallback: str) -> Asked:
    """The keys of a request. ``fallback``: how text without a declared character set is read."""
    keys: dict[str, str] = {}
    has_unknown = False
    is_declared = bool(identifier.get("SpecificCharacterSet"))
    for element in identifier:
        keyword = element.keyword
        if keyword in _STRUCTURE or element.tag.element == 0:
            continue
        if keyword == SEQUENCE:
            inner = [one for item in element.value[:1] for one in item]
            keys |= {f"{SEQUENCE}.{one.keyword or one.tag}": _text(one, is_declared, fallback) for one in inner}
            if not inner:
                keys |= {path: "" for path in ATTRIBUTES if path.startswith(SEQUENCE)}
        elif element.VR == "SQ":
            has_unknown = True
        else:
            keys[keyword or str(element.tag)] = _text(element, is_declared, fallback)
    return Asked(keys, has_unknown or any(path not in ATTRIBUTES for path in keys))


def _text(element: DataElement, is_declared: bool, fallback: str) -> str:
    value = element.value
    if value is None or element.VR == "SQ":
        return ""
    text = "\\".join(str(one) for one in value) if element.VM > 1 else str(value)
    if is_declared or text.isascii() or element.VR not in _TEXTS:
        return text
    raw = value.original_string if isinstance(value, PersonName) else text.encode("latin_1", "ignore")
    return character_set.decode(raw, (), fallback).value if isinstance(raw, bytes) else text


def write(
    answer: Mapping[str, Any], paths: Iterable[str], *, level: str, ae_title: str, term: str, spell: Spell
) -> Dataset:
    """The identifier of one answer: what was asked for as far as known, and the unique keys. ``term``: (0008,0005)."""
    found = Dataset()
    _put(found, "QueryRetrieveLevel", level)
    _put(found, "RetrieveAETitle", ae_title)
    _put(found, "InstanceAvailability", "ONLINE")
    uniques = [UNIQUE[upper] for upper in LEVELS[: LEVELS.index(level) + 1] if UNIQUE[upper] in answer]
    item = Dataset()
    is_ascii = True
    for path in dict.fromkeys((*paths, *uniques)):
        if path not in ATTRIBUTES or LEVELS.index(level_of(path)) > LEVELS.index(level):
            continue
        keyword, into = path.rpartition(".")[2], item if path.startswith(SEQUENCE) else found
        value = written(answer.get(path, ""), dictionary_VR(keyword), term, spell)
        is_ascii = is_ascii and str(value).isascii()
        _put(into, keyword, value)
    if len(item):
        found.add(DataElement(tag_for_keyword(SEQUENCE) or 0, "SQ", Sequence([item])))
    if term == escapes.TERM:
        return escapes.with_escapes(found)
    if not is_ascii:
        terms = term.split("\\")
        _put(found, "SpecificCharacterSet", terms if len(terms) > 1 else term)
    return found


def _put(dataset: Dataset, keyword: str, value: Any) -> None:
    """What stands in the index is answered as it is, too long or not."""
    tag = tag_for_keyword(keyword) or 0
    dataset.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE))


def written(value: Any, vr: str, term: str, spell: Spell) -> Any:
    """The value as the character set can write it."""
    if not isinstance(value, str) or value.isascii() or vr not in _TEXTS or is_writable(value, term):
        return value
    if vr == "PN":
        return _name(value, term, spell)
    return "".join(part if is_writable(part, term) else _latin(part, spell) for part in value)


def _name(value: str, term: str, spell: Spell) -> str:
    """Alphabetic group as it is or spelled; the ideographic one stays where it can be written."""
    groups = value.split("=")
    alphabetic = groups[0]
    if not alphabetic.strip("^ ") or not is_writable(alphabetic, term):
        source = next((group for group in (groups[0], *groups[1:2]) if group.strip("^ ")), "")
        alphabetic = "^".join(_latin(part, spell).capitalize() for part in source.split("^"))
    kept = [group if is_writable(group, term) else "" for group in groups[1:3]]
    return "=".join((alphabetic, *kept)).rstrip("=")


def _latin(text: str, spell: Spell) -> str:
    return unicodedata.normalize("NFKD", spell(text)).encode("ascii", "ignore").decode()


def is_writable(text: str, term: str) -> bool:
    """Whether a (0008,0005) term's set has every character of the text."""
    codec = character_set.codec_of(term.rsplit("\\", maxsplit=1)[-1]) or "ascii"
    try:
        text.encode(codec)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def tag_of(path: str) -> int:
    """The tag of a key's attribute; 0 for a path that is none."""
    return int(tag_for_keyword(path.split(".", maxsplit=1)[0]) or 0)
