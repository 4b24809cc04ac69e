"""Orthanc as a plain PACS beside us: each gives the other its half, then both must hold the same.

Half begins here and half there. They cross by C-STORE, and one study each way by DICOMweb (Orthanc's plugin as client
of our STOW-RS and WADO-RS, ours as client of its). In the end both indexes name the same objects, and the data sets
of a sample are equal byte for byte.
"""

import json
import random
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.extract import read_file_meta
from pacs_bridge.scu import store_files
from tests.peers.instances import new_instance
from tests.peers.orthanc import DICOMWEB, Orthanc, require_dicomweb, running_orthanc
from tests.peers.product import PASSWORD, Product, running_product, until

PER_STUDY = 50
SAMPLE = 40
Key = tuple[str, str, str]  # study, series, instance


@dataclass
class Outcome:
    seed: int
    n_instances: int
    n_to_orthanc: int = 0
    n_from_orthanc: int = 0
    n_dicomweb: int = 0
    n_compared: int = 0
    duration_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.n_instances} instances: {self.n_to_orthanc} sent to Orthanc and {self.n_from_orthanc} by it, "
            f"{self.n_dicomweb} more over DICOMweb both ways; both indexes compared, {self.n_compared} data sets byte "
            f"for byte; {len(self.problems)} problems; seed {self.seed}, {self.duration_s:.0f} s"
        )


def run_orthanc_peer(folder: Path, *, seed: int, n_instances: int, say: Callable[[str], None]) -> Outcome:
    require_dicomweb()
    chance = random.Random(seed)
    outcome = Outcome(seed, n_instances)
    started = time.monotonic()
    with running_product(folder / "product") as product:
        settings = {
            "Plugins": [DICOMWEB], "DicomAet": "QS_CT",  # as which it is registered here
            "DicomModalities": {"teleread": ["TELEREAD", "127.0.0.1", product.dicom_port]},
            "DicomWeb": {
                "Enable": True,
                "Servers": {"teleread": [f"{product.url}/dicom-web/", "tech", PASSWORD]},
            },
            "OverwriteInstances": False,
        }  # fmt: skip
        with running_orthanc(folder / "orthanc", **settings) as orthanc:
            half = n_instances // 2
            ours = _make(folder / "ours", half, chance)
            theirs = _make(folder / "theirs", n_instances - half, chance)
            web = [_make(folder / name, 5, chance) for name in ("web_ours", "web_theirs")]
            say("files made")
            _store(ours + web[0], product.dicom_port, "TELEREAD", outcome)
            _store(theirs + web[1], orthanc.dicom_port, "QS_CT", outcome)
            say("each has its half")
            outcome.n_to_orthanc = _store(ours, orthanc.dicom_port, "QS_CT", outcome)
            outcome.n_from_orthanc = _ask_orthanc_to_store(orthanc, theirs)
            say("crossed by C-STORE")
            _cross_by_dicomweb(orthanc, web, outcome)
            _compare(product, orthanc, chance, outcome)
    outcome.duration_s = time.monotonic() - started
    return outcome


def _make(folder: Path, count: int, chance: random.Random) -> list[Path]:
    """Distinct instances in studies of PER_STUDY."""
    folder.mkdir(parents=True)
    made = []
    for number in range(count):
        if number % PER_STUDY == 0:
            one = new_instance(
                side=chance.choice((16, 24)), PatientID=f"{folder.name}-{number // PER_STUDY}",
                DataSetTrailingPadding=None,  # DCMTK, on which Orthanc is built, sends no padding
            )  # fmt: skip
        one.InstanceNumber, one.SOPInstanceUID = number, generate_uid()
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        path = folder / f"{number:05}.dcm"
        one.save_as(path, enforce_file_format=True)
        made.append(path)
    return made


def _store(paths: list[Path], port: int, called_ae: str, outcome: Outcome) -> int:
    results = store_files(paths, "127.0.0.1", port, called_ae, "QS_CT")
    bad = [result for result in results if result.outcome != "accepted"]
    outcome.problems += [f"not accepted by {called_ae}: {result}" for result in bad]
    return len(results) - len(bad)


