"""Templates, sentences and styles hold together: keys exist, nothing inline, contrast as measured in the design."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from worklist.base.i18n import catalog

ROOT = Path(__file__).parents[2]
PACKAGES = ("worklist", "viewer", "reports")
TEMPLATES = sorted(path for package in PACKAGES for path in (ROOT / package / "templates").glob("*"))
STYLES = sorted((ROOT / "viewer" / "frontend" / "css").glob("*.css"))
SCRIPTS = sorted((ROOT / "viewer" / "frontend" / "ui").glob("*.ts"))
TEXT_TOKENS = ("tx1", "tx2", "tx3", "accent", "red", "amber", "green", "teal")
SURFACES = ("bg1", "bg2", "bg3", "sel")


def _id(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", [*TEMPLATES, *SCRIPTS], ids=_id)
def test_every_sentence_that_is_asked_for_exists(path: Path) -> None:
    asked = set(re.findall(r"""\bt\(\s*["']([\w.]+)["']\s*[,)]""", path.read_text("utf-8")))
    assert asked - set(catalog()) == set()


def test_both_languages_fill_the_same_places() -> None:
    for key, entry in catalog().items():
        places = [set(re.findall(r"\{(\w+)\}", entry[language])) for language in ("zh", "en")]
        assert places[0] == places[1], key


@pytest.mark.parametrize("path", TEMPLATES, ids=_id)
def test_nothing_that_the_content_security_policy_refuses(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


@pytest.mark.parametrize("path", TEMPLATES, ids=_id)
def test_every_icon_that_is_used_is_drawn(path: Path) -> None:
    drawn = set(re.findall(r'id="i-([\w-]+)"', (ROOT / "worklist/templates/_icons.svg").read_text("utf-8")))
    assert set(re.findall(r'ui\.icon\("([\w-]+)"', path.read_text("utf-8"))) <= drawn


@pytest.mark.parametrize("path", SCRIPTS, ids=_id)
def test_scripts_never_parse_text_as_markup(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|localStorage|sessionStorage", text)


@pytest.mark.parametrize("path", STYLES, ids=_id)
def test_no_style_newer_than_chrome_109(path: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.S)
    assert not re.search(r"color-mix|oklch|@layer|@scope|@starting-style|:has\(|\bdvh\b|^\s+&", text, re.M)
    assert "!important" not in text or path.name == "base.css"


def test_every_style_sheet_is_bundled_and_none_is_long() -> None:
    named = set(re.findall(r'@import "\./(.+?)"', (ROOT / "viewer/frontend/css/main.css").read_text("utf-8")))
    assert named == {path.name for path in STYLES} - {"main.css"}
    assert all(len(path.read_text("utf-8").splitlines()) <= 400 for path in STYLES)


def _tokens(theme: str) -> dict[str, str]:
    text = (ROOT / "viewer/frontend/css/tokens.css").read_text("utf-8")
    blocks = re.findall(r"([^{}]+)\{([^{}]+)\}", text)
    found: dict[str, str] = {}
    for selector, body in blocks:
        if f'[data-theme="{theme}"]' in selector:
            found |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-fA-F]{6});", body))
    return found


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _pairs(theme: str) -> Iterator[tuple[str, str]]:
    yield from ((text, surface) for text in TEXT_TOKENS for surface in SURFACES)
    yield from ((state, f"{state}-tint") for state in ("red", "amber", "green", "teal"))
    yield from (("on-fill", fill) for fill in ("primary", "primary-hover", "red-fill", "red-fill-hover"))


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_reads_on_every_surface(theme: str) -> None:
    tokens = _tokens(theme)
    low = {pair: ratio for pair in _pairs(theme) if (ratio := _contrast(tokens[pair[0]], tokens[pair[1]])) < 4.5}
    assert low == {}


@pytest.mark.parametrize(
    ("theme", "text", "surface", "ratio"),
    [("dark", "tx1", "bg1", 15.2), ("dark", "tx3", "sel", 4.8), ("dark", "red", "bg2", 6.9),
     ("dark", "ln4", "bg2", 3.9),
     ("light", "tx2", "bg2", 7.5), ("light", "amber", "bg1", 5.8), ("light", "ln4", "bg2", 3.1)],
)  # fmt: skip
def test_tokens_are_those_of_the_design(theme: str, text: str, surface: str, ratio: float) -> None:
    tokens = _tokens(theme)
    assert _contrast(tokens[text], tokens[surface]) == pytest.approx(ratio, abs=0.06)
