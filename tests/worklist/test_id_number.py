"""身份证号: check digits, birth date, sex, the mask. Expected values: GB 11643-1999 and its own example."""

from datetime import date

import pytest

from worklist.id_number import HEALTH_CARD, RESIDENT_ID, IdNumber, check_character, masked, read, shown

EXAMPLE = "11010519491231002X"  # the example of GB 11643-1999


def test_the_example_of_the_standard() -> None:
    number = read(EXAMPLE)
    assert number is not None and number.kind == RESIDENT_ID and number.is_valid
    assert (number.birth_date, number.sex) == (date(1949, 12, 31), "F")
    assert read("440524188001010014") == IdNumber(RESIDENT_ID, "440524188001010014")  # the standard's second example
    assert IdNumber(RESIDENT_ID, "440524188001010014").is_valid


@pytest.mark.parametrize("place", range(17))
def test_any_wrong_digit_is_found(place: int) -> None:
    """ISO 7064 MOD 11-2 finds every single substitution."""
    for digit in "0123456789":
        wrong = EXAMPLE[:place] + digit + EXAMPLE[place + 1 :]
        assert (wrong == EXAMPLE) == (check_character(wrong) == "X")


def test_neighbours_exchanged_are_found() -> None:
    for place in range(16):
        a, b = EXAMPLE[place], EXAMPLE[place + 1]
        if a != b:
            assert check_character(EXAMPLE[:place] + b + a + EXAMPLE[place + 2 :]) != "X"


@pytest.mark.parametrize("text", [" 110105 19491231 002x ", "110105-19491231-002X", "11010519491231002Ｘ"])
def test_as_people_type_it(text: str) -> None:
    assert read(text) == IdNumber(RESIDENT_ID, EXAMPLE)


@pytest.mark.parametrize("text", ["", "0001", "13800138000", "110105491231002", "01010519491231002X", "abc"])
def test_what_is_no_such_number(text: str) -> None:
    assert read(text) is None


def test_a_day_that_never_was_is_not_valid() -> None:
    body = "11010519490231002"
    number = IdNumber(RESIDENT_ID, body + check_character(body))
    assert number.birth_date is None and not number.is_valid


def test_a_health_card_is_a_digest_of_64_digits() -> None:
    number = read("a1" * 32)
    assert number is not None and (number.kind, number.is_valid, number.birth_date) == (HEALTH_CARD, True, None)


def test_the_mask_shows_three_and_four() -> None:
    assert masked(EXAMPLE) == "110***********002X"
    assert masked("a1" * 32) == "a1a***********a1a1"
    assert masked("12345678") == "********"
    assert (shown(EXAMPLE), shown("QS-0001")) == ("110***********002X", "QS-0001")
