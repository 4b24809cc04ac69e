"""What a DICOMweb client accepts, and what of it can be given (PS3.18 5.3.2, 8.7). [domain]"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
DICOM, OCTETS, JSON = "application/dicom", "application/octet-stream", "application/dicom+json"
_J = "1.2.840.10008.1.2.4."
# PS3.18 Table 8.7.3-5: media types of compressed frames, the default syntax first.
SYNTAXES_BY_MEDIA = {
    "image/jpeg": (_J + "70", _J + "50", _J + "51", _J + "57"),
    "image/jls": (_J + "80", _J + "81"),
    "image/jp2": (_J + "90", _J + "91"),
    "image/jpx": (_J + "92", _J + "93"),
    "image/jphc": (_J + "201", _J + "202", _J + "203"),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
    "image/jxl": (_J + "110", _J + "111", _J + "112"),
    "video/mpeg2": (_J + "100", _J + "101"),
    "video/mp4": tuple(_J + number for number in ("102", "103", "104", "105", "106")),
    "video/h265": (_J + "107", _J + "108"),
}
MEDIA_BY_SYNTAX = {syntax: media for media, syntaxes in SYNTAXES_BY_MEDIA.items() for syntax in syntaxes}
_PARAMETER = re.compile(r';\s*([\w-]+)\s*=\s*(?:"([^"]*)"|([^;,\s"]*))')
_RANGE = re.compile(r'((?:"[^"]*"|[^,"])+)')


@dataclass(frozen=True)
class Wish:
    """One media range. ``media``: of the parts; ``syntax``: transfer-syntax as given ("" where not);
    ``is_anything``: a plain */*, which leaves single or multipart to us."""

    media: str
    syntax: str = ""
    is_multipart: bool = True
    weight: float = 1.0
    is_anything: bool = False


@lru_cache(maxsize=512)
def wishes(accept: str) -> tuple[Wish, ...]:
    """In the order of preference; none said means anything. A range that makes no sense is left out."""
    found = [wish for wish in _ranges(accept[:4000]) if wish.weight > 0]
    return tuple(sorted(found, key=lambda wish: -wish.weight)) if accept.strip() else (Wish("*/*", is_anything=True),)


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters by lower-case name; values need no quotes, as many clients write them."""
    media, _, rest = text.strip().partition(";")
    return media.strip().lower(), {
        name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(";" + rest)
    }


def _ranges(accept: str) -> Iterator[Wish]:
    for text in _RANGE.findall(accept):
        media, parameters = media_type(text)
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            continue
        syntax = parameters.get("transfer-syntax", "")
        if media == "multipart/related":
            yield Wish(parameters.get("type", "*/*") or "*/*", syntax, True, weight)
        elif re.fullmatch(r"[\w.+*-]+/[\w.+*-]+", media):
            yield Wish(media, syntax, media == "*/*", weight, media == "*/*")


@dataclass(frozen=True)
class FrameForm:
    """How frames leave: ``source`` raw (stored pixels, uncompressed), stored (as stored), derived (our HTJ2K) or
    decoded (uncompressed from our HTJ2K)."""

    source: str
    media: str
    syntax: str
    is_multipart: bool


@lru_cache(maxsize=2048)
def frame_form(accept: str, stored: str, is_raw: bool, has_derived: bool) -> FrameForm | None:
    """The first wish that can be met for frames stored in ``stored``; None: 406."""
    for wish in wishes(accept):
        found = _frame_form(wish, stored, is_raw, has_derived)
        if found is not None:
            return found
    return None


def _frame_form(wish: Wish, stored: str, is_raw: bool, has_derived: bool) -> FrameForm | None:
    if wish.media in (OCTETS, "*/*", "application/*"):
        if wish.syntax == "*" and not is_raw and stored in MEDIA_BY_SYNTAX:
            return FrameForm("stored", MEDIA_BY_SYNTAX[stored], stored, wish.is_multipart)
        if wish.syntax in ("", "*", EXPLICIT_LITTLE, IMPLICIT_LITTLE):
            source = "raw" if is_raw else "decoded" if has_derived else None
            return FrameForm(source, OCTETS, EXPLICIT_LITTLE, wish.is_multipart) if source else None
    for media, syntaxes in SYNTAXES_BY_MEDIA.items():
        if wish.media not in (media, media.partition("/")[0] + "/*", OCTETS):
            continue
        if wish.media == OCTETS and wish.syntax not in syntaxes:
            continue
        if stored in syntaxes and wish.syntax in ("", "*", stored):
            return FrameForm("stored", media, stored, wish.is_multipart)
        if media == "image/jphc" and has_derived and wish.syntax in ("", "*", HTJ2K_LOSSLESS):
            return FrameForm("derived", media, HTJ2K_LOSSLESS, wish.is_multipart)
    return None


@dataclass(frozen=True)
class ObjectForm:
    """In which syntaxes whole objects may leave: ``syntaxes`` in order; "*": as stored."""

    syntaxes: tuple[str, ...]
    is_multipart: bool

    def syntax_of(self, stored: str) -> str:
        """The one for an object stored in ``stored``: as it is where that is accepted, else the first."""
        return stored if "*" in self.syntaxes or stored in self.syntaxes else self.syntaxes[0]


def object_form(accept: str) -> ObjectForm | None:
    """Of application/dicom; without a transfer syntax Explicit VR Little Endian (8.7.3.2). None: 406."""
    found = [wish for wish in wishes(accept) if wish.media in (DICOM, "*/*", "application/*")]
    if not found:
        return None
    kind = found[0].is_multipart
    syntaxes = tuple(dict.fromkeys(wish.syntax or EXPLICIT_LITTLE for wish in found if wish.is_multipart == kind))
    return ObjectForm(syntaxes, kind)


def picked(accept: str, offered: Sequence[str]) -> Wish | None:
    """The first wish that one of the plain media types offered meets, with its media named; None: 406."""
    for wish in wishes(accept):
        for media in offered:
            if wish.media in (media, media.partition("/")[0] + "/*", "*/*"):
                return replace(wish, media=media, is_multipart=wish.is_multipart and not wish.is_anything)
    return None
