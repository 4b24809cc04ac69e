"""C-MOVE and C-GET against DCMTK: what leaves, where to, in which syntax, and what is said when it does not."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select, text, true, update

from pacs_bridge.get_scp import STUDY_ROOT_GET
from pacs_bridge.listener import Listener
from pacs_bridge.move_scp import STUDY_ROOT_MOVE
from reports import store as report_store
from tests.peers import dcmtk
from tests.peers.data import shared_data
from tests.peers.instances import new_instance, write_instance
from tests.peers.listening import allow, receive_all
from tests.peers.product import takes_connections, until
from tests.peers.relay import relay
from tests.peers.township import Township, township
from viewer.metadata_cache import Described, MetadataCache
from worklist import repair_service
from worklist.base.audit import AuditEvent
from worklist.base.db import Database
from worklist.outgoing import outgoing
from worklist.repair_service import Doing
from worklist.tables import Instance, Patient, Study

STUDY_ROOT, PATIENT_ROOT = "-S", "-P"


@pytest.fixture
def county(database: Database, tmp_path: Path, clock: Any) -> Iterator[Township]:
    with township(database, tmp_path / "county", clock) as made:
        allow(made, "QS_CT", port=1)
        yield made


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


def test_a_corrected_study_says_the_same_as_copy_and_as_metadata(
    county: Township, listener: Listener, tmp_path: Path
) -> None:
    """DCMTK reads the copy that C-MOVE brought; DICOMweb's JSON holds the same identity and the same history."""
    earlier = Dataset()
    earlier.ModifiedAttributesSequence = [Dataset()]
    earlier.ModifiedAttributesSequence[0].PatientID = "before"
    earlier.AttributeModificationDateTime, earlier.ModifyingSystem = "20200101", "HIS"
    study, sent = sent_study(
        tmp_path / "sent", 1, PatientName="=钱守义", PatientID="1", SpecificCharacterSet="GB18030",
        OriginalAttributesSequence=[earlier],
    )  # fmt: skip
    _, others = sent_study(tmp_path / "other", 1, PatientName="=王芳", PatientID="2")
    receive_all(county, [*sent, *others])
    doing = Doing(county.actor("admin"), "选错", county.roof.settings.zone, report_store.signed_statuses, county.clock())
    with county.roof.db.write() as session:
        right = session.scalars(select(Patient.id).where(Patient.patient_id == "2")).one()
        repair_service.move(session, doing, session.scalars(select(Study).where(Study.study_instance_uid == study)).one(), right)
    with dcmtk.storescp(tmp_path / "got", "QS_WS") as peer:
        allow(county, "QS_WS", port=peer.port)
        result = movescu(listener.port, "QS_WS", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")
    assert final(result) == "0000"
    (copy,) = (tmp_path / "got").iterdir()
    said = json.loads(dcmtk.run("dcm2json", "-q", str(copy)).stdout)
    with county.roof.db.read() as session:
        (row,) = outgoing(session, true(), study=study)
    ours = json.loads(MetadataCache(county.roof.blobs).described(Described(row.blob_key, "", row.corrections)))
    assert ours["04000561"] == said["04000561"] and len(said["04000561"]["Value"]) == 2
    was = said["04000561"]["Value"][1]["04000550"]["Value"][0]
    assert (was["00100020"]["Value"], was["00100010"]["Value"]) == (["1"], [{"Ideographic": "钱守义"}])
    patient_and_study = {tag: one for tag, one in said.items() if tag < "0018"}
    assert {tag: ours[tag] for tag in patient_and_study} == patient_and_study


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
    assert audited(county, "study.get", "BS_CT") == [("C_GET", "ok", 0), (study, "ok", 2)]


def audited(county: Township, act: str, actor: str = "QS_CT") -> list[tuple[str, str, Any]]:
    with county.roof.db.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.act == act, AuditEvent.actor == actor).order_by(AuditEvent.id))
        return [(row.object_uid, row.result, row.details["sent"]) for row in rows]


@pytest.mark.parametrize("retrieve", ["move", "get"])
def test_a_retrieve_that_breaks_is_written_down(
    county: Township, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retrieve: str
) -> None:
    study, sent = sent_study(tmp_path / "sent", 2)
    receive_all(county, sent)
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")

    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr("pacs_bridge.retrieval.Tally.fields", breaks)  # the first pending response
    with dcmtk.storescp(tmp_path / "got", "QS_CT") as peer:
        allow(county, "QS_CT", port=peer.port)
        result = movescu(listener.port, "QS_CT", *keys) if retrieve == "move" else getscu(listener.port, tmp_path / "get", *keys)
    assert final(result) == "0110"
    ((uid, outcome, n_sent),) = audited(county, f"study.{retrieve}")
    assert (uid, outcome, n_sent >= 1) == (study, "partial", True)


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
    assert audited(county, "study.move")[:2] == [("C_MOVE", "refused", 0)] * 2
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


