"""Numbers that name a person beyond one site: 身份证号 and 电子健康卡 number, read and checked. [domain]

居民身份证号: GB 11643-1999, 18 characters, the last one ISO 7064 MOD 11-2; it says birth date and sex.
电子健康卡: the main index of WS/T 543, a digest of 64 hexadecimal digits; it says nothing by itself.
"""

import re
from dataclasses import dataclass
from datetime import date

RESIDENT_ID, HEALTH_CARD = "resident_id", "health_card"
KINDS = (RESIDENT_ID, HEALTH_CARD)
LONGEST = 64

_RESIDENT_ID = re.compile(r"[1-9][0-9]{16}[0-9X]")
_HEALTH_CARD = re.compile(r"[0-9A-F]{64}")
_WEIGHTS = tuple(2 ** (17 - place) % 11 for place in range(17))
_CHECK_CHARACTERS = "10X98765432"


@dataclass(frozen=True)
class IdNumber:
    """A number in its one written form: capitals, no blanks or hyphens."""

    kind: str
    value: str

    @property
    def is_valid(self) -> bool:
        """Whether its form, and for a 身份证号 its check character and date, are right."""
        if self.kind == HEALTH_CARD:
            return _HEALTH_CARD.fullmatch(self.value) is not None
        return (
            _RESIDENT_ID.fullmatch(self.value) is not None
            and check_character(self.value) == self.value[17]
            and self.birth_date is not None
        )

    @property
    def birth_date(self) -> date | None:
        """What a 身份证号 says; None where it says none."""
        if self.kind != RESIDENT_ID or not _RESIDENT_ID.fullmatch(self.value):
            return None
        try:
            return date(int(self.value[6:10]), int(self.value[10:12]), int(self.value[12:14]))
        except ValueError:
            return None

    @property
    def sex(self) -> str | None:
        """M or F by the 17th digit of a 身份证号; None for other numbers."""
        if self.kind != RESIDENT_ID or not _RESIDENT_ID.fullmatch(self.value):
            return None
        return "M" if int(self.value[16]) % 2 else "F"

    @property
    def masked(self) -> str:
        """What a page may show: the first three and the last four characters."""
        return masked(self.value)


def check_character(number: str) -> str:
    """The 18th character that belongs to the first 17 digits (ISO 7064 MOD 11-2)."""
    return _CHECK_CHARACTERS[sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number, strict=False)) % 11]


def read(text: str) -> IdNumber | None:
    """The number that ``text`` is by its form, valid or not; None for anything else (a local number, a phone)."""
    plain = "".join(text.split()).replace("-", "").replace("\uff38", "X").upper()
    if _RESIDENT_ID.fullmatch(plain):
        return IdNumber(RESIDENT_ID, plain)
    if _HEALTH_CARD.fullmatch(plain):
        return IdNumber(HEALTH_CARD, plain)
    return None


def masked(number: str) -> str:
    """``110***********1234``: never the middle, whatever the length."""
    if len(number) <= 8:
        return "*" * len(number)
    return f"{number[:3]}{'*' * min(len(number) - 7, 11)}{number[-4:]}"


def shown(text: str) -> str:
    """A text of a page in which a 身份证号 or health card number stands masked; others stay as they are."""
    found = read(text)
    return found.masked if found is not None else text
