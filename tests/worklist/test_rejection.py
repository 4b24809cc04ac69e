"""Rejection notes of IHE IOCM hide instances everywhere, whichever comes first. On both databases."""

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select, true

from pacs_bridge.key_object import rejection_of
from pacs_bridge.objects import StudyIdentity, rejection_note
from tests.peers.instances import new_instance
from tests.peers.township import Township, received_object
from worklist import items_store, receive_service, rejection_service, rejection_store, store
from worklist.access import Refused
from worklist.base.audit import WorkflowEvent
from worklist.items_store import ItemFilter
from worklist.outgoing import outgoing
from worklist.repair_tables import Rejection
from worklist.tables import Device, Instance, Quarantine, Study

CODES = ["113001", "113037", "113038", "113039"]


class Sent:
    """Three slices of one study, and notes about them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.study, self.series = folder, generate_uid(), generate_uid()
        self.slices = [
            new_instance(side=8, StudyInstanceUID=self.study, SeriesInstanceUID=self.series, InstanceNumber=n)
            for n in (1, 2, 3)
        ]
        self.paths = [folder / f"{n}.dcm" for n in (1, 2, 3)]
        for one, path in zip(self.slices, self.paths, strict=True):
            one.save_as(path, enforce_file_format=True)

    def note(self, county: Township, code: str, *numbers: int, sop_uid: str = "") -> Path:
        content = rejection_note(
            code, [(self.series, self.slices[n].SOPClassUID, self.slices[n].SOPInstanceUID) for n in numbers],
            study=StudyIdentity(self.study, "钱守义", "0001"), sop_instance_uid=sop_uid or generate_uid(),
            series_instance_uid=generate_uid(), made_at=county.clock().astimezone(county.roof.settings.zone), reason="体动伪影",
        )  # fmt: skip
        # The study's patient as the slices say it: the note is one more object of that study.
        path = self.folder / f"note-{len(list(self.folder.iterdir()))}.dcm"
        path.write_bytes(content)
        import pydicom

        dataset = pydicom.dcmread(path)
        for keyword in ("PatientSex", "PatientBirthDate", "PatientName", "PatientID"):
            dataset[keyword] = self.slices[0][keyword]
        dataset.save_as(path, enforce_file_format=True)
        return path

    def uids(self, *numbers: int) -> set[str]:
        return {self.slices[n].SOPInstanceUID for n in numbers}


@pytest.fixture
def sent(tmp_path: Path) -> Sent:
    return Sent(tmp_path / "sent")


def study(county: Township, sent: Sent) -> Study:
    with county.roof.db.read() as session:
        found = store.study_by_uid(session, sent.study)
    assert found is not None
    return found


def seen(county: Township, sent: Sent) -> tuple[set[str], set[str], int, int]:
    """(instances in lists, instances that leave, the study's count, rows of a reader's list)."""
    with county.roof.db.read() as session:
        found = store.study_by_uid(session, sent.study)
        if found is None:
            return set(), set(), 0, 0
        listed = {row.sop_instance_uid for row in store.instances_of_study(session, found.id)}
        leaving = {row.sop_instance_uid for row in outgoing(session, true(), study=sent.study)}
        items, _ = items_store.items(
            session, county.actor("radiologist"), ItemFilter(), limit=10, cursor=None, now=county.clock()
        )
    return listed, leaving, found.n_instances, len([i for i in items if i["study_instance_uid"] == sent.study])


@pytest.mark.parametrize("code", CODES)
def test_a_note_after_the_images_hides_what_it_names(county: Township, sent: Sent, code: str) -> None:
    for path in sent.paths:
        county.receive(path, "QS_CT")
    filed = county.receive(sent.note(county, code, 1), "QS_CT")
    assert (filed.outcome, filed.study_id) == ("filed", study(county, sent).id)
    assert seen(county, sent) == (sent.uids(0, 2), sent.uids(0, 2), 2, 1)
    with county.roof.db.read() as session:
        (why,) = rejection_store.rejections_of(session, study(county, sent))
        hidden = session.scalars(select(Instance.hidden_code).where(Instance.hidden_code.is_not(None))).all()
    assert (why["code"], why["n_instances"], why["by"], why["may_undo"]) == (code, 1, "QS_CT", code == "113001")
    assert hidden == [code, code]  # the image and the note itself
    assert county.receive(sent.paths[1], "QS_CT").outcome == "duplicate"  # sent again, it stays hidden
    assert seen(county, sent)[0] == sent.uids(0, 2)


@pytest.mark.parametrize("code", CODES)
def test_a_note_before_the_images_hides_them_when_they_come(county: Township, sent: Sent, code: str) -> None:
    assert county.receive(sent.note(county, code, 0, 1), "QS_CT").reason == "rejection_note_early"
    with county.roof.db.read() as session:
        assert store.study_by_uid(session, sent.study) is None  # no ghost in anybody's list
    for path in sent.paths:
        county.receive(path, "QS_CT")
    assert seen(county, sent) == (sent.uids(2), sent.uids(2), 1, 1)
    with county.roof.db.read() as session:
        (kept,) = session.scalars(select(Quarantine)).all()
    assert (kept.resolution, kept.resolved_at) == ("study_arrived", county.clock())


def test_a_note_waits_for_what_is_just_being_filed(county: Township, sent: Sent) -> None:
    county.receive(sent.paths[0], "QS_CT")
    note, filing = sent.note(county, "113037", 1), received_object(county.roof, sent.paths[1])
    with ThreadPoolExecutor(1) as another:
        with county.roof.db.write() as session:
            device = session.scalars(select(Device).where(Device.ae_title == "QS_CT")).one()
            sender = receive_service.Sender(device.site_id, "QS_CT", device.id, 0)
            receive_service.file_object(
                session, sender, filing, signed_statuses=lambda *_: set(), zone=county.roof.settings.zone,
                same_content=lambda *_: False, now=county.clock(),
            )  # fmt: skip
            session.flush()
            noting = another.submit(county.receive, note, "QS_CT")
            wait([noting], 0.7)
        assert noting.result(30).outcome == "filed"
    assert seen(county, sent)[:3] == (sent.uids(0), sent.uids(0), 1)


def test_a_study_rejected_whole_is_in_no_list(county: Township, sent: Sent) -> None:
    for path in sent.paths:
        county.receive(path, "QS_CT")
    county.receive(sent.note(county, "113038", 0, 1, 2), "QS_CT")
    assert seen(county, sent) == (set(), set(), 0, 0)
    assert why(county, "tech", sent) == [("113038", 3, "QS_CT")]  # its own site is told where it is
    assert [why(county, "tech2", sent), why(county, "radiologist", sent)] == [None, None]


def why(county: Township, username: str, sent: Sent) -> list[tuple[str, int, str]] | None:
    """What the row of that person's list says is hidden; None where there is no row."""
    with county.roof.db.read() as session:
        items, _ = items_store.items(
            session, county.actor(username), ItemFilter(), limit=10, cursor=None, now=county.clock()
        )
    rows = [item["rejections"] for item in items if item["study_instance_uid"] == sent.study]
    return [(one["code"], one["n_instances"], one["by"]) for one in rows[0]] if rows else None


