"""An Orthanc as archive of the worklist: copied until confirmed, let go here, fetched back, its own arrivals filed."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pacs_bridge.archives import open_archive
from pacs_bridge.cached_blobs import CachedBlobs, local_path
from pacs_bridge.ports import ArchiveFailure
from tests.conftest import Clock
from tests.peers.dcmtk import require, storescu
from tests.peers.instances import write_instance
from tests.peers.orthanc import Orthanc, running_orthanc
from tests.worklist.roofs import make_roof
from worklist import archive_store, check_machine
from worklist.archive_fetch import fetch_from
from worklist.archive_follow import Follower
from worklist.archive_tables import ArchiveCopy
from worklist.archive_work import Copying, archive_handlers
from worklist.base.db import Database
from worklist.base.outbox import OutboxJob
from worklist.check_storage import storage_findings
from worklist.import_files import Importer, files_below
from worklist.roof import Roof
from worklist.tables import Device, Instance, Quarantine, Series, Site, Study
from worklist.worker import Worker


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    require("Orthanc")
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


Configured = Callable[[str], Roof]


@pytest.fixture
def configured(plain: Roof) -> Iterator[Configured]:
    """The roof with this archive."""
    with ExitStack() as stack:

        def make(url: str) -> Roof:
            archive = open_archive(url)
            assert archive is not None
            stack.callback(archive.close)
            blobs = CachedBlobs(plain.settings.data_path / "blobs", fetch_from(plain.db, archive, plain.now), plain.now)
            stack.callback(blobs.close)
            return replace(plain, archive=archive, blobs=blobs, settings=replace(plain.settings, archive=url))

        yield make


@pytest.fixture
def plain(database: Database, tmp_path: Path, clock: Clock) -> Roof:
    roof = make_roof(tmp_path, database, clock)
    with database.write() as session:
        for code in ("QINGSHAN", "BAISHUI"):
            session.add(Site(code=code, name_zh=code, name_en=code, accession_prefix=code[:2]))
        session.flush()
        site = session.scalars(select(Site).where(Site.code == "QINGSHAN")).one()
        session.add(
            Device(
                ae_title="QS_CT", site_id=site.id, modality="CT", services=["store"], quiet_time_s=0,
                address_range="127.0.0.0/8", fallback_character_set="GB18030",
            )
        )  # fmt: skip
    return roof


@pytest.fixture
def roof(configured: Configured, orthanc: Orthanc) -> Roof:
    made = configured(f"orthanc+{orthanc.url}")
    name = f"followed:{made.archive.name}"  # type: ignore[union-attr]
    with made.db.write() as session:  # what other tests brought is behind us
        archive_store.set_position(session, name, orthanc.get("/changes?last")["Last"])
    return made


def take_in(roof: Roof, folder: Path, count: int) -> list[Instance]:
    folder.mkdir()
    for _ in range(count):
        write_instance(folder, side=32)
    with roof.db.read() as session:
        site = session.scalars(select(Site).where(Site.code == "QINGSHAN")).one()
    with closing(Importer(roof, site)) as importer:
        assert {taken.outcome for taken in importer.take(files_below(folder))} == {"filed"}
    with roof.db.read() as session:
        return list(session.scalars(select(Instance)))


def run_copies(roof: Roof) -> None:
    handlers, _ = archive_handlers(roof)
    Worker(roof.db, handlers, roof.now).run_due()


def states(roof: Roof) -> list[str]:
    with roof.db.read() as session:
        return sorted(session.scalars(select(ArchiveCopy.state)))


def copying(roof: Roof) -> Copying:
    assert roof.archive is not None
    return Copying(roof, roof.archive)


def test_every_instance_is_copied_and_let_go_and_read_again(roof: Roof, tmp_path: Path, clock: Clock) -> None:
    instances = take_in(roof, tmp_path / "files", 3)
    contents = {one.blob_key: roof.blobs.path(one.blob_key).read_bytes() for one in instances}
    work = copying(roof)
    work.promise(clock())
    assert states(roof) == ["waiting"] * 3
    run_copies(roof)
    assert states(roof) == ["stored"] * 3
    bounded = replace(work, roof=replace(roof, settings=replace(roof.settings, cache_bytes="1")))
    with roof.db.write() as session:
        for one in session.scalars(select(Instance)):
            one.derived_state = "ready"
    bounded.make_room(clock())  # all were used just now
    assert all(local_path(roof.blobs, key).exists() for key in contents)
    clock.forward(3600)
    for key in contents:
        os.utime(local_path(roof.blobs, key), (clock().timestamp() - 1800, clock().timestamp() - 1800))
    bounded.make_room(clock())
    assert not any(local_path(roof.blobs, key).exists() for key in contents)
    assert list(storage_findings(roof, deep=True, progress=lambda *_: None)) == []  # nothing is missing
    for key, content in contents.items():
        assert roof.blobs.path(key).read_bytes() == content
    assert archive_bytes(roof) == sum(map(len, contents.values()))


def archive_bytes(roof: Roof) -> int:
    assert roof.archive is not None
    with roof.db.read() as session:
        return archive_store.local_bytes(session, roof.archive.name)


def test_an_archive_that_is_away_is_waited_for(configured: Configured, tmp_path: Path, clock: Clock) -> None:
    from tests.peers.ports import free_port

    roof = configured(f"orthanc+http://127.0.0.1:{free_port()}")
    take_in(roof, tmp_path / "files", 1)
    copying(roof).promise(clock())
    for _ in range(300):  # six days of half hours: never given up
        run_copies(roof)
        clock.forward(1800)
    with roof.db.read() as session:
        job = session.scalars(select(OutboxJob).where(OutboxJob.kind == "archive")).one()
    assert (job.last_error, job.dead_at, job.finished_at) == ("archive_unreachable", None, None)
    assert job.n_attempts > 200
    findings = [finding.code for finding in check_machine.archive_findings(roof)]
    assert findings == ["archive_failing"]


def test_bytes_that_are_not_what_was_received_are_refused(configured: Configured, tmp_path: Path, clock: Clock) -> None:
    roof = configured(f"local:{tmp_path / 'nas'}")
    (instance,) = take_in(roof, tmp_path / "files", 1)
    copying(roof).promise(clock())
    run_copies(roof)
    (copy,) = [path for path in (tmp_path / "nas" / "objects").rglob("*") if path.is_file()]
    local_path(roof.blobs, instance.blob_key).unlink()
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(ArchiveFailure) as caught:
        roof.blobs.path(instance.blob_key)
    assert caught.value.code == "archive_differs"
    assert not local_path(roof.blobs, instance.blob_key).exists()
    copy.write_bytes(content)
    assert roof.blobs.path(instance.blob_key).read_bytes() == content


def filed(roof: Roof) -> dict[str, str]:
    """Site by SOP Instance UID."""
    with roof.db.read() as session:
        rows = session.execute(
            select(Instance.sop_instance_uid, Site.code)
            .join(Series, Series.id == Instance.series_id)
            .join(Study, Study.id == Series.study_id)
            .join(Site, Site.id == Study.site_id)
        )
        return dict(rows.all())


def test_what_others_bring_is_filed_by_its_sender(
    roof: Roof, orthanc: Orthanc, tmp_path: Path, clock: Clock
) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    paths = {sender: write_instance(folder, side=32) for sender in ("QS_CT", "BS_PACS", "STRANGER")}
    for sender, path in paths.items():
        assert storescu(orthanc.dicom_port, sender, [path], called_ae="ORTHANC").returncode == 0
    mapped = replace(roof, settings=replace(roof.settings, archive_sites="BS_PACS=BAISHUI"))
    uid = {sender: path.name.rpartition("-")[0] for sender, path in paths.items()}
    follower = Follower(mapped, mapped.archive)  # type: ignore[arg-type]
    for _ in range(2):  # the second look finds nothing new
        follower.follow(clock())
        assert filed(roof) == {uid["QS_CT"]: "QINGSHAN", uid["BS_PACS"]: "BAISHUI"}
    with roof.db.read() as session:
        (aside,) = session.scalars(select(Quarantine))
        ready = session.scalars(
            select(Study.input_readiness).join(Site, Site.id == Study.site_id).where(Site.code == "QINGSHAN")
        ).one()
    assert (aside.reason, aside.source, aside.sop_instance_uid) == ("archive_source_unknown", "STRANGER", uid["STRANGER"])
    assert (aside.site_id, ready) == (None, "READY")
    # They are copies already: only confirmed, and our own news is not taken for somebody else's.
    copying(mapped).promise(clock())
    run_copies(mapped)
    assert states(roof) == ["stored", "stored"]
    take_in(mapped, tmp_path / "own", 1)
    copying(mapped).promise(clock() + timedelta(seconds=1))
    run_copies(mapped)
    follower.follow(clock())
    with roof.db.read() as session:
        assert set(session.scalars(select(Instance.duplicates))) == {0}
    assert len(filed(roof)) == 3


def test_a_conflict_in_the_archive_is_told_and_ours_stays(
    roof: Roof, orthanc: Orthanc, tmp_path: Path, clock: Clock
) -> None:
    (instance,) = take_in(roof, tmp_path / "files", 1)
    folder = tmp_path / "other"
    folder.mkdir()
    with roof.db.read() as session:
        series = session.get_one(Series, instance.series_id)
        study = session.get_one(Study, series.study_id)
    other = write_instance(
        folder, side=32, StudyInstanceUID=study.study_instance_uid, SeriesInstanceUID=series.series_instance_uid,
        SOPInstanceUID=instance.sop_instance_uid, InstanceNumber=77,
    )  # fmt: skip
    assert storescu(orthanc.dicom_port, "QS_CT", [other], called_ae="ORTHANC").returncode == 0
    copying(roof).promise(clock())
    run_copies(roof)
    assert states(roof) == ["differs"]
    assert [finding.code for finding in check_machine.archive_findings(roof)] == ["archive_differs"]
    Follower(roof, roof.archive).follow(clock())  # type: ignore[arg-type]
    with roof.db.read() as session:
        assert [row.reason for row in session.scalars(select(Quarantine))] == ["content_conflict"]
