"""The worker's process: frames are derived, reports delivered, studies settled, the audit trail sealed. [app]"""

import threading
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from pacs_bridge.objects import ECG_REPORT, RADIOLOGY_REPORT, ObjectError, StudyIdentity, encapsulated_pdf
from pacs_bridge.scu import StoreResult, store_files
from pacs_bridge.transcode_pool import TranscodePool
from reports import delivery_service
from reports.tables import Delivery, Report
from viewer.derive_pool import DerivePool
from worklist import commitment_work, query_backfill, settle_service
from worklist.acquisition_work import notice_handlers
from worklist.archive_work import COPIES_AT_ONCE, archive_handlers
from worklist.base import outbox
from worklist.base.i18n import translate
from worklist.base.outbox import Job
from worklist.base.seal import seal
from worklist.derive_work import Deriving
from worklist.person_work import index_person
from worklist.ready import tell_ready
from worklist.retry import GiveUp, Retry, code_of, next_attempt
from worklist.roof import Roof
from worklist.tables import Order, Patient, Site, Study
from worklist.ups import say_going_down, say_restarted, ups_handlers
from worklist.worker import Tick, Worker

# The peer says never: sending the same again changes nothing (PS3.4 B.2.3; research: reports.md section 6).
_FINAL_OUTCOMES = ("no_context", "not_convertible")
_FINAL_STATUSES = (0xA900, 0x0122)
KEEP_FINISHED_JOBS = timedelta(days=7)
TICKS_S = {"settle": 0.3, "seal": 10.0, "forget": 3600.0}


class Handlers:
    """What the worker does, by kind of job."""

    def __init__(self, roof: Roof) -> None:
        self._roof = roof
        self._transcoder = TranscodePool()  # of a report for a peer that takes implicit VR alone

    def deliver(self, job: Job) -> None:
        """Send one report version to its site; finished after the peer's answer, so a killed worker sends again."""
        delivery_id, now = job.payload["delivery_id"], self._roof.now()
        with self._roof.db.write() as session:
            if delivery_service.begin_attempt(session, delivery_id, now) is None:
                return
        result, is_final = self._result(delivery_id)
        wait = None if is_final else next_attempt(job.n_attempts)
        now = self._roof.now()
        with self._roof.db.write() as session:
            accepted = delivery_service.end_attempt(
                session, delivery_id, outcome=result.outcome, retry_after=wait, now=now,
                status=f"{result.status:04X}" if result.status is not None else None,
            )  # fmt: skip
        if accepted:
            return
        if wait is None:
            raise GiveUp(result.outcome)
        raise Retry(result.outcome, now + wait)

    def _result(self, delivery_id: int) -> tuple[StoreResult, bool]:
        """What became of it, and whether trying again is in vain.

        What keeps us from sending is an outcome too: it is shown with the delivery.
        """
        try:
            with self._roof.db.read() as session:
                prepared = self._object(session, session.get_one(Delivery, delivery_id))
            result = self._send(*prepared)
        except SQLAlchemyError:
            raise  # nothing was tried; the job runs again
        except (GiveUp, ObjectError) as error:
            return StoreResult(Path(), error.code), True
        except Exception as error:
            return StoreResult(Path(), code_of(error)[:32]), False
        return result, result.outcome in _FINAL_OUTCOMES or result.status in _FINAL_STATUSES

    def _object(self, session: Session, delivery: Delivery) -> tuple[bytes, str, int, str]:
        """The Encapsulated PDF and where it goes."""
        report = session.get_one(Report, delivery.report_id)
        study = session.get_one(Study, report.study_id)
        patient = session.get_one(Patient, study.patient_pk)
        order = session.get_one(Order, study.order_uid)
        site = session.get_one(Site, delivery.site_id)
        if not (site.return_ae_title and site.return_host and site.return_port):
            raise GiveUp("return_address_missing")
        zone, created = self._roof.settings.zone, report.signed_at or self._roof.now()
        content = encapsulated_pdf(
            self._roof.blobs.path(report.pdf_key or "").read_bytes(),
            study=_identity(study, patient, order, site, zone), sop_instance_uid=delivery.sop_instance_uid or "",
            series_instance_uid=f"{report.report_uid}.1", content_at=created.astimezone(zone),
            document_title=translate(f"paper.document_{study.kind}", "zh"), is_verified=report.status != "PRELIM",
            concept=ECG_REPORT if study.kind == "ecg" else RADIOLOGY_REPORT, character_set=site.return_character_set,
        )  # fmt: skip
        return content, site.return_host, site.return_port, site.return_ae_title

    def _send(self, content: bytes, host: str, port: int, ae_title: str) -> StoreResult:
        with TemporaryDirectory(dir=self._roof.blobs.spool_dir) as folder:
            path = Path(folder) / "report.dcm"
            path.write_bytes(content)
            (result,) = store_files(
                [path], host, port, called_ae=ae_title, calling_ae=self._roof.settings.ae_title,
                transcoder=self._transcoder,
            )  # fmt: skip
        return result


def _identity(study: Study, patient: Patient, order: Order, site: Site, zone: ZoneInfo) -> StudyIdentity:
    """Patient and study as the site's own PACS knows them."""
    return StudyIdentity(
        patient_name=patient.name, patient_id=patient.patient_id, patient_sex=patient.sex,
        patient_birth_date=patient.birth_date, study_instance_uid=study.study_instance_uid,
        started_at=(study.acquired_at or study.received_at).astimezone(zone),
        accession_number=study.accession_number or order.accession_number, study_description=study.description,
        issuer_of_patient_id=site.code,
    )  # fmt: skip


def make_worker(roof: Roof, pool: DerivePool) -> Worker:
    """The worker with everything it does."""
    handlers = Handlers(roof)

    def settle(now: datetime) -> None:
        with roof.db.read() as session:
            if not settle_service.anything_due(session, now):
                return
        with roof.db.write() as session:
            settle_service.settle_due(session, now)

    def forget(now: datetime) -> None:
        with roof.db.write() as session:
            outbox.forget_finished(session, now - KEEP_FINISHED_JOBS)

    ticks = [
        Tick("settle", TICKS_S["settle"], settle),
        Tick("seal", TICKS_S["seal"], lambda now: seal(roof.db, now)),
        Tick("forget", TICKS_S["forget"], forget),
    ]
    archive, archive_ticks = archive_handlers(roof)
    steps, steps_ticks = ups_handlers(roof)
    notices, notices_ticks = notice_handlers(roof)
    return Worker(
        roof.db,
        {"derive": Deriving(roof, pool).derive, "deliver": handlers.deliver,
         "index_person": partial(index_person, roof), query_backfill.KIND: partial(query_backfill.fill_columns, roof),
         "commitment": partial(commitment_work.tell, roof), "ask_commitment": partial(commitment_work.ask, roof),
         **archive, **steps, **notices},
        roof.now, ticks=ticks + archive_ticks + steps_ticks + notices_ticks, n_threads=6,
        farewell=partial(say_going_down, roof),
        limits={"derive": 2, "deliver": 4, "index_person": 1, "commitment": 2, "ask_commitment": 2,
                query_backfill.KIND: 1, "archive": COPIES_AT_ONCE, **dict.fromkeys((*steps, *notices), 2)},
    )  # fmt: skip


def work(roof: Roof, stop: threading.Event) -> None:
    """Work until told to stop."""
    pool = DerivePool(max_frame_bytes=roof.settings.max_frame_bytes_number)
    worker = make_worker(roof, pool)
    say_restarted(roof)
    tell_ready()
    try:
        worker.run(stop)
    finally:
        pool.close()
