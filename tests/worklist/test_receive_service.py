"""Objects become studies: duplicates, conflicts, strangers' UIDs, orders, readiness, races. On both databases."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import UID, JPEGLSLossless, RLELossless, generate_uid
from sqlalchemy import func, select, true, update

from pacs_bridge.compare import same_content
from reports import service
from reports import store as report_store
from tests.peers.dcmtk import require
from tests.peers.instances import new_instance, write_instance
from tests.peers.township import Township
from worklist import admin_service, items_store, order_service, receive_service, settle_service, store, workitem_service
from worklist.access import Refused
from worklist.base import audit
from worklist.base.audit import WorkflowEvent
from worklist.base.outbox import OutboxJob
from worklist.inbox import IndexInbox
from worklist.items_store import ItemFilter
from worklist.tables import Association, Device, Instance, Order, Patient, Quarantine, Series, Study, Workitem

SECTIONS = {"findings": "脑实质内未见异常密度影。", "impression": "颅脑未见明显异常。"}


def count(county: Township, table: Any, *conditions: Any) -> int:
    with county.roof.db.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def quarantined(county: Township) -> list[Quarantine]:
    with county.roof.db.read() as session:
        return list(session.scalars(select(Quarantine).order_by(Quarantine.id)))


def seen_uids(county: Township, username: str) -> set[str]:
    with county.roof.db.read() as session:
        rows, _ = items_store.items(
            session, county.actor(username), ItemFilter(), limit=100, cursor=None, now=county.clock()
        )
    return {row["study_instance_uid"] for row in rows}


def events(county: Township, study_id: int) -> list[str]:
    with county.roof.db.read() as session:
        rows = session.scalars(
            select(WorkflowEvent.kind).where(WorkflowEvent.study_id == study_id).order_by(WorkflowEvent.id)
        )
        return list(rows)


# --- the same object again


def test_the_same_bytes_again_change_nothing_but_a_count(county: Township, folder: Path) -> None:
    path = write_instance(folder)
    first = county.receive(path, "QS_CT")
    jobs = count(county, OutboxJob)
    assert [county.receive(path, "QS_CT").outcome for _ in range(2)] == ["duplicate", "duplicate"]
    with county.roof.db.read() as session:
        instance = session.scalars(select(Instance)).one()
    assert first.study_id is not None
    assert (instance.duplicates, county.row(Study, first.study_id).n_instances) == (2, 1)
    assert (count(county, OutboxJob), quarantined(county)) == (jobs, [])


@pytest.mark.parametrize("recode", [
    ("dcmconv", "+ti"), ("dcmconv", "+te"), ("dcmconv", "+tb"), ("dcmconv", "+g"), ("dcmconv", "+td"), ("dcmcrle",),
], ids=" ".join)  # fmt: skip
def test_the_same_object_in_another_encoding_is_a_duplicate(
    county: Township, folder: Path, recode: tuple[str, ...]
) -> None:
    path, other = write_instance(folder), folder / "recoded.dcm"
    county.receive(path, "QS_CT")
    program, *options = recode
    subprocess.run([require(program), *options, path, other], check=True, capture_output=True)
    assert path.read_bytes() != other.read_bytes()
    assert county.receive(other, "QS_CT").outcome == "duplicate"
    with county.roof.db.read() as session:
        instance = session.scalars(select(Instance)).one()
    assert county.roof.blobs.path(instance.blob_key).read_bytes() == path.read_bytes()  # the first copy stays
    assert (instance.duplicates, quarantined(county)) == (1, [])


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless], ids=lambda syntax: syntax.name)
def test_the_same_pixels_compressed_without_loss_are_a_duplicate(county: Township, folder: Path, syntax: UID) -> None:
    path = write_instance(folder)
    county.receive(path, "QS_CT")
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(folder / "compressed.dcm")
    assert county.receive(folder / "compressed.dcm", "QS_CT").outcome == "duplicate"


def _with_pixel(dataset: Any) -> None:
    pixels = bytearray(dataset.PixelData)
    pixels[5000] ^= 1
    dataset.PixelData = bytes(pixels)


def _with_name(dataset: Any) -> None:
    dataset.SeriesDescription = "另一序列"


@pytest.mark.parametrize("change", [_with_pixel, _with_name])
def test_other_content_under_one_uid_is_kept_and_blocks_signing(county: Township, folder: Path, change: Any) -> None:
    path = write_instance(folder)
    filed = county.receive(path, "QS_DR")
    dataset = pydicom.dcmread(path)
    change(dataset)
    other = folder / "other.dcm"
    dataset.save_as(other)
    again = county.receive(other, "QS_DR")
    assert (again.outcome, again.reason, again.study_id) == ("quarantined", "content_conflict", filed.study_id)
    (row,) = quarantined(county)
    with county.roof.db.read() as session:
        instance = session.scalars(select(Instance)).one()
    kept = [county.roof.blobs.path(key).read_bytes() for key in (instance.blob_key, row.blob_key)]
    assert kept == [path.read_bytes(), other.read_bytes()]
    assert count(county, Instance) == 1
    # Sent once more, the same object is not a second conflict.
    assert county.receive(other, "QS_DR").outcome == "quarantined"
    assert len(quarantined(county)) == 1
    with county.roof.db.read() as session:
        rows, _ = items_store.items(
            session, county.actor("radiologist"), ItemFilter(), limit=9, cursor=None, now=county.clock()
        )
    assert rows[0]["n_conflicts"] == 1


def _written(county: Township, folder: Path) -> tuple[str, int, Path]:
    """A READY study, claimed and written by the radiologist, with one conflict: workitem, version, first object."""
    path = write_instance(folder)
    filed = county.receive(path, "QS_DR")
    assert filed.study_id is not None
    county.clock.forward(30)
    county.settle()
    _conflict(county, path, folder, "second.dcm")
    item, reader = county.open_workitem(filed.study_id), county.actor("radiologist")
    with county.roof.db.write() as session:
        workitem_service.claim(session, reader, item.workitem_uid, county.clock())
        report = service.save_draft(session, reader, item.workitem_uid, "dr-chest", SECTIONS, 0, county.clock())
    county.clock.forward(30)
    county.settle()
    return item.workitem_uid, report.version, path


def _conflict(county: Township, path: Path, folder: Path, name: str) -> None:
    dataset = pydicom.dcmread(path)
    dataset.SeriesDescription = name
    dataset.save_as(folder / name)
    assert county.receive(folder / name, "QS_DR").reason == "content_conflict"


def check_signable(county: Township, workitem_uid: str, version: int) -> None:
    with county.roof.db.read() as session:
        service.check_signable(
            session, county.actor("radiologist"), workitem_uid, version, preliminary=False, verifying=False,
            now=county.clock(), today=county.clock().date(),
        )  # fmt: skip


def test_a_conflict_holds_the_signature_until_the_reader_has_seen_it(county: Township, folder: Path) -> None:
    uid, version, path = _written(county, folder)
    with pytest.raises(Refused, match="study_conflict"):
        check_signable(county, uid, version)
    with pytest.raises(Refused, match="study_conflict"):
        county.desk.submit(county.actor("radiologist"), uid, "any pin", version)
    reader = county.actor("radiologist")
    with pytest.raises(Refused, match="reason_missing"), county.roof.db.write() as session:
        workitem_service.see_conflicts(session, reader, uid, " ", county.clock())
    with county.roof.db.write() as session:
        assert workitem_service.see_conflicts(session, reader, uid, "重复曝光，以首幅为准", county.clock()) == 1
    check_signable(county, uid, version)
    _conflict(county, path, folder, "third.dcm")  # a new one has to be seen anew
    with pytest.raises(Refused, match="study_conflict"):
        check_signable(county, uid, version)


def test_a_conflict_settled_by_the_administrator_no_longer_holds(county: Township, folder: Path) -> None:
    uid, version, _ = _written(county, folder)
    (row,) = quarantined(county)
    with county.roof.db.write() as session:
        admin_service.settle_quarantine(session, county.actor("admin"), row.id, "保留首份", county.clock())
    check_signable(county, uid, version)


# --- whose study


def test_an_object_for_another_sites_study_is_kept_from_both(county: Township, folder: Path) -> None:
    study_uid = generate_uid()
    mine = write_instance(folder, StudyInstanceUID=study_uid)
    filed = county.receive(mine, "QS_CT")
    county.receive(write_instance(folder), "BS_DR")
    stranger = county.receive(write_instance(folder, StudyInstanceUID=study_uid), "BS_DR")
    assert (stranger.reason, stranger.study_id) == ("study_of_other_site", None)
    same_object = county.receive(mine, "BS_DR")
    assert (same_object.reason, same_object.study_id) == ("instance_of_other_site", None)
    assert filed.study_id is not None
    assert county.row(Study, filed.study_id).n_instances == 1
    assert study_uid in seen_uids(county, "tech")
    assert study_uid not in seen_uids(county, "tech2")
    assert {row.site_id for row in quarantined(county)} == {county.actor("tech2").site_id}
    with county.roof.db.read() as session:
        assert store.open_conflicts(session, filed.study_id) == []  # another site cannot hold up a signature


def test_one_patient_id_at_two_sites_is_two_people(county: Township, folder: Path) -> None:
    for ae_title in ("QS_CT", "QS_CT", "BS_DR"):
        assert county.receive(write_instance(folder, PatientID="0001"), ae_title).outcome == "filed"
        county.clock.forward(60)
    with county.roof.db.read() as session:
        people = session.scalars(select(Patient)).all()
        studies = session.scalars(select(Study).order_by(Study.id)).all()
        priors = [[prior.id for prior in store.priors_of_study(session, study, true())] for study in studies]
    assert len(people) == 2
    assert priors == [[], [studies[0].id], []]


def test_two_patients_in_one_study_are_a_conflict(county: Township, folder: Path) -> None:
    study_uid = generate_uid()
    filed = county.receive(write_instance(folder, StudyInstanceUID=study_uid), "QS_CT")
    for changes in ({"PatientID": "0002"}, {"PatientName": "=钱守仁"}, {"PatientBirthDate": "19500101"}):
        other = county.receive(write_instance(folder, StudyInstanceUID=study_uid, **changes), "QS_CT")
        assert (other.reason, other.study_id) == ("patient_conflict", filed.study_id)
    assert count(county, Instance) == 1


def test_one_series_uid_in_two_studies_is_a_conflict(county: Township, folder: Path) -> None:
    series_uid, second_uid = generate_uid(), generate_uid()
    county.receive(write_instance(folder, SeriesInstanceUID=series_uid), "QS_CT")
    second = county.receive(write_instance(folder, StudyInstanceUID=second_uid), "QS_CT")
    wrong = county.receive(
        write_instance(folder, StudyInstanceUID=second_uid, SeriesInstanceUID=series_uid), "QS_CT"
    )
    assert (wrong.reason, wrong.study_id) == ("series_of_other_study", second.study_id)
    # As the first object of a study it belongs to nothing that exists: kept, and no half-made study.
    first_of_new = county.receive(write_instance(folder, SeriesInstanceUID=series_uid), "QS_CT")
    assert first_of_new.reason == "series_of_other_study"
    assert count(county, Study) == 2


def test_a_blank_patient_id_joins_nobody(county: Township, folder: Path) -> None:
    study_uid = generate_uid()
    for changes in ({"PatientID": ""}, {"PatientID": "  "}, {"PatientID": None}):
        filed = county.receive(write_instance(folder, **changes), "QS_CT")
        assert filed.outcome == "filed"
    assert count(county, Patient, Patient.patient_id.is_(None)) == 3
    # Within one study they are one person.
    for _ in range(2):
        filed = county.receive(write_instance(folder, PatientID="", StudyInstanceUID=study_uid), "QS_CT")
        assert filed.outcome == "filed"
    assert count(county, Patient) == 4


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "not_dicom"), (b"\0" * 128 + b"DICM", "unknown_transfer_syntax"), (b"%PDF-1.7 not a picture", "not_dicom"),
])  # fmt: skip
def test_what_cannot_be_read_is_kept_with_its_reason(
    county: Township, folder: Path, content: bytes, reason: str
) -> None:
    path = folder / "object"
    path.write_bytes(content)
    filed = county.receive(path, "QS_CT")
    assert (filed.outcome, filed.reason) == ("quarantined", reason)
    (row,) = quarantined(county)
    assert county.roof.blobs.path(row.blob_key).read_bytes() == content
    assert count(county, Study) == 0


# --- which order


def make_order(county: Township, username: str = "tech", **changes: Any) -> Order:
    request = order_service.OrderRequest(
        patient_name="钱守义", patient_id="0001", sex="M", birth_date=date(1950, 1, 1), modality="CT", body_part="HEAD",
        complaint="头痛 3 天", question="除外出血", priority="urgent", pathway=None, requesting_doctor="王晓岚",
    )  # fmt: skip
    request = replace(request, **changes)
    with county.roof.db.write() as session:
        return order_service.create_order(
            session, county.actor(username), request, zone=county.roof.settings.zone, now=county.clock()
        )


def today(county: Township) -> str:
    return f"{county.clock().astimezone(county.roof.settings.zone):%Y%m%d}"


def moment_tags(county: Township, day: str | None = None) -> dict[str, Any]:
    day = day or today(county)
    dates = dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), day)
    return dates | {"AcquisitionDateTime": None}


def filed_study(county: Township, folder: Path, ae_title: str = "QS_CT", **tags: Any) -> Study:
    filed = county.receive(write_instance(folder, **(moment_tags(county) | tags)), ae_title)
    assert filed.study_id is not None, filed
    study: Study = county.row(Study, filed.study_id)
    return study


def test_the_accession_number_of_the_same_person_is_certain(county: Township, folder: Path) -> None:
    order = make_order(county)
    study = filed_study(county, folder, AccessionNumber=order.accession_number)
    assert (study.order_uid, study.suggested_order_uid) == (order.order_uid, None)
    assert county.open_workitem(study.id).priority == "urgent"
    second = filed_study(county, folder, AccessionNumber=order.accession_number)  # an order is one examination
    assert (second.order_uid == order.order_uid, second.suggested_order_uid) == (False, None)


def test_the_accession_number_under_another_patient_id_is_only_suggested(county: Township, folder: Path) -> None:
    order = make_order(county)
    study = filed_study(county, folder, AccessionNumber=order.accession_number, PatientID="0009")
    assert (study.order_uid == order.order_uid, study.suggested_order_uid) == (False, order.order_uid)
    made = county.row(Order, study.order_uid)
    assert (made.made_from_object, county.open_workitem(study.id).priority) == (True, "routine")


def test_another_sites_accession_number_means_nothing(county: Township, folder: Path) -> None:
    order = make_order(county)
    study = filed_study(county, folder, "BS_DR", AccessionNumber=order.accession_number)
    assert (study.order_uid == order.order_uid, study.suggested_order_uid) == (False, None)


@pytest.mark.parametrize(("changes", "suggested"), [
    ({}, True), ({"PatientID": "0002"}, False), ({"Modality": "MR"}, False), ({"PatientID": ""}, False),
    ({"day": -1}, False),
])  # fmt: skip
def test_patient_modality_and_day_only_suggest(
    county: Township, folder: Path, changes: dict[str, Any], suggested: bool
) -> None:
    order = make_order(county)
    changes = dict(changes)
    if days := changes.pop("day", None):
        day = county.clock().astimezone(county.roof.settings.zone) + timedelta(days=days)
        changes |= moment_tags(county, f"{day:%Y%m%d}")
    study = filed_study(county, folder, **changes)
    assert study.order_uid != order.order_uid
    assert study.suggested_order_uid == (order.order_uid if suggested else None)


def test_a_person_confirms_a_suggestion_once(county: Township, folder: Path) -> None:
    order = make_order(county)
    study, other = filed_study(county, folder), filed_study(county, folder)
    tech, foreign = county.actor("tech"), make_order(county, "tech2")
    with county.roof.db.write() as session:
        order_service.confirm_match(session, tech, session.get_one(Study, study.id), order.order_uid, county.clock())
    confirmed, item = county.row(Study, study.id), county.open_workitem(study.id)
    assert (confirmed.order_uid, confirmed.suggested_order_uid, item.priority) == (order.order_uid, None, "urgent")
    for uid, code in ((order.order_uid, "order_taken"), (foreign.order_uid, "order_not_found")):
        with pytest.raises(Refused, match=code), county.roof.db.write() as session:
            order_service.confirm_match(session, tech, session.get_one(Study, other.id), uid, county.clock())


# --- READY


def readiness(county: Township, study_id: int | None) -> str:
    return str(county.row(Study, study_id).input_readiness)


def test_ready_needs_the_association_closed_and_the_quiet_time(county: Township, folder: Path) -> None:
    association_id = county.associate("QS_CT")
    study_id = county.receive(write_instance(folder), "QS_CT", association_id).study_id
    county.clock.forward(300)
    assert (county.settle(), readiness(county, study_id)) == (0, "INCOMPLETE")  # still open
    county.receive(write_instance(folder, StudyInstanceUID=county.row(Study, study_id).study_instance_uid), "QS_CT",
                   association_id)  # fmt: skip
    county.close(association_id)
    county.clock.forward(19)
    assert (county.settle(), readiness(county, study_id)) == (0, "INCOMPLETE")  # quiet for 19 s of 20
    county.clock.forward(1)
    assert (county.settle(), readiness(county, study_id)) == (1, "READY")
    study = county.row(Study, study_id)
    assert (study.ready_at, study.ready_evidence["n_instances"]) == (county.clock(), 2)
    assert (county.settle(), events(county, study.id).count("ready")) == (0, 1)


def test_a_dr_without_quiet_time_is_ready_when_its_association_closes(county: Township, folder: Path) -> None:
    association_id = county.associate("QS_DR")
    study_id = county.receive(write_instance(folder), "QS_DR", association_id).study_id
    county.close(association_id)
    assert readiness(county, study_id) == "READY"


def test_two_associations_at_once_are_both_waited_for(county: Township, folder: Path) -> None:
    study_uid, one, two = generate_uid(), county.associate("QS_DR"), county.associate("QS_DR")
    study_id = county.receive(write_instance(folder, StudyInstanceUID=study_uid), "QS_DR", one).study_id
    county.receive(write_instance(folder, StudyInstanceUID=study_uid), "QS_DR", two)
    county.close(one)
    assert readiness(county, study_id) == "INCOMPLETE"
    county.close(two)
    assert readiness(county, study_id) == "READY"


def test_late_images_before_a_signature_open_the_study_again(county: Township, folder: Path) -> None:
    study_uid = generate_uid()
    study_id = county.receive(write_instance(folder, StudyInstanceUID=study_uid), "QS_DR").study_id
    county.settle()
    assert readiness(county, study_id) == "READY"
    county.receive(write_instance(folder, StudyInstanceUID=study_uid), "QS_DR")
    assert (readiness(county, study_id), count(county, Workitem)) == ("INCOMPLETE", 1)
    assert county.row(Study, study_id).late_images_at is None
    county.settle()
    assert readiness(county, study_id) == "READY"


def test_late_images_after_a_signature_make_one_addendum(county: Township, folder: Path) -> None:
    study_uid = generate_uid()
    study_id = county.receive(write_instance(folder, StudyInstanceUID=study_uid), "QS_DR").study_id
    county.settle()
    assert study_id is not None
    item = county.open_workitem(study_id)
    with county.roof.db.write() as session:
        reader = county.actor("radiologist").account_id
        session.execute(update(Workitem).values(state="COMPLETED", actual_performer=reader))
    for _ in range(3):
        with county.roof.db.write() as session:
            _receive_signed(county, session, write_instance(folder, StudyInstanceUID=study_uid))
        county.settle()
    addendum = county.open_workitem(study_id)
    assert (addendum.step, addendum.scheduled_performer) == ("addendum", reader)
    assert (addendum.replaces, count(county, Workitem)) == (None, 2)
    assert item.workitem_uid != addendum.workitem_uid
    assert county.row(Study, study_id).late_images_at == county.clock()
    assert "late_images" in events(county, study_id)


def _receive_signed(county: Township, session: Any, path: Path) -> None:
    """As ``Township.receive``, on a study that counts as signed."""
    from tests.peers.township import received_object

    device = session.scalars(select(Device).where(Device.ae_title == "QS_DR")).one()
    receive_service.file_object(
        session, receive_service.Sender(device.site_id, "QS_DR", device.id, 0), received_object(county.roof, path),
        signed_statuses=lambda session, study_id: {"FINAL"}, zone=county.roof.settings.zone, now=county.clock(),
        same_content=lambda a, b: False,
    )  # fmt: skip


def test_associations_of_a_dead_listener_are_closed_and_their_studies_settled(county: Township, folder: Path) -> None:
    association_id = county.associate("QS_CT")
    study_id = county.receive(write_instance(folder), "QS_CT", association_id).study_id
    county.clock.forward(60)
    with county.roof.db.write() as session:
        assert settle_service.close_lost_associations(session, "listener:other-host:next", county.clock()) == 0
        assert settle_service.close_lost_associations(session, "listener:this-host:next", county.clock()) == 1
    assert readiness(county, study_id) == "READY"
    assert county.row(Association, association_id).outcome == "listener_stopped"


# --- several at once


def make_inbox(county: Township) -> IndexInbox:
    blobs = county.roof.blobs
    return IndexInbox(
        county.roof.db, county.roof.settings, listener_run="test", signed_statuses=report_store.signed_statuses,
        same_content=lambda one, other: same_content(blobs.path(one), blobs.path(other)), now=county.clock,
    )  # fmt: skip


def receive_at_once(county: Township, paths: list[Path], n_threads: int, ae_title: str = "QS_CT") -> list[int]:
    """The DIMSE status of each file, sent over ``n_threads`` associations that all begin together."""
    from tests.peers.township import received_object

    inbox, barrier = make_inbox(county), threading.Barrier(n_threads)
    objects = [received_object(county.roof, path) for path in paths]
    peer = inbox.identify(ae_title, "TELEREAD", "127.0.0.1")
    assert peer is not None

    def send(share: list[Any]) -> list[int]:
        association_id = inbox.association_opened(peer, ae_title, "TELEREAD", "127.0.0.1")
        barrier.wait()
        statuses = [inbox.receive(replace(item, association_id=association_id)) for item in share]
        inbox.association_closed(association_id, "released")
        return statuses

    with ThreadPoolExecutor(n_threads) as pool, closing(inbox):
        shares = [objects[number::n_threads] for number in range(n_threads)]
        return [status for statuses in pool.map(send, shares) for status in statuses]


def test_eight_associations_bring_one_new_study(county: Township, folder: Path) -> None:
    study_uid, series_uids = generate_uid(), [generate_uid() for _ in range(3)]
    paths = [
        write_instance(folder, side=16, StudyInstanceUID=study_uid, SeriesInstanceUID=series_uids[number % 3])
        for number in range(24)
    ]
    assert receive_at_once(county, paths, 8) == [0] * 24
    with county.roof.db.read() as session:
        study = session.scalars(select(Study)).one()
    assert (study.n_instances, count(county, Instance), count(county, Series)) == (24, 24, 3)
    assert (count(county, Workitem), count(county, Order), count(county, Patient)) == (1, 1, 1)
    county.clock.forward(30)
    county.settle()
    assert readiness(county, study.id) == "READY"


def test_eight_associations_bring_the_same_object(county: Township, folder: Path) -> None:
    assert receive_at_once(county, [write_instance(folder, side=16)] * 16, 8) == [0] * 16
    with county.roof.db.read() as session:
        instance = session.scalars(select(Instance)).one()
    assert instance.duplicates == 15


def test_many_new_studies_of_one_site_at_once_all_get_a_number(county: Township, folder: Path) -> None:
    paths = [write_instance(folder, side=16, PatientID=f"{number:04}") for number in range(24)]
    assert receive_at_once(county, paths, 12) == [0] * 24
    assert (count(county, Study), count(county, Order)) == (24, 24)


def test_settling_and_receiving_do_not_lock_each_other_out(county: Township, folder: Path) -> None:
    """One transaction has a study's row and wants to tell; the other has told of one study and wants that row."""
    ids = [county.receive(write_instance(folder, side=16), "QS_DR").study_id for _ in range(2)]
    county.clock.forward(60)
    if county.roof.db.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    with ThreadPoolExecutor(1) as pool:
        with county.roof.db.write() as session:
            session.execute(update(Study).where(Study.id == ids[1]).values(n_instances=Study.n_instances + 1))
            settling = pool.submit(county.settle)
            with pytest.raises(TimeoutError):
                settling.result(0.5)
            audit.emit(session, "progress", now=county.clock(), study_id=ids[1])
        assert settling.result(10) == 1
    assert [readiness(county, study_id) for study_id in ids] == ["READY", "INCOMPLETE"]


