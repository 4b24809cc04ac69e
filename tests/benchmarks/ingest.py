"""How fast objects are taken in, beside Orthanc, stock pynetdicom and DCMTK in the same run, by the same sender."""

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pydicom import dcmread

from tests.benchmarks import document
from tests.benchmarks.receivers import SYNCED, started
from tests.peers.data import shared_data
from tests.peers.dcmtk import require
from tests.peers.roles import roles_of_a_county

ROUNDS = 5
N_SLICES, N_PICTURES = 500, 20
PICTURE_BYTES = 15 << 20


def new_uid() -> str:
    """All of one length, so that one can take another's place in a file."""
    return f"2.25.{uuid4().int:039d}"[:44].replace("2.25.0", "2.25.1")


@dataclass
class Load:
    """Files of one kind, given new identities for every round: nobody may call them duplicates."""

    name: str
    ae_title: str
    n_associations: int
    templates: list[tuple[bytes, dict[str, str]]]  # a file and its UIDs by keyword
    count: int
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def write(self, folder: Path) -> list[list[Path]]:
        """New files, shared out over the associations."""
        folder.mkdir()
        study, series = new_uid(), new_uid()
        shares: list[list[Path]] = [[] for _ in range(self.n_associations)]
        for number in range(self.count):
            content, uids = self.templates[number % len(self.templates)]
            new = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": new_uid()}
            for keyword, old in uids.items():
                content = content.replace(old.encode(), new[keyword].encode())
            path = folder / f"{number:04}.dcm"
            path.write_bytes(content)
            shares[number % self.n_associations].append(path)
        return shares


def _template(source: Path, *, picture_bytes: int = 0) -> tuple[bytes, dict[str, str]]:
    dataset = dcmread(source)
    uids = {keyword: new_uid() for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    for keyword, uid in uids.items():
        setattr(dataset, keyword, uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = uids["SOPInstanceUID"]
    if picture_bytes:
        dataset.Rows, dataset.Columns = 2560, picture_bytes // 5120
        dataset.BitsAllocated = 16
        dataset.PixelData = (dataset.PixelData * (picture_bytes // len(dataset.PixelData) + 1))[:picture_bytes]
    place = source.parent / f"template-{uids['SOPInstanceUID']}"
    dataset.save_as(place, enforce_file_format=True)
    content = place.read_bytes()
    place.unlink()
    return content, uids


def make_loads(folder: Path) -> list[Load]:
    """500 CT slices of a real lung on one and on four associations; 20 pictures as large as a DR."""
    with tarfile.open(shared_data("dicom", "ct", "cmb-crc-01068_lung_100.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    sources = sorted(path for path in folder.rglob("*") if path.is_file())
    slices = [_template(path) for path in sources]
    pictures = [_template(sources[0], picture_bytes=PICTURE_BYTES)]
    return [
        Load("500 CT slices (525 kB), one association", "QS_CT", 1, slices, N_SLICES),
        Load("500 CT slices (525 kB), four associations at once", "QS_CT", 4, slices, N_SLICES),
        Load("20 DR (15 MB), one association", "QS_DR", 1, pictures, N_PICTURES),
    ]


def send_s(port: int, ae_title: str, shares: list[list[Path]]) -> float:
    """Seconds from starting the senders to the end of the last; AssertionError where one object was refused."""
    environ = {**os.environ, "TCP_NODELAY": "1"}
    command = [require("dcmsend"), "-aet", ae_title, "-aec", "TELEREAD", "--max-send-pdu", "131072", "127.0.0.1", str(port)]
    began = time.monotonic()
    senders = [subprocess.Popen([*command, *map(str, share)], env=environ, stderr=subprocess.PIPE) for share in shares]
    complaints = [sender.communicate(timeout=300)[1] for sender in senders]
    seconds = time.monotonic() - began
    assert all(sender.returncode == 0 for sender in senders) and not any(complaints), complaints[0][-500:]
    return seconds


def measure(work: Path, loads: list[Load], rounds: int, names: list[str]) -> None:
    """Every round: for each load every receiver once, in turning order, fresh, with files of its own."""
    with roles_of_a_county(work / "county") as county:
        template = county.data_dir
    count = 0
    for number in range(rounds):
        for load in loads:
            turned = names[number % len(names) :] + names[: number % len(names)]
            for name in turned:
                count += 1
                files = work / f"files-{count}"
                shares = load.write(files)
                with started(name, work / f"receiver-{count}", template) as port:
                    os.sync()  # what earlier writes owe the disk is not this receiver's debt
                    seconds = send_s(port, load.ae_title, shares)
                load.seconds.setdefault(name, []).append(seconds)
                print(f"{load.name} -> {name}: {seconds:.2f} s", flush=True)
                for path in files.iterdir():
                    path.unlink()


def _lines(loads: list[Load]) -> Iterator[str]:
    for load in loads:
        medians = {name: statistics.median(values) for name, values in load.seconds.items()}
        for name, median in medians.items():
            values = load.seconds[name]
            ratio = median / medians["teleread"]
            yield (
                f"| {load.name} | {name} | {SYNCED[name]} | {median:.2f} s ({min(values):.2f}–{max(values):.2f}) "
                f"| {ratio:.2f} × | {len(values)} |"
            )


def main() -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ingest", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--load", type=int, choices=(0, 1, 2), help="this one only, and nothing is written")
    parser.add_argument("--only", action="append", choices=list(SYNCED), help="these only, and nothing is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="teleread-ingest-") as folder:
        work = Path(folder)
        (work / "sources").mkdir()
        loads = make_loads(work / "sources")
        if options.load is not None:
            loads = [loads[options.load]]
        measure(work, loads, options.rounds, options.only or list(SYNCED))
    lines = list(_lines(loads)) if not options.only or "teleread" in options.only else []
    print("\n".join(lines))
    if options.load is None and not options.only:
        head = f"{document.now()} UTC, commit {document.commit()}, {document.machine()}. Medians (lowest–highest)."
        table = "| load | receiver | what it syncs | time | of ours | n |\n|---|---|---|---|---|---|"
        document.replace_section("ingest", "\n".join([head, "", table, *lines]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
