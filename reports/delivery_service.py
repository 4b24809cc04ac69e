"""A signed report goes back to its site by every channel, and a person there says it was read. [service]"""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pacs_bridge.commitment import Reference
from pacs_bridge.ups import ENCAPSULATED_PDF
from reports import store
from reports.delivery import DeliveryMove, DeliveryState, moved, report_progress
from reports.tables import Delivery, DeliveryAttempt, Report
from worklist import commitment_service
from worklist.access import Act, Actor, Refused, check
from worklist.base import audit, outbox
from worklist.status import SIGNED_STATUSES
from worklist.tables import Site, Study
from worklist.uid import new_uid

PORTAL, DICOM = "portal", "dicom"


def promise_deliveries(session: Session, report: Report, study: Study, now: datetime) -> None:
    """One delivery per channel of the site, in the transaction that publishes the report."""
    site = session.get_one(Site, study.site_id)
    session.add(
        Delivery(
            report_id=report.id, site_id=site.id, channel=PORTAL, state=DeliveryState.ACCEPTED, created_at=now,
            accepted_at=now,
        )
    )  # fmt: skip
    if site.return_ae_title and site.return_host and site.return_port:
        delivery = Delivery(
            report_id=report.id, site_id=site.id, channel=DICOM, state=DeliveryState.QUEUED, created_at=now,
            sop_instance_uid=new_uid(), next_attempt_at=now,
        )  # fmt: skip
        session.add(delivery)
        session.flush()
        outbox.promise(session, "deliver", f"deliver:{delivery.id}", {"delivery_id": delivery.id}, now=now)
    session.flush()
    _supersede_preliminary(session, report)
    _note_progress(session, report, study)


def _supersede_preliminary(session: Session, report: Report) -> None:
    """Preliminary versions that have not left need not leave any more; one that is being sent ends by its answer."""
    waiting = (DeliveryState.QUEUED, DeliveryState.RETRY, DeliveryState.DEAD)
    overtaken = select(Report.id).where(
        Report.report_uid == report.report_uid, Report.status == "PRELIM", Report.id != report.id
    )
    session.execute(
        update(Delivery)
        .where(Delivery.report_id.in_(overtaken), Delivery.state.in_(waiting))
        .values(
            state=moved(DeliveryState.QUEUED, DeliveryMove.SUPERSEDE), next_attempt_at=None, last_error=None
        )
    )


def _note_progress(session: Session, report: Report, study: Study) -> None:
    """What the study shows of its report's way back; a preliminary report does not count as returned.

    The study is locked first: of two channels that move at once the second sees what the first has done.
    """
    session.flush()
    session.refresh(study, ["report_status"], with_for_update={"key_share": True})
    newest = store.latest_published(session, report.report_uid)
    if newest is None or newest.id != report.id or report.status == "PRELIM":
        return
    if study.report_status in SIGNED_STATUSES:  # else a later version has been begun and is shown instead
        states = session.execute(select(Delivery.channel, Delivery.state).where(Delivery.report_id == report.id))
        study.report_status = report_progress(dict(states.all()))