def test_drafting_and_receiving_do_not_lock_each_other_out(county: Township, folder: Path) -> None:
    study_id = county.receive(write_instance(folder, side=16), "QS_DR").study_id
    assert study_id is not None
    if county.roof.db.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    item, reader = county.open_workitem(study_id), county.actor("radiologist")
    with county.roof.db.write() as session:
        workitem_service.claim(session, reader, item.workitem_uid, county.clock())

    def draft() -> int:
        with county.roof.db.write() as session:
            return service.save_draft(
                session, reader, item.workitem_uid, "dr-chest", SECTIONS, 0, county.clock()
            ).version

    with ThreadPoolExecutor(1) as pool:
        with county.roof.db.write() as session:
            session.execute(update(Study).where(Study.id == study_id).values(n_instances=Study.n_instances + 1))
            drafting = pool.submit(draft)
            with pytest.raises(TimeoutError):
                drafting.result(0.5)
            audit.emit(session, "progress", now=county.clock(), study_id=study_id)
        assert drafting.result(10) == 1


def test_an_unknown_sop_class_is_kept(county: Township, folder: Path) -> None:
    dataset = new_instance()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.826.0.1.3680043.9.1"
    path = folder / "private.dcm"
    dataset.save_as(path)
    assert county.receive(path, "QS_CT").reason == "unknown_sop_class"


def test_a_request_typed_after_its_images_is_suggested_and_confirmed_once(county: Township, folder: Path) -> None:
    study = filed_study(county, folder)
    order = make_order(county)
    assert county.row(Study, study.id).suggested_order_uid == order.order_uid
    with county.roof.db.write() as session:
        order_service.confirm_match(
            session, county.actor("tech"), session.get_one(Study, study.id), order.order_uid, county.clock()
        )
    matched = county.row(Study, study.id)
    assert (matched.order_uid, matched.suggested_order_uid) == (order.order_uid, None)
    make_order(county)
    assert county.row(Study, study.id).suggested_order_uid is None  # it has its order
    make_order(county, patient_id="0009")


def test_a_suggestion_ends_where_the_order_finds_its_own_study(county: Township, folder: Path) -> None:
    first = filed_study(county, folder)
    order = make_order(county)
    assert county.row(Study, first.id).suggested_order_uid == order.order_uid
    second = filed_study(county, folder, AccessionNumber=order.accession_number)
    assert second.order_uid == order.order_uid
    assert county.row(Study, first.id).suggested_order_uid is None
