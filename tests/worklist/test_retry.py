"""The waits between attempts, and when they end."""

from datetime import timedelta

from worklist.retry import Retry, code_of, next_attempt


def test_the_first_waits_grow() -> None:
    waits = [next_attempt(n) for n in range(1, 9)]
    minutes = [10 / 60, 30 / 60, 1, 2, 5, 15, 30, 30]
    assert waits == [timedelta(minutes=m) for m in minutes]


def test_three_days_of_trying_then_none() -> None:
    n_attempts, waited = 0, timedelta()
    while wait := next_attempt(n_attempts + 1):
        n_attempts += 1
        waited += wait
    assert timedelta(hours=71.5) < waited <= timedelta(hours=72)
    assert next_attempt(n_attempts + 2) is None
    assert next_attempt(10_000) is None


def test_an_error_without_code_gives_its_class_not_its_message() -> None:
    assert code_of(ValueError("张三")) == "ValueError"
    assert code_of(Retry("unreachable")) == "unreachable"
