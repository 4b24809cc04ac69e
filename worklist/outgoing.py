"""What leaves the archive: which stored objects, and what is corrected on the way out. [store]"""

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from worklist.tables import Instance, Series, Study


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


def outgoing(
    session: Session, where: ColumnElement[bool],
    *, study: str | None = None, series: str | None = None, instance: str | None = None,
) -> list[Outgoing]:  # fmt: skip
    """Objects of the studies that ``where`` lets through, in the order of a study; hidden ones are left out."""
    query = (
        select(Study, Series, Instance)
        .join(Series, Series.study_id == Study.id)
        .join(Instance, Instance.series_id == Series.id)
        .where(where, Instance.hidden_code.is_(None))
        .order_by(Study.id, Series.number, Series.id, Instance.number, Instance.id)
    )
    if study is not None:
        query = query.where(Study.study_instance_uid == study)
    if series is not None:
        query = query.where(Series.series_instance_uid == series)
    if instance is not None:
        query = query.where(Instance.sop_instance_uid == instance)
    return [_outgoing(*row) for row in session.execute(query)]


def _outgoing(study: Study, series: Series, instance: Instance) -> Outgoing:
    return Outgoing(
        study.study_instance_uid, series.series_instance_uid, instance.sop_instance_uid, instance.sop_class_uid,
        instance.transfer_syntax_uid, instance.blob_key, instance.digest, instance.size_bytes, study.site_id,
    )  # fmt: skip
