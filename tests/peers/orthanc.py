"""Orthanc as Debian ships it: another store, on free ports, in a directory of its own."""

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.dcmtk import require
from tests.peers.lacking import lacking
from tests.peers.ports import free_ports
from tests.peers.product import until


@dataclass
class Orthanc:
    """A running Orthanc without accounts, bound to this machine."""

    dicom_port: int
    http_port: int
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path: str) -> Any:
        """The JSON at a path of its own REST API."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        """The JSON answer to a JSON body."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def is_up(self) -> bool:
        try:
            return bool(self.get("/system"))
        except urllib.error.HTTPError:
            return True  # it has accounts and asks for one
        except OSError:
            if self.process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text("utf-8", "replace")[-2000:]) from None
            return False


DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


def require_dicomweb() -> None:
    """`lacking` where the plugin is not installed."""
    if not Path(DICOMWEB).exists():
        lacking("orthanc-dicomweb is not installed: make peers")


@contextlib.contextmanager
def running_orthanc(folder: Path, **configuration: Any) -> Iterator[Orthanc]:
    """Its defaults, but for ports and accounts; ``configuration`` is added to orthanc.json."""
    folder.mkdir(parents=True, exist_ok=True)
    dicom_port, http_port = free_ports(2)
    settings = {
        "Name": "bench", "StorageDirectory": str(folder / "files"), "IndexDirectory": str(folder / "index"),
        "HttpPort": http_port, "DicomPort": dicom_port, "AuthenticationEnabled": False, "RemoteAccessAllowed": False,
        "DicomAlwaysAllowEcho": True, "DicomAlwaysAllowStore": True, "DicomCheckCalledAet": False, "Plugins": [],
    } | configuration  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings), "utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [require("Orthanc"), str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder,
            env={**os.environ, "TCP_NODELAY": "1"},  # it is built on DCMTK, which waits 40 ms per object without
        )  # fmt: skip
    orthanc = Orthanc(dicom_port, http_port, folder, process)
    try:
        until(orthanc.is_up, 30, "Orthanc to answer")
        yield orthanc
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
