"""The measured pages of ``docs/benchmarks.md``: where results go, and what machine they are from."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def commit() -> str:
    """The short commit id, with + where the code differs from it."""
    root = DOCUMENT.parents[1]
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "--", ".", ":!docs"], cwd=root, capture_output=True, text=True, check=False)
    return (found.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


def machine() -> str:
    """Cores, processor, Python; nothing that names the machine."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores, {processor}, Python {platform.python_version()}"


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M}"


def _text() -> str:
    return DOCUMENT.read_text("utf-8")


def replace_section(name: str, content: str) -> None:
    """Put ``content`` between the markers of ``name``."""
    before, rest = _text().split(f"<!-- {name}:start -->\n")
    _, after = rest.split(f"<!-- {name}:end -->")
    _write(f"{before}<!-- {name}:start -->\n{content.rstrip()}\n<!-- {name}:end -->{after}")


def append_row(name: str, *cells: str) -> None:
    """Add one row to the table of ``name``."""
    row = "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |\n"
    _write(_text().replace(f"<!-- {name}:end -->", f"{row}<!-- {name}:end -->"))


def _write(text: str) -> None:
    DOCUMENT.write_text(text, "utf-8")
