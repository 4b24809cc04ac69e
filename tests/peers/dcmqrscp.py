"""DCMTK's query/retrieve archive on a folder of files: what another PACS answers on the same data."""

import contextlib
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.peers import dcmtk

CONFIGURATION = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ORACLE {storage} RW (200, 1024mb) ANY
AETable END
"""


@contextlib.contextmanager
def dcmqrscp(folder: Path, paths: Iterable[Path]) -> Iterator[int]:
    """A running dcmqrscp, called ORACLE, that holds these files; its port."""
    storage, port = folder / "oracle", dcmtk.free_port()
    storage.mkdir(parents=True)
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(CONFIGURATION.format(port=port, storage=storage))
    process = subprocess.Popen(
        [dcmtk.require("dcmqrscp"), "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port)
        stored = dcmtk.storescu(port, "QS_CT", paths, called_ae="ORACLE")
        assert stored.returncode == 0, stored.stderr
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    deadline_s = time.monotonic() + 10
    while dcmtk.echoscu(port, "QS_CT", "ORACLE").returncode != 0:
        assert time.monotonic() < deadline_s, "dcmqrscp did not start"
        time.sleep(0.1)
