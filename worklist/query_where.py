"""The keys of a query as conditions on the index. [store]

Compared case-sensitively, names excepted. SQLite's LIKE folds ASCII and its planner, which knows no frequencies,
takes any index it can: so patterns are GLOB there, and a condition that shall only be looked at in passing is
written so that no index fits it (``is_key=False``).
"""

from collections.abc import Iterable
from datetime import date
from itertools import permutations
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select
from sqlalchemy.orm import Session

from pacs_bridge.query import Between, Match, Moments, Name, OneOf, Pattern
from pacs_bridge.query_attributes import SEQUENCE
from worklist.tables import Instance, Patient, Series, Site, Study

COLUMNS: dict[str, Any] = {
    "PatientID": Patient.patient_id, "PatientSex": Patient.sex, "PatientBirthDate": Patient.birth_date,
    "StudyDate": Study.study_date, "StudyTime": Study.study_time, "AccessionNumber": Study.accession_number,
    "StudyID": Study.study_id_sent, "StudyInstanceUID": Study.study_instance_uid,
    "ReferringPhysicianName": Study.referring_physician_name, "StudyDescription": Study.description,
    "Modality": Series.modality, "SeriesNumber": Series.number, "SeriesInstanceUID": Series.series_instance_uid,
    "SeriesDescription": Series.description, "SeriesDate": Series.series_date, "SeriesTime": Series.series_time,
    "BodyPartExamined": Series.body_part, "PerformedProcedureStepStartDate": Series.performed_start_date,
    "PerformedProcedureStepStartTime": Series.performed_start_time,
    f"{SEQUENCE}.RequestedProcedureID": Series.requested_procedure_id,
    f"{SEQUENCE}.ScheduledProcedureStepID": Series.scheduled_step_id,
    "InstanceNumber": Instance.number, "SOPInstanceUID": Instance.sop_instance_uid,
    "SOPClassUID": Instance.sop_class_uid,
}  # fmt: skip
_NUMBERS = frozenset(("SeriesNumber", "InstanceNumber"))
_LAST = "\U0010ffff"
_FIRST_HAN = "\u2e80"  # names that begin at or after it are read by pinyin
_MOST_WORDS = 3


def is_visible() -> ColumnElement[bool]:
    """Whether a series has an instance that no rejection note hides."""
    return exists(select(1).where(Instance.series_id == Series.id, Instance.hidden_code.is_(None)).correlate(Series))


