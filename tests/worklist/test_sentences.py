"""Every code that can reach a person has its sentence, in both languages, with the values it asks for."""

import re
import string
from pathlib import Path

import pytest

from worklist.base.i18n import catalog

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ecg", "pacs_bridge", "worklist", "reports", "viewer")
RAISED = (
    r'(?:Refused|EcgError|PdfError|TextError|SignError|ObjectError|AccountError|SigningRefusedError|PixelError)'
    r'\(\s*"([a-z_]+)"',
    r'WebError\(\d+,\s*"([a-z_]+)"',
    r'^\s+code = "([a-z_]+)"',
)  # fmt: skip


def codes() -> list[tuple[str, str]]:
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            found |= {(code, path.name) for pattern in RAISED for code in re.findall(pattern, text, re.MULTILINE)}
    return sorted(found)


@pytest.mark.parametrize(("code", "module"), codes())
def test_every_code_has_a_sentence(code: str, module: str) -> None:
    assert any(key == code or key.partition(".")[2] == code for key in catalog()), f"{code} of {module}"


@pytest.mark.parametrize("key", sorted(catalog()))
def test_both_languages_use_the_same_values(key: str) -> None:
    fields = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in catalog()[key].values()]
    assert fields[0] == fields[1]
    assert all(text.strip() for text in catalog()[key].values())
