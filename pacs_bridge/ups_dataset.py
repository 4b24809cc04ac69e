"""UPS attributes between pydicom's data sets and DICOM JSON, in the character set a peer can read. [domain]"""

from typing import Any

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacs_bridge import character_set
from pacs_bridge.find_identifier import Spell, written
from pacs_bridge.ups import Attributes, person, tag

_TEXTS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_NUMBERS = {"IS": int, "US": int, "SS": int, "UL": int, "SL": int, "DS": str, "FL": float, "FD": float}
_NO_LIMIT = 1 << 30


def to_json(dataset: Dataset, fallback: str) -> Attributes:
    """``fallback``: how text without a declared character set is read. Raises ValueError for what JSON cannot say."""
    is_declared = bool(dataset.get("SpecificCharacterSet"))
    with config.disable_value_validation():
        found: Attributes = dataset.to_json_dict(bulk_data_threshold=_NO_LIMIT, suppress_invalid_tags=True)
    found = {name: element for name, element in found.items() if name >= "0008"}
    return found if is_declared else _reread(found, fallback)


def _reread(attributes: Attributes, fallback: str) -> Attributes:
    """Text that came without a character set was taken for Latin-1: it is read by the device's own."""
    found: Attributes = {}
    for name, element in attributes.items():
        held, vr = element.get("Value"), element.get("vr")
        if vr == "SQ" and held:
            found[name] = element | {"Value": [_reread(item, fallback) for item in held]}
        elif vr in _TEXTS and held:
            found[name] = element | {"Value": [_text(one, fallback) for one in held]}
        else:
            found[name] = element
    return found


def _text(value: Any, fallback: str) -> Any:
    if isinstance(value, dict):
        return person(str(_text(_groups(value), fallback)))
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        return character_set.decode(value.encode("latin_1"), (), fallback).value
    except UnicodeEncodeError:
        return value


def _groups(name: dict[str, str]) -> str:
    return "=".join(name.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")


def to_dataset(attributes: Attributes, term: str, spell: Spell) -> Dataset:
    """``term``: the peer's (0008,0005); what it cannot write goes out in Latin letters."""
    seen: list[bool] = []
    found = _dataset(attributes, term, spell, seen)
    if seen:
        terms = term.split("\\")
        found.SpecificCharacterSet = terms if len(terms) > 1 else term
    return found


def _dataset(attributes: Attributes, term: str, spell: Spell, seen: list[bool]) -> Dataset:
    found = Dataset()
    for name, element in sorted(attributes.items()):
        if name == tag("SpecificCharacterSet"):
            continue
        number, vr, held = int(name, 16), str(element.get("vr", "UN")), element.get("Value", [])
        value: Any
        if vr == "SQ":
            value = Sequence([_dataset(item, term, spell, seen) for item in held if isinstance(item, dict)])
        elif vr in ("OB", "OW", "UN", "OF", "OD", "OL", "OV"):
            value = b""
        else:
            kept = [_written(vr, one, term, spell, seen) for one in held if one is not None]
            value = kept[0] if len(kept) == 1 else kept or None
        found.add(DataElement(number, vr, value, validation_mode=config.IGNORE))
    return found


def _written(vr: str, value: Any, term: str, spell: Spell, seen: list[bool]) -> Any:
    if isinstance(value, dict):
        value = _groups(value)
    if vr in _NUMBERS:
        return _NUMBERS[vr](value)
    out = written(str(value), vr, term, spell)
    if not str(out).isascii():
        seen.append(True)
    return out
