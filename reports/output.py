"""The document objects that reading work ended in. [store]"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from pacs_bridge.ups import OutputReference
from reports.tables import Delivery, Report
from worklist.tables import Site, Workitem


def signed_objects(session: Session, workitem_uids: Collection[str]) -> dict[str, OutputReference]:
    """The object of each workitem's newest signed document and the AE that it is sent to, by workitem.

    A reading that a second person verifies ends in the document with both signatures.
    """
    if not workitem_uids:
        return {}
    named = select(Workitem.report_uid).where(Workitem.workitem_uid.in_(workitem_uids))
    rows = session.execute(
        select(Report, Delivery.sop_instance_uid, Site.return_ae_title)
        .outerjoin(Delivery, and_(Delivery.report_id == Report.id, Delivery.sop_instance_uid.is_not(None)))
        .outerjoin(Site, Site.id == Delivery.site_id)
        .where(Report.report_uid.in_(named), Report.signed_at.is_not(None))
        .order_by(Report.revision)
    )
    versions: defaultdict[str, list[tuple[Report, str | None, str | None]]] = defaultdict(list)
    for report, instance, receiver in rows:
        versions[report.report_uid].append((report, instance, receiver))
    found = {}
    for of_report in versions.values():
        for uid in workitem_uids:
            if (output := _output(uid, of_report)) is not None:
                found[uid] = output
    return found


def _output(workitem_uid: str, versions: Sequence[tuple[Report, str | None, str | None]]) -> OutputReference | None:
    own = [report.revision for report, _, _ in versions if report.workitem_uid == workitem_uid]
    if not own:
        return None
    newest = None
    for report, instance, receiver in versions:
        is_verified = report.verifier_signed_at is not None and report.revision == own[-1] + 1
        if instance and (report.revision in own or is_verified):
            newest = OutputReference(f"{report.report_uid}.1", instance, receiver or "")
    return newest
