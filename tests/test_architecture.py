"""Where a line may stand: the import table of docs/architecture.md, read from the code.

A module says its kind at the end of its first docstring line. What it may import follows from that, ours and
others'; what decides never asks the clock.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
STANDS_ON = {
    "ecg": set(),
    "pacs_bridge": set(),
    "worklist": {"ecg", "pacs_bridge"},
    "reports": {"ecg", "pacs_bridge", "worklist"},
    "viewer": {"ecg", "pacs_bridge", "worklist", "reports"},
}
MAY_IMPORT = {
    "domain": {"domain"},
    "store": {"domain", "store"},
    "service": {"domain", "store", "service"},
    "adapter": {"domain", "adapter"},
    "web": {"domain", "store", "service", "web"},
    "app": {"domain", "store", "service", "adapter", "web", "app"},
}
DATABASE, WEB, FOREIGN = {"store", "service", "web", "app"}, {"web", "app"}, {"adapter", "app"}
PURE = {"domain", "adapter", "app"}  # arithmetic and plain values
# What comes from elsewhere: the kinds that may import it. A package that is not here may not be used yet.
THIRD_PARTY = {
    "numpy": PURE, "pydicom": PURE, "pypinyin": {"domain"}, "blake3": FOREIGN,
    "sqlalchemy": DATABASE, "alembic": {"store", "app"}, "psycopg": WEB,
    "flask": WEB, "werkzeug": WEB, "jinja2": WEB, "markupsafe": WEB, "a2wsgi": {"app"}, "granian": {"app"},
    "argon2": {"service"}, "cryptography": FOREIGN, "asn1crypto": {"adapter"},
    "pynetdicom": {"adapter"}, "imagecodecs": {"adapter"}, "PIL": {"adapter"}, "wfdb": {"adapter"},
    "typst": {"adapter"}, "segno": {"adapter"}, "fontTools": {"adapter"}, "pylopdf_fonts_zh_cn": {"adapter"},
    "pyhanko": {"adapter"}, "pyhanko_certvalidator": {"adapter"}, "rich": {"app"},
    "httpx": {"adapter"}, "pyorthanc": {"adapter"},
}  # fmt: skip
# What of the standard library reaches outside a value: the clock, chance, the network, processes, files.
STANDARD = {
    "time": {"adapter", "web", "app"}, "random": set(), "secrets": {"service", "adapter", "app"},
    "uuid": {"service", "adapter", "web", "app"}, "socket": FOREIGN, "ssl": FOREIGN, "select": FOREIGN,
    "selectors": FOREIGN, "subprocess": FOREIGN, "multiprocessing": FOREIGN, "signal": FOREIGN, "resource": FOREIGN,
    "fcntl": FOREIGN, "ctypes": FOREIGN, "asyncio": {"adapter", "web", "app"},
    "threading": {"service", "adapter", "web", "app"}, "concurrent": {"adapter", "web", "app"},
    "sqlite3": {"store", "web", "app"}, "tempfile": FOREIGN, "shutil": {"adapter", "web", "app"},
    "os": {"store", "adapter", "app"}, "tomllib": {"store"}, "smtplib": {"adapter"}, "http": {"adapter", "web", "app"},
    "logging": {"adapter", "web", "app"},
}  # fmt: skip
# Kept small in number, each with its reason.
EXCEPTIONS = {
    ("worklist.person", "os"),  # two variables that keep pypinyin from loading 45 MB
    ("worklist.base.together", "threading"),  # what threads of one process write together
    ("worklist.base.db", "threading"),  # SQLite has one writer: a process's threads take turns in asking
}
TELLS_THE_TIME = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time"),
}  # fmt: skip
MAY_ASK_THE_TIME = {"app"}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 50
GENERATED = "worklist.migrations.versions."  # a migration is a list, not a thought


class Module(NamedTuple):
    name: str
    path: Path
    kind: str | None
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name.split(".", maxsplit=1)[0]


@cache
def modules() -> dict[str, Module]:
    found = {}
    for package in STANDS_ON:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name == "__init__.py" or "node_modules" in path.parts:
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            tree = ast.parse(path.read_text("utf-8"))
            match = re.search(r"\[(\w+)\]$", (ast.get_docstring(tree) or "").split("\n", 1)[0])
            found[name] = Module(name, path, match[1] if match else None, tree)
    return found


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Every import, also those inside functions: the module named as precisely as can be known, and its line."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module.name}:{node.lineno}: a relative import"
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in modules() else node.module, node.lineno


def is_ours(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in STANDS_ON


EACH = pytest.mark.parametrize("module", modules().values(), ids=lambda module: module.name)


@EACH
def test_the_first_line_says_the_kind(module: Module) -> None:
    assert module.kind in MAY_IMPORT


@EACH
def test_kinds_import_what_their_kind_allows(module: Module) -> None:
    allowed = MAY_IMPORT[module.kind or ""]
    for name, line in imports(module):
        if name in modules():
            other = modules()[name]
            assert other.kind in allowed, f"{module.path}:{line}: [{module.kind}] imports {name} [{other.kind}]"


@EACH
def test_packages_stand_on_those_below(module: Module) -> None:
    if module.kind == "app":  # the roof: where everything is joined
        return
    for name, line in imports(module):
        if is_ours(name):
            below = STANDS_ON[module.package] | {module.package}
            assert name.split(".", maxsplit=1)[0] in below, f"{module.path}:{line}: imports {name}"


@EACH
def test_the_floor_stands_on_nothing_of_ours(module: Module) -> None:
    if module.name.startswith("worklist.base."):
        for name, line in imports(module):
            assert not is_ours(name) or name.startswith("worklist.base."), f"{module.path}:{line}: imports {name}"


@EACH
def test_foreign_things_stay_in_their_kind(module: Module) -> None:
    for name, line in imports(module):
        top = name.split(".", maxsplit=1)[0]
        where = f"{module.path}:{line}: [{module.kind}] imports {name}"
        if (module.name, top) in EXCEPTIONS:
            continue
        if top in sys.stdlib_module_names:
            assert module.kind in STANDARD.get(top, set(MAY_IMPORT)), where
        elif not is_ours(name):
            assert top in THIRD_PARTY, f"{where}, which no kind may use yet"
            assert module.kind in THIRD_PARTY[top], where


@EACH
def test_only_the_roof_asks_the_time(module: Module) -> None:
    if module.kind in MAY_ASK_THE_TIME:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            assert (owner, node.attr) not in TELLS_THE_TIME, f"{module.path}:{node.lineno}: {owner}.{node.attr}"


@EACH
def test_modules_and_functions_stay_small(module: Module) -> None:
    if module.name.startswith(GENERATED):
        return
    assert len(module.path.read_text("utf-8").splitlines()) <= MOST_LINES
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = (node.end_lineno or node.lineno) - node.body[0].lineno + 1  # without its signature
            assert n_lines <= MOST_LINES_OF_A_FUNCTION, f"{module.path}:{node.lineno}: {node.name}, {n_lines} lines"


def test_packages_say_nothing_in_their_init() -> None:
    for package in STANDS_ON:
        for path in (ROOT / package).rglob("__init__.py"):
            if "node_modules" not in path.parts:
                assert not path.read_text("utf-8").strip(), path


def plain(requirement: str) -> str:
    """The normalised name of a distribution: ``psycopg[binary]>=3.3`` is ``psycopg``."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~;\s]", requirement.strip(), maxsplit=1)[0]).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {plain(text) for text in project["dependencies"]}


def test_the_project_and_its_lock_ask_for_the_same() -> None:
    lines = (ROOT / "requirements" / "run.in").read_text("utf-8").splitlines()
    assert declared() == {plain(line) for line in lines if line and not line.startswith("#")}


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    owners = packages_distributions()
    tops = {name.split(".", maxsplit=1)[0] for module in modules().values() for name, _ in imports(module)}
    used = {plain(owners[top][0]) for top in tops if top in THIRD_PARTY}
    assert used - declared() == set()
    # pydicom finds the files of pydicom-data by itself; zoneinfo falls back on tzdata where a machine has none.
    assert declared() - used == {"pydicom-data", "tzdata"}
