"""Who a patient is at one site, and how a name is found by pinyin. [domain]"""

import hashlib
from datetime import date
from itertools import product

from pypinyin import Style, pinyin


def identity_key(
    patient_id: str | None, name: str, sex: str | None, birth_date: date | None, study_instance_uid: str
) -> str:
    """One key per person of one site: SHA-256 hex.

    Equal only when ID, name, sex and birth date are equal; an object without a Patient ID is its own
    person, because nothing says which of several people without an ID it is.
    """
    birth = birth_date.isoformat() if birth_date else ""
    unknown = study_instance_uid if not patient_id else ""
    parts = (patient_id or "", "".join(name.split()).casefold(), sex or "", birth, unknown)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def name_pinyin(name: str) -> str:
    """Full pinyin without tones, words joined: 郑立群 → zhengliqun. Latin letters stay, lower case."""
    return "".join(syllables[0] for syllables in pinyin(name, style=Style.NORMAL, errors=_keep)).casefold()[:512]


def name_initials(name: str) -> str:
    """First letters: 郑立群 → zlq; a name in Latin letters gives the first letter of each word."""
    letters = pinyin(name, style=Style.FIRST_LETTER, errors=_first_letters)
    return "".join(syllables[0] for syllables in letters).casefold()[:64]


def readings(name: str, most: int = 8) -> tuple[str, ...]:
    """All full-pinyin readings of a name with heteronyms (曾 ceng/zeng), at most ``most``."""
    choices = pinyin(name, style=Style.NORMAL, heteronym=True, errors=_keep)
    return tuple("".join(parts).casefold() for parts, _ in zip(product(*choices), range(most), strict=False))


def _keep(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def _first_letters(text: str) -> str:
    words = text.replace("^", " ").replace("=", " ").split()
    return "".join(word[0] for word in words if word[0].isalnum())


def age_text(birth_date: date | None, on: date) -> tuple[int, str] | None:
    """Age as (number, unit) with unit "year", "month" or "day"; None where the birth date is unknown."""
    if birth_date is None or birth_date > on:
        return None
    years = on.year - birth_date.year - ((on.month, on.day) < (birth_date.month, birth_date.day))
    if years >= 3:
        return years, "year"
    months = (on.year - birth_date.year) * 12 + on.month - birth_date.month - (on.day < birth_date.day)
    return (months, "month") if months >= 2 else ((on - birth_date).days, "day")
