"""What the answers to a query say: values by path, counted and listed for one page at a time. [store]"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from pacs_bridge.query_attributes import SEQUENCE
from worklist.base.db import columns
from worklist.query_store import IS_NOT_EMPTY, Key, Sight
from worklist.query_where import is_visible
from worklist.tables import Instance, Patient, Series, Site, Study

Answer = dict[str, Any]
_PATIENT = (
    Patient.patient_id, Patient.name, Patient.name_sent, Patient.birth_date, Patient.sex,
    Site.code.label("issuer"),
)  # fmt: skip
_STUDY = (
    Study.id, Study.study_instance_uid, Study.study_date, Study.study_time, Study.accession_number,
    Study.study_id_sent, Study.referring_physician_name, Study.description, Study.n_instances,
)  # fmt: skip
_STUDY_PATHS = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName",
    "StudyDescription", "NumberOfStudyRelatedInstances",
)  # fmt: skip
_N_STUDY = len(_STUDY)
_SERIES = (
    Series.id, Series.study_id, Series.series_instance_uid, Series.modality, Series.number, Series.description,
    Series.body_part, Series.series_date, Series.series_time, Series.performed_start_date,
    Series.performed_start_time, Series.requested_procedure_id, Series.scheduled_step_id,
)  # fmt: skip
_INSTANCE = (
    Instance.id, Instance.series_id, Instance.sop_instance_uid, Instance.sop_class_uid, Instance.number,
    Instance.transfer_syntax_uid, Instance.rows, Instance.columns, Instance.bits_allocated,
    Instance.number_of_frames,
)  # fmt: skip


def _of(statement: Any, key: Any) -> Select[Any]:
    """The rows whose ``key`` is among ``ids``. Made once: putting a statement together costs more than running it."""
    made: Select[Any] = statement.where(key.in_(bindparam("ids", expanding=True)))
    return made


_STUDIES = _of(
    select(*_STUDY, *_PATIENT).join(Patient, Patient.id == Study.patient_pk).join(Site, Site.id == Study.site_id)
    .with_hint(Study, "NOT INDEXED", "sqlite"),
    Study.id,
)  # fmt: skip
_MODALITIES = _of(select(Series.study_id, Series.modality).where(is_visible()), Series.study_id)
_CLASSES = _of(
    select(Series.study_id, Instance.sop_class_uid).distinct().join(Instance, Instance.series_id == Series.id)
    .where(Instance.hidden_code.is_(None)),
    Series.study_id,
)  # fmt: skip
_SERIES_ROWS = _of(select(*_SERIES), Series.id)
_COUNTS = _of(
    select(Instance.series_id, func.count()).where(Instance.hidden_code.is_(None)).group_by(Instance.series_id),
    Instance.series_id,
)
_INSTANCES = _of(select(*_INSTANCE), Instance.id)


def answers(session: Session, keys: Sequence[Key], wanted: Collection[str]) -> list[Answer]:
    """Everything the index knows of these answers, of their level and above; counts only where wanted."""
    studies = _studies(session, {key.study for key in keys}, wanted)
    series = _series(session, {key.series for key in keys if key.series}, wanted)
    instances = _instances(session, [key.instance for key in keys if key.instance])
    return [
        {**studies[key.study], **series.get(key.series, {}), **instances.get(key.instance, {})}
        for key in keys if key.study in studies
    ]  # fmt: skip


def patient_answers(session: Session, pks: Sequence[int], sight: Sight, wanted: Collection[str]) -> list[Answer]:
    """What is known of these patients; the counts are over what is in sight."""
    query = select(Patient.id, *_PATIENT).join(Site, Site.id == Patient.site_id).where(Patient.id.in_(pks))
    found = {row[0]: _of_patient(row[1:]) for row in session.execute(query.order_by(Patient.id))}
    if any(path.startswith("NumberOfPatient") for path in wanted):
        for path, count in _patient_counts(session, pks, sight).items():
            for pk, answer in found.items():
                answer[path] = count.get(pk, 0)
    return list(found.values())


def _patient_counts(session: Session, pks: Sequence[int], sight: Sight) -> dict[str, dict[int, int]]:
    own = (Study.patient_pk.in_(pks), sight.where, IS_NOT_EMPTY)
    of_studies = select(Study.patient_pk, func.count(Study.id), func.sum(Study.n_instances)).where(*own)
    of_series = select(Study.patient_pk, func.count(Series.id)).join(Series, Series.study_id == Study.id)
    rows = session.execute(of_studies.group_by(Study.patient_pk)).all()
    series = session.execute(of_series.where(*own, is_visible()).group_by(Study.patient_pk)).all()
    return {
        "NumberOfPatientRelatedStudies": {row[0]: row[1] for row in rows},
        "NumberOfPatientRelatedSeries": {row[0]: row[1] for row in series},
        "NumberOfPatientRelatedInstances": {row[0]: int(row[2]) for row in rows},
    }


def _of_patient(row: Sequence[Any]) -> Answer:
    """``row``: of _PATIENT. By place, not by name: this is done for every answer."""
    patient_id, name, name_sent, birth, sex, issuer = row
    return {
        "PatientID": patient_id or "", "PatientName": name_sent or name, "PatientSex": sex or "",
        "PatientBirthDate": f"{birth.year:04}{birth.month:02}{birth.day:02}" if birth else "",
        "IssuerOfPatientID": issuer,
    }  # fmt: skip


def _studies(session: Session, ids: Collection[int], wanted: Collection[str]) -> dict[int, Answer]:
    found: dict[int, Answer] = {}
    for row in columns(session, _STUDIES, {"ids": list(ids)}):
        found[row[0]] = answer = _of_patient(row[_N_STUDY:])
        answer.update(zip(_STUDY_PATHS, row[1:_N_STUDY], strict=True))
        answer["AccessionNumber"] = answer["AccessionNumber"] or ""
    if not {"ModalitiesInStudy", "NumberOfStudyRelatedSeries"}.isdisjoint(wanted):
        modalities = _grouped(columns(session, _MODALITIES, {"ids": list(ids)}))
        for study_id, answer in found.items():
            answer["ModalitiesInStudy"] = sorted(set(modalities[study_id]) - {""})
            answer["NumberOfStudyRelatedSeries"] = len(modalities[study_id])
    if "SOPClassesInStudy" in wanted:
        classes = _grouped(columns(session, _CLASSES, {"ids": list(ids)}))
        for study_id, answer in found.items():
            answer["SOPClassesInStudy"] = sorted(classes[study_id])
    return found


def _grouped(rows: Iterable[Any]) -> dict[int, list[str]]:
    found = defaultdict[int, list[str]](list)
    for key, value in rows:
        found[key].append(value)
    return found


def _series(session: Session, ids: Collection[int], wanted: Collection[str]) -> dict[int, Answer]:
    if not ids:
        return {}
    found = {
        row.id: {
            "SeriesInstanceUID": row.series_instance_uid, "Modality": row.modality, "SeriesNumber": row.number,
            "SeriesDescription": row.description, "BodyPartExamined": row.body_part, "SeriesDate": row.series_date,
            "SeriesTime": row.series_time, "PerformedProcedureStepStartDate": row.performed_start_date,
            "PerformedProcedureStepStartTime": row.performed_start_time,
            f"{SEQUENCE}.RequestedProcedureID": row.requested_procedure_id,
            f"{SEQUENCE}.ScheduledProcedureStepID": row.scheduled_step_id,
        }
        for row in columns(session, _SERIES_ROWS, {"ids": list(ids)})
    }  # fmt: skip
    if "NumberOfSeriesRelatedInstances" in wanted:
        for series_id, number in columns(session, _COUNTS, {"ids": list(ids)}):
            found[series_id]["NumberOfSeriesRelatedInstances"] = number
    return found


def _instances(session: Session, ids: Collection[int]) -> dict[int, Answer]:
    if not ids:
        return {}
    return {
        row.id: {
            "SOPInstanceUID": row.sop_instance_uid, "SOPClassUID": row.sop_class_uid, "InstanceNumber": row.number,
            "AvailableTransferSyntaxUID": row.transfer_syntax_uid, "Rows": row.rows, "Columns": row.columns,
            "BitsAllocated": row.bits_allocated, "NumberOfFrames": row.number_of_frames,
        }
        for row in columns(session, _INSTANCES, {"ids": list(ids)})
    }  # fmt: skip
