"""What happened after a signature becomes work for whoever signed. [service]"""

from datetime import datetime

from sqlalchemy.orm import Session

from worklist import store, triage
from worklist.tables import Study, Workitem
from worklist.uid import new_uid
from worklist.workitem import WorkitemState, WorkitemStep


def addendum_for_signer(
    session: Session, study: Study, now: datetime, *, workitem_uid: str | None = None
) -> str | None:
    """A new addendum workitem for the last signer; None where work on this study is open already."""
    if any(store.open_workitem_exists(session, study.id, step.value) for step in WorkitemStep):
        return None
    last = [item for item in store.workitems_of_study(session, study.id) if item.state == WorkitemState.COMPLETED][-1]
    item = Workitem(
        workitem_uid=workitem_uid or new_uid(), study_id=study.id, step=WorkitemStep.ADDENDUM,
        state=WorkitemState.SCHEDULED, priority=last.priority, created_at=now,
        scheduled_performer=last.actual_performer, report_uid=last.report_uid,
        due_at=triage.due_at(now, study.modality, study.body_part, last.priority, None),
    )  # fmt: skip
    session.add(item)
    session.flush()
    return item.workitem_uid
