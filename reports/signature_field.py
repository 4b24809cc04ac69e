"""Which signature fields a report has and where they stand on paper. [domain]

One table for the page (typst) and for the signer: millimetres from the top left corner of A4.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FIELDS = ("report_doctor", "reviewer")  # in signing order
PT_PER_MM = 72 / 25.4


@dataclass(frozen=True)
class Box:
    """A rectangle in mm; ``x``, ``y`` are its top left corner."""

    x: float
    y: float
    width: float
    height: float


PORTRAIT: Mapping[str, Box] = {
    "report_doctor": Box(16.0, 255.5, 60.0, 16.0),
    "reviewer": Box(80.0, 255.5, 60.0, 16.0),
}
LANDSCAPE: Mapping[str, Box] = {
    "report_doctor": Box(206.0, 164.5, 44.0, 14.0),
    "reviewer": Box(206.0, 183.5, 44.0, 14.0),
}


def boxes_mm(is_landscape: bool) -> Mapping[str, Box]:
    """The boxes by field name."""
    return LANDSCAPE if is_landscape else PORTRAIT


A4_PT = (595.276, 841.89)


def size_pt(field: str, is_landscape: bool) -> tuple[int, int]:
    """Width and height of the field's rectangle on A4, whole points."""
    width, height = sorted(A4_PT, reverse=is_landscape)
    left, bottom, right, top = boxes_pt(width, height)[field]
    return right - left, top - bottom


def boxes_pt(page_width_pt: float, page_height_pt: float) -> dict[str, tuple[int, int, int, int]]:
    """PDF rectangles (left, bottom, right, top) in whole points, origin bottom left."""
    edges = {}
    for name, box in boxes_mm(page_width_pt > page_height_pt).items():
        left, top = box.x * PT_PER_MM, page_height_pt - box.y * PT_PER_MM
        right, bottom = left + box.width * PT_PER_MM, top - box.height * PT_PER_MM
        edges[name] = (round(left), round(bottom), round(right), round(top))
    return edges
