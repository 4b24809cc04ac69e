"""Which lane a study waits in, and when its report is due. [domain]

Times are the county's defaults: emergency plain film 30 min, emergency CT 60 (head 30), stroke CT 45,
chest-pain ECG 10, routine film 2 h, routine CT 4 h, routine ECG 30 min (research/reports.md, "Time targets").
"""

from datetime import datetime, timedelta

PRIORITIES = ("stat", "asap", "urgent", "routine")  # FHIR request-priority, most urgent first
PATHWAYS = ("stroke", "chest_pain")
LANES = ("critical", "stroke", "chest_pain", "emergency", "routine")

_EMERGENCY_MIN = {"ECG": 10, "CT": 60}
_ROUTINE_MIN = {"ECG": 30, "CT": 240}


def lane(priority: str, pathway: str | None) -> str:
    """The worklist lane; a green channel wins over the plain priority."""
    if pathway in PATHWAYS:
        return pathway
    return "routine" if priority == "routine" else "emergency"


def target_minutes(modality: str, body_part: str, priority: str, pathway: str | None) -> int:
    """Minutes from arrival to the signed report."""
    chosen = lane(priority, pathway)
    if chosen == "stroke":
        return 45
    if chosen == "chest_pain":
        return 10 if modality == "ECG" else 30
    if chosen == "emergency":
        if modality == "CT" and "HEAD" in body_part.upper():
            return 30
        return _EMERGENCY_MIN.get(modality, 30)
    return _ROUTINE_MIN.get(modality, 120)


def due_at(received_at: datetime, modality: str, body_part: str, priority: str, pathway: str | None) -> datetime:
    """When the report is due, counted from the first object."""
    return received_at + timedelta(minutes=target_minutes(modality, body_part, priority, pathway))
