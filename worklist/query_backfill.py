"""Rows filed before queries had columns of their own: filled from the stored files, a study at a time. [app]

Promised by migration 0012. The job's payload is the last study that is done, moved on in the transaction that ends
that study, so that a worker that dies loses at most one. What has a value keeps it.
"""

import logging
import time
from collections.abc import Iterator, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pacs_bridge.extract import extract
from pacs_bridge.ports import ArchiveFailure
from pacs_bridge.records import ObjectRecord
from worklist.base import outbox
from worklist.base.outbox import Job
from worklist.person import name_alphabetic
from worklist.receive_service import identity_key_of
from worklist.roof import Roof
from worklist.tables import Association, Device, Instance, Patient, Series, Study

log = logging.getLogger("teleread.backfill")

KIND = "query_columns"
RUN_S = 5.0  # then whatever else is due has its turn
ROWS = 50  # changed in one transaction
FALLBACK_CHARACTER_SET = "GB18030"
_OF_STUDY = {"study_date": "study_date", "study_time": "study_time", "study_id_sent": "study_id",
             "referring_physician_name": "referring_physician_name"}  # fmt: skip
_OF_SERIES = ("series_date", "series_time", "performed_start_date", "performed_start_time", "requested_procedure_id",
              "scheduled_step_id")  # fmt: skip
_OF_INSTANCE = ("rows", "columns", "bits_allocated", "number_of_frames")


def fill_columns(roof: Roof, job: Job) -> None:
    """Some studies more; where others are left, the job is promised again and runs on from there."""
    after, ends = int(job.payload["after"]), time.monotonic() + RUN_S
    while (study_id := _next(roof, after)) is not None:
        _fill(roof, study_id, job.key)
        after = study_id
        if time.monotonic() > ends:
            return


def _next(roof: Roof, after: int) -> int | None:
    """Whoever has a date was filed with everything, or is done."""
    with roof.db.read() as session:
        query = select(Study.id).where(Study.id > after, Study.study_date == "").order_by(Study.id).limit(1)
        return session.scalar(query)


def _fill(roof: Roof, study_id: int, key: str) -> None:
    with roof.db.read() as session:
        query = (
            select(Instance, Device.fallback_character_set)
            .join(Series, Series.id == Instance.series_id)
            .outerjoin(Association, Association.id == Instance.association_id)
            .outerjoin(Device, Device.id == Association.device_id)
            .where(Series.study_id == study_id).order_by(Instance.id)
        )  # fmt: skip
        rows = [(row[0], row[1] or FALLBACK_CHARACTER_SET) for row in session.execute(query)]
    first: ObjectRecord | None = None
    series: dict[int, ObjectRecord] = {}
    for start in range(0, len(rows), ROWS):
        read = list(_records(roof, rows[start : start + ROWS]))
        new = {one.series_id: record for one, record in reversed(read) if one.series_id not in series}
        first = first or next((record for _, record in read), None)
        with roof.db.write() as session:
            for one, record in read:
                _instance(session, one, record)
            for series_id, record in new.items():
                _series(session, series_id, record)
        series |= new
    with roof.db.write() as session:
        if first is not None:
            _study(session, study_id, first)
        outbox.promise(session, KIND, key, {"after": study_id}, now=roof.now())


def _records(roof: Roof, rows: Sequence[tuple[Instance, str]]) -> Iterator[tuple[Instance, ObjectRecord]]:
    """What their files say; a file that is lost or broken says nothing. Raises ArchiveFailure: another time, then."""
    for instance, fallback in rows:
        try:
            path = roof.blobs.path(instance.blob_key)
            yield instance, extract(path, fallback_character_set=fallback, zone=roof.settings.zone)
        except ArchiveFailure:
            raise
        except Exception as error:  # broken as nobody foresaw: the studies behind it are filled all the same
            log.warning("instance %s keeps empty query columns: %s", instance.id, type(error).__name__)


def _instance(session: Session, instance: Instance, record: ObjectRecord) -> None:
    session.execute(
        update(Instance)
        .where(Instance.id == instance.id, *(getattr(Instance, name).is_(None) for name in _OF_INSTANCE))
        .values({name: getattr(record, name) for name in _OF_INSTANCE})
        .execution_options(synchronize_session=False)
    )


def _series(session: Session, series_id: int, record: ObjectRecord) -> None:
    session.execute(
        update(Series)
        .where(Series.id == series_id, *(getattr(Series, name) == "" for name in _OF_SERIES))
        .values({name: getattr(record, name) for name in _OF_SERIES})
        .execution_options(synchronize_session=False)
    )


def _study(session: Session, study_id: int, record: ObjectRecord) -> None:
    """And its patient, unless a repair has put it to another since."""
    session.execute(
        update(Study)
        .where(Study.id == study_id, *(getattr(Study, name) == "" for name in _OF_STUDY))
        .values({name: getattr(record, said) for name, said in _OF_STUDY.items()})
        .execution_options(synchronize_session=False)
    )
    patient_pk = select(Study.patient_pk).where(Study.id == study_id).scalar_subquery()
    sent = record.patient_name_sent
    session.execute(
        update(Patient)
        .where(Patient.id == patient_pk, Patient.identity_key == identity_key_of(record), Patient.name_sent == "")
        .values(name_sent=sent, name_alphabetic=name_alphabetic(sent))
        .execution_options(synchronize_session=False)
    )
