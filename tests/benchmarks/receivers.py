"""Four receivers of DICOM objects to compare, and what each has made durable when it says 0x0000."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.peers.dcmtk import require
from tests.peers.orthanc import running_orthanc
from tests.peers.ports import free_ports
from tests.peers.product import running_product, takes_connections, until

# receiver -> what is synced before its answer
SYNCED = {
    "teleread": "file, its directory and index (WAL, synchronous=FULL)",
    "Orthanc 1.10.1": "file; not its index",
    "pynetdicom 3.0.4": "nothing",
    "DCMTK storescp": "nothing",
}


@contextlib.contextmanager
def teleread(folder: Path, template: Path) -> Iterator[int]:
    """The whole product as it ships, with its worker and web role; ``template`` is a data dir of the demo county."""
    folder.mkdir()
    shutil.copytree(template, folder / "var")
    with running_product(folder) as product:
        until(lambda: "worker ready" in product.log(), 30, "the worker")  # it starts last, and would start beside the load
        yield product.dicom_port


@contextlib.contextmanager
def orthanc(folder: Path) -> Iterator[int]:
    with running_orthanc(folder) as peer:
        yield peer.dicom_port


@contextlib.contextmanager
def _command(folder: Path, *command: str) -> Iterator[int]:
    folder.mkdir()
    (port,) = free_ports(1)
    environ = {**os.environ, "TCP_NODELAY": "1"}
    with subprocess.Popen(
        [*command, str(port)], cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: takes_connections(port), 20, command[0])
            yield port
        finally:
            process.kill()


def stock_pynetdicom(folder: Path) -> contextlib.AbstractContextManager[int]:
    """pynetdicom's own threads and sockets; the handler writes what came, as its documentation does."""
    return _command(folder, sys.executable, "-c", STOCK)


def storescp(folder: Path) -> contextlib.AbstractContextManager[int]:
    """Bit preserving, one process per association."""
    return _command(folder, require("storescp"), "--fork", "+B", "+xa", "-od", ".", "--max-pdu", "131072")


STOCK = """
import sys
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

def store(event):
    with open(event.request.AffectedSOPInstanceUID, "wb") as stream:
        stream.write(event.encoded_dataset())
    return 0x0000

ae = AE()
ae.maximum_pdu_size = 131072
ae.maximum_associations = 100
ae.supported_contexts = AllStoragePresentationContexts
ae.add_supported_context(Verification)
ae.start_server(("127.0.0.1", int(sys.argv[1])), block=True, evt_handlers=[(evt.EVT_C_STORE, store)])
"""


@contextlib.contextmanager
def started(name: str, folder: Path, template: Path) -> Iterator[int]:
    """The receiver of that name (of ``SYNCED``), fresh in ``folder``; gives its DICOM port."""
    makers: dict[str, Callable[[Path], contextlib.AbstractContextManager[int]]] = {
        "teleread": lambda place: teleread(place, template), "Orthanc 1.10.1": orthanc,
        "pynetdicom 3.0.4": stock_pynetdicom, "DCMTK storescp": storescp,
    }  # fmt: skip
    try:
        with makers[name](folder) as port:
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)
