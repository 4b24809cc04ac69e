"""Report text made safe for paper: what is dropped, what is refused, where a long token may break. [domain]

Nothing visible is ever dropped: a character that cannot be kept is refused with its name and place.
"""

import re
import unicodedata

MAX_CHARACTERS = 20_000
MAX_UNBROKEN = 60  # characters of one token without a break opportunity, on the full text width
BREAK_EVERY = 20
ZERO_WIDTH_SPACE = "\u200b"

# Invisible marks that reorder or join text (Unicode 16, 9.9 and 23.2): they change how a line reads.
_INVISIBLE = dict.fromkeys(
    [
        *(0x00AD, 0x061C, 0x180E, 0xFEFF),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10),
        *range(0xFFF9, 0xFFFC),
    ]
)
_TO_SPACE = {0x09: " ", 0x00A0: " ", 0x202F: " "}
_TO_NEWLINE = {0x0B: "\n", 0x0C: "\n", 0x85: "\n", 0x2028: "\n", 0x2029: "\n"}
_CONTROLS = dict.fromkeys([*range(0x01, 0x0A), *range(0x0E, 0x20), *range(0x7F, 0xA0)])
_TABLE = {**_INVISIBLE, **_CONTROLS, **_TO_SPACE, **_TO_NEWLINE}


class TextError(Exception):
    """Text that cannot go into a report: ``forbidden_character`` or ``text_too_long``."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def clean(text: str) -> str:
    """The text with one kind of newline and without controls, bidi marks and zero-width characters.

    Raises TextError ``forbidden_character`` for NUL, private use, surrogates and non-characters (they mean
    nothing, or something else on every machine), and ``text_too_long`` beyond 20,000 characters.
    """
    cleaned = text.replace("\r\n", "\n").replace("\r", "\n")
    for position, character in enumerate(cleaned):
        if _is_forbidden(character):
            raise TextError("forbidden_character", character=name_of(character), position=position + 1)
    cleaned = cleaned.translate(_TABLE)
    if len(cleaned) > MAX_CHARACTERS:
        raise TextError("text_too_long", n_characters=len(cleaned), max_characters=MAX_CHARACTERS)
    return cleaned


def _is_forbidden(character: str) -> bool:
    code = ord(character)
    is_non_character = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return code == 0 or is_non_character or unicodedata.category(character) in ("Co", "Cs")


def name_of(character: str) -> str:
    """How a person finds the character: ``𠮷 (U+20BB7)``, ``U+0000`` where there is nothing to see."""
    code = f"U+{ord(character):04X}"
    return f"{character} ({code})" if character.isprintable() and not _is_forbidden(character) else code


def breakable(text: str, max_unbroken: int = MAX_UNBROKEN, every: int = BREAK_EVERY) -> str:
    """The text with break opportunities in tokens that no line could hold. Han characters break by themselves."""
    token = re.compile(rf"[^\s{ZERO_WIDTH_SPACE}\u2E80-\u9FFF\uF900-\uFAFF\uFF00-\uFFEF]{{{max_unbroken + 1},}}")
    return token.sub(lambda match: _broken(match[0], every), text)


def _broken(token: str, every: int) -> str:
    return ZERO_WIDTH_SPACE.join(token[start : start + every] for start in range(0, len(token), every))
