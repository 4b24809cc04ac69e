"""C-MOVE and C-GET against DCMTK: what leaves, where to, in which syntax, and what is said when it does not."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from sqlalchemy import select, update

from pacs_bridge.listener import Listener
from tests.peers import dcmtk
from tests.peers.data import shared_data
from tests.peers.instances import new_instance, write_instance
from tests.peers.listening import allow, listening, receive_all
from tests.peers.township import Township, township
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.tables import Instance, Study

STUDY_ROOT, PATIENT_ROOT = "-S", "-P"


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT", port=1)
        yield made


@pytest.fixture
def listener(county: Township) -> Iterator[Listener]:
    with listening(county) as running:
        yield running


def sent_study(folder: Path, number: int = 3, **changes: Any) -> tuple[str, list[Path]]:
    """A CT study of some small slices, on disk."""
    folder.mkdir(exist_ok=True)
    values = {"StudyInstanceUID": f"1.2.826.0.1.3680043.9.{abs(hash(str(folder))) % 10**12}", "side": 16,
              "SeriesInstanceUID": f"1.2.826.0.1.3680043.8.{abs(hash(str(folder))) % 10**12}"} | changes  # fmt: skip
    return values["StudyInstanceUID"], [write_instance(folder, **values) for _ in range(number)]


def movescu(
    port: int, destination: str, *keys: str, calling: str = "QS_CT", root: str = STUDY_ROOT, options: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    wanted = [word for key in keys for word in ("-k", key)]
    return dcmtk.run(
        "movescu", "-v", "-d", root, *options, "-aet", calling, "-aec", "TELEREAD", "-aem", destination, *wanted,
        "127.0.0.1", str(port),
    )  # fmt: skip


def getscu(
    port: int, folder: Path, *keys: str, calling: str = "QS_CT", root: str = STUDY_ROOT, options: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    wanted = [word for key in keys for word in ("-k", key)]
    folder.mkdir(exist_ok=True)
    return dcmtk.run(
        "getscu", "-v", "-d", root, *options, "-aet", calling, "-aec", "TELEREAD", "-od", str(folder), "+B", *wanted,
        "127.0.0.1", str(port),
    )  # fmt: skip


def final(result: "subprocess.CompletedProcess[str]") -> str:
    """The status of the last response, four hex digits."""
    found = re.findall(r"DIMSE Status\s*: 0x([0-9a-f]{4})", result.stdout + result.stderr)
    assert found, result.stdout + result.stderr
    return str(found[-1])


def uids(folder: Path) -> set[str]:
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in folder.iterdir()}


def body(path: Path) -> bytes:
    """The data set behind the file meta."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


@pytest.mark.parametrize("retrieve", ["move", "get"])
def test_a_study_arrives_byte_for_byte(
    county: Township, listener: Listener, tmp_path: Path, retrieve: str
) -> None:
    study, sent = sent_study(tmp_path / "sent")
    receive_all(county, sent)
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")
    if retrieve == "move":
        with dcmtk.storescp(tmp_path / "got", "QS_WS") as peer:
            allow(county, "QS_WS", port=peer.port)
            result = movescu(listener.port, "QS_WS", *keys)
    else:
        result = getscu(listener.port, tmp_path / "got", *keys)
    assert (result.returncode, final(result)) == (0, "0000"), result.stderr
    assert {body(path) for path in (tmp_path / "got").iterdir()} == {body(path) for path in sent}
    with county.roof.db.read() as session:
        row = session.scalars(select(AuditEvent).where(AuditEvent.act == f"study.{retrieve}")).one()
    assert (row.actor, row.object_uid, row.result, row.details["sent"]) == ("QS_CT", study, "ok", 3)


@pytest.mark.parametrize("root", [STUDY_ROOT, PATIENT_ROOT])
def test_every_level_gives_its_own(county: Township, listener: Listener, tmp_path: Path, root: str) -> None:
    patient = ("PatientID=P7",) if root == PATIENT_ROOT else ()
    first, sent = sent_study(tmp_path / "a", PatientID="P7")
    more = write_instance(tmp_path / "a", PatientID="P7", StudyInstanceUID=first, side=16)
    second, others = sent_study(tmp_path / "b", 2, PatientID="P7")
    receive_all(county, [*sent, more, *others])
    series = str(pydicom.dcmread(sent[0]).SeriesInstanceUID)
    one, two = (str(pydicom.dcmread(path).SOPInstanceUID) for path in sent[:2])
    asked = {
        "study": (("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={first}\\{second}", *patient), 6),
        "series": (("QueryRetrieveLevel=SERIES", f"StudyInstanceUID={first}", f"SeriesInstanceUID={series}", *patient), 3),
        "image": (("QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={first}", f"SeriesInstanceUID={series}",
                   f"SOPInstanceUID={one}\\{two}", *patient), 2),
        "nothing": (("QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3", *patient), 0),
    }  # fmt: skip
    if root == PATIENT_ROOT:
        asked["patient"] = (("QueryRetrieveLevel=PATIENT", "PatientID=P7"), 6)
    for name, (keys, number) in asked.items():
        result = getscu(listener.port, tmp_path / name, *keys, root=root)
        assert (final(result), len(list((tmp_path / name).iterdir()))) == ("0000", number), (name, result.stderr)


