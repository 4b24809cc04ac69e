"""Who asks for procedure steps, a device or a person: what they see, in whose name they perform. [service]"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, false, true
from sqlalchemy.orm import Session

from pacs_bridge.ports import Peer
from worklist.access import ROLES_OF_OWN_KINDS, ROLES_OF_OWN_SITE, Actor, can_see_study
from worklist.access_store import visible_studies
from worklist.account_tables import Account
from worklist.peer_sight import studies_of_peer
from worklist.session_service import actor_of
from worklist.tables import Device, Site
from worklist.ups_store import Sight
from worklist.ups_tables import UpsTask


@dataclass(frozen=True)
class Asker:
    """``name``: as audit rows have it; ``performer``: in whose name reading work is claimed, None: in nobody's."""

    name: str
    role: str
    site_id: int
    site_code: str
    sight: Sight
    performer: Actor | None
    device_id: int | None = None
    account_id: int | None = None


def asker_of_peer(session: Session, peer: Peer) -> Asker:
    """A device, with the account of the reader whose workstation it is."""
    device = session.get_one(Device, peer.device_id)
    site = session.get_one(Site, device.site_id)
    account = session.get(Account, device.performs_as) if device.performs_as is not None else None
    performer = None
    if account is not None and account.enabled:
        performer = actor_of(account, session.get_one(Site, account.site_id), f"device:{device.ae_title}")
    sight = Sight(studies_of_peer(peer), true() if peer.sees_all else UpsTask.site_id == peer.site_id)
    return Asker(peer.ae_title, "device", device.site_id, site.code, sight, performer, device_id=device.id)


def asker_of_person(actor: Actor, now: datetime) -> Asker:
    """A person or their program."""
    sight = Sight(visible_studies(actor, now), _tasks_of(actor))
    return Asker(actor.username, actor.role, actor.site_id, actor.site_code, sight, actor, account_id=actor.account_id)


def _tasks_of(actor: Actor) -> ColumnElement[bool]:
    if actor.role in ROLES_OF_OWN_KINDS:
        return true()  # a task has no kind of its own: whoever reads studies sees what was made of them
    return UpsTask.site_id == actor.site_id if actor.role in ROLES_OF_OWN_SITE else false()


def subscriber_sees(
    session: Session, device_id: int | None, account_id: int | None, site_id: int, kind: str | None
) -> bool:
    """Whether a subscriber may hear of a study of that site and kind; ``kind`` None: of a task."""
    if device_id is not None:
        device = session.get(Device, device_id)
        return device is not None and device.enabled and (device.sees == "all" or device.site_id == site_id)
    account = session.get(Account, account_id) if account_id is not None else None
    if account is None or not account.enabled:
        return False
    actor = actor_of(account, session.get_one(Site, account.site_id), "")
    if kind is None:
        return actor.role in ROLES_OF_OWN_KINDS or (actor.role in ROLES_OF_OWN_SITE and actor.site_id == site_id)
    return can_see_study(actor, site_id, kind)
