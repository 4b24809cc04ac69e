"""A whole small county in one process: the demo sites and people, real files, real signatures, no server."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from blake3 import blake3
from sqlalchemy import select

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.compare import same_content
from pacs_bridge.extract import extract
from pacs_bridge.ports import ReceivedObject
from pacs_bridge.records import Problem
from reports import pdf, service, sign, store
from reports.certificate import open_authority
from reports.desk import ReportDesk
from reports.signing_pool import SigningPool
from reports.tables import Report
from worklist import receive_service, settle_service, workitem_service
from worklist.access import Actor
from worklist.account_tables import Account
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.demo import SENDERS, Sender, make_county, write_study
from worklist.receive_service import Filed
from worklist.roof import Roof
from worklist.tables import Device, Site, Study, Workitem

PASSWORD = "demo-Pass-1"
PIN = f"{PASSWORD}-pin"


@dataclass
class Township:
    """The demo county on one database, with a clock that the test moves."""

    roof: Roof
    desk: ReportDesk
    clock: Any

    def actor(self, username: str) -> Actor:
        with self.roof.db.read() as session:
            row = session.scalars(select(Account).where(Account.username == username)).one()
            site = session.get_one(Site, row.site_id)
            return Actor(
                row.id, row.username, row.name, row.role, row.site_id, site.code, frozenset(row.kinds), "sitting", "zh"
            )

    def receive(self, path: Path, ae_title: str = "QS_DR", association_id: int | None = None) -> Filed:
        """One object as the listener would file it."""
        received = received_object(self.roof, path, association_id)
        with self.roof.db.write() as session:
            device = session.scalars(select(Device).where(Device.ae_title == ae_title)).one()
            sender = receive_service.Sender(device.site_id, ae_title, device.id, device.quiet_time_s)
            return receive_service.file_object(
                session, sender, received, signed_statuses=store.signed_statuses, zone=self.roof.settings.zone,
                same_content=lambda a, b: same_content(self.roof.blobs.path(a), self.roof.blobs.path(b)),
                now=self.clock(),
            )  # fmt: skip

    def associate(self, ae_title: str) -> int:
        with self.roof.db.write() as session:
            device = session.scalars(select(Device).where(Device.ae_title == ae_title)).one()
            return settle_service.open_association(
                session, device_id=device.id, site_id=device.site_id, calling_ae_title=ae_title,
                called_ae_title="TELEREAD", peer_address="127.0.0.1", listener_run="listener:this-host:first", now=self.clock(),
            )  # fmt: skip

    def close(self, association_id: int) -> None:
        with self.roof.db.write() as session:
            settle_service.close_association(session, association_id, "released", self.clock())

    def settle(self) -> int:
        with self.roof.db.write() as session:
            return settle_service.settle_due(session, self.clock())

    def study(self, folder: Path, ae_title: str = "QS_DR", **changes: Any) -> tuple[Study, Workitem]:
        """A demo examination, arrived and READY, and its open workitem."""
        paths = write_study(demo_sender(ae_title, **changes), self.clock().astimezone(self.roof.settings.zone), folder)
        association_id = self.associate(ae_title)
        filed = [self.receive(path, ae_title, association_id) for path in paths[:3]]
        self.clock.forward(30)
        self.close(association_id)
        study_id = filed[0].study_id
        assert study_id is not None, filed[0]
        return self.row(Study, study_id), self.open_workitem(study_id)

    def signed_study(self, folder: Path, preliminary_reason: str | None = None) -> tuple[Study, Workitem, Report]:
        """A demo examination, its workitem, and what radiologist has signed."""
        study, item = self.study(folder)
        radiologist = self.actor("radiologist")
        sections = {"findings": "双肺清晰", "impression": "未见异常"}
        with self.roof.db.write() as session:
            workitem_service.claim(session, radiologist, item.workitem_uid, self.clock())
            saved = service.save_draft(session, radiologist, item.workitem_uid, "dr-chest", sections, 0, self.clock())
        report = self.desk.submit(
            radiologist, item.workitem_uid, PIN, saved.version, preliminary_reason=preliminary_reason
        )
        return study, item, report

    def repeat_study(self, number: int) -> None:
        """So many rows like that of the only study, of other UIDs and days, without images: for what takes long to say."""
        table: Any = Study.__table__
        with self.roof.db.write() as session:
            row = dict(session.execute(select(table)).mappings().one())
            del row["id"]
            session.execute(table.insert(), [
                {**row, "study_instance_uid": f"1.2.3.{one}", "study_date": f"2026{one % 9:04}"} for one in range(number)
            ])  # fmt: skip

    def open_workitem(self, study_id: int) -> Workitem:
        with self.roof.db.read() as session:
            return session.scalars(
                select(Workitem).where(Workitem.study_id == study_id, Workitem.state.in_(("SCHEDULED", "IN PROGRESS")))
            ).one()

    def row(self, table: Any, key: Any) -> Any:
        with self.roof.db.read() as session:
            return session.get_one(table, key)


def received_object(roof: Roof, path: Path, association_id: int | None = None) -> ReceivedObject:
    """The file's bytes in the blob store, and what the listener would say of them."""
    content = path.read_bytes()
    key = roof.blobs.put(content)
    record, problem = None, None
    try:
        record = extract(path, fallback_character_set="GB18030", zone=roof.settings.zone)
    except Problem as found:
        problem = found
    return ReceivedObject(
        association_id, key, blake3(content).hexdigest(), len(content), record.sop_class_uid if record else "",
        record.sop_instance_uid if record else "", record.transfer_syntax_uid if record else "", record, problem,
    )  # fmt: skip


@cache
def _base_sender(ae_title: str) -> Sender:
    return next(sender for sender in SENDERS if sender.ae_title == ae_title)


def demo_sender(ae_title: str, **changes: Any) -> Sender:
    template = {"DR": "QS_DR", "CT": "QS_CT", "ECG": "QS_ECG"}[ae_title.partition("_")[2]]
    return replace(_base_sender(template), ae_title=ae_title, **changes)


@dataclass(frozen=True)
class CachedAuthority:
    """A real authority whose doctors' keys are made once per test run: only their making is slow."""

    directory: Path
    new_doctor_key: Any


@cache
def _authority(now: datetime) -> CachedAuthority:
    folder = Path(tempfile.mkdtemp(prefix="teleread-test-authority-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority = open_authority(folder / "keys", now)
    return CachedAuthority(authority.directory, cache(authority.new_doctor_key))


@cache
def _pool(authority_dir: Path) -> SigningPool:
    """One signing process for all tests of a run, warm before the first one asks."""
    pool = SigningPool(authority_dir, n_processes=1)
    pool.warm_up()
    atexit.register(pool.close)
    return pool


@contextmanager
def township(database: Database, folder: Path, clock: Any, pool: SigningPool | None = None) -> Iterator[Township]:
    """The county on ``database``; its keys and blobs below ``folder``. With ``pool`` reports can be signed."""
    settings = Settings(data_dir=str(folder), demo_password=PASSWORD)
    roof = Roof(settings, database, FileBlobs(folder / "blobs"), clock)
    authority = _authority(clock())
    shutil.copytree(authority.directory, roof.keys_dir)
    make_county(roof, authority)
    signer: Any = pool or _pool(authority.directory)
    desk = ReportDesk(
        db=database, settings=settings, blobs=roof.blobs, signer=signer, render=pdf.render, now=clock,
        prepare_fields=sign.prepare, render_stamp=pdf.stamp, ecg_svg=lambda session, study: None,
    )  # fmt: skip
    try:
        yield Township(roof, desk, clock)
    finally:
        roof.blobs.close()
