"""What leaves the archive: which stored objects, and what is corrected on the way out. [store]"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from pacs_bridge.retrieval import Leaving, Wanted
from worklist.repair_store import corrections_of
from worklist.tables import Device, Instance, Patient, Series, Site, Study

UIDS_PER_QUERY = 500  # databases bound the parameters of a statement


@dataclass(frozen=True)
class Outgoing:
    """One stored object on its way out. ``corrections``: keyword to value, applied to the copy that leaves."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    blob_key: str
    digest: str  # BLAKE3, hex, of the stored file
    size_bytes: int
    site_id: int
    corrections: dict[str, str] = field(default_factory=dict)

    def leaving(self) -> Leaving:
        """As the senders of ``pacs_bridge`` want it."""
        return Leaving(
            self.blob_key, self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid,
            self.study_instance_uid, self.corrections,
        )  # fmt: skip


def outgoing(
    session: Session, where: ColumnElement[bool],
    *, study: str | None = None, series: str | None = None, instance: str | None = None,
) -> list[Outgoing]:  # fmt: skip
    """Objects of the studies that ``where`` lets through, in the order of a study; hidden ones are left out."""
    query = (
        select(  # columns, not rows of the mapper: a study has thousands of these
            Study.id, Study.study_instance_uid, Series.series_instance_uid, Instance.sop_instance_uid,
            Instance.sop_class_uid, Instance.transfer_syntax_uid, Instance.blob_key, Instance.digest,
            Instance.size_bytes, Study.site_id,
        )
        .select_from(Study)
        .join(Series, Series.study_id == Study.id)
        .join(Instance, Instance.series_id == Series.id)
        .where(where, Instance.hidden_code.is_(None))
        .order_by(Study.id, Series.number, Series.id, Instance.number, Instance.id)
    )  # fmt: skip
    if study is not None:
        query = query.where(Study.study_instance_uid == study)
    if series is not None:
        query = query.where(Series.series_instance_uid == series)
    if instance is not None:
        query = query.where(Instance.sop_instance_uid == instance)
    rows = session.execute(query).all()
    corrections = corrections_of(session, {row[0] for row in rows})
    found: list[Outgoing] = []
    for study_id, *values in rows:
        columns: list[Any] = [*values, corrections.get(study_id, {})]
        found.append(Outgoing(*columns))
    return found


def outgoing_wanted(session: Session, where: ColumnElement[bool], wanted: Wanted) -> list[Outgoing]:
    """What a retrieve asks for; the longest list of UIDs is cut to what a statement bears."""
    of_patient = _of_patient(wanted)
    found: list[Outgoing] = []
    for studies in _portions(wanted.studies):
        for series in _portions(wanted.series):
            for instances in _portions(wanted.instances):
                named = (
                    _one_of(Study.study_instance_uid, studies)
                    & _one_of(Series.series_instance_uid, series)
                    & _one_of(Instance.sop_instance_uid, instances)
                )
                found += outgoing(session, where & of_patient & named)
    return found


def device_to_send_to(session: Session, ae_title: str) -> Device | None:
    """The enabled device of this AE title with an address of its own, at a site that is open."""
    device = session.scalar(
        select(Device)
        .join(Site, Site.id == Device.site_id)
        .where(Device.ae_title == ae_title, Device.enabled, Site.enabled, Device.port.is_not(None))
    )
    return device if device is not None and device.host else None


def _of_patient(wanted: Wanted) -> ColumnElement[bool]:
    if not wanted.patient_id:
        return true()
    patients = select(Patient.id).where(Patient.patient_id == wanted.patient_id)
    if wanted.issuer:
        patients = patients.join(Site, Site.id == Patient.site_id).where(Site.code == wanted.issuer)
    return Study.patient_pk.in_(patients)


def _portions(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    """One empty portion where no UID is named."""
    yield from (uids[start : start + UIDS_PER_QUERY] for start in range(0, max(len(uids), 1), UIDS_PER_QUERY))


def _one_of(column: InstrumentedAttribute[str], uids: Sequence[str]) -> ColumnElement[bool]:
    return column.in_(uids) if uids else true()
