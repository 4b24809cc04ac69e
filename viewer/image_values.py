"""Attribute values read so that a missing, empty or malformed one is None and never an exception. [domain]

A `Scope` is where the attributes of one frame may stand, nearest first: its functional group macros, the shared
ones, the data set itself (PS3.3 C.7.6.16). A classic image has the data set alone.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from pydicom import Dataset

Scope = Sequence[Dataset]
FRAME_MACROS = (
    "PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "FrameVOILUTSequence",
    "PixelValueTransformationSequence", "FrameAnatomySequence", "FrameContentSequence",
    "CTImageFrameTypeSequence", "CTXRayDetailsSequence", "CTAcquisitionDetailsSequence",
)  # fmt: skip


def frame_scope(dataset: Dataset, frame: int = 0) -> list[Dataset]:
    """Of the frame counted from 0."""
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")[frame : frame + 1]
    groups += items(dataset, "SharedFunctionalGroupsSequence")[:1]
    macros = [item for group in groups for keyword in FRAME_MACROS for item in items(group, keyword)[:1]]
    return [*macros, dataset]


def value_of(scope: Scope, keyword: str) -> Any:
    for dataset in scope:
        try:
            value = dataset.get(keyword)
        except Exception:  # whatever a malformed value's converter raises: the value is not there  # noqa: S112
            continue
        if value is not None and value not in ("", []):
            return value
    return None


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = value_of([dataset], keyword)
    if value is None or isinstance(value, str | bytes):
        return []
    try:
        return [item for item in value if isinstance(item, Dataset)]
    except TypeError:
        return []


def texts(scope: Scope, keyword: str) -> list[str]:
    """All values, stripped; empty ones stay in place as ""."""
    value = value_of(scope, keyword)
    if value is None or isinstance(value, bytes):
        return []
    values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    return [str(v).strip(" \0") for v in values]


def text(scope: Scope, keyword: str) -> str | None:
    values = texts(scope, keyword)
    return values[0] or None if values else None


def numbers(scope: Scope, keyword: str) -> list[float]:
    """All values, or none of them where one is no finite number."""
    found = []
    for value in texts(scope, keyword):
        try:
            number = float(value)
        except ValueError:
            return []
        if not isfinite(number):
            return []
        found.append(number)
    return found


def number(scope: Scope, keyword: str) -> float | None:
    values = numbers(scope, keyword)
    return values[0] if values else None


def integer(scope: Scope, keyword: str) -> int | None:
    value = number(scope, keyword)
    return int(value) if value is not None and value == int(value) else None


def positive_pair(scope: Scope, keyword: str) -> tuple[float, float] | None:
    """Two spacings in mm, both above zero, or None."""
    values = numbers(scope, keyword)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None
