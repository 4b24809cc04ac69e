"""Whether two patients of two sites are one person: certainly, perhaps, or certainly not. [domain]

A wrong link shows a stranger's priors, a missing one only costs a click. So a link is made by itself
only on an identical valid number that agrees with birth date and sex of both; everything else is a
score for a person to judge, and contradictions are named.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from worklist.id_number import RESIDENT_ID, IdNumber

PROPOSE_FROM = 55  # of 100: equal name, birth date and sex (65), or the same by pinyin (55)
MOST_FOR_UNKNOWN = 20  # 无名氏, newborns under the mother's number: never more than a hint

_UNKNOWN = re.compile(
    r"(.?某某|无名|佚名|不详|未知|无姓名|患者|急诊|unknown|anonym|no\s*name|(john|jane)\s*doe|doe\^?(john|jane))",
    re.IGNORECASE,
)
_NEWBORN_MARK = re.compile(r"(之[长次三四大小]?[子女婴]|新生儿|婴儿|毛毛|\bbaby\b|\bnewborn\b|\bBB\b)", re.IGNORECASE)


class Verdict(StrEnum):
    LINK = "link"  # by itself
    PROPOSE = "propose"  # a person decides
    FLAG = "flag"  # never linked: one number under two birth dates or sexes
    NONE = "none"


@dataclass(frozen=True)
class PatientFacts:
    """What is known of one patient row."""

    name: str
    name_pinyin: str
    birth_date: date | None
    sex: str | None
    numbers: tuple[IdNumber, ...] = ()
    name_is_doubtful: bool = False


@dataclass(frozen=True)
class Finding:
    """The verdict with its score (0–100) and the reasons, as codes of sentences ``person.reason.<code>``."""

    verdict: Verdict
    score: int
    reasons: tuple[str, ...]


def is_unknown_person(name: str) -> bool:
    """无名氏 and the like, or no name at all."""
    return not name.strip() or _UNKNOWN.match(name.strip()) is not None


def is_newborn_name(name: str) -> bool:
    """A child called after its mother: 王芳之子, 李梅之女, 新生儿, Baby of …"""
    return _NEWBORN_MARK.search(name) is not None


def agrees_with(number: IdNumber, facts: PatientFacts) -> bool:
    """Whether what a 身份证号 says of birth date and sex is what the patient's row says."""
    if number.kind != RESIDENT_ID:
        return True
    return number.birth_date == facts.birth_date and number.sex == facts.sex


def compare(one: PatientFacts, other: PatientFacts) -> Finding:
    """What two patient rows say together."""
    shared = sorted(set(one.numbers) & set(other.numbers), key=lambda number: number.kind)
    valid = [number for number in shared if number.is_valid]
    if _numbers_exclude(one, other, valid):
        return Finding(Verdict.NONE, 0, ("number_differs",))
    is_unknown = any(is_unknown_person(facts.name) for facts in (one, other))
    is_newborn = any(is_newborn_name(facts.name) for facts in (one, other))
    if is_newborn and _births_differ(one, other):
        return Finding(Verdict.NONE, 0, ("newborn",))  # the mother, or her other child
    if shared and _births_differ(one, other):
        against = [f"{what}_differs" for what in ("birth_date", "sex") if _differs(one, other, what)]
        return Finding(Verdict.FLAG, 0, ("number_reused", *against))
    score, reasons = _scored(one, other, shared, valid)
    if is_unknown or is_newborn:
        reasons.append("unknown_person" if is_unknown else "newborn")
        verdict = Verdict.PROPOSE if shared else Verdict.NONE
        return Finding(verdict, min(score, MOST_FOR_UNKNOWN), tuple(reasons))
    if any(_is_certain(number, one, other) for number in valid):
        if _name_of(one, other) != "name_differs":
            return Finding(Verdict.LINK, score, tuple(reasons))
    elif shared:
        reasons.append("number_unproven")
    is_worth = score >= PROPOSE_FROM or bool(shared)
    return Finding(Verdict.PROPOSE if is_worth else Verdict.NONE, score, tuple(reasons))


def _is_certain(number: IdNumber, one: PatientFacts, other: PatientFacts) -> bool:
    is_equal = one.birth_date is not None and one.birth_date == other.birth_date
    is_equal = is_equal and one.sex in ("M", "F") and one.sex == other.sex
    return is_equal and agrees_with(number, one) and agrees_with(number, other)


def _numbers_exclude(one: PatientFacts, other: PatientFacts, shared: list[IdNumber]) -> bool:
    """Both carry a valid number of one kind that is their own, and they are two: twins, or just two people."""
    if shared:
        return False
    own = [{n for n in facts.numbers if n.is_valid and agrees_with(n, facts)} for facts in (one, other)]
    return bool({number.kind for number in own[0]} & {number.kind for number in own[1]})


def _differs(one: PatientFacts, other: PatientFacts, what: str) -> bool:
    mine, theirs = getattr(one, what), getattr(other, what)
    return mine is not None and theirs is not None and mine != theirs


def _births_differ(one: PatientFacts, other: PatientFacts) -> bool:
    return _differs(one, other, "birth_date") or _differs(one, other, "sex")


def _name_of(one: PatientFacts, other: PatientFacts) -> str:
    """How two names stand to each other, as a reason. A name that could hardly be read contradicts nobody."""
    mine, theirs = ("".join(facts.name.split()).casefold() for facts in (one, other))
    if mine == theirs:
        return "name_equal"
    if _plain(one) == _plain(other):
        return "pinyin_equal"
    return "name_doubtful" if one.name_is_doubtful or other.name_is_doubtful else "name_differs"


def _plain(facts: PatientFacts) -> str:
    return "".join(letter for letter in facts.name_pinyin.casefold() if letter.isalnum())


_POINTS = {"name_equal": 30, "pinyin_equal": 20, "name_doubtful": 0, "name_differs": -30}


def _scored(
    one: PatientFacts, other: PatientFacts, shared: list[IdNumber], valid: list[IdNumber]
) -> tuple[int, list[str]]:
    name = _name_of(one, other)
    score, reasons = _POINTS[name], [name]
    if shared:
        score += 35 if valid else 15
        reasons.append("number_equal" if valid else "number_equal_invalid")
    for what, points in (("birth_date", 25), ("sex", 10)):
        mine, theirs = getattr(one, what), getattr(other, what)
        if mine is None or theirs is None:
            reasons.append(f"{what}_unknown")
        elif mine == theirs:
            score += points
            reasons.append(f"{what}_equal")
        else:
            score -= points
            reasons.append(f"{what}_differs")
    return max(0, min(100, score)), reasons
