"""What is dropped from report text, what is refused, and where long tokens may break."""

import pytest

from reports.text import MAX_CHARACTERS, TextError, breakable, clean


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("一\r\n二\r三\n四", "一\n二\n三\n四"),
        ("左\u202e右\u200b上\ufeff下", "左右上下"),
        ("a\tb\x07c", "a bc"),
        ("一\u2028二", "一\n二"),
        ("阿卜杜热合曼·买买提 ≥ × ℃ 䶮 㛃", "阿卜杜热合曼·买买提 ≥ × ℃ 䶮 㛃"),
        ('#read("/etc/passwd") <script>alert(1)</script> |^~\\& \\.br\\', None),
    ],
)
def test_what_stays(typed: str, kept: str | None) -> None:
    assert clean(typed) == (typed if kept is None else kept)


@pytest.mark.parametrize(
    ("typed", "named", "position"),
    [("ab\x00", "U+0000", 3), ("\ue000", "U+E000", 1), ("一\ud800", "U+D800", 2), ("\uffff", "U+FFFF", 1)],
)
def test_what_means_nothing_is_refused_by_name(typed: str, named: str, position: int) -> None:
    with pytest.raises(TextError) as refused:
        clean(typed)
    assert (refused.value.code, refused.value.params) == (
        "forbidden_character",
        {"character": named, "position": position},
    )


def test_length_limit_is_after_cleaning() -> None:
    assert len(clean("肺" * MAX_CHARACTERS + "\u200b")) == MAX_CHARACTERS
    with pytest.raises(TextError) as refused:
        clean("肺" * (MAX_CHARACTERS + 1))
    assert refused.value.code == "text_too_long"


def test_only_unbroken_tokens_get_break_points() -> None:
    assert breakable("a" * 60) == "a" * 60
    broken = breakable("x " + "a" * 61)
    assert broken.replace("\u200b", "") == "x " + "a" * 61
    assert max(len(part) for part in broken.split("\u200b")) <= 22
    assert breakable("肺" * 500) == "肺" * 500
