"""What speaks for the completeness of a study is gathered; a person may go on without what is missing. [service]"""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from pacs_bridge.performed_step import FINAL
from worklist import acquisition_store, store
from worklist.access import Act, Actor, Refused, check
from worklist.acquisition_store import MOST_NAMED
from worklist.acquisition_tables import Dose, PerformedStep
from worklist.base import audit
from worklist.study import Evidence, InputReadiness, Ready, StepEvidence
from worklist.tables import Device, Study


def gather(session: Session, study: Study) -> Evidence:
    """The evidence as it stands in the index."""
    steps = acquisition_store.steps_of_study(session, study.site_id, study.study_instance_uid)
    counted = [step.id for step in steps if step.state in FINAL]
    listed = acquisition_store.n_listed(session, counted)
    weighed = [
        step.id for step in steps
        if step.id in counted and not (study.released_at and step.ended_at and step.ended_at <= study.released_at)
    ]  # fmt: skip
    missing = acquisition_store.missing_of_steps(session, weighed)
    n_committed, uncommitted = acquisition_store.commitments_of_study(
        session, study.study_instance_uid, study.site_id, study.released_at
    )
    places = {instance: series for _, series, instance in missing}
    places = {uid: places.get(uid, "") for uid in (*places, *uncommitted)}
    return Evidence(
        n_instances=study.n_instances, last_received_at=study.last_received_at, quiet_time_s=study.quiet_time_s,
        open_associations=store.open_association_count(session, study.id),
        steps=tuple(_step(session, step, listed, missing) for step in steps),
        n_committed=n_committed, n_commitment_missing=len(uncommitted), n_missing=len(places),
        missing=tuple((series, uid) for uid, series in list(places.items())[:MOST_NAMED]),
        released_at=study.released_at,
    )  # fmt: skip


def _step(
    session: Session, step: PerformedStep, listed: dict[int, int], missing: list[tuple[int, str, str]]
) -> StepEvidence:
    device = session.get(Device, step.device_id) if step.device_id is not None else None
    return StepEvidence(
        state=step.state, n_listed=listed.get(step.id, 0), n_missing=sum(one[0] == step.id for one in missing),
        reason=step.reason, device=(device.name or device.ae_title) if device else "", ended_at=step.ended_at,
    )  # fmt: skip


def release(session: Session, actor: Actor, study: Study, reason: str, now: datetime) -> None:
    """A person goes on without what is missing, or without waiting for a device to say that it is done.

    Raises Refused: "reason_missing", "study_ready" (nothing is missing), "study_receiving" (it is still arriving).
    """
    check(actor, Act.STUDY_RELEASE)
    if not reason.strip():
        raise Refused("reason_missing")
    if study.input_readiness == InputReadiness.READY:
        raise Refused("study_ready")
    evidence = gather(session, study)
    if evidence.open_associations or not evidence.n_instances:
        raise Refused("study_receiving")
    study.released_at = now
    study.input_readiness, study.ready_at = InputReadiness.READY, now
    study.ready_evidence = evidence.as_json(Ready.RELEASED) | {
        "released_at": now.isoformat(), "released_by": actor.name, "reason": reason.strip()[:256],
    }  # fmt: skip
    study.weighed_at, study.n_missing = now, evidence.n_missing
    session.flush()
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act="study.release",
        object_type="study", object_uid=study.study_instance_uid,
        details={"n_missing": evidence.n_missing, "reason": reason.strip()[:256]},
    )  # fmt: skip
    audit.emit(
        session, "ready", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id,
        n_instances=study.n_instances,
    )  # fmt: skip


def evidence_json(session: Session, study: Study) -> dict[str, Any]:
    """What a study's page shows beside its images: what was weighed, the series of what is missing, dose."""
    weighed = dict(study.ready_evidence or {})
    missing = weighed.get("missing", [])
    numbers = acquisition_store.numbers_of_series(session, [one["series_instance_uid"] for one in missing])
    doses = acquisition_store.doses_of_study(session, study.site_id, study.study_instance_uid)
    weighed["missing"] = [one | {"series_number": numbers.get(one["series_instance_uid"])} for one in missing]
    return {"ready_evidence": weighed or None, "dose": [_dose(row) for row in doses]}


def _dose(row: Dose) -> dict[str, Any]:
    return {"event": row.event, "quantity": row.quantity, "value": row.value, "unit": row.unit, "text": row.text}
