"""How large a pixel is, and what that size is the size of: patient, calibration object, detector. [domain]

PS3.3 10.7.1.1 and 10.7.1.2. ``type``: "patient" in a cross-section; "fiducial" and "geometry" corrected for
magnification by an object of known size and by known or assumed distances; "detector" at the receptor, where things
inside the patient measure too large; "none" unknown: only pixels can be counted.
"""

from typing import Any

from viewer.image_values import Scope, integer, items, number, numbers, positive_pair, text, texts

CROSS_SECTION_MODALITIES = frozenset({"CT", "MR", "PT", "NM", "US", "OPT", "IVUS"})
PROJECTION_MODALITIES = frozenset({"CR", "DX", "MG", "RG", "RF", "XA", "PX", "IO"})
UNIT_CM, TISSUE_2D = 3, 1  # PS3.3 C.8.5.5.1.15 and C.8.5.5.1.1
SAME = 1e-4  # relative: the same spacing written with other digits
Pair = tuple[float, float]


def spacing_of(scope: Scope) -> dict[str, Any]:
    """{"row_mm", "column_mm", "type"}: row_mm is the distance between rows; both None where the type is "none"."""
    pair, kind = _spacing(scope)
    return {"row_mm": pair[0] if pair else None, "column_mm": pair[1] if pair else None, "type": kind}


def pixel_aspect_of(scope: Scope) -> float:
    """Height of a pixel over its width: from any spacing, else Pixel Aspect Ratio (0028,0034), else 1.0."""
    pair, _ = _spacing(scope)
    pair = pair or positive_pair(scope, "PixelAspectRatio")
    return pair[0] / pair[1] if pair else 1.0


def _spacing(scope: Scope) -> tuple[Pair | None, str]:
    pixel = positive_pair(scope, "PixelSpacing")
    if _is_cross_section(scope):
        return _of_cross_section(scope, pixel)
    receptor = positive_pair(scope, "ImagerPixelSpacing") or positive_pair(scope, "NominalScannedPixelSpacing")
    return _of_projection(scope, pixel, receptor)


def _is_cross_section(scope: Scope) -> bool:
    """By modality; others (segmentations, dose) where they lie in a plane of the patient."""
    modality = text(scope, "Modality")
    has_plane = len(numbers(scope, "ImageOrientationPatient")) == 6
    return modality in CROSS_SECTION_MODALITIES or (has_plane and modality not in PROJECTION_MODALITIES)


def _of_cross_section(scope: Scope, pixel: Pair | None) -> tuple[Pair | None, str]:
    if pixel is None:
        region = _ultrasound_region(scope)
        return region, "patient" if region else "none"
    is_localizer = "LOCALIZER" in texts(scope, "ImageType")[2:3]  # a projection, true at the isocentre only
    return pixel, "geometry" if is_localizer else "patient"


def _of_projection(scope: Scope, pixel: Pair | None, receptor: Pair | None) -> tuple[Pair | None, str]:
    declared = {"FIDUCIAL": "fiducial", "GEOMETRY": "geometry"}.get(text(scope, "PixelSpacingCalibrationType") or "")
    if pixel and declared:
        return pixel, declared
    if pixel and receptor and not _is_same(pixel, receptor):
        return pixel, "geometry"  # corrected, it is not said how: the weaker of the two claims
    flat = receptor or pixel
    if flat is None:
        return None, "none"
    factor = number(scope, "EstimatedRadiographicMagnificationFactor")
    if receptor and factor is not None and 1.0 < factor < 10.0:
        return (receptor[0] / factor, receptor[1] / factor), "geometry"
    return flat, "detector"


def _is_same(one: Pair, other: Pair) -> bool:
    return all(abs(a - b) <= SAME * max(a, b) for a, b in zip(one, other, strict=True))


def _ultrasound_region(scope: Scope) -> Pair | None:
    """The only calibrated region, where it is 2D tissue in cm; two regions have two scales and no common answer."""
    regions = items(scope[-1], "SequenceOfUltrasoundRegions")
    if len(regions) != 1 or integer(regions, "RegionSpatialFormat") != TISSUE_2D:
        return None
    units = [integer(regions, f"PhysicalUnits{axis}Direction") for axis in "XY"]
    across, down = (number(regions, f"PhysicalDelta{axis}") for axis in "XY")
    if units != [UNIT_CM, UNIT_CM] or not across or not down:
        return None
    return abs(down) * 10.0, abs(across) * 10.0
