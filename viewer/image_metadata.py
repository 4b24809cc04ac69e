"""What the screen must know of an image besides its pixels: one normalised form, gaps kept as gaps. [domain]

The viewer reads no DICOM: what it shows and measures comes from here. An unknown value is None, never 0 or "".
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isclose, sqrt
from typing import Any

from pydicom import Dataset

from viewer.grey import modality_lut_of, padding_of, voi_of
from viewer.image_values import Scope, frame_scope, integer, number, numbers, text, value_of
from viewer.overlays import overlays_of, shutter_of
from viewer.spacing import pixel_aspect_of, spacing_of

PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))  # of +x, +y, +z: DICOM's patient axes, PS3.3 C.7.6.2.1.1
SIDE_COMPONENT = 0.3  # from about 17 degrees on a second letter says that the plane is oblique
UNIT_TOLERANCE = 0.02
Vector = tuple[float, float, float]


def is_image(dataset: Dataset) -> bool:
    """Whether there is, or should be, a picture: reports, waveforms and documents have neither pixels nor Rows."""
    return "Rows" in dataset or any(keyword in dataset for keyword in PIXEL_ELEMENTS)


def problem_of(dataset: Dataset) -> str | None:
    """Why this image cannot be shown, as a code, as far as its header tells."""
    scope = [dataset]
    for keyword, name in (("Rows", "rows"), ("Columns", "columns")):
        value = integer(scope, keyword)
        if value is None or value <= 0:
            return f"missing_{name}" if value is None else f"invalid_{name}"
    if not any(value_of(scope, keyword) is not None for keyword in PIXEL_ELEMENTS):
        return "missing_pixel_data"
    for keyword, code in (("SamplesPerPixel", "missing_samples_per_pixel"), ("BitsStored", "missing_bits")):
        if keyword == "BitsStored" and "PixelData" not in dataset:
            continue  # floating point has no stored bits (PS3.3 C.7.6.24)
        if integer(scope, keyword) is None:
            return code
    if text(scope, "PhotometricInterpretation") is None:
        return "missing_photometric"
    return "invalid_modality_lut" if modality_lut_of(frame_scope(dataset)) is None else None


def display_of(dataset: Dataset) -> dict[str, Any]:
    """The display record of one instance, without its ``frames`` and ``auto_window`` (they need the pixels).

    A multi-frame image is described by its first frame; `frame_displays` says where others differ.
    """
    scope = frame_scope(dataset)
    problem = problem_of(dataset)
    lut = modality_lut_of(scope)
    return {
        "sop_instance_uid": text(scope, "SOPInstanceUID"),
        "number": integer(scope, "InstanceNumber"),
        "state": "failed" if problem else "ready",
        "reason": problem,
        **_pixel_module(scope),
        "modality_lut": lut,
        "voi": voi_of(scope, lut),
        "pixel_padding": padding_of(scope),
        "spacing": spacing_of(scope),
        "pixel_aspect": pixel_aspect_of(scope),
        **_plane(scope),
        "overlays": overlays_of(dataset),
        "shutter": shutter_of(scope),
        "laterality": text(scope, "ImageLaterality") or text(scope, "FrameLaterality") or text(scope, "Laterality"),
        "view_position": text(scope, "ViewPosition"),
        "kvp": number(scope, "KVP") or None,
        "acquired_at": acquired_at(scope),
        "station": text(scope, "StationName"),
    }


def frame_displays(dataset: Dataset, frames: int) -> list[dict[str, Any]]:
    """For each frame what differs from the instance's record: position_mm, modality_lut, voi (often nothing)."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        return [{} for _ in range(frames)]
    first = _frame_display(dataset, 0)
    found = [first, *(_frame_display(dataset, index) for index in range(1, frames))]
    return [{key: value for key, value in one.items() if value != first[key] or one is first} for one in found]


