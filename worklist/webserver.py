"""The web role: pages, API and event streams built and joined. [app]"""

import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.http import parse_cookie

from pacs_bridge.blobs import write_durable
from reports import pdf
from reports import store as report_store
from reports.desk import ReportDesk
from reports.signing_pool import SigningPool
from reports.verification import VerifyDesk, is_intact
from reports.web import note_readings, published_report, report_of_workitem, reports
from reports.web_deliveries import deliveries
from viewer.dicomweb_fast import FrameMemory
from viewer.dicomweb_routes import dicomweb
from viewer.web import viewer
from worklist import ecg_sheet, items_store, store
from worklist.access import Actor, can_see_study
from worklist.base.audit import WorkflowEvent
from worklist.event_hub import EventItem
from worklist.listen import make_inbox
from worklist.number_vault import open_vault
from worklist.rejection_desk import reject_instances
from worklist.roof import Roof, run_name
from worklist.session_service import find_session
from worklist.tables import Study
from worklist.uploads import UploadDesk
from worklist.ups import place_of
from worklist.web import WebServices, common_headers, create_web
from worklist.web_adapters import admin_adapters
from worklist.web_admin import admin
from worklist.web_audit import audits
from worklist.web_auth import SESSION_COOKIE
from worklist.web_commitments import commitments
from worklist.web_devices import devices
from worklist.web_dicomweb import dicomweb_adapters, short_way
from worklist.web_orders import orders
from worklist.web_people import people
from worklist.web_persons import persons
from worklist.web_public import public
from worklist.web_repair import repair
from worklist.web_statistics import statistics
from worklist.web_upload import upload
from worklist.web_worklist import worklist

BLUEPRINTS = (
    worklist, orders, upload, public, reports, viewer, admin, devices, people, deliveries, commitments, statistics,
    dicomweb, persons, repair, audits,
)  # fmt: skip
SHORT_WAY = "teleread_short_way"  # in the application's extensions, for the ASGI side


def build_web(roof: Roof, pool: SigningPool) -> Flask:
    """The WSGI application with every adapter it needs."""
    desk = ReportDesk(
        db=roof.db, settings=roof.settings, blobs=roof.blobs, signer=pool, render=pdf.render,
        prepare_fields=_prepare_fields, render_stamp=pdf.stamp, ecg_svg=partial(_paper_ecg, roof), now=roof.now,
    )  # fmt: skip
    intact = partial(is_intact, roof.blobs.path, roof.keys_dir / "ca.crt")
    inbox = make_inbox(roof, run_name("web"))
    inbox.close_lost_associations()  # an upload that a killed web process left open
    memory = FrameMemory()
    adapters: dict[str, Callable[..., Any]] = {
        "desk": lambda: desk, "blob_path": roof.blobs.path, "derived_dir": roof.blobs.derived_dir,
        "report_of_workitem": report_of_workitem, "published_report": published_report,
        "note_readings": note_readings,
        "report_saved_at": report_store.saved_at,
        "ecg_sheet": partial(ecg_sheet.screen_sheet, roof.blobs.path, roof.settings.zone),
        "upload_ecg": UploadDesk(roof, inbox).upload_ecg,
        "verify_code": VerifyDesk(roof.db, intact).look_up, "failing_parts": partial(failing_parts, roof),
        "vault": partial(open_vault, roof.keys_dir), "signed_statuses": report_store.signed_statuses,
        "forget_preparations": report_store.forget_preparations,
        "reject_instances": partial(reject_instances, roof, signed_statuses=report_store.signed_statuses),
        "ups_place": partial(place_of, roof),
        **admin_adapters(roof), **dicomweb_adapters(roof, inbox, memory),
    }  # fmt: skip
    app = create_web(
        WebServices(db=roof.db, settings=roof.settings, now=roof.now, blueprints=BLUEPRINTS, adapters=adapters)
    )
    app.extensions[SHORT_WAY] = short_way(memory, common_headers(roof.settings))
    return app


def _prepare_fields(document: bytes, n_fields: int) -> bytes:
    """``reports.sign.prepare``, loaded after the start (``load_signing``): its libraries are a fifth of all."""
    from reports.sign import prepare  # noqa: PLC0415

    return prepare(document, n_fields)


def load_signing(pool: SigningPool) -> None:
    """What signing and verifying need, beside the first requests."""
    import reports.sign  # noqa: PLC0415
    import reports.verify  # noqa: F401, PLC0415

    pool.warm_up()


def _paper_ecg(roof: Roof, session: Session, study: Study) -> str | None:
    if study.kind != "ecg":
        return None
    keys = [item.blob_key for item in store.instances_of_study(session, study.id)]
    return ecg_sheet.paper_sheet(roof.blobs.path, roof.settings.zone, keys)


def authenticate(roof: Roof, headers: Mapping[str, str]) -> Actor | None:
    """Whose stream this is, from its lower-case headers; a stream does not keep a login alive."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    kind = "token" if scheme.lower() == "bearer" else "browser"
    secret = secret.strip() if kind == "token" else parse_cookie(headers.get("cookie", "")).get(SESSION_COOKIE, "")
    if not secret:
        return None
    with roof.db.read() as session:
        found = find_session(session, secret, roof.now())
    return found.actor if found is not None and found.ended is None and found.kind == kind else None


def describe(zone: tzinfo, session: Session, events: Sequence[WorkflowEvent]) -> list[EventItem]:
    """Events as pages get them: what happened, and the study's workitems as they are now. ``zone`` as in the list."""
    study_ids = sorted({event.study_id for event in events if event.study_id is not None})
    items = items_store.items_by_study(session, study_ids, zone) if study_ids else {}
    studies: Mapping[int, Study] = {key: session.get_one(Study, key) for key in study_ids}
    return [
        _event_item(event, studies.get(event.study_id or 0), items.get(event.study_id or 0, [])) for event in events
    ]


def _event_item(event: WorkflowEvent, study: Study | None, items: list[dict[str, Any]]) -> EventItem:
    data = {
        "event_id": event.id, "kind": event.kind, "at": event.at.isoformat(), "actor": event.actor,
        "workitem_uid": event.workitem_uid, "report_uid": event.report_uid, "details": event.details,
        "study_instance_uid": study.study_instance_uid if study else None, "items": items,
    }  # fmt: skip
    site_id = study.site_id if study else event.site_id
    return EventItem(event.id, event.kind, site_id, study.kind if study else None, event.study_id, data)


def visible(actor: Actor, item: EventItem) -> bool:
    """A study's events for who may see the study; a site's other events for its own people."""
    if item.study_site_id is None:
        return True
    if item.study_kind is None:
        return actor.site_id == item.study_site_id
    return can_see_study(actor, item.study_site_id, item.study_kind)


def failing_parts(roof: Roof) -> list[str]:
    """Which of database, storage and listener do not answer."""
    failing = []
    try:
        with roof.db.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        failing.append("database")
    try:
        write_durable(roof.blobs.spool_dir, b"healthy").unlink()
    except OSError:
        failing.append("storage")
    host = roof.settings.dicom_host
    try:
        address = ("127.0.0.1" if host in ("0.0.0.0", "") else host, roof.settings.dicom_port_number)  # noqa: S104
        socket.create_connection(address, timeout=2).close()
    except OSError:
        failing.append("listener")
    return failing