def begin_attempt(session: Session, delivery_id: int, now: datetime) -> Delivery | None:
    """Mark a delivery as being sent; None where nothing has to be sent any more."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is not None and delivery.state == DeliveryState.DEAD:  # its job was taken from the dead letters
        delivery.state = moved(delivery.state, DeliveryMove.RESEND)
    if delivery is None or delivery.state not in (DeliveryState.QUEUED, DeliveryState.RETRY, DeliveryState.SENDING):
        return None
    if _is_superseded(session, delivery):
        delivery.state = moved(delivery.state, DeliveryMove.SUPERSEDE)
        delivery.next_attempt_at = delivery.last_error = None
        return None
    delivery.state = moved(delivery.state, DeliveryMove.SEND)
    delivery.n_attempts += 1
    delivery.next_attempt_at = None
    return delivery


def _is_superseded(session: Session, delivery: Delivery) -> bool:
    """Whether a preliminary report was overtaken on its way: nobody should file it after what followed it."""
    report = session.get_one(Report, delivery.report_id)
    newest = store.latest_published(session, report.report_uid)
    return report.status == "PRELIM" and newest is not None and newest.id != report.id


def end_attempt(
    session: Session,
    delivery_id: int,
    *,
    outcome: str,
    status: str | None,
    retry_after: timedelta | None,
    now: datetime,
) -> bool:
    """Write down what the peer said; True when it accepted the report.

    ``outcome``: accepted, warning (B0xx: kept, with a warning shown), or why not; ``retry_after`` None ends the
    trying.
    """
    delivery = session.get_one(Delivery, delivery_id)
    session.add(DeliveryAttempt(delivery_id=delivery_id, at=now, outcome=outcome, status=status))
    if delivery.state != DeliveryState.SENDING:
        return True
    accepted = outcome in ("accepted", "warning")
    if accepted:
        delivery.state = moved(delivery.state, DeliveryMove.ACCEPT)
        delivery.accepted_at = now
        delivery.last_error = status if outcome == "warning" else None
        _ask_to_keep(session, delivery, now)
    else:
        delivery.state = moved(delivery.state, DeliveryMove.FAIL if retry_after else DeliveryMove.GIVE_UP)
        delivery.next_attempt_at = now + retry_after if retry_after else None
        delivery.last_error = f"{outcome} {status or ''}".strip()
    report = session.get_one(Report, delivery.report_id)
    study = session.get_one(Study, report.study_id)
    session.flush()
    _note_progress(session, report, study)
    _tell(session, "system", "system", study, report, "accepted" if accepted else "delivery_failed", "delivery.send",
          outcome if not accepted else "ok", now)  # fmt: skip
    return accepted


def _ask_to_keep(session: Session, delivery: Delivery, now: datetime) -> None:
    """Taken is not archived yet: a PACS that offers storage commitment is asked to confirm it."""
    receiver = session.get_one(Site, delivery.site_id).return_ae_title
    if delivery.sop_instance_uid and receiver and commitment_service.is_offered(session, receiver):
        commitment_service.ask(session, receiver, [Reference(ENCAPSULATED_PDF, delivery.sop_instance_uid)], now)


def resend(session: Session, actor: Actor, delivery_id: int, now: datetime) -> Delivery:
    """An administrator has it sent again.

    Raises Refused("not_found" | "delivery_superseded"), IllegalDeliveryMove.
    """
    check(actor, Act.ADMIN_QUEUE)
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.channel == PORTAL:
        raise Refused("not_found")
    after = moved(delivery.state, DeliveryMove.RESEND)
    if _is_superseded(session, delivery):
        raise Refused("delivery_superseded")
    delivery.state = after
    delivery.next_attempt_at = now
    outbox.promise(session, "deliver", f"deliver:{delivery_id}", {"delivery_id": delivery_id}, now=now)
    report = session.get_one(Report, delivery.report_id)
    study = session.get_one(Study, report.study_id)
    _tell(session, actor.username, actor.role, study, report, "resent", "delivery.resend", "ok", now)
    return delivery


def _receipt(
    session: Session, actor: Actor, report: Report, study: Study,
    step: DeliveryMove, event: str, values: dict[str, object], now: datetime,
) -> None:
    portal = session.scalars(
        select(Delivery).where(Delivery.report_id == report.id, Delivery.channel == PORTAL)
    ).one()
    after = moved(portal.state, step)
    changed = session.execute(
        update(Delivery)
        .where(Delivery.id == portal.id, Delivery.state == portal.state)
        .values(state=after, **values)
    )
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        raise Refused("stale")
    session.refresh(portal)
    _note_progress(session, report, study)
    _tell(session, actor.username, actor.role, study, report, event, f"delivery.{event}", "ok", now)


def note_opened(session: Session, actor: Actor, report: Report, study: Study, now: datetime) -> None:
    """A named person of the site has the report on screen; the first one is written down."""
    check(actor, Act.DELIVERY_ACKNOWLEDGE)
    portal = session.scalars(
        select(Delivery).where(Delivery.report_id == report.id, Delivery.channel == PORTAL)
    ).one()
    if portal.opened_at is None and portal.state == DeliveryState.ACCEPTED:
        values: dict[str, object] = {"opened_at": now, "opened_by": actor.account_id}
        _receipt(session, actor, report, study, DeliveryMove.OPEN, "opened", values, now)


def acknowledge(session: Session, actor: Actor, report: Report, study: Study, action: str, now: datetime) -> None:
    """A named person of the site confirms the report. Raises Refused, IllegalDeliveryMove when it was done before."""
    check(actor, Act.DELIVERY_ACKNOWLEDGE)
    if report.status == "PRELIM":
        raise Refused("preliminary_not_acknowledged")
    values: dict[str, object] = {
        "acknowledged_at": now, "acknowledged_by": actor.account_id, "action_taken": action[:256],
    }  # fmt: skip
    _receipt(session, actor, report, study, DeliveryMove.ACKNOWLEDGE, "acknowledged", values, now)


def _tell(
    session: Session, actor: str, role: str, study: Study, report: Report,
    event: str, act: str, result: str, now: datetime,
) -> None:
    site = session.get_one(Site, study.site_id)
    audit.record(
        session, now=now, actor=actor, role=role, site=site.code, act=act, object_type="report",
        object_uid=report.report_uid, result=result,
    )  # fmt: skip
    audit.emit(
        session, event, now=now, actor=actor, site_id=study.site_id, study_id=study.id,
        workitem_uid=report.workitem_uid, report_uid=report.report_uid,
    )  # fmt: skip
