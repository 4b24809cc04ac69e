"""The report on paper: one PDF is screen, print and archive. [adapter]

typst sets it (PDF/A-2u, tagged, fonts embedded and subset); the same document gives the same bytes. A
character no font has is refused with its place: a name must never lose one. Data reach typst as JSON
strings, so code in a finding stays text.
"""

import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import segno
import typst
from fontTools.ttLib import TTFont
from PIL import Image
from pylopdf_fonts_zh_cn import sans_path, serif_path

from reports.paper import ReportDocument
from reports.signature_field import boxes_mm, size_pt
from reports.text import ZERO_WIDTH_SPACE, TextError, breakable, clean, name_of

TEMPLATE_DIR = Path(__file__).parent / "typst"
ECG_WIDTH_MM, ECG_HEIGHT_MM = 273.0, 122.0
MAX_KEY_IMAGE_PIXELS = 1400  # the longer edge: 50 mm at 600 dpi and more
MAX_KEY_IMAGE_AREA = 64_000_000
CELL_UNBROKEN = 16  # characters a narrow cell of the head holds
SEXES = {"zh": {"M": "男", "F": "女", "O": "其他"}, "en": {"M": "male", "F": "female", "O": "other"}}
ABSENT = "—"


class PdfError(Exception):
    """A document that cannot be put on paper.

    ``missing_glyph`` (character, field), ``forbidden_character`` (character, position, field),
    ``text_too_long`` (field), ``bad_key_image`` (number), ``bad_ecg_sheet``, ``fonts_missing``, ``render_failed``.
    """

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def render(document: ReportDocument) -> bytes:
    """The PDF, not yet signed and without fields. Raises PdfError."""
    data = _data(document)
    data["images"] = [{"caption": image.caption, "alt": image.caption} for image in document.key_images]
    data = {key: value if key in ("qr_svg", "ecg") else _cleaned(value, key) for key, value in data.items()}
    with tempfile.TemporaryDirectory(prefix="teleread-pdf-") as folder:
        for number, image in enumerate(document.key_images, 1):
            name = f"image{number}.jpg"
            (Path(folder) / name).write_bytes(_normal_jpeg(image.picture, number))
            data["images"][number - 1]["file"] = name
        template = "ecg_report.typ" if document.is_ecg else "image_report.typ"
        return _compile(Path(folder), template, data, document.written_at)


def stamp(
    field: str,
    is_landscape: bool,
    name: str,
    signed_at: datetime,
    serial: str,
    zone: ZoneInfo,
    *,
    has_time_stamp: bool = True,
    language: str = "zh",
) -> bytes:
    """A one-page PDF of exactly the field's size: name, time to the minute, last eight digits of the certificate."""
    digits = serial.upper()[-8:]
    width_pt, height_pt = size_pt(field, is_landscape)
    data = {
        "name": _cleaned(name, "author"),
        "signed_at": _minute(signed_at, zone),
        "serial": f"{digits[:4]} {digits[4:]}",
        "has_time_stamp": has_time_stamp,
        "language": language,
        "is_small": is_landscape,
        "width_pt": width_pt,
        "height_pt": height_pt,
    }
    with tempfile.TemporaryDirectory(prefix="teleread-pdf-") as folder:
        return _compile(Path(folder), "stamp.typ", data, signed_at)


def _data(document: ReportDocument) -> dict[str, Any]:
    sex = SEXES[document.language].get(document.patient_sex or "", ABSENT)
    age = document.patient_age or age_text(document.patient_birth_date, document.acquired_at, document)
    return {
        "language": document.language,
        "title": document.title,
        "organisation": document.organisation,
        "patient_name": document.patient_name or ABSENT,
        "patient_id": _cell(document.patient_id),
        "sex": sex,
        "age": age,
        "sex_age": f"{sex} {age}",
        "birth_date": document.patient_birth_date.isoformat() if document.patient_birth_date else ABSENT,
        "accession": _cell(document.accession_number),
        "site": document.site_name or ABSENT,
        "doctor": document.requesting_doctor or ABSENT,
        "exam": document.exam or ABSENT,
        "device": _cell(document.device),
        "acquired": _minute(document.acquired_at, document.zone),
        "acquired_seconds": _second(document.acquired_at, document.zone),
        "clinical": document.clinical or ABSENT,
        "clinical_short": _shortened(document.clinical) or ABSENT,
        "sections": [
            {"label": s.label, "code": s.code, "text": s.text, "is_conclusion": s.is_conclusion}
            for s in document.sections
        ],
        "author": document.author_name or ABSENT,
        "written": _minute(document.written_at, document.zone),
        "version": document.version,
        "code": grouped(document.verify_code),
        "n_signatures_required": document.n_signatures_required,
        "is_preliminary": document.is_preliminary,
        "measurements": [list(row) for row in document.measurements],
        "ecg_settings": document.ecg_settings,
        "ecg_remark": document.ecg_remark,
        "ecg": _ecg_sheet(document.ecg_svg),
        "qr_svg": _qr_svg(document.verify_url),
        "boxes": {name: {"x": box.x, "y": box.y} for name, box in boxes_mm(document.is_ecg).items()},
    }


def age_text(born: date | None, at: datetime | None, document: ReportDocument) -> str:
    """Whole years at the examination; below two years months, below two months days."""
    if born is None or at is None or (on := at.astimezone(document.zone).date()) < born:
        return ABSENT
    months = (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)
    zh = document.language == "zh"
    if months >= 24:
        return f"{months // 12} 岁" if zh else f"{months // 12} y"
    if months >= 2:
        return f"{months} 个月" if zh else f"{months} mo"
    return f"{(on - born).days} 天" if zh else f"{(on - born).days} d"