def test_relational_retrieves_need_their_negotiation(county: Township, listener: Listener, tmp_path: Path) -> None:
    """PS3.4 C.4.2.2.2: the key of the level alone; without the negotiation each above it too (C.4.2.2.1)."""
    _, sent = sent_study(tmp_path / "sent")
    receive_all(county, [*sent, *sent_study(tmp_path / "other", 1)[1]])
    one = pydicom.dcmread(sent[0])
    image = ("QueryRetrieveLevel=IMAGE", f"SOPInstanceUID={one.SOPInstanceUID}")
    series = ("QueryRetrieveLevel=SERIES", f"SeriesInstanceUID={one.SeriesInstanceUID}")
    with dcmtk.storescp(tmp_path / "got", "QS_CT") as peer:
        allow(county, "QS_CT", port=peer.port)
        assert final(movescu(listener.port, "QS_CT", *series)) == "a900"
        with relay(listener.port, extended={STUDY_ROOT_MOVE: b"\1", STUDY_ROOT_GET: b"\1"}) as way:
            assert final(getscu(way.port, tmp_path / "image", *image)) == "0000"
            assert final(movescu(way.port, "QS_CT", *series)) == "0000"
        assert len(uids(peer.directory)) == 3
    assert uids(tmp_path / "image") == {one.SOPInstanceUID}
    assert way.answers == {STUDY_ROOT_MOVE: b"\1", STUDY_ROOT_GET: b"\1"}


def test_matches_that_cannot_be_counted_are_a701(county: Township, listener: Listener, tmp_path: Path) -> None:
    """PS3.4 C.4.2.1.5, C.4.3.1.4; once the index answers again, so do we."""
    study, sent = sent_study(tmp_path / "sent", 1)
    receive_all(county, sent)
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")

    def both() -> tuple[str, str]:
        return final(movescu(listener.port, "QS_CT", *keys)), final(getscu(listener.port, tmp_path / "get", *keys))

    with dcmtk.storescp(tmp_path / "got", "QS_CT") as peer:
        allow(county, "QS_CT", port=peer.port)
        with county.roof.db.write() as session:
            session.execute(text("ALTER TABLE instance RENAME TO instance_away"))
        assert both() == ("a701", "a701")
        with county.roof.db.write() as session:
            session.execute(text("ALTER TABLE instance_away RENAME TO instance"))
        assert both() == ("0000", "0000")


def test_without_trust_the_class_is_refused(county: Township, listener: Listener, tmp_path: Path) -> None:
    allow(county, "QS_CT", exception_reason=None)
    result = getscu(listener.port, tmp_path / "got", "QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2")
    assert "No presentation context for" in result.stderr + result.stdout or result.returncode != 0
    assert not list((tmp_path / "got").iterdir())


COMPRESSED = [("dr", "RG3_J2KR.dcm"), ("dr", "CR-ModalitySequenceLUT.dcm"), ("ct", "CT0012.not_fragmented_no_bot_rle.dcm"),
              ("dr", "Fake_MONOHR1.dcm"), ("identity", "GDCMJ2K_TextGBR.dcm")]  # fmt: skip


@pytest.mark.parametrize(("option", "syntax"), [("+xe", "1.2.840.10008.1.2.1"), ("+xi", "1.2.840.10008.1.2")])
def test_a_peer_without_compression_gets_equal_pixels(
    county: Township, listener: Listener, tmp_path: Path, option: str, syntax: str
) -> None:
    files = [shared_data("dicom", *name) for name in COMPRESSED]
    receive_all(county, files)
    originals = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, files)}
    studies = "\\".join(str(one.StudyInstanceUID) for one in originals.values())
    with dcmtk.storescp(tmp_path / "got", "QS_WS", option) as peer:
        allow(county, "QS_WS", port=peer.port)
        result = movescu(listener.port, "QS_WS", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={studies}")
    assert final(result) == "0000", result.stderr
    got = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, (tmp_path / "got").iterdir())}
    assert set(got) == set(originals)
    for uid, one in got.items():
        stored = originals[uid]
        assert one.file_meta.TransferSyntaxUID == syntax
        assert (one.pixel_array == stored.pixel_array).all(), stored.filename
        assert (one.BitsStored, one.HighBit, one.Rows) == (stored.BitsStored, stored.BitsStored - 1, stored.Rows)
        assert one.PhotometricInterpretation == ("RGB" if stored.SamplesPerPixel == 3 else stored.PhotometricInterpretation)
        assert one.get("LossyImageCompression") == (stored.get("LossyImageCompression") or ("01" if "4.50" in stored.file_meta.TransferSyntaxUID else None))
        assert (one.get("PatientName"), one.get("StudyDate")) == (stored.get("PatientName"), stored.get("StudyDate"))
    lossless = next(path for path in files if path.name == "CR-ModalitySequenceLUT.dcm")
    assert dcmtk.run("dcmdjpeg", str(lossless), str(tmp_path / "theirs.dcm")).returncode == 0
    theirs = pydicom.dcmread(tmp_path / "theirs.dcm")
    assert (got[str(theirs.SOPInstanceUID)].pixel_array == theirs.pixel_array).all()


