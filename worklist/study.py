"""When a study is complete enough to be signed, and how its examination is named. [domain]"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class InputReadiness(StrEnum):
    """UPS Input Readiness State (0040,4041)."""

    INCOMPLETE = "INCOMPLETE"
    READY = "READY"


@dataclass(frozen=True)
class ReadyEvidence:
    """Why a study counts as complete; kept with it and shown."""

    kind: str  # "association_closed"
    n_instances: int
    quiet_time_s: int
    last_received_at: datetime

    def as_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "n_instances": self.n_instances,
            "quiet_time_s": self.quiet_time_s,
            "last_received_at": self.last_received_at.isoformat(),
        }


def ready_evidence(
    *, n_instances: int, last_received_at: datetime, quiet_time_s: int, open_associations: int, now: datetime
) -> ReadyEvidence | None:
    """Evidence that the study is complete, or None while objects may still come."""
    if n_instances == 0 or open_associations > 0 or now < last_received_at + timedelta(seconds=quiet_time_s):
        return None
    return ReadyEvidence("association_closed", n_instances, quiet_time_s, last_received_at)


def modality_of(modality: str, kind: str) -> str:
    """The modality as the worklist groups it: ECG for waveforms, DR for all plain film."""
    if kind == "ecg":
        return "ECG"
    return "DR" if modality in {"DX", "CR", "DR", "RG"} else modality
