"""GDCM's gdcmscu: echo, store, find and move give it what DCMTK is given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.datadict import tag_for_keyword

from pacs_bridge.listener import Listener
from tests.peers import dcmtk, gdcm
from tests.peers.instances import write_instance
from tests.peers.listening import allow, receive_all
from tests.peers.relay import relay
from tests.peers.township import Township, township
from tests.worklist.test_find import find
from tests.worklist.test_retrieve import body, movescu
from worklist.base.db import Database

STUDY = "1.2.826.0.1.3680043.9.79."
STUDIES = [
    {"StudyInstanceUID": STUDY + "1", "PatientID": "P-1", "PatientName": "Adams^John", "StudyDate": "20260102"},
    {"StudyInstanceUID": STUDY + "2", "PatientID": "P-2", "PatientName": "Adamson^Jane", "StudyDate": "20260210"},
]  # fmt: skip

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the peer differs, not the index


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT")
        yield made


def sent(folder: Path) -> list[Path]:
    """Two studies of three slices, in implicit VR: gdcmscu sends nothing else."""
    folder.mkdir()
    made = [write_instance(folder, side=16, **one, SeriesInstanceUID=one["StudyInstanceUID"] + ".1")
            for one in STUDIES for _ in range(3)]  # fmt: skip
    for path in made:
        assert dcmtk.run("dcmconv", "+ti", str(path), str(path)).returncode == 0
    return made


def test_it_echoes_and_what_it_stores_is_what_it_had(county: Township, listener: Listener, tmp_path: Path) -> None:
    paths = sent(tmp_path / "sent")
    with relay(listener.port, keeps_release=True) as way:
        assert gdcm.gdcmscu(way.port, "--echo").returncode == 0
        stored = gdcm.gdcmscu(way.port, "--store", *map(str, paths))
        stranger = gdcm.gdcmscu(way.port, "--echo", calling="STRANGER")
    assert stored.returncode == 0, stored.stderr
    assert stranger.returncode != 0
    with dcmtk.storescp(tmp_path / "got", "QS_CT") as peer:
        allow(county, "QS_CT", port=peer.port)
        movescu(listener.port, "QS_CT", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}1\\{STUDY}2")
        got = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, peer.files())}
    assert len(got) == len(paths)
    for one in map(pydicom.dcmread, paths):
        assert got[str(one.SOPInstanceUID)] == one  # element by element; GDCM writes sequences in its own way


MATRIX = [
    ("study", "study", ("PatientName=Adam*", "StudyDate=", "StudyInstanceUID=")),
    ("study", "study", ("PatientName=Adams^*", "StudyDate=20260101-20260131", "StudyInstanceUID=")),
    ("study", "series", (f"StudyInstanceUID={STUDY}1", "SeriesInstanceUID=", "Modality=CT")),
    ("patient", "patient", ("PatientID=P-?", "PatientName=")),
    ("patient", "study", ("PatientID=P-2", "StudyInstanceUID=", "StudyDate=")),
    ("study", "study", ("PatientName=Nobody", "StudyInstanceUID=")),
]  # fmt: skip


def test_it_finds_what_findscu_finds(county: Township, listener: Listener, tmp_path: Path) -> None:
    receive_all(county, sent(tmp_path / "sent"))
    n_answers = []
    with relay(listener.port, keeps_release=True) as way:
        for root, level, keys in MATRIX:
            asked = dict(key.split("=") for key in keys)
            tags = {keyword: "{:04x},{:04x}".format(*divmod(tag_for_keyword(keyword) or 0, 1 << 16)) for keyword in asked}
            found = gdcm.find(way.port, root, level, *(f"{tags[key]}={value}" for key, value in asked.items()))
            _, theirs = find(listener.port, tmp_path / "theirs", level.upper(), *keys, root=f"-{root[0].upper()}")
            expected = {tuple(str(one[keyword].value) for keyword in tags) for one in theirs}
            assert {tuple(one[tag] for tag in tags.values()) for one in found} == expected, keys
            assert len(found) == len(theirs)
            n_answers.append(len(found))
    assert n_answers == [2, 1, 1, 2, 1, 0]


@pytest.mark.parametrize("is_explicit", [False, True])
def test_it_moves_what_movescu_moves(
    county: Township, listener: Listener, tmp_path: Path, is_explicit: bool
) -> None:
    paths = sent(tmp_path / "sent")
    for path in paths if is_explicit else ():
        assert dcmtk.run("dcmconv", "+te", str(path), str(path)).returncode == 0
    receive_all(county, paths)
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}1")
    with dcmtk.storescp(tmp_path / "theirs", "QS_CT") as peer:
        allow(county, "QS_CT", port=peer.port)
        movescu(listener.port, "QS_CT", *keys)
    port = dcmtk.free_port()
    allow(county, "QS_CT", port=port)
    (tmp_path / "got").mkdir()
    with relay(listener.port, keeps_release=True) as way:
        gdcm.gdcmscu(
            way.port, "--move", "--studyroot", "--study", "--key", f"0020,000d={STUDY}1", "-o", str(tmp_path / "got"),
            "--port-scp", str(port),
        )  # fmt: skip
    got, theirs = ({str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, folder.iterdir())}
                   for folder in (tmp_path / "got", tmp_path / "theirs"))  # fmt: skip
    assert got == theirs
    assert len(got) == 3
    assert {body(path) for path in (tmp_path / "theirs").iterdir()} <= {body(path) for path in paths}
