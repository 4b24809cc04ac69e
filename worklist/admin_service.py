"""Sites, devices and quarantine are administered; every change is an audit row. [service]"""

import ipaddress
import re
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import store
from worklist.access import Act, Actor, Refused, check
from worklist.base import audit
from worklist.tables import Device, Quarantine, Site, Study

# What a device may use of us; the first two by default.
SERVICES = ("echo", "store", "find", "move", "get", "worklist", "mpps", "commitment", "ups")
DEFAULT_SERVICES = SERVICES[:2]
SEES = ("site", "all")
QUIET_TIME_S = {"DR": 0, "ECG": 0}
QUIET_TIME_OTHER_S = 20
CHARACTER_SETS = ("GB18030", "GBK", "ISO_IR 192", "ISO 2022 IR 58", "ISO_IR 100", "ISO_IR 6")
_AE_TITLE = re.compile(r"[\x21-\x5B\x5D-\x7E](?:[\x20-\x5B\x5D-\x7E]{0,14}[\x21-\x5B\x5D-\x7E])?")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HOST = re.compile(r"[A-Za-z0-9.:\-]{1,255}")


def check_ae_title(text: str) -> str:
    """Raises Refused("ae_title_invalid") for anything but 1–16 printable ASCII without backslash (PS3.5 AE)."""
    if not _AE_TITLE.fullmatch(text):
        raise Refused("ae_title_invalid", value=text[:32])
    return text


def add_site(session: Session, actor: Actor | None, values: dict[str, Any], now: datetime) -> Site:
    """A new site. Raises Refused: code_invalid, code_taken, and those of ``change_site``."""
    _check(actor)
    code = values.get("code", "")
    if not _CODE.fullmatch(code):
        raise Refused("code_invalid", value=code[:32])
    if store.site_by_code(session, code) is not None:
        raise Refused("code_taken", value=code)
    site = Site(code=code, name_zh="", name_en="", signatures_by_modality={"*": 1})
    session.add(site)
    _apply_site(site, values)
    session.flush()
    _audit(session, actor, "site.add", "site", code, now)
    return site


def change_site(session: Session, actor: Actor | None, code: str, values: dict[str, Any], now: datetime) -> Site:
    """Change what ``values`` names.

    Raises Refused: not_found, ae_title_invalid, host_invalid, port_invalid, signatures_invalid.
    """
    _check(actor)
    site = store.site_by_code(session, code)
    if site is None:
        raise Refused("not_found")
    _apply_site(site, values)
    session.flush()
    _audit(session, actor, "site.change", "site", code, now, fields=sorted(values))
    return site


def _apply_site(site: Site, values: dict[str, Any]) -> None:
    for name in ("name_zh", "name_en", "accession_prefix", "reads", "enabled", "return_character_set"):
        if name in values:
            setattr(site, name, values[name])
    if "signatures_by_modality" in values:
        rule = values["signatures_by_modality"]
        if not all(isinstance(n, int) and n in (1, 2) for n in rule.values()):
            raise Refused("signatures_invalid")
        site.signatures_by_modality = dict(rule)
    if "return_ae_title" in values:
        title = values["return_ae_title"]
        site.return_ae_title = check_ae_title(title) if title else None
    if "return_host" in values:
        site.return_host = _checked_host(values["return_host"])
    if "return_port" in values:
        site.return_port = _checked_port(values["return_port"])


def _checked_host(host: str | None) -> str | None:
    if host and not _HOST.fullmatch(host):
        raise Refused("host_invalid", host=str(host)[:64])
    return host or None


def _checked_port(port: int | None) -> int | None:
    if port is not None and not 0 < port < 65536:
        raise Refused("port_invalid", value=port)
    return port


def add_device(session: Session, actor: Actor | None, values: dict[str, Any], now: datetime) -> Device:
    """A new device. Raises Refused: site_unknown, ae_title_taken, and those of ``change_device``."""
    _check(actor)
    site = store.site_by_code(session, values.get("site", ""))
    if site is None:
        raise Refused("site_unknown")
    title = check_ae_title(values.get("ae_title", ""))
    if store.device_by_ae_title(session, title) is not None:
        raise Refused("ae_title_taken", value=title)
    modality = values["modality"]
    device = Device(
        ae_title=title, site_id=site.id, modality=modality, services=list(DEFAULT_SERVICES), address_range="",
        quiet_time_s=QUIET_TIME_S.get(modality, QUIET_TIME_OTHER_S), fallback_character_set="GB18030",
    )  # fmt: skip
    _apply_device(session, device, values)
    session.add(device)
    session.flush()
    _audit(session, actor, "device.add", "device", title, now)
    return device


