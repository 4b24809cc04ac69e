"""Frames for DICOMweb from the HTJ2K that was derived at ingest: pixels again, or a picture. [adapter]

What strangers sent is decoded in the deriving processes, which have limits; here only our own codestreams are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from pacs_bridge.pixel_error import PixelError
from pacs_bridge.render import render

JPEG, PNG = "image/jpeg", "image/png"
MOST_PX = 8192


@dataclass(frozen=True)
class Look:
    """How a picture is asked for (PS3.18 8.3.5). ``window``: center, width, function; ``viewport``: width, height and
    optionally the source rectangle x, y, width, height in pixels of the image."""

    media: str = JPEG
    quality: int = 90
    window: tuple[float, float, str] | None = None
    viewport: tuple[int, int] | None = None
    source: tuple[int, int, int, int] | None = None


def frame_path(derived: Path, number: int) -> Path:
    return derived / f"frame_{number}.jphc"


def is_derived(derived: Path) -> bool | None:
    """Whether frames are there; None while nobody has tried yet."""
    if frame_path(derived, 1).is_file():
        return True
    return False if (derived / "display.json").is_file() else None


def is_greyscale(derived: Path) -> bool:
    return bool(_display(derived).get("samples_per_pixel") == 1)


def frame_count(derived: Path) -> int:
    return len(_display(derived)["frames"])


def decoded(derived: Path, number: int, bits_allocated: int) -> bytes:
    """Uncompressed pixels of one frame, little endian, as Explicit VR Little Endian holds them. Raises PixelError."""
    cells = _cells(derived, number)
    if bits_allocated == 1:
        return np.packbits(cells.ravel().astype(np.uint8), bitorder="little").tobytes()
    if bits_allocated == 16:
        cells = cells.astype("<i2" if cells.dtype.kind == "i" else "<u2", copy=False)
    elif cells.dtype.kind == "i" and bits_allocated == 8:
        cells = cells.astype(np.int8)
    return np.ascontiguousarray(cells).tobytes()


def picture(derived: Path, number: int, look: Look) -> bytes:
    """One frame as a JPEG or PNG with its own first VOI, or the one asked for. Raises PixelError."""
    display = _display(derived)
    own = display["frames"][number - 1] if number <= len(display["frames"]) else {}
    shown = {**display, **{key: own[key] for key in ("voi", "modality_lut") if key in own}}
    if look.window is not None:
        center, width, function = look.window
        shown["voi"] = [{"kind": "window", "center": center, "width": width, "function": function}]
    cells = np.ascontiguousarray(render(_cells(derived, number), shown))
    if look.viewport is not None:
        cells = _scaled(cells, look)
    if look.media == PNG:
        return bytes(imagecodecs.png_encode(cells))
    return bytes(imagecodecs.jpeg8_encode(cells, level=look.quality))


def _display(derived: Path) -> Mapping[str, Any]:
    try:
        found: dict[str, Any] = json.loads((derived / "display.json").read_bytes())
    except (OSError, ValueError):
        raise PixelError("missing_pixel_data") from None
    return found


def _cells(derived: Path, number: int) -> np.ndarray:
    try:
        data = frame_path(derived, number).read_bytes()
    except FileNotFoundError:
        raise PixelError("missing_frame", frame=number) from None
    found: np.ndarray = imagecodecs.jpeg2k_decode(data, numthreads=1)
    return found


def _scaled(cells: np.ndarray, look: Look) -> np.ndarray:
    """The source rectangle within the viewport, its aspect ratio kept (8.3.5.1.3)."""
    rows, columns = cells.shape[:2]
    x, y, width, height = look.source or (0, 0, columns, rows)
    x, y = min(x, columns - 1), min(y, rows - 1)
    part = cells[y : y + max(1, height), x : x + max(1, width)]
    wide, high = look.viewport or (columns, rows)
    factor = min(wide / part.shape[1], high / part.shape[0])
    size = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
    image = Image.fromarray(np.ascontiguousarray(part)).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image)
