"""Who a patient is at one site, and how a name is found by pinyin. [domain]"""

import hashlib
import os
import unicodedata
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
# Surnames of two characters beyond those above: a name on a modality is surname^given.
COMPOUND_SURNAMES = frozenset((
    "欧阳", "上官", "司马", "司徒", "司空", "诸葛", "夏侯", "皇甫", "东方", "公孙", "令狐", "慕容", "宇文", "端木",
    "独孤", "南宫", "闻人", "轩辕", "钟离", "濮阳", "淳于", "申屠", "太史", "鲜于", "呼延", "赫连", "澹台", "百里",
    "尉迟", "万俟", "长孙", "单于",
))  # fmt: skip
# Characters of names that pypinyin does not know.
RARE = {"𠮷": "ji"}
_LONGEST_GROUP = 64  # characters, PS3.5 6.2


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


def spelled(text: str) -> str:
    """Pinyin of whatever it is; a character that has none goes by its code point, so that nothing is lost."""
    letters = [letter for letter in unicodedata.normalize("NFKC", name_pinyin(text)) if letter.isalnum()]
    return "".join(letter if letter.isascii() else f"U{ord(letter):X}" for letter in letters)


def name_to_send(name: str) -> str:
    """A name as DICOM writes it: Zhao^Yan=赵^䶮; each group at most 64 characters, and none of them cut to nothing.

    A name in Latin letters is one group: its last word stays where it was typed.
    """
    text = name.replace("^", " ").replace("=", " ").replace("\\", " ").strip()
    if not text or text.isascii():
        return text[:_LONGEST_GROUP]
    family, given = _family_and_given(text)
    first = " ".join(_capital(spelled(part)) for part in family.split("·"))
    alphabetic = f"{first}^{_capital(spelled(given))}".rstrip("^")
    if len(alphabetic) > _LONGEST_GROUP:  # a whole name in initials says more than the half of one
        alphabetic = f"{_capital(spelled(family))}^{name_initials(given).upper()}"[:_LONGEST_GROUP]
    ideographic = f"{family}^{given}".rstrip("^")
    return f"{alphabetic}={ideographic if len(ideographic) <= _LONGEST_GROUP else text[:_LONGEST_GROUP]}"


def _family_and_given(text: str) -> tuple[str, str]:
    """A Chinese name in its two parts; every other one is a family name alone, as its bearer writes it."""
    joined = "".join(text.split())
    if "·" in joined or any(letter.isascii() for letter in joined):
        return text, ""
    length = 2 if joined[:2] in COMPOUND_SURNAMES and len(joined) > 2 else 1
    return joined[:length], joined[length:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _parted(name: str) -> tuple[str, str]:
    """A surname of the table, and what follows; ("", name) for every other name."""
    for length in (2, 1):
        if name[:length] in SURNAMES:
            return name[:length], name[length:]
    return "", name


def _keep(text: str) -> str:
    return "".join(RARE.get(character, character) for character in text if character.isalnum())


def _first_letters(text: str) -> str:
    words = "".join(RARE.get(character, character) for character in text).replace("^", " ").replace("=", " ").split()
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