def change_device(
    session: Session, actor: Actor | None, ae_title: str, values: dict[str, Any], now: datetime
) -> Device:
    """Change what ``values`` names.

    Raises Refused: not_found, address_invalid, service_unknown, character_set_unknown, host_invalid,
    port_invalid, certificate_invalid, certificate_taken, sees_unknown, ae_title_invalid.
    """
    _check(actor)
    device = store.device_by_ae_title(session, ae_title)
    if device is None:
        raise Refused("not_found")
    _apply_device(session, device, values)
    session.flush()
    _audit(session, actor, "device.change", "device", ae_title, now, fields=sorted(values))
    return device


def _apply_device(session: Session, device: Device, values: dict[str, Any]) -> None:
    for name in ("name", "modality", "enabled"):
        if name in values:
            setattr(device, name, values[name])
    if "address_range" in values:
        try:
            device.address_range = str(ipaddress.ip_network(values["address_range"], strict=False))
        except ValueError:
            raise Refused("address_invalid", value=str(values["address_range"])[:64]) from None
    if values.get("quiet_time_s") is not None:
        if not 0 <= values["quiet_time_s"] <= 3600:
            raise Refused("quiet_time_invalid", value=values["quiet_time_s"])
        device.quiet_time_s = values["quiet_time_s"]
    if "services" in values:
        if not set(values["services"]) <= set(SERVICES):
            raise Refused("service_unknown")
        device.services = sorted(values["services"])
    for name in ("fallback_character_set", "character_set"):
        if name in values:
            if values[name] not in CHARACTER_SETS:
                raise Refused("character_set_unknown", value=str(values[name])[:32])
            setattr(device, name, values[name])
    _apply_trust(session, device, values)


def _apply_trust(session: Session, device: Device, values: dict[str, Any]) -> None:
    """Where its own SCP is, how a device is believed, and what beyond its site it may ask for."""
    if "host" in values:
        device.host = _checked_host(values["host"])
    if "port" in values:
        device.port = _checked_port(values["port"])
    if "certificate_sha256" in values:
        digest = str(values["certificate_sha256"] or "").replace(":", "").strip().lower()
        if digest and not _SHA256.fullmatch(digest):
            raise Refused("certificate_invalid")
        if digest and (owner := store.device_by_certificate(session, digest)) is not None and owner is not device:
            raise Refused("certificate_taken")
        device.certificate_sha256 = digest or None
    if "sees" in values:
        if values["sees"] not in SEES:
            raise Refused("sees_unknown", value=str(values["sees"])[:32])
        device.sees = values["sees"]
    if "move_destinations" in values:
        device.move_destinations = [check_ae_title(title) for title in values["move_destinations"]]
    if "exception_reason" in values:
        device.exception_reason = str(values["exception_reason"] or "").strip()[:256] or None


def settle_quarantine(session: Session, actor: Actor, quarantine_id: int, resolution: str, now: datetime) -> Quarantine:
    """An administrator has dealt with an object: the reason it was kept no longer stands in the way.

    The object itself stays. Raises Refused: not_found, already_settled, reason_missing.
    """
    check(actor, Act.QUARANTINE_HEADERS)
    if not resolution.strip():
        raise Refused("reason_missing")
    row = session.get(Quarantine, quarantine_id)
    if row is None:
        raise Refused("not_found")
    if row.resolved_at is not None:
        raise Refused("already_settled")
    row.resolved_at, row.resolved_by, row.resolution = now, actor.account_id, resolution[:256]
    _audit(session, actor, "quarantine.settle", "instance", row.sop_instance_uid or str(row.id), now)
    if row.study_id is not None:
        study = session.get_one(Study, row.study_id)
        audit.emit(
            session, "conflict_settled", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id
        )
    return row


def devices(session: Session) -> list[tuple[Device, Site]]:
    """All devices with their sites."""
    rows = session.execute(select(Device, Site).join(Site, Site.id == Device.site_id).order_by(Device.id))
    return [(device, site) for device, site in rows]


def _check(actor: Actor | None) -> None:
    """``actor`` None: the server's own command line."""
    if actor is not None:
        check(actor, Act.ADMIN_SETTINGS)


def _audit(
    session: Session, actor: Actor | None, act: str, object_type: str, object_uid: str, now: datetime, **details: Any
) -> None:
    audit.record(
        session, now=now, actor=actor.username if actor else "system", role=actor.role if actor else "",
        site=actor.site_code if actor else "", act=act, object_type=object_type, object_uid=object_uid, details=details,
    )  # fmt: skip
