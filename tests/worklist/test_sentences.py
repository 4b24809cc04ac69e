"""Every code that can reach a person has its sentence, in both languages, with the values it asks for."""

import ast
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


REFUSING = ("scp.py", "listener.py", "hall.py", "tls_context.py", "inbox.py")
TELLS = ("association_refused", "_tell", "_tell_refused", "Refusal")  # which are told the reason among other things


def refusal_reasons() -> set[str]:
    """Why an association is refused, as the trail calls it: what stands in the code where it is told or decided."""
    places: list[ast.AST] = []
    for path in (one for package in ("pacs_bridge", "worklist") for one in (ROOT / package).glob("*.py") if one.name in REFUSING):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and str(getattr(node.func, "attr", getattr(node.func, "id", ""))) in TELLS:
                places += node.args
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason":
                places.append(node.value)
            elif isinstance(node, ast.FunctionDef) and node.name == "refusal_of":
                places += [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
    chosen = [end for one in places for end in ((one.body, one.orelse) if isinstance(one, ast.IfExp) else (one,))]
    return {one.value for one in chosen if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value}


def test_every_refusal_of_an_association_has_a_sentence_and_no_sentence_is_left_over() -> None:
    told = {key.removeprefix("page.admin.refusal.") for key in catalog() if key.startswith("page.admin.refusal.")}
    assert refusal_reasons() == told
