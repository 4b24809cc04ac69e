"""Stored values to grey levels on a screen: modality LUT, VOI LUT, polarity (PS3.3 C.11, PS3.4 N.2). [domain]

``display`` is the normalised form of `viewer.image_metadata.display_of`: ``modality_lut``, ``voi``, ``auto_window``,
``monochrome1``, ``presentation_lut_inverse``, ``pixel_padding``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

Display = Mapping[str, Any]


def render(stored: np.ndarray, display: Display, voi: int = 0) -> np.ndarray:
    """uint8 of the same shape; colour has no window, its 8 highest bits are shown. ``voi``: which entry of the list,
    the first by default; without any, the automatic window. Padding is background, black in either polarity."""
    if stored.ndim == 3:
        return eight_bits(stored, int(display.get("bits_stored") or 8))
    values = modality_values(stored, display["modality_lut"])
    transforms = display["voi"]
    transform = transforms[voi] if transforms else automatic(display.get("auto_window"), values)
    grey = voi_fraction(values, transform)
    if display["monochrome1"] or display["presentation_lut_inverse"]:
        grey = 1.0 - grey
    levels = np.rint(grey * 255.0).astype(np.uint8)
    padding = display["pixel_padding"]
    if padding is not None:
        levels[(stored >= padding[0]) & (stored <= padding[1])] = 0
    return levels


def eight_bits(colours: np.ndarray, bits_stored: int) -> np.ndarray:
    """As DCMTK: what is deeper loses its low bits, what is less deep fills the range."""
    if bits_stored < 8:
        return (colours.astype(np.uint16) * 255 // ((1 << bits_stored) - 1)).astype(np.uint8)
    return (colours >> (bits_stored - 8)).astype(np.uint8, copy=False)


def modality_values(stored: np.ndarray, lut: Display) -> np.ndarray:
    """Float64 output units (HU where the LUT says so). PS3.3 C.11.1."""
    if lut["kind"] == "table":
        return _looked_up(stored, lut)
    return stored * float(lut["slope"]) + float(lut["intercept"])


def voi_fraction(values: np.ndarray, voi: Display) -> np.ndarray:
    """0.0 (black) to 1.0 (white) before polarity. PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if voi["kind"] == "table":
        return _looked_up(values, voi) / float((1 << int(voi["bits"])) - 1)
    center, width = float(voi["center"]), float(voi["width"])
    if voi["function"] == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    if voi["function"] == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0) if width > 0 else (values > center) * 1.0
    if width <= 1.0:
        return (values > center - 0.5) * 1.0
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def automatic(window: Display | None, values: np.ndarray) -> dict[str, Any]:
    """The whole range of an image that brings no window of its own: lowest value black, highest white."""
    if window is None:
        window = window_of(float(values.min()), float(values.max()))
    return {"kind": "window", "function": "LINEAR_EXACT", **window}


def window_of(lowest: float, highest: float) -> dict[str, Any]:
    """The LINEAR_EXACT window from ``lowest`` to ``highest``, in output units of the modality LUT."""
    width = highest - lowest
    return {"center": lowest + width / 2.0, "width": width if width > 0 else 1.0, "function": "LINEAR_EXACT"}


def _looked_up(values: np.ndarray, table: Display) -> np.ndarray:
    """Below ``first`` the first entry, past the end the last: PS3.3 C.11.1.1.1."""
    entries = np.asarray(table["values"], np.float64)
    index = np.clip(np.trunc(values) - int(table["first"]), 0, len(entries) - 1)
    found: np.ndarray = entries[index.astype(np.intp)]
    return found
