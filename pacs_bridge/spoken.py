"""A data set as a peer can read it: texts in its character set, spelled in Latin letters where need be. [domain]

Nothing leaves as a question mark: a name's ideographic group is left out where the set cannot write it, and its
alphabetic group says the name.
"""

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

from pacs_bridge import escapes
from pacs_bridge.find_identifier import Spell, written


def spoken(dataset: Dataset, term: str, spell: Spell) -> Dataset:
    """``dataset`` itself, changed. ``term``: the peer's (0008,0005); ``spell``: a word in Latin letters."""
    is_ascii = _rewrite(dataset, term, spell)
    dataset.pop("SpecificCharacterSet", None)
    if term == escapes.TERM:
        return escapes.with_escapes(dataset)
    if not is_ascii:
        dataset.SpecificCharacterSet = term
    return dataset


def _rewrite(dataset: Dataset, term: str, spell: Spell) -> bool:
    """True when all of it is ASCII."""
    is_ascii = True
    for element in list(dataset):
        if isinstance(element.value, Sequence):
            for item in element.value:
                item.pop("SpecificCharacterSet", None)
                is_ascii = _rewrite(item, term, spell) and is_ascii
        elif element.VM > 1:
            texts = [written(str(one), element.VR, term, spell) for one in element.value]
            if not all(str(one).isascii() for one in element.value):
                element.value = texts
            is_ascii = is_ascii and all(text.isascii() for text in texts)
        elif isinstance(element.value, str | PersonName):
            text = written(str(element.value), element.VR, term, spell)
            if text != str(element.value):
                element.value = text
            is_ascii = is_ascii and text.isascii()
    return is_ascii
