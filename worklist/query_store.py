"""Queries run on the index: newest study first, page by page, in constant memory. [store]

A key that few objects have (a patient, an accession number, a UID) is looked up first, and the query runs over
those studies alone; where every key is common, studies are walked in the order of the answer and compared in
passing, which finds a page's worth soon because they are common. Which of the two is known by counting to NARROW,
not by a planner's guess: SQLite keeps no frequencies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import Session

from pacs_bridge.query import Name, OneOf, Query
from worklist.base.db import columns
from worklist.query_where import Where, is_visible
from worklist.tables import Instance, Patient, Series, Study

NARROW = 2500  # studies or patients that are looked at one by one: a walk to a page's worth of more costs no more
_LAST_ROW = 2**31 - 1
_OF_PATIENT = ("PatientName", "PatientID", "PatientBirthDate")
_PATIENT_COLUMNS = frozenset((*_OF_PATIENT, "PatientSex"))
_UIDS = frozenset(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
# The zero stands in the statement: a partial index is used only where its own condition does.
IS_NOT_EMPTY = Study.n_instances > literal_column("0")


@dataclass(frozen=True)
class Sight:
    """What may be seen: a condition on Study. ``site_id``: where it is that site's studies alone."""

    where: ColumnElement[bool]
    site_id: int | None = None


@dataclass(frozen=True)
class Key:
    """Where an answer stands in the order of answers."""

    study_date: str
    study: int
    series: int = 0
    instance: int = 0


def narrowed(session: Session, query: Query, sight: Sight) -> tuple[int, ...] | None:
    """The few studies that the query's rarest key leaves, or None where no key is rare."""
    has_uid = any(path in _UIDS for path, _ in query.matches)  # nothing is rarer
    pks = None if has_uid else patients_narrowed(session, query, sight)
    if pks is not None and not pks:
        return ()
    for probe in _probes(session, query, pks):
        found = session.scalars(probe.distinct().limit(NARROW + 1)).all()
        if len(found) <= NARROW:
            return tuple(found)
    return None


def _probes(session: Session, query: Query, pks: Sequence[int] | None) -> list[Any]:
    where, matches = Where(session), dict(query.matches)
    probes: list[Any] = []
    if "StudyInstanceUID" in matches:
        probes.append(select(Study.id).where(where.of("StudyInstanceUID", matches["StudyInstanceUID"], is_key=True)))
    if "SeriesInstanceUID" in matches:
        condition = where.of("SeriesInstanceUID", matches["SeriesInstanceUID"], is_key=True)
        probes.append(select(Series.study_id).where(condition))
    if "SOPInstanceUID" in matches:
        condition = where.of("SOPInstanceUID", matches["SOPInstanceUID"], is_key=True)
        probes.append(select(Series.study_id).join(Instance, Instance.series_id == Series.id).where(condition))
    if "AccessionNumber" in matches:
        probes.append(select(Study.id).where(where.of("AccessionNumber", matches["AccessionNumber"], is_key=True)))
    if pks is not None:
        probes.append(select(Study.id).where(Study.patient_pk.in_(_numbers(pks))))
    for path in ("Modality", "ModalitiesInStudy"):
        if path in matches:
            condition = where.of("Modality", matches[path], is_key=True)
            probes.append(select(Series.study_id).where(condition))
    return probes


def patients_narrowed(session: Session, query: Query, sight: Sight) -> Sequence[int] | None:
    """The few patients whom the query's keys leave, or None. A patient is one site's: another site's do not count."""
    where, matches = Where(session), dict(query.matches)
    name = matches.get("PatientName")
    ways: list[tuple[str, ColumnElement[bool]]] = []
    if isinstance(name, Name) and not isinstance(matches.get("PatientID"), OneOf):
        ways = where.name_ways(name)
    keys = [where.of(path, matches[path], is_key=True) for path in _OF_PATIENT[1:] if path in matches]
    if not keys and not ways:
        return None
    found: set[int] = set()
    alone = "" if "PatientID" in matches else "INDEXED BY ix_patient_birth_date"
    for hint, way in ways or [(alone, true())]:
        statement = select(Patient.id).where(way, *keys).with_hint(Patient, hint, "sqlite")
        if sight.site_id is not None:
            statement = statement.where(Patient.site_id == sight.site_id)
        found.update(session.scalars(statement.limit(NARROW + 1)))
        if len(found) > NARROW:
            return None
    return sorted(found)


