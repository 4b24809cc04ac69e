"""``teleread verify``: every byte against the index; what is lost comes back from a PACS or the archive, with a proof."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import select

from pacs_bridge.cached_blobs import local_path
from pacs_bridge.extract import read_file_meta
from pacs_bridge.spool import part10_preamble
from tests.conftest import Clock
from tests.peers.dcmqrscp import dcmqrscp
from tests.peers.dcmtk import run
from tests.peers.instances import write_instance
from tests.peers.ports import free_port
from tests.worklist.roofs import make_roof
from worklist.archive_work import Copying, archive_handlers
from worklist.base.audit import AuditEvent
from worklist.base.config import ConfigError
from worklist.base.db import Database
from worklist.base.i18n import catalog
from worklist.base.outbox import OutboxJob
from worklist.import_files import Importer, files_below
from worklist.roof import Roof, clock, open_roof
from worklist.tables import Instance, Quarantine, Site
from worklist.verify_command import verify_command
from worklist.worker import Worker

Verify = Callable[..., tuple[int, dict]]


@pytest.fixture
def roof(database: Database, tmp_path: Path) -> Roof:
    made = make_roof(tmp_path, database, Clock(clock()))
    with database.write() as session:
        session.add(Site(code="QINGSHAN", name_zh="青山", name_en="Qingshan", accession_prefix="QS"))
    return made


@pytest.fixture
def verify(roof: Roof, capsys: pytest.CaptureFixture[str]) -> Verify:
    def run_verify(repair_from: str = "", **settings: str) -> tuple[int, dict]:
        capsys.readouterr()
        status = verify_command(replace(roof.settings, **settings), repair_from=repair_from, as_json=True)
        return status, json.loads(capsys.readouterr().out)

    return run_verify


@pytest.fixture
def instances(roof: Roof, tmp_path: Path) -> list[Instance]:
    """Four objects with the file meta that our receiver writes."""
    folder = tmp_path / "files"
    folder.mkdir()
    for _ in range(4):
        path = write_instance(folder, side=32, DataSetTrailingPadding=None)  # DCMTK sends none
        at = read_file_meta(path.read_bytes())[1]
        meta = pydicom.filereader.read_file_meta_info(path)
        head = part10_preamble(
            meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID, "import"
        )
        path.write_bytes(head + path.read_bytes()[at:])
    with roof.db.read() as session:
        site = session.scalars(select(Site)).one()
    with closing(Importer(roof, site)) as importer:
        assert {one.outcome for one in importer.take(files_below(folder))} == {"filed"}
    roof.blobs.close()
    with roof.db.read() as session:
        return list(session.scalars(select(Instance).order_by(Instance.id)))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_whole_store_is_well_and_says_what_was_looked_at(verify: Verify, instances: list[Instance]) -> None:
    status, said = verify()
    assert (status, said["is_well"], said["rows"], said["files"], said["problems"]) == (0, True, 4, 4, [])


def test_what_is_lost_or_damaged_is_named_and_files_without_a_row_are_kept_aside(
    roof: Roof, verify: Verify, instances: list[Instance]
) -> None:
    local_path(roof.blobs, instances[0].blob_key).unlink()
    damage(local_path(roof.blobs, instances[1].blob_key))
    orphan = roof.blobs.put(b"x" * 300)
    roof.blobs.close()
    status, said = verify()
    assert status == 1
    assert {(one["code"], one["uid"]) for one in said["problems"]} == {
        ("file_missing", instances[0].sop_instance_uid), ("digest_differs", instances[1].sop_instance_uid),
    }  # fmt: skip
    assert [one["code"] for one in said["notes"]] == ["orphans_kept"]
    with roof.db.read() as session:
        assert session.scalars(select(Quarantine.blob_key)).all() == [orphan]
    again = verify()[1]
    assert (again["rows"], again["files"], again["notes"]) == (5, 4, [])


def test_another_pacs_gives_back_what_was_lost_bit_for_bit(
    roof: Roof, verify: Verify, instances: list[Instance], tmp_path: Path
) -> None:
    paths = [local_path(roof.blobs, one.blob_key) for one in instances]
    before = {path: path.read_bytes() for path in paths}
    with dcmqrscp(tmp_path, sorted((tmp_path / "files").iterdir())) as port:
        paths[0].unlink()
        damage(paths[1])
        status, said = verify(f"ORACLE@127.0.0.1:{port}")
    assert [one["outcome"] for one in said["repairs"]] == ["repaired", "repaired"]
    assert (status, said["problems"]) == (0, [])
    assert {path: path.read_bytes() for path in paths} == before
    with roof.db.read() as session:
        acts = session.scalars(select(AuditEvent.act).where(AuditEvent.act == "object.repair")).all()
    assert len(acts) == 2


def test_other_content_is_not_taken(roof: Roof, verify: Verify, instances: list[Instance], tmp_path: Path) -> None:
    """The PACS has an object of the same UID that says something else."""
    path = local_path(roof.blobs, instances[0].blob_key)
    sent = sorted((tmp_path / "files").glob(f"{instances[0].sop_instance_uid}*"))
    run("dcmodify", "-nb", "-m", "(0020,0013)=99", str(sent[0]))
    with dcmqrscp(tmp_path, sent) as port:
        path.unlink()
        status, said = verify(f"ORACLE@127.0.0.1:{port}")
    assert (status, [one["outcome"] for one in said["repairs"]]) == (1, ["not_proven"])
    assert not path.exists()


def test_the_same_content_in_other_bytes_is_taken_with_a_note(
    roof: Roof, verify: Verify, instances: list[Instance], tmp_path: Path
) -> None:
    """Only the preamble is damaged, and the PACS gives a data set with group lengths: every element is equal."""
    path = local_path(roof.blobs, instances[0].blob_key)
    sent = sorted((tmp_path / "files").glob(f"{instances[0].sop_instance_uid}*"))
    dataset = tmp_path / "longer.dcm"
    run("dcmconv", "+g", str(sent[0]), str(dataset))
    content = bytearray(path.read_bytes())
    content[0] = 7
    path.write_bytes(content)
    with dcmqrscp(tmp_path, [dataset]) as port:
        status, said = verify(f"ORACLE@127.0.0.1:{port}")
        outcomes = [one["outcome"] for one in said["repairs"]]
    if outcomes == ["repaired"]:  # a DCMTK that leaves group lengths out when it sends
        assert status == 0
        return
    assert (status, outcomes) == (0, ["repaired_same_content"])
    with roof.db.read() as session:
        row = session.get_one(Instance, instances[0].id)
        derive = session.scalars(select(OutboxJob).where(OutboxJob.key == f"derive:{row.id}")).all()
    assert row.blob_key != instances[0].blob_key
    assert (row.derived_state, len(derive)) == ("pending", 1)
    assert verify()[0] == 0


def test_nobody_there_and_not_there(roof: Roof, verify: Verify, instances: list[Instance], tmp_path: Path) -> None:
    local_path(roof.blobs, instances[0].blob_key).unlink()
    status, said = verify(f"ORACLE@127.0.0.1:{free_port()}")
    assert (status, said["repairs"][0]["outcome"], said["repairs"][0]["detail"]) == (1, "not_fetched", "unreachable")
    with dcmqrscp(tmp_path, sorted((tmp_path / "files").glob(f"{instances[1].sop_instance_uid}*"))) as port:
        status, said = verify(f"ORACLE@127.0.0.1:{port}")
    assert (status, said["repairs"][0]["outcome"]) == (1, "not_fetched")


def test_the_archive_is_asked_and_mends(roof: Roof, verify: Verify, instances: list[Instance], tmp_path: Path) -> None:
    address = f"local:{tmp_path / 'nas'}"
    archived = open_roof(replace(roof.settings, archive=address))
    assert archived.archive is not None
    Copying(archived, archived.archive).promise(archived.now())
    Worker(archived.db, archive_handlers(archived)[0], archived.now).run_due()
    archived.close()
    local_path(roof.blobs, instances[0].blob_key).unlink()  # let go, as far as the index can tell
    damage(local_path(roof.blobs, instances[1].blob_key))
    copies = {path.name: path for path in (tmp_path / "nas" / "objects").rglob("*") if path.is_file()}
    copies[instances[2].blob_key].unlink()
    status, said = verify(archive=address)
    assert status == 1
    assert [one["code"] for one in said["problems"]] == ["digest_differs"]
    assert (said["only_in_archive"], said["archive_copies"]) == (1, 4)
    assert [(one["code"], one["n"]) for one in said["notes"]] == [("copies_again", 1)]
    assert verify("archive", archive=address)[0] == 0
    copies[instances[0].blob_key].unlink()  # now it is nowhere
    status, said = verify("archive", archive=address)
    assert (status, [one["code"] for one in said["problems"]]) == (1, ["file_missing"])


def test_it_speaks_both_languages(roof: Roof, instances: list[Instance], capsys: pytest.CaptureFixture[str]) -> None:
    local_path(roof.blobs, instances[0].blob_key).unlink()
    assert verify_command(roof.settings) == 1
    said = capsys.readouterr().out
    assert instances[0].blob_key in said
    for language, text in catalog()["check.verify_problems"].items():
        assert text.replace("{n}", "1") in said, language


def test_settings_that_cannot_be(roof: Roof) -> None:
    for wrong in ("archive", "PACS", "PACS@host"):
        with pytest.raises(ConfigError):
            verify_command(roof.settings, repair_from=wrong)
