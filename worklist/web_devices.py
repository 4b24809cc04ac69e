"""Administration of devices: the list, one device, its certificate, a C-ECHO, why it was refused. [web]"""

from datetime import datetime
from typing import Any

from flask import Blueprint, request
from sqlalchemy.orm import Session

from worklist import device_service, store
from worklist.access import Act
from worklist.tables import Device, Site
from worklist.web import (
    Field,
    WebError,
    actor,
    adapter,
    now,
    read,
    read_json,
    register_codes,
    route_needs,
    write,
)  # fmt: skip

devices = Blueprint("devices", __name__)

register_codes(
    {
        "ae_title_taken": 409, "address_invalid": 422, "quiet_time_invalid": 422, "service_unknown": 422,
        "certificate_invalid": 422, "certificate_taken": 409, "sees_unknown": 422, "character_set_unknown": 422,
        "trust_missing": 422,
    }
)  # fmt: skip

DEVICE = {
    "name": Field(str, False, 64), "modality": Field(str, False, choices=set(device_service.TYPES)),
    "address_range": Field(str, False, 64), "quiet_time_s": Field(int, False), "enabled": Field(bool, False),
    "services": Field(list, False, 16, items=Field(str)), "fallback_character_set": Field(str, False, 32),
    "character_set": Field(str, False, 32), "host": Field(str, False, 255, nullable=True),
    "port": Field(int, False, nullable=True), "certificate_sha256": Field(str, False, 128, nullable=True),
    "certificate_pem": Field(str, False, 20_000), "sees": Field(str, False, 32),
    "move_destinations": Field(list, False, 32, items=Field(str)),
    "exception_reason": Field(str, False, 256, nullable=True), "performs_as": Field(str, False, 64, nullable=True),
}  # fmt: skip
NEW_DEVICE = DEVICE | {
    "site": Field(str, max_len=32), "ae_title": Field(str, max_len=16),
    "modality": Field(str, choices=set(device_service.TYPES)), "address_range": Field(str, max_len=64),
}  # fmt: skip


@devices.get("/api/admin/devices")
@route_needs(Act.ADMIN_SETTINGS, summary="All devices", touches=False)
def device_list() -> dict[str, Any]:
    with read() as session:
        return {"devices": [device_json(session, device, site) for device, site in device_service.devices(session)]}


def device_json(session: Session, device: Device, site: Site) -> dict[str, Any]:
    """A device as administration sees it."""
    return {
        "ae_title": device.ae_title, "site": site.code, "name": device.name, "modality": device.modality,
        "address_range": device.address_range, "services": device.services, "quiet_time_s": device.quiet_time_s,
        "fallback_character_set": device.fallback_character_set, "enabled": device.enabled,
        "character_set": device.character_set, "host": device.host, "port": device.port, "sees": device.sees,
        "certificate_sha256": device.certificate_sha256,
        "certificate_valid_until": _text(device.certificate_valid_until),
        "move_destinations": device.move_destinations, "exception_reason": device.exception_reason,
        "performs_as": device_service.performer_of(session, device), "last_seen_at": _text(device.last_seen_at),
    }  # fmt: skip


@devices.post("/api/admin/devices")
@route_needs(Act.ADMIN_SETTINGS, summary="A new device", body=NEW_DEVICE, answers={201: "made"})
def add_device() -> tuple[dict[str, Any], int]:
    body = _with_certificate(read_json(NEW_DEVICE))
    with write() as session:
        device = device_service.add_device(session, actor(), body, now())
        return device_json(session, device, session.get_one(Site, device.site_id)), 201


@devices.patch("/api/admin/devices/<ae_title>")
@route_needs(Act.ADMIN_SETTINGS, summary="Change a device", body=DEVICE)
def change_device(ae_title: str) -> dict[str, Any]:
    body = _with_certificate(read_json(DEVICE))
    with write() as session:
        device = device_service.change_device(session, actor(), ae_title, body, now())
        return device_json(session, device, session.get_one(Site, device.site_id))


def _with_certificate(body: dict[str, Any]) -> dict[str, Any]:
    """A certificate given as PEM is kept by its fingerprint. Raises WebError certificate_invalid."""
    pem = body.pop("certificate_pem", "")
    if not pem:
        return body
    found = adapter("certificate_facts")(pem)
    if found is None:
        raise WebError(422, "certificate_invalid")
    return body | {"certificate_sha256": found[0], "certificate_valid_until": found[1]}


@devices.post("/api/admin/devices/<ae_title>/echo")
@route_needs(Act.ADMIN_SETTINGS, summary="C-ECHO to the device's own address")
def echo_device(ae_title: str) -> dict[str, Any]:
    with read() as session:
        device = store.device_by_ae_title(session, ae_title)
        if device is None or not (device.host and device.port):
            raise WebError(404, "not_found")
    outcome: dict[str, Any] = adapter("echo")(device.host, device.port, device.ae_title)
    return outcome


@devices.get("/api/admin/refusals")
@route_needs(
    Act.ADMIN_AUDIT, summary="Associations refused in the last 30 days, newest first", query=["ae_title"],
    touches=False,
)  # fmt: skip
def refusals() -> dict[str, Any]:
    with read() as session:
        rows = device_service.refusals(session, request.args.get("ae_title"), now())
        return {
            "refusals": [
                {"at": _text(row.at), "calling_ae_title": row.actor, "called_ae_title": row.object_uid,
                 "reason": row.result, "address": row.details.get("address")}
                for row in rows
            ]
        }  # fmt: skip


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
