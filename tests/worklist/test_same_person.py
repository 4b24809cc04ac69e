"""Who is one person, who is not, and who may be: newborns, 无名氏, twins, re-used numbers."""

from dataclasses import replace
from datetime import date

import pytest

from worklist.id_number import HEALTH_CARD, RESIDENT_ID, IdNumber
from worklist.person import name_pinyin
from worklist.same_person import PatientFacts, Verdict, compare, is_newborn_name, is_unknown_person

BORN = date(1949, 12, 31)
ID = IdNumber(RESIDENT_ID, "11010519491231002X")
SISTERS_ID = IdNumber(RESIDENT_ID, "110105194912310046")  # the next woman registered that day
CARD = IdNumber(HEALTH_CARD, "A1" * 32)


def facts(name: str = "王芳", birth: date | None = BORN, sex: str | None = "F", *numbers: IdNumber) -> PatientFacts:
    return PatientFacts(name, name_pinyin(name), birth, sex, tuple(numbers))


WANG = facts("王芳", BORN, "F", ID)


def test_the_numbers_of_this_file_are_valid() -> None:
    assert ID.is_valid and SISTERS_ID.is_valid and CARD.is_valid


def test_an_identical_valid_number_with_equal_birth_date_and_sex_links() -> None:
    assert compare(WANG, WANG).verdict is Verdict.LINK
    assert compare(WANG, facts("WANG FANG", BORN, "F", ID)).verdict is Verdict.LINK  # the same name in pinyin
    assert compare(facts("王芳", BORN, "F", CARD), facts("王芳", BORN, "F", CARD)).verdict is Verdict.LINK


@pytest.mark.parametrize(("other", "verdict"), [
    (facts("王芳", None, "F", ID), Verdict.PROPOSE),  # birth date unknown
    (facts("王芳", BORN, None, ID), Verdict.PROPOSE),
    (facts("王芳", BORN, "O", ID), Verdict.FLAG),
    (facts("李梅", BORN, "F", ID), Verdict.PROPOSE),  # another name: somebody else's card?
    (facts("王芳", BORN, "F"), Verdict.PROPOSE),  # no number at all
    (facts("王方", BORN, "F"), Verdict.PROPOSE),  # sounds the same
    (facts("王芳", date(1950, 1, 1), "F"), Verdict.NONE),
    (facts("王芳", None, "F"), Verdict.NONE),
    (facts("李梅", BORN, "F"), Verdict.NONE),
], ids=str)  # fmt: skip
def test_everything_else_is_a_proposal_or_nothing(other: PatientFacts, verdict: Verdict) -> None:
    found = compare(WANG, other)
    assert found.verdict is verdict
    assert found == replace(compare(other, WANG), reasons=found.reasons)  # the same from both sides


def test_a_number_whose_own_birth_date_is_another_one_links_nobody() -> None:
    """Both rows say 1990, the number says 1949: it is the mother's, or a typing error."""
    pair = [facts("王芳", date(1990, 1, 1), "F", ID)] * 2
    found = compare(*pair)
    assert found.verdict is Verdict.PROPOSE and "number_unproven" in found.reasons


def test_a_wrong_check_digit_links_nobody() -> None:
    wrong = IdNumber(RESIDENT_ID, "110105194912310021")
    found = compare(facts("王芳", BORN, "F", wrong), facts("王芳", BORN, "F", wrong))
    assert found.verdict is Verdict.PROPOSE and "number_equal_invalid" in found.reasons


def test_a_reused_number_is_flagged_and_never_linked() -> None:
    found = compare(WANG, facts("刘强", date(1988, 5, 5), "M", ID))
    assert (found.verdict, found.score) == (Verdict.FLAG, 0)
    assert found.reasons == ("number_reused", "birth_date_differs", "sex_differs")


def test_a_newborn_is_not_its_mother() -> None:
    child = facts("王芳之女", date(2026, 3, 1), "F", ID)
    assert compare(WANG, child).verdict is Verdict.NONE
    typed = facts("王芳之女", BORN, "F", ID)  # registered with all of the mother's data
    found = compare(WANG, typed)
    assert found.verdict is Verdict.PROPOSE and found.score <= 20


def test_two_newborns_of_one_mother_are_no_certainty() -> None:
    pair = [facts("王芳之子", date(2026, 3, 1), "M", ID), facts("王芳之子", date(2026, 3, 1), "M", ID)]
    found = compare(*pair)
    assert found.verdict is Verdict.PROPOSE and found.score <= 20


def test_unknown_people_stay_apart() -> None:
    assert compare(facts("无名氏", None, "M"), facts("无名氏", None, "M")).verdict is Verdict.NONE
    assert compare(facts("无名氏", BORN, "M"), facts("无名氏", BORN, "M")).verdict is Verdict.NONE
    found = compare(facts("无名氏", BORN, "F", ID), facts("无名氏", BORN, "F", ID))
    assert found.verdict is Verdict.PROPOSE and found.score <= 20


def test_twins_are_two() -> None:
    """Same surname and birth date, numbers that differ in their last digits."""
    assert compare(WANG, facts("王丽", BORN, "F", SISTERS_ID)).verdict is Verdict.NONE
    assert compare(WANG, facts("王芳", BORN, "F", SISTERS_ID)).reasons == ("number_differs",)
    assert compare(facts("王芳"), facts("王丽")).verdict is Verdict.NONE  # neither carries a number


def test_an_unreadable_name_neither_helps_nor_hinders() -> None:
    unread = replace(facts("ÍõáÈ", BORN, "F", ID), name_is_doubtful=True)
    assert compare(WANG, unread).verdict is Verdict.LINK
    assert compare(WANG, replace(unread, numbers=())).verdict is Verdict.NONE


@pytest.mark.parametrize("name", ["无名氏", "无名氏3", "佚名", "不详", "Unknown", "UNKNOWN^MALE", "王某某", "", "  "])
def test_names_of_nobody(name: str) -> None:
    assert is_unknown_person(name)


@pytest.mark.parametrize("name", ["王芳之子", "王芳之女", "王芳之次子", "李梅之婴", "新生儿", "Baby of Wang"])
def test_names_of_newborns(name: str) -> None:
    assert is_newborn_name(name)


@pytest.mark.parametrize("name", ["王芳", "吴名", "吴明世", "欧阳子女", "李婴宁", "司马之", "张之洞", "毕宝宝"])
def test_names_that_only_look_so(name: str) -> None:
    assert not is_newborn_name(name) and not is_unknown_person(name)
