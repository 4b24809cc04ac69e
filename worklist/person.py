"""Who a patient is at one site, and how a name is found by pinyin. [domain]"""

import hashlib
import os
from datetime import date

# A name is read character by character: the phrase dictionary only costs 45 MB in every process.
os.environ.setdefault("PYPINYIN_NO_PHRASES", "1")
os.environ.setdefault("PYPINYIN_NO_DICT_COPY", "1")

from pypinyin import Style, pinyin

# Surnames that are read otherwise than the same character elsewhere (现代汉语词典, 姓 readings).
SURNAMES = {
    "单": "shan", "解": "xie", "仇": "qiu", "查": "zha", "区": "ou", "任": "ren", "盖": "ge", "朴": "piao",
    "缪": "miao", "乐": "yue", "翟": "zhai", "覃": "qin", "曾": "zeng", "召": "shao",
    "种": "chong", "冼": "xian", "逄": "pang",
    "繁": "po", "员": "yun", "牟": "mu", "秘": "bi", "折": "she", "隗": "wei", "祭": "zhai", "尉迟": "yu chi",
    "万俟": "mo qi", "长孙": "zhang sun", "华": "hua", "那": "na", "宁": "ning", "燕": "yan", "应": "ying",
}  # fmt: skip


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
    """Full pinyin without tones, words joined: 郑立群 → zhengliqun, 单小红 → shanxiaohong; Latin letters stay."""
    surname, rest = _parted(name)
    given = "".join(syllables[0] for syllables in pinyin(rest, style=Style.NORMAL, errors=_keep))
    return (SURNAMES.get(surname, "").replace(" ", "") + given).casefold()[:512]


def name_initials(name: str) -> str:
    """First letters: 郑立群 → zlq; a name in Latin letters gives the first letter of each word."""
    surname, rest = _parted(name)
    first = "".join(reading[0] for reading in SURNAMES.get(surname, "").split())
    letters = pinyin(rest, style=Style.FIRST_LETTER, errors=_first_letters)
    return (first + "".join(syllables[0] for syllables in letters)).casefold()[:64]


def name_alphabetic(name_sent: str) -> str:
    """The first group of a name as DICOM writes it, to search by: zheng^liqun."""
    return name_sent.split("=", maxsplit=1)[0].strip(" ^").casefold()[:256]


def _parted(name: str) -> tuple[str, str]:
    """A surname of the table, and what follows; ("", name) for every other name."""
    for length in (2, 1):
        if name[:length] in SURNAMES:
            return name[:length], name[length:]
    return "", name


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
