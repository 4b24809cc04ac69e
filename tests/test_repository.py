"""What may stand in a tracked file: no path of somebody's machine, no registry, no secret, no other pins."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MACHINE = re.compile("|".join(f"(?<![\\w.}}-])/{folder}/" for folder in ("work", "root", "Users", "home/[a-z]+")))
HOSTS = ("pypi" + ".org", "python" + "hosted", "npm" + "js.org", "npm" + "mirror", "mirrors" + ".")
KEYS = re.compile("-----BEGIN " + "[A-Z ]*PRIVATE KEY-----")
PIN = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listed.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            found.append((path.relative_to(ROOT).as_posix(), data.decode("utf-8", "replace")))
    return found


def test_no_machine_path_no_registry_and_no_key_stands_in_a_file() -> None:
    wrong = []
    for name, text in texts():
        wrong += [f"{name}: {match[0]}" for match in MACHINE.finditer(text)]
        wrong += [f"{name}: {host}" for host in HOSTS if host in text]
        wrong += [f"{name}: a private key" for _ in KEYS.finditer(text)]
    assert wrong == []


def test_locks_name_no_address() -> None:
    locks = [(name, text) for name, text in texts() if name.endswith((".lock", "package-lock.json"))]
    assert len(locks) >= 5
    for name, text in locks:
        assert "://" not in text, name
        assert "--index-url" not in text and "--find-links" not in text, name


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_every_pin_has_its_hashes(lock: Path) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", lock.read_text("utf-8"))
    for block in blocks:
        assert "--hash=sha256:" in block, block.split("\n", 1)[0]


def test_tests_run_on_the_versions_that_users_run_on() -> None:
    pins = {path.stem: set(PIN.findall(path.read_text("utf-8"))) for path in (ROOT / "requirements").glob("*.lock")}
    assert pins["run"] <= pins["dev"]
    assert pins["build"] <= pins["dev"]


def test_what_users_make_is_ignored() -> None:
    made = ["var/teleread.sqlite3", "var/keys/ca.key", "teleread.toml", ".venv/x", "viewer/static/dist/manifest.json"]
    done = subprocess.run(["git", "check-ignore", *made], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.split() == made
