"""The document objects that signed reports became. [store]"""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from reports.tables import Delivery, Report


def signed_objects(session: Session, report_uids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Series and instance of each report's newest signed document, by report."""
    if not report_uids:
        return {}
    was_sent = Delivery.sop_instance_uid.is_not(None)
    rows = session.execute(
        select(Report.report_uid, Delivery.sop_instance_uid)
        .join(Delivery, Delivery.report_id == Report.id)
        .where(Report.report_uid.in_(report_uids), Report.signed_at.is_not(None), was_sent)
        .order_by(Report.revision)
    )
    return {report_uid: (f"{report_uid}.1", instance) for report_uid, instance in rows if instance}