class Where:
    """Conditions in the dialect of a session's database."""

    def __init__(self, session: Session) -> None:
        self._is_sqlite = session.get_bind().dialect.name == "sqlite"

    def of(self, path: str, match: Match, *, is_key: bool = False) -> ColumnElement[bool]:
        """The condition of one key; ``is_key``: an index may serve it."""
        if isinstance(match, Name):
            return self._person(path, match, is_key)
        if path in ("ModalitiesInStudy", "SOPClassesInStudy", "IssuerOfPatientID"):
            return self._of_study(path, match)
        column = COLUMNS[path]
        if isinstance(match, Moments):
            return self._moments(column, COLUMNS[match.time_path], match)
        if path == "PatientBirthDate":
            return _days(column, match)
        if path in _NUMBERS and isinstance(match, OneOf):
            return self._plain(column, 0, is_key).in_([int(value) for value in match.values])  # type: ignore[no-any-return]
        return self._text(self._plain(column, "", is_key), match)

    def _of_study(self, path: str, match: Match) -> ColumnElement[bool]:
        """What a study has of many, and who issued its patient's ID."""
        if path == "IssuerOfPatientID":
            return Study.site_id.in_(select(Site.id).where(self._text(Site.code, match)))
        if path == "ModalitiesInStudy":
            inside = self._text(Series.modality, match)
            return exists(select(1).where(Series.study_id == Study.id, inside, is_visible()).correlate(Study))
        of_instances = select(1).select_from(Series).join(Instance, Instance.series_id == Series.id)
        shown = and_(self._text(Instance.sop_class_uid, match), Instance.hidden_code.is_(None))
        return exists(of_instances.where(Series.study_id == Study.id, shown).correlate(Study))

    def _plain(self, column: Any, empty: Any, is_key: bool) -> Any:
        return column if is_key or not self._is_sqlite or column is Study.study_date else func.coalesce(column, empty)

    def _text(self, column: Any, match: Match) -> ColumnElement[bool]:
        if isinstance(match, OneOf):
            return column == match.values[0] if len(match.values) == 1 else column.in_(match.values)  # type: ignore[no-any-return]
        if isinstance(match, Pattern):
            return or_(*(self._like(column, pattern) for pattern in match.patterns))
        if isinstance(match, Between):
            ends = [column > "" if not match.low else column >= match.low]
            return and_(*ends, *([column <= match.high] if match.high else []))
        return false()

    def _like(self, column: Any, pattern: str) -> ColumnElement[bool]:
        """An index is used for what stands before the first wildcard."""
        start = pattern[: min(pattern.find(mark) if mark in pattern else len(pattern) for mark in "*?")]
        if start == pattern:
            return column == pattern  # type: ignore[no-any-return]
        within = [column >= start, column < start + _LAST] if start else []
        if pattern == start + "*":
            return and_(*within) if within else column.is_not(None)
        if self._is_sqlite:
            return and_(*within, column.op("GLOB")(pattern.replace("[", "[[]")))
        escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return and_(*within, column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\"))

    def _moments(self, day: Any, time: Any, match: Moments) -> ColumnElement[bool]:
        (low_day, low_time), (high_day, high_time) = match.low, match.high
        conditions = [day > ""]
        if low_day:
            conditions += [day >= low_day, or_(day > low_day, time >= low_time)]
        if high_day:
            last = time <= high_time if high_time else time >= ""
            conditions += [day <= high_day, or_(day < high_day, last)]
        return and_(*conditions)

    def _person(self, path: str, match: Name, is_key: bool) -> ColumnElement[bool]:
        if path != "PatientName":  # another person's name is a text without pinyin
            return self._like(func.lower(COLUMNS[path]), f"*{'*'.join(match.groups)}*" if match.is_fuzzy
                              else "=".join(match.groups))  # fmt: skip
        if match.is_fuzzy:
            return or_(*(self._any_group(pattern, is_key) for pattern in _orders(match.groups)))
        if len(match.groups) == 1:
            return self._any_group(match.groups[0], is_key)
        alphabetic, ideographic = match.groups[0], match.groups[1]
        own = []
        if alphabetic.strip("*"):
            own.append(self._like(self._plain(Patient.name_alphabetic, "", is_key), alphabetic))
        if ideographic.strip("*"):
            own.append(self._like(self._plain(Patient.name, "", is_key), _joined(ideographic)))
        return and_(*own) if own else Patient.id.is_not(None)

    def _any_group(self, pattern: str, is_key: bool) -> ColumnElement[bool]:
        """As written; characters also without their separators, Latin letters also as pinyin or initials."""
        alphabetic = self._plain(Patient.name_alphabetic, "", is_key)
        name, spelled, initials = (
            self._plain(column, "", is_key) for column in (Patient.name, Patient.name_pinyin, Patient.name_initials)
        )
        if not pattern.isascii():
            return or_(self._like(alphabetic, pattern), self._like(name, _joined(pattern)))
        is_han = Patient.name >= _FIRST_HAN if not self._is_sqlite else func.coalesce(Patient.name, "") >= _FIRST_HAN
        joined = _joined(pattern)
        return or_(
            self._like(alphabetic, pattern), and_(self._like(spelled, joined), is_han),
            and_(self._like(initials, joined), is_han),
        )  # fmt: skip


def _joined(pattern: str) -> str:
    return "".join(letter for letter in pattern if letter not in "^ '-")


def _orders(words: Iterable[str]) -> list[str]:
    """The words in any order, as the beginning of a name."""
    return ["^".join(order) + "*" for order in permutations(tuple(words)[:_MOST_WORDS])]


def _days(column: Any, match: Match) -> ColumnElement[bool]:
    if not isinstance(match, Between):
        return false()
    ends = [column >= _date(match.low)] if match.low else []
    return and_(column.is_not(None), *ends, *([column <= _date(match.high)] if match.high else []))


def _date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
