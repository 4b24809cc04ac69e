"""When a study is complete enough to be signed, and how its examination is named. [domain]"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class InputReadiness(StrEnum):
    """UPS Input Readiness State (0040,4041)."""

    INCOMPLETE = "INCOMPLETE"
    READY = "READY"


class Waits(StrEnum):
    """What an incomplete study waits for."""

    ASSOCIATION = "association"  # one that brings it is open, or nothing has come
    QUIET_TIME = "quiet_time"
    STEP = "step"  # its device has not said that it is done
    MISSING = "missing"  # something listed is not here


class Ready(StrEnum):
    """What made a study complete, the strongest evidence first."""

    RELEASED = "released"  # a person goes on without what is missing
    LISTED = "mpps"  # the device is done and everything it lists is here
    COMMITMENT = "commitment"  # everything that the device asked to be kept is here, and it is quiet
    QUIET = "association_closed"  # associations over, and the device's quiet time has passed


# A device that began a step and never ended it must not keep a patient waiting for ever.
STEP_OVERDUE = timedelta(minutes=30)


@dataclass(frozen=True)
class StepEvidence:
    """What one performed step says of a study."""

    state: str  # IN PROGRESS | COMPLETED | DISCONTINUED
    n_listed: int
    n_missing: int
    reason: str = ""
    device: str = ""
    ended_at: datetime | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "state": self.state, "n_listed": self.n_listed, "n_missing": self.n_missing, "reason": self.reason,
            "device": self.device, "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """Everything that speaks for or against the completeness of a study."""

    n_instances: int
    last_received_at: datetime
    quiet_time_s: int
    open_associations: int
    steps: tuple[StepEvidence, ...] = ()
    n_committed: int = 0  # objects that the device asked to be kept
    n_commitment_missing: int = 0
    missing: tuple[tuple[str, str], ...] = ()  # (series, instance) of the first ones
    n_missing: int = 0  # all listed ones, each once
    released_at: datetime | None = None

    def as_json(self, verdict: Waits | Ready) -> dict[str, object]:
        """For the study's row and the pages: every kind of evidence, and what came of it."""
        return {
            "kind": str(verdict) if isinstance(verdict, Ready) else None,
            "waits_for": str(verdict) if isinstance(verdict, Waits) else None,
            "n_instances": self.n_instances, "quiet_time_s": self.quiet_time_s,
            "last_received_at": self.last_received_at.isoformat(), "open_associations": self.open_associations,
            "steps": [step.as_json() for step in self.steps],
            "n_listed": sum(step.n_listed for step in self.steps) or self.n_committed,
            "listed_by": "mpps" if any(step.n_listed for step in self.steps) else "commitment",
            "commitment": {"n_listed": self.n_committed, "n_missing": self.n_commitment_missing},
            "n_missing": self.n_missing,
            "missing": [{"series_instance_uid": series, "sop_instance_uid": uid} for series, uid in self.missing],
            "released_at": self.released_at.isoformat() if self.released_at else None,
        }  # fmt: skip


def weigh(evidence: Evidence, now: datetime) -> Waits | Ready:
    """Whether the study is complete and by what, or what it waits for."""
    last = evidence.last_received_at
    if evidence.n_instances == 0 or evidence.open_associations > 0:
        return Waits.ASSOCIATION
    is_quiet = now >= last + timedelta(seconds=evidence.quiet_time_s)
    if evidence.n_missing:
        return Waits.MISSING if is_quiet else Waits.QUIET_TIME
    if any(step.state == "IN PROGRESS" for step in evidence.steps) and now < last + STEP_OVERDUE:
        return Waits.STEP
    is_listed = any(step.n_listed for step in evidence.steps) and all(
        step.state != "IN PROGRESS" for step in evidence.steps
    )
    if not is_listed and not is_quiet:
        return Waits.QUIET_TIME
    return _kind_of(evidence, is_listed)


def _kind_of(evidence: Evidence, is_listed: bool) -> Ready:
    if evidence.released_at:
        return Ready.RELEASED
    if is_listed:
        return Ready.LISTED
    return Ready.COMMITMENT if evidence.n_committed else Ready.QUIET


def modality_of(modality: str, kind: str) -> str:
    """The modality as the worklist groups it: ECG for waveforms, DR for all plain film."""
    if kind == "ecg":
        return "ECG"
    return "DR" if modality in {"DX", "CR", "DR", "RG"} else modality
