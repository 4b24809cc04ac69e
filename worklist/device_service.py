"""Devices are administered: what they may use, how they are believed, where they are reached. [service]"""

import ipaddress
import re
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import store
from worklist.access import ACTS_BY_ROLE, Act, Actor, Refused
from worklist.account_tables import Account
from worklist.admin_service import check_ae_title, check_may, checked_host, checked_port, note
from worklist.base import audit
from worklist.tables import Device, Site

# What a device may use of us. A modality's by default; a workstation (WS) or PACS only sends and is echoed.
# mpps_notify: it is told of its site's performed steps.
SERVICES = ("echo", "store", "find", "move", "get", "worklist", "mpps", "mpps_notify", "commitment", "ups")
MODALITY_SERVICES = ("echo", "store", "worklist", "mpps")
WORKSTATION_SERVICES = ("echo", "store")
# Other people's studies, and promises to keep them: only with a client certificate or an administrator's written
# exception; the listener (Provider.needs_trust) refuses them otherwise.
TRUSTED_SERVICES = frozenset(("find", "move", "get", "commitment", "ups"))
TYPES = ("DR", "CT", "ECG", "MR", "US", "MG", "XA", "WS")
SEES = ("site", "all")
QUIET_TIME_S = {"DR": 0, "ECG": 0}
QUIET_TIME_OTHER_S = 20
CHARACTER_SETS = ("GB18030", "GBK", "ISO_IR 192", "ISO 2022 IR 58", "ISO_IR 100", "ISO_IR 6")
REFUSALS_OF = timedelta(days=30)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def add_device(session: Session, actor: Actor | None, values: dict[str, Any], now: datetime) -> Device:
    """A new device. Raises Refused: site_unknown, ae_title_taken, and those of ``change_device``."""
    check_may(actor)
    site = store.site_by_code(session, values.get("site", ""))
    if site is None:
        raise Refused("site_unknown")
    title = check_ae_title(values.get("ae_title", ""))
    if store.device_by_ae_title(session, title) is not None:
        raise Refused("ae_title_taken", value=title)
    modality = values["modality"]
    services = WORKSTATION_SERVICES if modality == "WS" else MODALITY_SERVICES
    device = Device(
        ae_title=title, site_id=site.id, modality=modality, services=sorted(services), address_range="",
        quiet_time_s=QUIET_TIME_S.get(modality, QUIET_TIME_OTHER_S), fallback_character_set="GB18030",
        character_set="ISO_IR 192", sees="site", move_destinations=[],
    )  # fmt: skip
    _apply(session, device, values)
    session.add(device)
    session.flush()
    note(session, actor, "device.add", "device", title, now)
    return device


def change_device(
    session: Session, actor: Actor | None, ae_title: str, values: dict[str, Any], now: datetime
) -> Device:
    """Change what ``values`` names.

    Raises Refused: not_found, address_invalid, service_unknown, character_set_unknown, host_invalid,
    port_invalid, certificate_invalid, certificate_taken, sees_unknown, ae_title_invalid, trust_missing, reader_unknown.
    """
    check_may(actor)
    device = store.device_by_ae_title(session, ae_title)
    if device is None:
        raise Refused("not_found")
    with session.no_autoflush:
        _apply(session, device, values)
    session.flush()
    note(session, actor, "device.change", "device", ae_title, now, fields=sorted(values))
    return device


def _apply(session: Session, device: Device, values: dict[str, Any]) -> None:
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
    for name in ("fallback_character_set", "character_set"):
        if name in values:
            if values[name] not in CHARACTER_SETS:
                raise Refused("character_set_unknown", value=str(values[name])[:32])
            setattr(device, name, values[name])
    _apply_reach(device, values)
    _apply_trust(session, device, values)


def _apply_reach(device: Device, values: dict[str, Any]) -> None:
    """Where its own SCP is, and where else it may have objects moved to."""
    if "host" in values:
        device.host = checked_host(values["host"])
    if "port" in values:
        device.port = checked_port(values["port"])
    if "move_destinations" in values:
        device.move_destinations = [check_ae_title(title) for title in values["move_destinations"]]


def _apply_trust(session: Session, device: Device, values: dict[str, Any]) -> None:
    """Which services, by what it is believed, and whose studies it may ask for."""
    if "services" in values:
        if not set(values["services"]) <= set(SERVICES):
            raise Refused("service_unknown")
        device.services = sorted(set(values["services"]))
    if "certificate_sha256" in values:
        digest = str(values["certificate_sha256"] or "").replace(":", "").strip().lower()
        if digest and not _SHA256.fullmatch(digest):
            raise Refused("certificate_invalid")
        if digest and (owner := store.device_by_certificate(session, digest)) is not None and owner is not device:
            raise Refused("certificate_taken")
        device.certificate_sha256 = digest or None
        device.certificate_valid_until = values.get("certificate_valid_until")
    if "sees" in values:
        if values["sees"] not in SEES:
            raise Refused("sees_unknown", value=str(values["sees"])[:32])
        device.sees = values["sees"]
    if "exception_reason" in values:
        device.exception_reason = str(values["exception_reason"] or "").strip()[:256] or None
    if "performs_as" in values:
        device.performs_as = _reader(session, values["performs_as"])
    if TRUSTED_SERVICES & set(device.services) and not (device.certificate_sha256 or device.exception_reason):
        raise Refused("trust_missing")


def _reader(session: Session, username: str | None) -> int | None:
    """Whose workstation it is: somebody who signs; None: nobody's."""
    if not username:
        return None
    account = session.scalar(select(Account).where(Account.username == username, Account.enabled.is_(True)))
    if account is None or Act.REPORT_SIGN not in ACTS_BY_ROLE.get(account.role, frozenset()):
        raise Refused("reader_unknown", to=str(username)[:64])
    return account.id


def performer_of(session: Session, device: Device) -> str | None:
    """The user name of the reader in whose name a device claims work."""
    account = session.get(Account, device.performs_as) if device.performs_as is not None else None
    return account.username if account is not None else None


def devices(session: Session) -> list[tuple[Device, Site]]:
    """All devices with their sites."""
    rows = session.execute(select(Device, Site).join(Site, Site.id == Device.site_id).order_by(Device.id))
    return [(device, site) for device, site in rows]


def refusals(session: Session, ae_title: str | None, now: datetime, most: int = 20) -> list[audit.AuditEvent]:
    """The last refused associations of a calling AE title, or of all; newest first."""
    query = (
        select(audit.AuditEvent)
        .where(audit.AuditEvent.act == "association.open", audit.AuditEvent.result != "ok")
        .where(audit.AuditEvent.at >= now - REFUSALS_OF)
        .order_by(audit.AuditEvent.id.desc())
        .limit(most)
    )
    if ae_title is not None:
        query = query.where(audit.AuditEvent.actor == ae_title)
    return list(session.scalars(query))