def _ask_orthanc_to_store(orthanc: Orthanc, paths: list[Path]) -> int:
    """Orthanc sends these objects' studies to us; how many of them it says it sent."""
    studies = {_study_of(path) for path in paths[::PER_STUDY]}
    sent = 0
    for study in studies:
        key = _post(orthanc, "/tools/lookup", study)[0]["ID"]
        said = _post(orthanc, "/modalities/teleread/store", {"Resources": [key], "Synchronous": True, "Timeout": 120})
        sent += said["InstancesCount"] - said["FailedInstancesCount"]
    return sent


def _cross_by_dicomweb(orthanc: Orthanc, web: list[list[Path]], outcome: Outcome) -> None:
    """Ours is fetched by Orthanc (WADO-RS), its own is given by it (STOW-RS)."""
    fetched, given = (_study_of(paths[0]) for paths in web)
    said = _post(orthanc, "/dicom-web/servers/teleread/retrieve", {"Resources": [{"Study": fetched}], "Synchronous": True})
    outcome.n_dicomweb += int(said["ReceivedInstancesCount"])
    key = _post(orthanc, "/tools/lookup", given)[0]["ID"]
    said = _post(orthanc, "/dicom-web/servers/teleread/stow", {"Resources": [key], "Synchronous": True})
    outcome.n_dicomweb += int(said.get("InstancesCount", said.get("StoredInstancesCount", len(web[1]))))


def _study_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)


def _post(orthanc: Orthanc, path: str, body: Any) -> Any:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = urllib.request.Request(orthanc.url + path, data=data, method="POST")
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def _compare(product: Product, orthanc: Orthanc, chance: random.Random, outcome: Outcome) -> None:
    theirs = _index_of_orthanc(orthanc)
    until(lambda: len(_own_index(product)) >= len(theirs), 60, "the last objects", pause_s=0.5)
    ours = _own_index(product)
    outcome.problems += [f"only here: {key[2]}" for key in ours.keys() - theirs.keys()]
    outcome.problems += [f"only in Orthanc: {key[2]}" for key in theirs.keys() - ours.keys()]
    blobs = FileBlobs(product.data_dir / "blobs")
    both = sorted(ours.keys() & theirs.keys())
    for key in chance.sample(both, min(SAMPLE, len(both))):
        with urllib.request.urlopen(f"{orthanc.url}/instances/{theirs[key]}/file", timeout=30) as answer:
            there = answer.read()
        here = blobs.path(ours[key]).read_bytes()
        outcome.n_compared += 1
        if _data_set(here) != _data_set(there):
            outcome.problems.append(f"data sets differ: {key[2]}")
    checked = product.command("verify", "--json")
    if checked.returncode != 0:
        outcome.problems.append(f"verify says {checked.stdout[-300:]}{checked.stderr[-300:]}")


def _data_set(content: bytes) -> bytes:
    return content[read_file_meta(content)[1] :]


def _own_index(product: Product) -> dict[Key, str]:
    with closing(sqlite3.connect(product.data_dir / "teleread.sqlite3")) as connection:
        rows = connection.execute(
            "SELECT study_instance_uid, series_instance_uid, sop_instance_uid, blob_key FROM instance"
            " JOIN series ON series.id = series_id JOIN study ON study.id = study_id"
        )
        return {(study, series, uid): key for study, series, uid, key in rows}


def _index_of_orthanc(orthanc: Orthanc) -> dict[Key, str]:
    studies = {one["ID"]: one["MainDicomTags"]["StudyInstanceUID"] for one in orthanc.get("/studies?expand")}
    series = {
        one["ID"]: (studies[one["ParentStudy"]], one["MainDicomTags"]["SeriesInstanceUID"])
        for one in orthanc.get("/series?expand")
    }
    return {
        (*series[one["ParentSeries"]], one["MainDicomTags"]["SOPInstanceUID"]): one["ID"]
        for one in orthanc.get("/instances?expand")
    }
