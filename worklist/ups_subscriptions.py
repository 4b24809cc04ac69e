"""Subscriptions to procedure steps made, narrowed, suspended and ended (PS3.4 CC.2.3). [service]

Nothing of a UPS is ever deleted here, so a deletion lock is always granted and costs nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pacs_bridge import ups
from pacs_bridge.ups import FILTERED, UpsRefused
from worklist import store, ups_store
from worklist.base import audit
from worklist.outgoing import device_to_send_to
from worklist.tables import Device
from worklist.ups_asker import Asker
from worklist.ups_events import WELL_KNOWN, initial, start_listening
from worklist.ups_store import Place
from worklist.ups_tables import UpsSubscription

UNNAMED = "no Receiving AE"
INITIAL_AT_ONCE = 10_000  # a global subscription with lock asks for the state of everything in sight


def subscribe(
    session: Session, place: Place, asker: Asker, ae_title: str, scope: str, *, has_lock: bool,
    keys: Mapping[str, Any], now: datetime,
) -> int:  # fmt: skip
    """To one step, to all (GLOBAL), or to what matches ``keys`` (FILTERED). Raises UpsRefused."""
    device_id = _check_receiver(session, asker, ae_title)
    start_listening(session, place, now)
    if scope not in WELL_KNOWN:
        attributes = ups_store.one(session, place, asker.sight, scope)
        if attributes is None:
            raise UpsRefused(ups.NO_SUCH_UPS, "no such UPS is managed here")
        row = _put(session, asker, device_id, ae_title, scope, has_lock, {}, now)
        initial(session, row, [(scope, attributes)], now)
    else:
        if scope == FILTERED and not any(key.get("Value") for key in keys.values()):
            raise UpsRefused(ups.MISSING_ATTRIBUTE, "a filtered subscription needs matching keys")
        row = _put(session, asker, device_id, ae_title, scope, has_lock, dict(keys) if scope == FILTERED else {}, now)
        if has_lock:
            _initial_of_all(session, place, asker, row, now)
    _record(session, asker, "ups.subscribe", ae_title, scope, now)
    return ups.SUCCESS


def _put(
    session: Session, asker: Asker, device_id: int | None, ae_title: str, scope: str, has_lock: bool,
    keys: dict[str, Any], now: datetime,
) -> UpsSubscription:  # fmt: skip
    row = _row(session, ae_title, scope)
    if row is None:
        row = UpsSubscription(ae_title=ae_title, scope=scope)
        session.add(row)
    row.is_on, row.has_lock, row.keys, row.made_at, row.suspended_at = True, has_lock, keys, now, None
    row.device_id, row.account_id = device_id, None if device_id is not None else asker.account_id
    session.flush()
    return row


def _initial_of_all(session: Session, place: Place, asker: Asker, row: UpsSubscription, now: datetime) -> None:
    """CC.2.3.3: with a deletion lock the state of everything that is now subscribed is told."""
    found = []
    for attributes in ups_store.search(session, place, asker.sight, row.keys):
        found.append((ups.text(attributes, "SOPInstanceUID"), attributes))
        if len(found) >= INITIAL_AT_ONCE:
            break
    initial(session, row, found, now)


def unsubscribe(session: Session, asker: Asker, ae_title: str, scope: str, now: datetime) -> int:
    """From one step, also where all are subscribed; by GLOBAL or FILTERED from everything."""
    _check_receiver(session, asker, ae_title)
    if scope in WELL_KNOWN:
        session.execute(delete(UpsSubscription).where(UpsSubscription.ae_title == ae_title))
    else:
        if not ups_store.is_in_sight(session, asker.sight, scope):
            raise UpsRefused(ups.NO_SUCH_UPS, "no such UPS is managed here")
        row = _row(session, ae_title, scope)
        is_covered = any(_row(session, ae_title, one) is not None for one in WELL_KNOWN)
        if is_covered:  # kept as the exception from the global one
            source = row or _copy_of_global(session, ae_title, scope, now)
            source.is_on, source.has_lock = False, False
        elif row is not None:
            session.delete(row)
        session.flush()
    _record(session, asker, "ups.unsubscribe", ae_title, scope, now)
    return ups.SUCCESS


def _copy_of_global(session: Session, ae_title: str, scope: str, now: datetime) -> UpsSubscription:
    owner = session.scalars(
        select(UpsSubscription).where(UpsSubscription.ae_title == ae_title, UpsSubscription.scope.in_(WELL_KNOWN))
    ).first()
    row = UpsSubscription(
        ae_title=ae_title, scope=scope, is_on=False, keys={}, made_at=now,
        device_id=owner.device_id if owner else None, account_id=owner.account_id if owner else None,
    )  # fmt: skip
    session.add(row)
    return row


def suspend(session: Session, asker: Asker, ae_title: str, scope: str, now: datetime) -> int:
    """What is made from now on is not subscribed any more; what is there stays."""
    _check_receiver(session, asker, ae_title)
    if scope not in WELL_KNOWN:
        raise UpsRefused(ups.NOT_APPROPRIATE, "a single UPS cannot be suspended")
    row = _row(session, ae_title, scope)
    if row is not None and row.suspended_at is None:
        row.suspended_at = now
        session.flush()
    _record(session, asker, "ups.suspend", ae_title, scope, now)
    return ups.SUCCESS


def _row(session: Session, ae_title: str, scope: str) -> UpsSubscription | None:
    return session.scalar(
        select(UpsSubscription).where(UpsSubscription.ae_title == ae_title, UpsSubscription.scope == scope)
    )


def _check_receiver(session: Session, asker: Asker, ae_title: str) -> int | None:
    """The device that is told, or None for a person's program. Raises UpsRefused.

    A device speaks for itself and for what it may move objects to; a person for titles that no device has and
    nobody else took.
    """
    if not ae_title:
        raise UpsRefused(ups.MISSING_ATTRIBUTE, UNNAMED)
    device = store.device_by_ae_title(session, ae_title)
    if asker.device_id is not None:
        receiver = device_to_send_to(session, ae_title)
        if receiver is None:
            raise UpsRefused(ups.UNKNOWN_RECEIVER, "Receiving AE is unknown or has no address")
        own = session.get_one(Device, asker.device_id)
        if receiver.site_id != own.site_id and receiver.ae_title not in own.move_destinations:
            raise UpsRefused(ups.UNKNOWN_RECEIVER, "Receiving AE is not of this site")
        return receiver.id
    if device is not None or not ae_title.isascii() or len(ae_title) > 16 or "\\" in ae_title:
        raise UpsRefused(ups.NOT_AUTHORISED, "this AE title is not yours")
    if owner_of(session, ae_title) not in (None, asker.account_id):
        raise UpsRefused(ups.NOT_AUTHORISED, "this AE title is not yours")
    return None


def owner_of(session: Session, ae_title: str) -> int | None:
    """Whose account took this AE title; None: nobody's."""
    return session.scalar(
        select(UpsSubscription.account_id)
        .where(UpsSubscription.ae_title == ae_title, UpsSubscription.account_id.is_not(None)).limit(1)
    )  # fmt: skip


def _record(session: Session, asker: Asker, act: str, ae_title: str, scope: str, now: datetime) -> None:
    audit.record(
        session, now=now, actor=asker.name, role=asker.role, site=asker.site_code, act=act, object_type="workitem",
        object_uid=scope, details={"receiver": ae_title},
    )  # fmt: skip

