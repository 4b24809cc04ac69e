"""Stored values of more than 16 bits brought to 16 for the screen, and the manifest told how to read them. [domain]

A codestream for browsers has 16 bits at most. Whole numbers whose range fits keep every difference; wider ranges and
floating point are cut into 65535 equal steps from the lowest to the highest value of the instance. Of colour the 16
highest bits stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

_STEPS = 65535


@dataclass(frozen=True)
class Scale:
    """``stored = lowest + step * shown``."""

    lowest: float
    step: float

    def shown(self, frame: np.ndarray) -> np.ndarray:
        """(rows, columns) uint16; what is no number is the lowest value."""
        values = (np.nan_to_num(frame.astype(np.float64), nan=self.lowest) - self.lowest) / self.step
        return np.rint(np.clip(values, 0, _STEPS)).astype(np.uint16)

    def display(self, record: dict[str, Any]) -> dict[str, Any]:
        """What of a display record, or of a frame's own part of one, changes with the scale."""
        changed: dict[str, Any] = {}
        if lut := record.get("modality_lut"):
            slope = float(lut["slope"])
            changed["modality_lut"] = {
                **lut, "slope": slope * self.step, "intercept": float(lut["intercept"]) + slope * self.lowest,
            }  # fmt: skip
        if padding := record.get("pixel_padding"):
            ends = [round((end - self.lowest) / self.step) for end in padding]
            changed["pixel_padding"] = ends if ends[1] >= 0 and ends[0] <= _STEPS else None
        return changed


@dataclass(frozen=True)
class ColourScale:
    """``shown``: the 16 highest of ``bits_stored`` bits; the low ones no screen can show."""

    bits_stored: int

    def shown(self, frame: np.ndarray) -> np.ndarray:
        return (frame >> (self.bits_stored - 16)).astype(np.uint16)

    def display(self, _record: dict[str, Any]) -> dict[str, Any]:
        """Colour has no values to read off: nothing changes."""
        return {}


def is_wide(frame: np.ndarray) -> bool:
    """Whether a frame needs a scale."""
    return frame.ndim == 2 and (frame.dtype.kind == "f" or frame.dtype.itemsize > 2)


def scale_of(frames: Iterable[np.ndarray]) -> Scale:
    """One for all frames of an instance, so that they can be compared."""
    lows, highs, is_whole = [0.0], [0.0], True
    for number, frame in enumerate(frames):
        finite = frame[np.isfinite(frame)]
        if number == 0 and finite.size:
            lows, highs = [], []
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
        is_whole = is_whole and frame.dtype.kind != "f"
    width = max(highs) - min(lows)
    return Scale(min(lows), 1.0 if (is_whole and width <= _STEPS) or width == 0 else width / _STEPS)