def test_every_list_says_what_is_hidden(county: Township, sent: Sent) -> None:
    for path in sent.paths:
        county.receive(path, "QS_CT")
    assert why(county, "tech", sent) == []
    county.receive(sent.note(county, "113001", 0, 1), "QS_CT")
    county.receive(sent.note(county, "113037", 1), "QS_CT")
    for username in ("tech", "radiologist", "clinician"):
        assert why(county, username, sent) == [("113037", 1, "QS_CT"), ("113001", 2, "QS_CT")]
    with county.roof.db.read() as session:
        (live,) = items_store.items_by_study(session, [study(county, sent).id], county.roof.settings.zone).values()
    assert [one["code"] for one in live[0]["rejections"]] == ["113037", "113001"]


def test_a_device_rejects_for_its_own_site_alone(county: Township, sent: Sent) -> None:
    for path in sent.paths:
        county.receive(path, "QS_CT")
    filed = county.receive(sent.note(county, "113001", 0, 1, 2), "BS_DR")
    assert filed.outcome == "quarantined"
    assert seen(county, sent) == (sent.uids(0, 1, 2), sent.uids(0, 1, 2), 3, 1)


def test_a_quality_note_is_undone_by_a_person_and_no_other(county: Township, sent: Sent) -> None:
    for path in sent.paths:
        county.receive(path, "QS_CT")
    county.receive(sent.note(county, "113001", 0, 1), "QS_CT")
    county.receive(sent.note(county, "113037", 1), "QS_CT")
    admin = county.actor("admin")
    with county.roof.db.read() as session:
        notes = {row.code: row.id for row in session.scalars(select(Rejection))}
    with county.roof.db.write() as session, pytest.raises(Refused, match="rejection_stands"):
        rejection_service.undo(session, admin, notes["113037"], "x", county.clock())
    with county.roof.db.write() as session, pytest.raises(Refused, match="forbidden"):
        rejection_service.undo(session, county.actor("tech"), notes["113001"], "x", county.clock())
    with county.roof.db.write() as session:
        rejection_service.undo(session, admin, notes["113001"], "医生认可", county.clock())
    assert seen(county, sent) == (sent.uids(0, 2), sent.uids(0, 2), 2, 1)  # the second is hidden by the other note


def test_the_same_note_again_changes_nothing(county: Township, sent: Sent) -> None:
    for path in sent.paths:
        county.receive(path, "QS_CT")
    path = sent.note(county, "113001", 0)
    assert [county.receive(path, "QS_CT").outcome for _ in range(3)] == ["filed", "duplicate", "duplicate"]
    assert seen(county, sent)[2] == 2
    with county.roof.db.read() as session:
        assert len(session.scalars(select(Rejection)).all()) == 1
        kinds = session.scalars(select(WorkflowEvent.kind)).all()
    assert kinds.count("instances_hidden") == 1


def test_other_titles_hide_nothing(tmp_path: Path, county: Township, sent: Sent) -> None:
    import pydicom

    path = sent.note(county, "113001", 0)
    dataset = pydicom.dcmread(path)
    dataset.ConceptNameCodeSequence[0].CodeValue = "113000"  # Of Interest
    dataset.save_as(path)
    assert rejection_of(path.read_bytes()) is None
    for one in (*sent.paths, path):
        county.receive(one, "QS_CT")
    assert seen(county, sent)[2] == 4


def test_garbage_is_no_note() -> None:
    assert rejection_of(b"") is None
    assert rejection_of(b"\0" * 128 + b"DICM" + bytes(range(256)) * 10) is None