ONLY_CT = r"""[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[OnlyCT]
PresentationContext1 = CTImageStorage\Plain
[[Profiles]]
[Default]
PresentationContexts = OnlyCT
"""


def test_one_that_the_destination_does_not_take_is_named(county: Township, listener: Listener, tmp_path: Path) -> None:
    study, sent = sent_study(tmp_path / "sent", 2)
    capture = new_instance(side=16, StudyInstanceUID=study, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    capture.file_meta.MediaStorageSOPClassUID = capture.SOPClassUID
    capture.save_as(tmp_path / "sent" / "capture.dcm", enforce_file_format=True)
    receive_all(county, [*sent, tmp_path / "sent" / "capture.dcm"])
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")
    (tmp_path / "only_ct.cfg").write_text(ONLY_CT, "ascii")
    with dcmtk.storescp(tmp_path / "got", "QS_WS", "-xf", str(tmp_path / "only_ct.cfg"), "Default") as peer:
        allow(county, "QS_WS", port=peer.port)
        result = movescu(listener.port, "QS_WS", *keys)
        assert final(result) == "b000"
        assert f"[{capture.SOPInstanceUID}]" in result.stdout + result.stderr
        assert uids(peer.directory) == {str(pydicom.dcmread(path).SOPInstanceUID) for path in sent}
        alone = movescu(
            listener.port, "QS_WS", "QueryRetrieveLevel=IMAGE", *keys[1:], f"SeriesInstanceUID={capture.SeriesInstanceUID}",
            f"SOPInstanceUID={capture.SOPInstanceUID}",
        )  # fmt: skip
        assert final(alone) == "a702"


def test_a_cancel_is_heard_while_a_sub_operation_hangs(county: Township, listener: Listener, tmp_path: Path) -> None:
    study, sent = sent_study(tmp_path / "sent", 4)
    receive_all(county, sent)
    with dcmtk.storescp(tmp_path / "got", "QS_WS", "--sleep-during", "3") as peer:
        allow(county, "QS_WS", port=peer.port)
        began_s = time.monotonic()
        result = movescu(
            listener.port, "QS_WS", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}", options=("--cancel", "1")
        )
        took_s = time.monotonic() - began_s
    assert final(result) == "fe00"
    # The first pending response comes after 5 s, while storescp still sleeps between the PDUs of the first object.
    assert re.findall(r"Remaining Suboperations\s*: (\d+)", result.stdout + result.stderr)[-1] == "4"
    assert took_s < 5 + 1 + 2  # movescu starts, answers, releases


def test_who_asked_is_told_to_the_destination(county: Township, listener: Listener, tmp_path: Path) -> None:
    study, sent = sent_study(tmp_path / "sent", 1)
    receive_all(county, sent)
    port = dcmtk.free_port()
    allow(county, "QS_WS", port=port)
    with (tmp_path / "log").open("wb") as log:
        peer = subprocess.Popen(
            [dcmtk.require("storescp"), "-d", "-aet", "QS_WS", "-od", str(tmp_path), str(port)], stdout=log, stderr=log
        )
        try:
            until(lambda: takes_connections(port), 10, "storescp")
            movescu(listener.port, "QS_WS", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}")
        finally:
            peer.terminate()
            peer.wait()
    said = (tmp_path / "log").read_text("utf-8", "replace")
    assert re.search(r"Move Originator AE Title\s*: QS_CT", said)
    assert re.search(r"Move Originator ID\s*: 1\b", said)
    assert "Calling Application Name:    TELEREAD" in said
