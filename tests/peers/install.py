"""Debian's packages that the tests talk to: installed when root, else named when missing; npm's in ``node``.

Run before the tests: ``python -m tests.peers.install``. With CI=true a missing peer is a failure.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NODE = Path(__file__).parent / "node"
# a program (or file) that must be there -> the package that brings it
PEERS = {
    "storescu": "dcmtk", "chromium": "chromium", "pdftotext": "poppler-utils", "pdfsig": "poppler-utils",
    "strace": "strace", "qpdf": "qpdf", "openssl": "openssl", "certutil": "libnss3-tools", "zbarimg": "zbar-tools",
    "dciodvfy": "dicom3tools", "/usr/lib/postgresql": "postgresql",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc": "fonts-noto-cjk", "curl": "curl",
    "Orthanc": "orthanc", "/usr/share/orthanc/plugins/libOrthancDicomWeb.so": "orthanc-dicomweb", "wrk": "wrk",
    "gdcmscu": "libgdcm-tools",
    "node": "nodejs", "npm": "npm",
}  # fmt: skip


def missing() -> dict[str, str]:
    """Peers that are not on this machine."""
    return {name: package for name, package in PEERS.items() if not _is_there(name)}


def _is_there(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name) is not None


def install_node_peers() -> bool:
    """What ``node/package-lock.json`` names, once for each change of it; whether it is there."""
    lock, done = NODE / "package-lock.json", NODE / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return True
    if shutil.which("npm") is None:
        return False
    return subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=False).returncode == 0


def main() -> int:
    absent = sorted(set(missing().values()))
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=False, env=environ, stdout=subprocess.DEVNULL)
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *absent]
        subprocess.run(command, check=False, env=environ, stdout=subprocess.DEVNULL)
        absent = sorted(set(missing().values()))
    has_node_peers = install_node_peers()
    if not has_node_peers:
        print("tests/peers/node: npm ci 失败 / failed", file=sys.stderr)
    if absent:
        print(f"缺少测试对端 / test peers are missing: apt-get install {' '.join(absent)}", file=sys.stderr)
    return 1 if (absent or not has_node_peers) and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
