"""ISO 2022 escapes of GB 2312 text (PS3.5 Annex K), which pydicom leaves out when it writes. [domain]"""

import re

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

TERM = "ISO 2022 IR 58"
_TO_GB2312 = b"\x1b$)A"  # designates G1; every delimiter takes it back
_RUN = re.compile(r"[^\x00-\x7f]+")
_PYTHON_CODECS = ["iso8859", "iso_ir_58"]


def with_escapes(dataset: Dataset) -> Dataset:
    """``dataset`` itself: its character set named as the standard does, its texts as bytes with their escapes."""
    if _escape(dataset):
        dataset.SpecificCharacterSet = ["", TERM]
    else:
        dataset.pop("SpecificCharacterSet", None)
    return dataset


def _escape(dataset: Dataset) -> bool:
    found = False
    for element in list(dataset):
        if isinstance(element.value, Sequence):
            for item in element.value:
                found = _escape(item) or found
            continue
        text = "\\".join(str(one) for one in element.value) if element.VM > 1 else str(element.value)
        if text.isascii():
            continue
        found = True
        raw = _RUN.sub(lambda run: run.group().encode("gb2312").decode("latin_1"), _marked(text)).encode("latin_1")
        value = PersonName(raw, _PYTHON_CODECS) if element.VR == "PN" else raw
        dataset[element.tag] = DataElement(element.tag, element.VR, value, already_converted=True)
    return found


def _marked(text: str) -> str:
    return _RUN.sub(lambda run: _TO_GB2312.decode() + run.group(), text)
