"""The keys of a UPS query that the database looks up; what it finds is compared with all keys afterwards. [store]"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.orm import Session

from pacs_bridge.ups import CODE_OF_STEP, items, text, values
from worklist.tables import Order, Patient, Site, Study, Workitem
from worklist.ups_tables import UpsExtra

NARROW = 1000  # studies of one key that are looked at one by one
_MOMENTS = re.compile(r"(\d{8})?[\d.]*(-?)(\d{8})?[\d.]*")
_DAY = timedelta(days=1)


def narrowed(session: Session, keys: Mapping[str, Any], zone: tzinfo) -> list[ColumnElement[bool]]:
    """Conditions on Workitem that everything which matches meets."""
    found: list[ColumnElement[bool]] = []
    if states := values(keys, "ProcedureStepState"):
        found.append(Workitem.state.in_(states))
    if uids := values(keys, "SOPInstanceUID"):
        found.append(Workitem.workitem_uid.in_(uids))
    for studies in _studies(keys):
        few = session.scalars(studies.limit(NARROW + 1)).all()
        if len(few) <= NARROW:
            found.append(Workitem.study_id.in_(few))
    steps = _steps(keys)
    if steps is not None:
        found.append(Workitem.step.in_(steps))
    return found + _days(text(keys, "ScheduledProcedureStepStartDateTime"), zone)


def _studies(keys: Mapping[str, Any]) -> list[Select[int]]:
    """For each key that few studies have, those."""
    found: list[Select[int]] = []
    if uids := values(keys, "StudyInstanceUID"):
        found.append(select(Study.id).where(Study.study_instance_uid.in_(uids)))
    if (patient := text(keys, "PatientID")) and not _is_wild(patient):
        own = select(Patient.id).where(Patient.patient_id == patient)
        found.append(select(Study.id).where(Study.patient_pk.in_(own)))
    for request in items(keys, "ReferencedRequestSequence")[:1]:
        number = text(request, "AccessionNumber")
        if number and not _is_wild(number):  # of an order it is unique within its site, and so it is indexed
            orders = select(Order.order_uid).where(Order.site_id.in_(select(Site.id)), Order.accession_number == number)
            same = select(Study.id).where(Study.accession_number == number)
            either = same.union(select(Study.id).where(Study.order_uid.in_(orders))).subquery()
            found.append(select(either.c.id))
    return found


def _steps(keys: Mapping[str, Any]) -> Sequence[str] | None:
    wanted = [text(one, "CodeValue") for one in items(keys, "ScheduledWorkitemCodeSequence")]
    if not wanted or not wanted[0] or _is_wild(wanted[0]):
        return None
    return [step for step, concept in CODE_OF_STEP.items() if concept[0] == wanted[0]]


def _days(wish: str, zone: tzinfo) -> list[ColumnElement[bool]]:
    """The days asked for, as whole days of the place; what others have set may have another start."""
    found = _MOMENTS.fullmatch(wish)
    if not wish or found is None:
        return []
    ends: list[ColumnElement[bool]] = []
    try:
        if found[1]:
            ends.append(Workitem.created_at >= _midnight(found[1], zone))
        if last := found[3] or ("" if found[2] else found[1]):
            ends.append(Workitem.created_at < _midnight(last, zone) + _DAY)
    except ValueError:  # no day: it is compared as the text it is
        return []
    was_set = exists(select(1).where(UpsExtra.workitem_uid == Workitem.workitem_uid).correlate(Workitem))
    return [or_(and_(*ends), was_set)] if ends else []


def _midnight(day: str, zone: tzinfo) -> datetime:
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=zone)


def _is_wild(value: str) -> bool:
    return "*" in value or "?" in value
