"""A person's rejection note: a Key Object Selection written, stored, and put into force. [app]"""

from collections.abc import Callable, Sequence
from datetime import datetime

from blake3 import blake3
from sqlalchemy import select
from sqlalchemy.orm import Session

from pacs_bridge.key_object import KEY_OBJECT_CLASS, RejectionNote
from pacs_bridge.objects import StudyIdentity, rejection_note
from worklist import rejection_service, store
from worklist.access import Act, Actor, Refused, check
from worklist.roof import Roof
from worklist.tables import Instance, Patient, Series, Site, Study
from worklist.uid import new_uid

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"


def reject_instances(
    roof: Roof, actor: Actor, study_uid: str, code: str, reason: str, sop_uids: Sequence[str] | None, now: datetime,
    *, signed_statuses: Callable[[Session, int], set[str]],
) -> int:  # fmt: skip
    """How many instances a new note hides: those named, or all that are shown. Whoever signed on them is told.

    Raises Refused: not_found (study, or none of the instances in it), reason_missing.
    """
    check(actor, Act.IDENTITY_REPAIR)
    if not reason.strip():
        raise Refused("reason_missing")
    with roof.db.write() as session:
        study = store.study_by_uid(session, study_uid)
        if study is None:
            raise Refused("not_found")
        chosen = _chosen(session, study, sop_uids)
        content, note_uid, series_uid = _note(session, roof, study, code, reason, chosen, now)
        key = roof.blobs.put(content)
        rejected = RejectionNote(code, tuple((study_uid, row.sop_instance_uid) for row, _ in chosen))
        rejection_service.note(
            session, study.site_id, note_uid, rejected, source=actor.username, now=now, actor=actor, reason=reason,
            signed_statuses=signed_statuses,
        )  # fmt: skip
        series = Series(
            study_id=study.id, series_instance_uid=series_uid, modality="KO", number=9000, description="", body_part=""
        )
        session.add(series)
        session.flush()
        session.add(
            Instance(
                series_id=series.id, sop_instance_uid=note_uid, sop_class_uid=KEY_OBJECT_CLASS, number=1,
                transfer_syntax_uid=EXPLICIT_LITTLE, blob_key=key, digest=blake3(content).hexdigest(),
                size_bytes=len(content), received_at=now, derived_state="none", hidden_code=code,
            )
        )  # fmt: skip
        return len(chosen)


def _chosen(session: Session, study: Study, sop_uids: Sequence[str] | None) -> list[tuple[Instance, str]]:
    """Shown instances with the UID of their series."""
    rows = session.execute(
        select(Instance, Series.series_instance_uid)
        .join(Series, Series.id == Instance.series_id)
        .where(Series.study_id == study.id, Instance.hidden_code.is_(None))
        .order_by(Instance.id)
    ).all()
    chosen = [(row, series) for row, series in rows if sop_uids is None or row.sop_instance_uid in set(sop_uids)]
    if not chosen:
        raise Refused("not_found")
    return chosen


def _note(
    session: Session, roof: Roof, study: Study, code: str, reason: str, chosen: list[tuple[Instance, str]],
    now: datetime,
) -> tuple[bytes, str, str]:  # fmt: skip
    """The object, its SOP Instance UID and its series."""
    patient, site = session.get_one(Patient, study.patient_pk), session.get_one(Site, study.site_id)
    note_uid, series_uid = new_uid(), new_uid()
    zone = roof.settings.zone
    identity = StudyIdentity(
        study.study_instance_uid, patient.name, patient.patient_id, patient.sex, patient.birth_date, site.code,
        accession_number=(study.accession_number or "")[:16],
        started_at=(study.acquired_at or study.received_at).astimezone(zone),
    )  # fmt: skip
    references = [(series, row.sop_class_uid, row.sop_instance_uid) for row, series in chosen]
    content = rejection_note(
        code, references, study=identity, sop_instance_uid=note_uid, series_instance_uid=series_uid,
        made_at=now.astimezone(zone), reason=reason,
    )  # fmt: skip
    return content, note_uid, series_uid