def test_what_is_not_the_peers_does_not_exist(county: Township, listener: Listener, tmp_path: Path) -> None:
    study, sent = sent_study(tmp_path / "sent")
    receive_all(county, sent, "QS_CT")
    allow(county, "BS_CT", site="BAISHUI", port=1)
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")
    result = getscu(listener.port, tmp_path / "stranger", *keys, calling="BS_CT")
    assert (final(result), uids(tmp_path / "stranger")) == ("0000", set())
    with county.roof.db.write() as session:  # one rejected for quality: nowhere any more
        hidden = session.scalars(select(Instance)).first()
        session.execute(update(Instance).where(Instance.id == hidden.id).values(hidden_code="113001"))
    getscu(listener.port, tmp_path / "own", *keys)
    assert uids(tmp_path / "own") == {str(pydicom.dcmread(path).SOPInstanceUID) for path in sent} - {
        hidden.sop_instance_uid
    }
    allow(county, "BS_CT", sees="all")
    getscu(listener.port, tmp_path / "all", *keys, calling="BS_CT")
    assert len(uids(tmp_path / "all")) == 2


def test_destinations(county: Township, listener: Listener, tmp_path: Path) -> None:
    study, sent = sent_study(tmp_path / "sent", 1)
    receive_all(county, sent)
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")
    with dcmtk.storescp(tmp_path / "got", "BS_WS") as peer:
        allow(county, "BS_WS", site="BAISHUI", port=peer.port)
        assert final(movescu(listener.port, "NOBODY", *keys)) == "a801"
        assert final(movescu(listener.port, "BS_WS", *keys)) == "a801"  # another site's
        allow(county, "QS_CT", move_destinations=["BS_WS"])
        assert final(movescu(listener.port, "BS_WS", *keys)) == "0000"
        allow(county, "BS_WS", enabled=False)
        assert final(movescu(listener.port, "BS_WS", *keys)) == "a801"
        allow(county, "QS_CT", port=peer.port)
        assert final(movescu(listener.port, "QS_CT", *keys)) == "0000"  # itself
        allow(county, "QS_DR", port=None)
        assert final(movescu(listener.port, "QS_DR", *keys)) == "a801"  # no address of its own
    assert len(peer.files()) == 1
    result = movescu(listener.port, "QS_CT", *keys)  # nobody listens there any more
    assert final(result) == "a702"


@pytest.mark.parametrize(
    ("root", "keys"),
    [
        (STUDY_ROOT, ("QueryRetrieveLevel=PATIENT", "PatientID=P7")),
        (STUDY_ROOT, ("QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2")),
        (STUDY_ROOT, ("QueryRetrieveLevel=SERIES", "SeriesInstanceUID=1.2")),
        (STUDY_ROOT, ("QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2\\1.3", "SeriesInstanceUID=1.2")),
        (PATIENT_ROOT, ("QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2")),
        (STUDY_ROOT, ("QueryRetrieveLevel=FRAME", "StudyInstanceUID=1.2")),
        (STUDY_ROOT, ("StudyInstanceUID=1.2",)),
    ],
)  # fmt: skip
def test_an_identifier_of_another_model(
    county: Township, listener: Listener, tmp_path: Path, root: str, keys: tuple[str, ...]
) -> None:
    assert final(getscu(listener.port, tmp_path / "got", *keys, root=root)) == "a900"


def test_without_trust_the_class_is_refused(county: Township, listener: Listener, tmp_path: Path) -> None:
    allow(county, "QS_CT", exception_reason=None)
    result = getscu(listener.port, tmp_path / "got", "QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2")
    assert "No presentation context for" in result.stderr + result.stdout or result.returncode != 0
    assert not list((tmp_path / "got").iterdir())