def _minute(at: datetime | None, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M") if at else ABSENT


def _second(at: datetime | None, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if at else ABSENT


def _cell(value: str) -> str:
    return breakable(clean_field(value), CELL_UNBROKEN, 8) or ABSENT


def grouped(code: str) -> str:
    """A code in groups of four, as people read it aloud; one that has its hyphens is left."""
    if "-" in code:
        return code
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def clean_field(value: str) -> str:
    """One line of text for a cell."""
    return " ".join(value.split())


def _shortened(value: str, n_characters: int = 34) -> str:
    line = clean_field(value)
    return line if len(line) <= n_characters else line[: n_characters - 1] + "…"


def _cleaned(value: Any, field: str) -> Any:
    """Every string of the data cleaned, covered by the fonts and breakable; ``field`` names where it stands."""
    if isinstance(value, str):
        return _printable(value, field)
    if isinstance(value, list):
        return [_cleaned(item, field) for item in value]
    if isinstance(value, dict):
        label = value.get("code") or value.get("label")
        return {key: _cleaned(item, str(label) if label and key == "text" else field) for key, item in value.items()}
    return value


def _printable(value: str, field: str) -> str:
    try:
        text = "\u200b".join(clean(part) for part in value.split(ZERO_WIDTH_SPACE)) if field in _CELLS else clean(value)
    except TextError as error:
        raise PdfError(error.code, **error.params, field=field) from None
    covered = _coverage()
    for position, character in enumerate(text, 1):
        if character not in covered and character not in "\n\u200b":
            raise PdfError("missing_glyph", character=name_of(character), position=position, field=field)
    return breakable(text)


_CELLS = ("patient_id", "accession", "device")


class _Coverage:
    """Which characters the two fonts hold, as a bit field (24 kB instead of a set of 31,000 numbers)."""

    def __init__(self, paths: list[Path]) -> None:
        self._bits = bytearray(0x110000 // 8)
        for path in paths:
            with TTFont(path, lazy=True) as font:
                for code in font.getBestCmap():
                    self._bits[code >> 3] |= 1 << (code & 7)

    def __contains__(self, character: object) -> bool:
        code = ord(str(character))
        return bool(self._bits[code >> 3] & 1 << (code & 7))


@cache
def _coverage() -> _Coverage:
    return _Coverage([sans_path(), serif_path()])


@cache
def _fonts() -> typst.Fonts:
    """Our two fonts and no other: the machine's own would make paper differ from machine to machine."""
    folder = sans_path().parent  # typst takes folders; without a font it would set blank pages, silently
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder)])
    if not {"Noto Sans SC", "Noto Serif SC"} <= set(fonts.families()):
        raise PdfError("fonts_missing")
    return fonts


def _templates() -> Iterator[Path]:
    return (path for path in TEMPLATE_DIR.iterdir() if path.suffix in (".typ", ".json"))


def _compile(folder: Path, template: str, data: Mapping[str, Any], at: datetime) -> bytes:
    """typst in a folder of its own: it can read nothing else, whatever a text says."""
    for path in _templates():
        (folder / path.name).write_bytes(path.read_bytes())
    try:
        compiler = typst.Compiler(
            str(folder / template), root=str(folder), font_paths=_fonts(), ignore_system_fonts=True,
            sys_inputs={"document": json.dumps(data, ensure_ascii=False)},
        )  # fmt: skip
        pdf = compiler.compile(format="pdf", pdf_standards=["a-2u"], timestamp=int(at.timestamp()))
    except typst.TypstError as error:
        missing = re.search(r'text `"(.*)"` could not be displayed', str(error))
        if missing:  # a character both fonts list but cannot draw here; its place is unknown
            raise PdfError("missing_glyph", character=missing[1], field="") from None
        raise PdfError("render_failed") from error
    if not isinstance(pdf, bytes):
        raise PdfError("render_failed")
    return pdf


def _qr_svg(url: str) -> str:
    buffer = io.BytesIO()
    segno.make(url, error="m", micro=False).save(buffer, kind="svg", border=0, xmldecl=False, unit="", dark="#111")
    return buffer.getvalue().decode()


def _ecg_sheet(svg: str | None) -> dict[str, Any] | None:
    """Size as the drawing says it, in mm; raises PdfError where it says none or too much."""
    if svg is None:
        return None
    head = svg[: svg.find(">", svg.find("<svg"))]
    sizes = [re.search(rf'\b{name}="([0-9.]+)mm"', head) for name in ("width", "height")]
    if None in sizes:
        raise PdfError("bad_ecg_sheet")
    width_mm, height_mm = (float(size[1]) for size in sizes if size)
    if width_mm > ECG_WIDTH_MM + 0.01 or height_mm > ECG_HEIGHT_MM + 0.01:
        raise PdfError("bad_ecg_sheet", width_mm=width_mm, height_mm=height_mm)
    return {"svg": svg, "width_mm": width_mm, "height_mm": height_mm}


def _normal_jpeg(picture: bytes, number: int) -> bytes:
    """Baseline RGB or grey JPEG of bounded size; CMYK, PNG and 12-megapixel pictures are converted."""
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_KEY_IMAGE_AREA:
                raise PdfError("bad_key_image", number=number)
            is_plain = image.format == "JPEG" and image.mode in ("L", "RGB") and not image.getexif()
            image.load()
            if is_plain and max(image.size) <= MAX_KEY_IMAGE_PIXELS:
                return picture
            small = image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB")
            small.thumbnail((MAX_KEY_IMAGE_PIXELS, MAX_KEY_IMAGE_PIXELS), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=92, subsampling=0)
            return buffer.getvalue()
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise PdfError("bad_key_image", number=number) from error