def page(
    session: Session, query: Query, sight: Sight, few: tuple[int, ...] | None,
    *, limit: int, offset: int = 0, after: Key | None = None, until: Key | None = None,
) -> list[Key]:  # fmt: skip
    """At most ``limit`` answers of a query at study level or below, in order. ``few``: of ``narrowed``.

    ``until``: the last study to look at (``walk_end``).
    """
    if few is not None and not few:
        return []
    levels = {"STUDY": 1, "SERIES": 2, "IMAGE": 3}[query.level]
    places: tuple[Any, ...] = (Study.study_date, Study.id, Series.id, Instance.id)[: levels + 1]
    statement = _joined(select(*places).select_from(Study), levels).with_hint(Study, _index(few, sight), "sqlite")
    conditions = _conditions(session, query)
    if few is not None:
        conditions.append(Study.id.in_(_numbers(few)))
    conditions += [sight.where, IS_NOT_EMPTY]
    if until is not None:
        conditions.append(_place(until) <= _AT)
    statement = statement.where(*conditions, *([_beyond(after, levels)] if after else []))
    order: list[Any] = [Study.study_date.desc(), Study.id.desc(), Series.id, Instance.id][: levels + 1]
    rows = columns(session, statement.order_by(*order).limit(limit).offset(offset or None))
    return [Key(*row) for row in rows]


def _conditions(session: Session, query: Query) -> list[ColumnElement[bool]]:
    """Of all keys. A patient's are asked study by study: a planner that joined them would begin with the patients."""
    where = Where(session)
    of_patient = [where.of(path, match) for path, match in query.matches if path in _PATIENT_COLUMNS]
    found = [where.of(path, match) for path, match in query.matches if path not in _PATIENT_COLUMNS]
    if of_patient:
        theirs = select(and_(*of_patient)).where(Patient.id == Study.patient_pk).correlate(Study)
        found.append(theirs.scalar_subquery())
    return found


def _numbers(ids: Sequence[int]) -> BindParameter[Any]:
    """Row ids written into the statement: thousands of parameters cost more than the lookup."""
    every: Any = ids
    return bindparam(None, every, expanding=True, literal_execute=True, type_=Integer())


def _joined(statement: Select[Any], levels: int) -> Select[Any]:
    if levels == 2:
        return statement.join(Series, Series.study_id == Study.id).where(is_visible())
    if levels == 3:
        statement = statement.join(Series, Series.study_id == Study.id)
        return statement.join(Instance, Instance.series_id == Series.id).where(Instance.hidden_code.is_(None))
    return statement


def _index(few: tuple[int, ...] | None, sight: Sight) -> str:
    """Rows of few studies come by their ids; else the index that holds the order of answers is walked."""
    if few is not None:
        return "NOT INDEXED"
    return "INDEXED BY ix_study_newest" if sight.site_id is None else "INDEXED BY ix_study_newest_of_site"


def _beyond(after: Key, levels: int) -> ColumnElement[bool]:
    """Answers that follow ``after``."""
    here = _place(after)
    if levels == 1:
        return and_(here > _AT)
    further: list[ColumnElement[bool]] = [Study.id != after.study, Series.id > after.series]
    if levels == 3:
        further.append(and_(Series.id == after.series, Instance.id > after.instance))
    return and_(here >= _AT, or_(*further))


_AT: Any = tuple_(Study.study_date, Study.id)


def _place(key: Key) -> Any:
    return tuple_(literal(key.study_date, String), literal(key.study, Integer))


def walk_end(session: Session, sight: Sight, after: Key | None, n_studies: int) -> Key | None:
    """The study ``n_studies`` further on, behind which nothing of it follows; None: there are not so many.

    A walk that compares in passing is cut into such pieces: whoever waits for it can be heard in between.
    """
    statement = select(Study.study_date, Study.id).with_hint(Study, _index(None, sight), "sqlite")
    own = [IS_NOT_EMPTY] if sight.site_id is None else [IS_NOT_EMPTY, Study.site_id == sight.site_id]
    if after is not None:
        own.append(_place(after) > _AT)
    order = (Study.study_date.desc(), Study.id.desc())
    row = session.execute(statement.where(*own).order_by(*order).limit(1).offset(n_studies)).first()
    return Key(row[0], row[1], _LAST_ROW, _LAST_ROW) if row is not None else None


def patient_page(
    session: Session, query: Query, sight: Sight, few: Sequence[int] | None,
    *, limit: int, after: int = 0, until: int | None = None,
) -> list[int]:  # fmt: skip
    """At most ``limit`` patients who have a study in sight, by their row ids, none beyond ``until``."""
    where = Where(session)
    has_study = (
        select(1).select_from(Study).with_hint(Study, "INDEXED BY ix_study_patient_pk", "sqlite")
        .where(Study.patient_pk == Patient.id, sight.where, IS_NOT_EMPTY)
    )  # fmt: skip
    issuer = [where.of(path, match) for path, match in query.matches if path == "IssuerOfPatientID"]
    statement = select(Patient.id).where(has_study.where(*issuer).correlate(Patient).exists(), Patient.id > after)
    statement = statement.where(
        *(where.of(path, match) for path, match in query.matches if path != "IssuerOfPatientID")
    )
    if few is not None:
        statement = statement.where(Patient.id.in_(_numbers(few)))
    if until is not None:
        statement = statement.where(Patient.id <= until)
    return list(session.scalars(statement.order_by(Patient.id).limit(limit)))


def last_patient(session: Session) -> int:
    """The highest row id of a patient; 0: there is none."""
    return session.scalar(select(func.max(Patient.id))) or 0
