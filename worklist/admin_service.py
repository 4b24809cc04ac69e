"""Sites and quarantine are administered; every change is an audit row. [service]"""

import re
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from worklist import store
from worklist.access import Act, Actor, Refused, check
from worklist.base import audit
from worklist.order import is_accession_prefix
from worklist.tables import Quarantine, Site, Study

_AE_TITLE = re.compile(r"[\x21-\x5B\x5D-\x7E](?:[\x20-\x5B\x5D-\x7E]{0,14}[\x21-\x5B\x5D-\x7E])?")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,31}")
_HOST = re.compile(r"[A-Za-z0-9.:\-]{1,255}")


def check_ae_title(text: str) -> str:
    """Raises Refused("ae_title_invalid") for anything but 1–16 printable ASCII without backslash (PS3.5 AE)."""
    if not _AE_TITLE.fullmatch(text):
        raise Refused("ae_title_invalid", value=text[:32])
    return text


def add_site(session: Session, actor: Actor | None, values: dict[str, Any], now: datetime) -> Site:
    """A new site. Raises Refused: code_invalid, code_taken, and those of ``change_site``."""
    check_may(actor)
    code = values.get("code", "")
    if not _CODE.fullmatch(code):
        raise Refused("code_invalid", value=code[:32])
    if store.site_by_code(session, code) is not None:
        raise Refused("code_taken", value=code)
    site = Site(code=code, name_zh="", name_en="", signatures_by_modality={"*": 1})
    session.add(site)
    _apply_site(site, values)
    session.flush()
    note(session, actor, "site.add", "site", code, now)
    return site


def change_site(session: Session, actor: Actor | None, code: str, values: dict[str, Any], now: datetime) -> Site:
    """Change what ``values`` names.

    Raises Refused: not_found, prefix_invalid, ae_title_invalid, host_invalid, port_invalid, signatures_invalid.
    """
    check_may(actor)
    site = store.site_by_code(session, code)
    if site is None:
        raise Refused("not_found")
    _apply_site(site, values)
    session.flush()
    note(session, actor, "site.change", "site", code, now, fields=sorted(values))
    return site


def _apply_site(site: Site, values: dict[str, Any]) -> None:
    if "accession_prefix" in values:
        prefix = values["accession_prefix"] or ""
        if prefix and not is_accession_prefix(prefix):
            raise Refused("prefix_invalid", value=prefix[:32])
        site.accession_prefix = prefix
    for name in ("name_zh", "name_en", "reads", "enabled", "return_character_set"):
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
        site.return_host = checked_host(values["return_host"])
    if "return_port" in values:
        site.return_port = checked_port(values["return_port"])


def checked_host(host: str | None) -> str | None:
    """A host name or address, or None. Raises Refused("host_invalid")."""
    if host and not _HOST.fullmatch(host):
        raise Refused("host_invalid", host=str(host)[:64])
    return host or None


def checked_port(port: int | None) -> int | None:
    """A TCP port, or None. Raises Refused("port_invalid")."""
    if port is not None and not 0 < port < 65536:
        raise Refused("port_invalid", value=port)
    return port


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
    note(session, actor, "quarantine.settle", "instance", row.sop_instance_uid or str(row.id), now)
    if row.study_id is not None:
        study = session.get_one(Study, row.study_id)
        audit.emit(
            session, "conflict_settled", now=now, actor=actor.username, site_id=study.site_id, study_id=study.id
        )
    return row


def check_may(actor: Actor | None) -> None:
    """Raises Refused. ``actor`` None: the server's own command line."""
    if actor is not None:
        check(actor, Act.ADMIN_SETTINGS)


def note(
    session: Session, actor: Actor | None, act: str, object_type: str, object_uid: str, now: datetime, **details: Any
) -> None:
    """One audit row for a change of settings."""
    audit.record(
        session, now=now, actor=actor.username if actor else "system", role=actor.role if actor else "",
        site=actor.site_code if actor else "", act=act, object_type=object_type, object_uid=object_uid, details=details,
    )  # fmt: skip
