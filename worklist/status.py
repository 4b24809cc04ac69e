"""The one word a screen shows for a piece of work. [domain]"""

from worklist.study import InputReadiness
from worklist.workitem import WorkitemState, WorkitemStep

STATUSES = (
    "receiving", "waiting", "reading", "to_verify", "returned_for_edit",
    "final", "delivered", "opened", "acknowledged", "returned_for_retake", "cancelled",
)  # fmt: skip
# In which states of a workitem each word can stand.
STATES_OF_STATUS = {
    "receiving": ("SCHEDULED",), "waiting": ("SCHEDULED",), "reading": ("IN PROGRESS",),
    "to_verify": ("SCHEDULED", "IN PROGRESS", "COMPLETED"), "returned_for_edit": ("SCHEDULED", "IN PROGRESS"),
    "final": ("COMPLETED",), "delivered": ("COMPLETED",), "opened": ("COMPLETED",), "acknowledged": ("COMPLETED",),
    "returned_for_retake": ("CANCELED",), "cancelled": ("CANCELED",),
}  # fmt: skip
SIGNED_STATUSES = ("final", "delivered", "opened", "acknowledged")


def status(state: str, step: str, input_readiness: str, report_status: str, retake_reason: str | None = None) -> str:
    """One of STATUSES, from the workitem's state and step, the study's readiness and its report's progress."""
    if state == WorkitemState.CANCELED:
        return "returned_for_retake" if retake_reason else "cancelled"
    if state == WorkitemState.COMPLETED:
        return report_status if report_status in SIGNED_STATUSES else "to_verify"
    if step == WorkitemStep.VERIFICATION:
        return "to_verify"
    if step == WorkitemStep.INTERPRETATION and report_status == "returned":
        return "returned_for_edit"
    if state == WorkitemState.IN_PROGRESS:
        return "reading"
    return "receiving" if input_readiness == InputReadiness.INCOMPLETE else "waiting"
