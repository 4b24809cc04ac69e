"""Modality LUT, VOI windows and tables, padding: normalised, so that nothing after this reads DICOM. [domain]

PS3.3 C.11.1 and C.11.2. Tables are lists of whole numbers; ``first`` is the input of the first entry.
"""

from typing import Any

from pydicom import Dataset

from viewer.image_values import Scope, integer, items, number, numbers, text, texts, value_of

VOI_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
IDENTITY: dict[str, Any] = {"kind": "linear", "slope": 1.0, "intercept": 0.0, "unit": ""}


def modality_lut_of(scope: Scope) -> dict[str, Any] | None:
    """None where a Modality LUT Sequence is there but unreadable: showing without it could invert the picture."""
    tables = [item for dataset in scope for item in items(dataset, "ModalityLUTSequence")]
    if tables and not _is_only_for_quantities(scope):
        table = table_of(tables[0], _is_signed(scope))
        unit = text(tables, "ModalityLUTType") or ""
        return {"kind": "table", "first": table[0], "values": table[2], "unit": unit} if table else None
    slope, intercept = number(scope, "RescaleSlope"), number(scope, "RescaleIntercept")
    if not slope or intercept is None:
        return dict(IDENTITY)
    return {"kind": "linear", "slope": slope, "intercept": intercept, "unit": _rescale_unit(scope)}


def voi_of(scope: Scope, modality_lut: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Windows, then tables, each in file order. What is no usable transform is left out."""
    may_be_negative = _is_signed(scope) or (modality_lut or IDENTITY).get("intercept", 0.0) < 0
    return [*_windows(scope), *_tables(scope, may_be_negative)]


def padding_of(scope: Scope) -> list[int] | None:
    """[lowest, highest] stored value of padding. PS3.3 C.7.5.1.1.2."""
    value = integer(scope, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(scope, "PixelPaddingRangeLimit")
    pair = [_as_stored(scope, v) for v in (value, value if limit is None else limit)]
    return [min(pair), max(pair)]


def table_of(item: Dataset, is_signed: bool) -> tuple[int, int, list[int]] | None:
    """(first, bits, values) of a LUT item, or None. Descriptor: entries (0 is 65536), first input, bits."""
    descriptor = numbers([item], "LUTDescriptor")
    if len(descriptor) != 3:
        return None
    count, first, bits = (int(v) for v in descriptor)
    count = 65536 if count == 0 else count & 0xFFFF
    values = _entries(item, count)
    if values is None or not 1 <= bits <= 16:
        return None
    first = first - 65536 if is_signed and first > 32767 else first
    return first, max(bits, max(values).bit_length()), values


def _entries(item: Dataset, count: int) -> list[int] | None:
    data = value_of([item], "LUTData")
    if isinstance(data, int):
        data = [data]
    if isinstance(data, bytes):
        order = "little" if getattr(item, "is_little_endian", True) is not False else "big"
        if len(data) >= 2 * count:
            return [int.from_bytes(data[i : i + 2], order) for i in range(0, 2 * count, 2)]  # type: ignore[arg-type]
        return list(data[:count]) if len(data) >= count else None
    try:
        words = [int(v) & 0xFFFF for v in data]
    except (TypeError, ValueError):
        return None
    if len(words) < count <= 2 * len(words):  # 8-bit entries, two in a word, the first in the low byte
        words = [byte for word in words for byte in (word & 0xFF, word >> 8)]
    return words[:count] if len(words) >= count else None


def _is_only_for_quantities(scope: Scope) -> bool:
    """XA and XRF: with LOG or DISP pixels the table makes them linear for measuring, not for the screen (C.8.7.1)."""
    is_fluoroscopic = text(scope, "Modality") in ("XA", "RF", "XRF")
    return is_fluoroscopic and text(scope, "PixelIntensityRelationship") in ("LOG", "DISP")


def _is_signed(scope: Scope) -> bool:
    return integer(scope, "PixelRepresentation") == 1


def _rescale_unit(scope: Scope) -> str:
    """CT values are HU unless said otherwise, but not in a localizer (PS3.3 C.8.2.1.1.2 and C.11.1.1.2)."""
    unit = text(scope, "RescaleType")
    modality = text(scope, "Modality")
    if unit is None and modality == "CT":
        return "" if "LOCALIZER" in texts(scope, "ImageType")[2:3] else "HU"
    if unit is None and modality == "PT":
        return text(scope, "Units") or ""
    return unit or ""


def _windows(scope: Scope) -> list[dict[str, Any]]:
    centers, widths = numbers(scope, "WindowCenter"), numbers(scope, "WindowWidth")
    names = texts(scope, "WindowCenterWidthExplanation")
    function = text(scope, "VOILUTFunction") or "LINEAR"
    if function not in VOI_FUNCTIONS or len(centers) != len(widths):
        return []
    names += [""] * (len(centers) - len(names))
    return [
        {"kind": "window", "center": center, "width": width, "function": function, "name": name}
        for center, width, name in zip(centers, widths, names, strict=False)
        if (width >= 1 if function == "LINEAR" else width > 0)
    ]


def _tables(scope: Scope, may_be_negative: bool) -> list[dict[str, Any]]:
    found = []
    for item in [item for dataset in scope for item in items(dataset, "VOILUTSequence")]:
        table = table_of(item, may_be_negative)
        if table:
            name = text([item], "LUTExplanation") or ""
            found.append({"kind": "table", "first": table[0], "bits": table[1], "values": table[2], "name": name})
    return found


def _as_stored(scope: Scope, value: int) -> int:
    """Padding written with the other signedness than the pixels, brought to theirs."""
    if _is_signed(scope):
        return value - 65536 if value > 32767 else value
    return value + 65536 if value < 0 else value
