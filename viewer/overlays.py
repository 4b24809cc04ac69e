"""Overlay planes (60xx) and display shutters as the viewer draws them. [domain]

PS3.3 C.9.2 and C.7.6.11. Bits are the file's: row by row, the first pixel in the lowest bit. Origins and shutter
edges are the standard's, counted from 1, row before column.
"""

from base64 import b64encode
from typing import Any

from pydicom import Dataset

from viewer.image_values import Scope, integer, numbers, texts

GROUPS = range(0x6000, 0x6020, 2)
MAX_BITS = 64 * 1024 * 1024


def overlays_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Planes with their own data. One that is too short for its size is left out."""
    return [overlay for group in GROUPS if (overlay := _overlay(dataset, group))]


def embedded_planes(dataset: Dataset) -> list[dict[str, Any]]:
    """Planes hidden in unused bits of the pixels (retired 2004, still met): "bit" says which, the rest as above."""
    stored = integer([dataset], "BitsStored") or 16
    high = integer([dataset], "HighBit")
    used = range((stored - 1 if high is None else high) + 1 - stored, stored if high is None else high + 1)
    planes = []
    for group in GROUPS:
        bit, frame = _number(dataset, group, 0x0102), _frame(dataset, group)
        if frame and (group, 0x3000) not in dataset and bit is not None and 0 <= bit < 16 and bit not in used:
            planes.append({**frame, "bit": bit})
    return planes


def shutter_of(scope: Scope) -> dict[str, Any] | None:
    """{"rectangular": {left, right, upper, lower}, "circular": {center, radius}, "polygonal": {vertices}}."""
    makers = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}
    shapes = [shape for shape in texts(scope, "ShutterShape") if shape in makers]
    shutter = {shape.lower(): form for shape in shapes if (form := makers[shape](scope))}
    return {**shutter, "value": integer(scope, "ShutterPresentationValue")} if shutter else None


def _element(dataset: Dataset, group: int, element: int) -> Any:
    try:
        return dataset[group, element].value if (group, element) in dataset else None
    except Exception:  # a malformed value is a missing one
        return None


def _number(dataset: Dataset, group: int, element: int) -> int | None:
    try:
        return int(_element(dataset, group, element))
    except (TypeError, ValueError):
        return None


def _frame(dataset: Dataset, group: int) -> dict[str, Any] | None:
    rows, columns = _number(dataset, group, 0x0010), _number(dataset, group, 0x0011)
    if not rows or not columns or rows < 0 or columns < 0 or rows * columns > MAX_BITS:
        return None
    try:
        origin = [int(v) for v in _element(dataset, group, 0x0050)]
    except (TypeError, ValueError):
        origin = []
    return {"rows": rows, "columns": columns, "origin": origin if len(origin) == 2 else [1, 1]}


def _overlay(dataset: Dataset, group: int) -> dict[str, Any] | None:
    frame, data = _frame(dataset, group), _element(dataset, group, 0x3000)
    if not frame or not isinstance(data, bytes):
        return None
    needed = (frame["rows"] * frame["columns"] + 7) // 8
    if len(data) < needed:
        return None
    is_big = getattr(dataset, "original_encoding", (None, True))[1] is False
    if is_big and dataset[group, 0x3000].VR == "OW":
        data = b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))
    return {**frame, "bits_base64": b64encode(data[:needed]).decode()}


def _rectangle(scope: Scope) -> dict[str, int] | None:
    edges = {
        "left": integer(scope, "ShutterLeftVerticalEdge"), "right": integer(scope, "ShutterRightVerticalEdge"),
        "upper": integer(scope, "ShutterUpperHorizontalEdge"), "lower": integer(scope, "ShutterLowerHorizontalEdge"),
    }  # fmt: skip
    known = {name: edge for name, edge in edges.items() if edge is not None}
    return known if len(known) == 4 else None


def _circle(scope: Scope) -> dict[str, Any] | None:
    center, radius = numbers(scope, "CenterOfCircularShutter"), integer(scope, "RadiusOfCircularShutter")
    return {"center": center, "radius": radius} if len(center) == 2 and radius else None


def _polygon(scope: Scope) -> dict[str, Any] | None:
    values = numbers(scope, "VerticesOfThePolygonalShutter")
    points = [list(pair) for pair in zip(values[::2], values[1::2], strict=False)]
    return {"vertices": points} if len(points) >= 3 else None
