"""The keys of a query as conditions on the index. [store]

Compared case-sensitively, names excepted. SQLite's LIKE folds ASCII and its planner, which knows no frequencies,
takes any index it can: so patterns are GLOB there, and a condition that shall only be looked at in passing is
written so that no index fits it (``is_key=False``).
"""

from collections.abc import Iterable
from datetime import date
from itertools import permutations
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select
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
            return self._person(path, match)
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
            return self._one_by_one(select(1).where(Series.study_id == Study.id, inside, is_visible()))
        of_instances = select(1).select_from(Series).join(Instance, Instance.series_id == Series.id)
        shown = and_(self._text(Instance.sop_class_uid, match), Instance.hidden_code.is_(None))
        return self._one_by_one(of_instances.where(Series.study_id == Study.id, shown))

    def _one_by_one(self, rows: Select[Any]) -> ColumnElement[bool]:
        """Whether a study has such rows, looked up study by study: PostgreSQL would join all there are of them."""
        return exists((rows if self._is_sqlite else rows.offset(0)).correlate(Study))

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

    def _person(self, path: str, match: Name) -> ColumnElement[bool]:
        if path != "PatientName":  # another person's name is a text without pinyin
            return self._like(func.lower(COLUMNS[path]), f"*{'*'.join(match.groups)}*" if match.is_fuzzy
                              else "=".join(match.groups))  # fmt: skip
        if match.is_fuzzy or len(match.groups) == 1:
            patterns = _orders(match.groups) if match.is_fuzzy else match.groups
            return or_(*(self._any_group(pattern) for pattern in patterns))
        own = [self._like(self._plain(column, "", False), pattern) for column, pattern in _each_group(match)]
        return and_(*own) if own else Patient.id.is_not(None)

    def _any_group(self, pattern: str) -> ColumnElement[bool]:
        """As written; characters also without their separators, Latin letters also as pinyin or initials."""
        is_han = self._plain(Patient.name, "", False) >= _FIRST_HAN
        return or_(*(
            and_(self._like(self._plain(column, "", False), wanted), *([is_han] if column in _SPELLED else []))
            for column, wanted in _columns_of(pattern)
        ))  # fmt: skip

    def name_ways(self, match: Name) -> list[tuple[str, ColumnElement[bool]]]:
        """SQLite's hints for Patient and what each index is asked; together all matches, and a few that are none."""
        if match.is_fuzzy or len(match.groups) == 1:
            patterns = _orders(match.groups) if match.is_fuzzy else match.groups
            asked = [way for pattern in patterns for way in _columns_of(pattern)]
        else:
            asked = _each_group(match)[:1]
        return [
            (f"INDEXED BY ix_patient_{column.key}_site_id", self._like(column, pattern)) for column, pattern in asked
        ]


_SPELLED = (Patient.name_pinyin, Patient.name_initials)


def _columns_of(pattern: str) -> list[tuple[Any, str]]:
    """Where a group of a name may stand, and as what."""
    joined = _joined(pattern)
    if not pattern.isascii():
        return [(Patient.name_alphabetic, pattern), (Patient.name, joined)]
    return [(Patient.name_alphabetic, pattern), *((column, joined) for column in _SPELLED)]


def _each_group(match: Name) -> list[tuple[Any, str]]:
    """The groups that are asked for, each in its own column."""
    groups = ((Patient.name_alphabetic, match.groups[0]), (Patient.name, _joined(match.groups[1])))
    return [(column, pattern) for column, pattern in groups if pattern.strip("*")]


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
