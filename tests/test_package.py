"""The wheel carries everything but Python, and works without this checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CARRIED = {
    "viewer/static/dist/manifest.json": ROOT / "viewer" / "static" / "dist",
    "worklist/templates/base.html": ROOT / "worklist" / "templates",
    "reports/templates/report.html": ROOT / "reports" / "templates",
    "viewer/templates/read.html": ROOT / "viewer" / "templates",
    "worklist/locale/common.json": ROOT / "worklist" / "locale",
    "reports/typst/common.typ": ROOT / "reports" / "typst",
    "reports/templates_data/generic.json": ROOT / "reports" / "templates_data",
    "worklist/migrations/versions/0001_first_tables.py": ROOT / "worklist" / "migrations",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    done = subprocess.run([*command, "."], cwd=ROOT, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return next(folder.glob("teleread-*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as packed:
        return set(packed.namelist())


def test_every_data_file_is_in_the_wheel(names: set[str]) -> None:
    for one, folder in CARRIED.items():
        assert one in names
        beside = {
            path.relative_to(ROOT).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".pyc", ".map")
        }
        assert beside - names == set()


def test_the_wheel_holds_our_packages_and_no_sources_of_the_pages(names: set[str]) -> None:
    tops = {name.split("/", maxsplit=1)[0] for name in names if ".dist-info" not in name}
    assert tops == {"ecg", "pacs_bridge", "worklist", "reports", "viewer"}
    assert not [name for name in names if name.startswith("viewer/frontend/") or "node_modules" in name]


def test_the_licence_and_the_command_are_in_the_wheel(wheel: Path, names: set[str]) -> None:
    about = next(name.split("/", maxsplit=1)[0] for name in names if ".dist-info/" in name)
    assert f"{about}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as packed:
        assert "teleread = worklist.__main__:main" in packed.read(f"{about}/entry_points.txt").decode()


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python where the wheel is the only teleread to be found."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "packages")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("TELEREAD_")}
        environ = own | {"PYTHONPATH": str(folder / "packages"), "TELEREAD_DATA_DIR": str(folder / "var")}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=folder, env=environ, check=False, capture_output=True, text=True, timeout=120)

    return run


def test_the_unpacked_wheel_is_what_runs(unpacked: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    said = unpacked("-c", "import worklist.roof, viewer.web, reports.pdf; print(worklist.__file__)").stdout
    assert "packages" in said and str(ROOT) not in said


def test_the_unpacked_wheel_migrates_and_shows_its_settings(
    unpacked: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    migrated = unpacked("-m", "worklist", "migrate")
    assert migrated.returncode == 0, migrated.stderr[-2000:]
    shown = unpacked("-m", "worklist", "check", "--show")
    assert "TELEREAD_HTTP_PORT" in shown.stdout and "8080" in shown.stdout
    assert "Traceback" not in shown.stderr
