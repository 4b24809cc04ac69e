"""The documents say what the code does: generated parts are current, links lead somewhere, nothing is left out."""

import re
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from tests import docs
from worklist.base.config import Settings
from worklist.web_routes import route_table
from worklist.workitem import TRANSITIONS

ROOT = Path(__file__).parents[1]
WRITTEN = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", docs.documents(), ids=lambda path: path.name)
def test_the_generated_documents_are_current(path: Path) -> None:
    assert path.read_text("utf-8") == docs.documents()[path], f"{path.name}: make docs"


def test_every_setting_is_explained_in_both_languages() -> None:
    names = {setting.metadata["name"] for setting in fields(Settings)}
    assert set(docs.SETTINGS_ZH) == names
    for text in ((ROOT / "README.md").read_text("utf-8"), docs.commands_md()):
        assert names <= set(re.findall(r"TELEREAD_[A-Z_]+", text))


def test_every_command_is_in_the_documents() -> None:
    written = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for command in ("run", "serve", "listen", "work", "migrate", "check", "tls", "demo", "send", "import"):
        assert f"`teleread {command}" in written
    for command in ("verify-report", "site add", "device add", "user add"):
        assert f"`teleread {command}" in written


def test_every_route_of_the_api_is_in_the_documents() -> None:
    written = (ROOT / "docs" / "api.md").read_text("utf-8")
    routes = [route for route in route_table(docs.web_app()) if route.rule.startswith("/api/")]
    assert len(routes) > 30
    for route in routes:
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", route.rule)
        for method in route.methods:
            assert f"### `{method} {path}`" in written


def test_a_diagram_has_every_transition() -> None:
    written = docs.states_md()
    for (before, move), after in TRANSITIONS.items():
        assert f"| {before.value} | `{move.value}` | {after.value} |" in written
        assert re.search(rf"{before.name} --> {after.name} : .*{move.value}", written)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]+src=\"([^\"]+)\"", path.read_text("utf-8")):
        name = target[0] or target[1]
        if "://" in name or name.startswith(("mailto:", "docs/screens/", "screens/")):
            continue  # screens are made by `make screens`
        assert (path.parent / name).exists(), f"{path.name}: {name}"


def test_every_dependency_is_explained() -> None:
    written = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    asked = (ROOT / "requirements" / "run.in").read_text("utf-8")
    for name in re.findall(r"^([a-z0-9-]+)", asked, re.MULTILINE):
        assert f"| `{name}` |" in written, name


def test_what_users_install_may_be_used_by_anybody() -> None:
    lock = (ROOT / "requirements" / "run.lock").read_text("utf-8")
    for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE):
        try:
            about = distribution(name).metadata
        except PackageNotFoundError:  # for another system
            continue
        said = [about.get("License-Expression") or "", *(about.get_all("Classifier") or [])]
        strong = [text for text in said if re.search(r"(?<![L\w])A?GPL|Affero|GNU General", text)]
        assert strong == [], name


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_the_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(r"`([\w-]+(?:/[\w.-]+)+\.(?:py|md|in|json|typ))`", path.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists() and "static/dist" not in name] == []