def display_order(instances: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Along the normal where all lie in parallel planes, else by InstanceNumber; ties and gaps as received."""

    def by_number(one: Mapping[str, Any]) -> tuple[bool, int]:
        return one.get("number") is None, one.get("number") or 0

    numbered = sorted(instances, key=by_number)
    if not _are_parallel(instances):
        return numbered
    return sorted(numbered, key=lambda one: float(one["position_mm"]))


def acquired_at(scope: Scope) -> str | None:
    """ISO 8601, in the device's own time: an offset only where the file gives one (0008,0201), or just the date."""
    moment = text(scope, "FrameAcquisitionDateTime") or text(scope, "AcquisitionDateTime")
    for prefix in ("Acquisition", "Content"):
        if moment is None and (date := text(scope, f"{prefix}Date")):
            moment = date.replace(".", "") + (text(scope, f"{prefix}Time") or "").replace(":", "")
    return _iso(moment, text(scope, "TimezoneOffsetFromUTC")) if moment else None


def _iso(moment: str, offset: str | None) -> str | None:
    match = re.fullmatch(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(\.\d*)?([+-]\d{4})?", moment)
    if not match:
        return None
    day, *clock, _, own_offset = match.groups()
    try:
        parsed = datetime.strptime(day + "".join(part or "00" for part in clock), "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        return None
    if clock[0] is None:
        return parsed.date().isoformat()
    zone = own_offset or (offset if offset and re.fullmatch(r"[+-]\d{4}", offset) else None)
    return parsed.isoformat() + (f"{zone[:3]}:{zone[3:]}" if zone else "")


def _pixel_module(scope: Scope) -> dict[str, Any]:
    """Of the decoded samples: palette (8 bit) and YBR (as deep as stored) are RGB by then, unsigned."""
    photometric = text(scope, "PhotometricInterpretation") or ""
    is_colour = photometric == "PALETTE COLOR" or (integer(scope, "SamplesPerPixel") or 1) > 1
    is_monochrome1 = photometric == "MONOCHROME1"
    is_inverse = text(scope, "PresentationLUTShape") == "INVERSE"
    return {
        "rows": integer(scope, "Rows"),
        "columns": integer(scope, "Columns"),
        "samples_per_pixel": 3 if is_colour else 1,
        "bits_stored": 8 if photometric == "PALETTE COLOR" else integer(scope, "BitsStored"),
        "signed": not is_colour and integer(scope, "PixelRepresentation") == 1,
        "monochrome1": is_monochrome1,
        # With MONOCHROME1 the shape INVERSE names the same single inversion (PS3.3 C.8.11.3.1): never invert twice.
        "presentation_lut_inverse": is_inverse and not is_monochrome1 and not is_colour,
    }


def _plane(scope: Scope) -> dict[str, Any]:
    axes, origin = _axes(scope), numbers(scope, "ImagePositionPatient")
    normal = _cross(*axes) if axes else None
    return {
        "orientation": _edges_of_axes(axes) if axes else _edges_of_letters(scope),
        "position_mm": _dot(normal, origin) if normal and len(origin) == 3 else None,
        "image_orientation": [*axes[0], *axes[1]] if axes else None,
        "image_position": origin if len(origin) == 3 else None,
        "frame_of_reference_uid": text(scope, "FrameOfReferenceUID"),
        "slice_thickness_mm": number(scope, "SliceThickness") or None,
        "gantry_tilt_deg": number(scope, "GantryDetectorTilt"),
    }


def _axes(scope: Scope) -> tuple[Vector, Vector] | None:
    """Directions in which columns and rows count up, or None where they are no pair of right-angled unit vectors."""
    values = numbers(scope, "ImageOrientationPatient")
    if len(values) != 6:
        return None
    row, column = (values[0], values[1], values[2]), (values[3], values[4], values[5])
    lengths = [sqrt(_dot(axis, axis)) for axis in (row, column)]
    if any(not isclose(length, 1.0, abs_tol=UNIT_TOLERANCE) for length in lengths):
        return None
    return (row, column) if abs(_dot(row, column)) < UNIT_TOLERANCE else None


def _edges_of_axes(axes: tuple[Vector, Vector]) -> dict[str, str]:
    return _edges(*(_letters(axis) for axis in axes))


def _letters(axis: Vector) -> str:
    order = sorted(range(3), key=lambda i: -abs(axis[i]))
    named = [i for place, i in enumerate(order) if place == 0 or abs(axis[i]) >= SIDE_COMPONENT]
    return "".join(LETTERS[i][0] if axis[i] > 0 else LETTERS[i][1] for i in named)


def _edges_of_letters(scope: Scope) -> dict[str, str] | None:
    """Patient Orientation (0020,0020): where the right and the bottom edge point to. Both or nothing."""
    value = value_of(scope, "PatientOrientation")
    letters = [str(v).strip() for v in value] if value is not None and not isinstance(value, str) else []
    if len(letters) != 2 or not all(one and set(one) <= set(OPPOSITE) and len(one) <= 3 for one in letters):
        return None
    return _edges(*letters)


def _edges(right: str, bottom: str) -> dict[str, str]:
    left, top = ("".join(OPPOSITE[letter] for letter in side) for side in (right, bottom))
    return {"left": left, "right": right, "top": top, "bottom": bottom}


def _frame_display(dataset: Dataset, frame: int) -> dict[str, Any]:
    scope = frame_scope(dataset, frame)
    lut = modality_lut_of(scope)
    plane = _plane(scope)
    own = {"position_mm": plane["position_mm"], "image_position": plane["image_position"]}
    return {**own, "modality_lut": lut, "voi": voi_of(scope, lut), "spacing": spacing_of(scope)}


def _are_parallel(instances: Sequence[Mapping[str, Any]]) -> bool:
    axes = [one.get("image_orientation") for one in instances]
    if not axes or any(axis is None for axis in axes) or any(one.get("position_mm") is None for one in instances):
        return False
    first = axes[0] or []
    return all(isclose(a, b, abs_tol=UNIT_TOLERANCE) for axis in axes for a, b in zip(axis or [], first, strict=True))


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
