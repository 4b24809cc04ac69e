"""Orders as modalities are told them, and that they were told. [service]"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from pacs_bridge.find_identifier import written
from pacs_bridge.modality_worklist import STEP, ScheduledStep, Wanted, is_like
from pacs_bridge.ports import Peer
from worklist import acquisition_store
from worklist.acquisition_tables import WorklistFetch
from worklist.base import audit
from worklist.order import Acquisition
from worklist.person import name_initials, name_pinyin, name_to_send, spelled
from worklist.study import modality_of
from worklist.tables import Device, Order, Patient, Site
from worklist.uid import new_uid

LOOK_BACK = timedelta(days=30)
PRIORITY = {"stat": "HIGH", "asap": "HIGH", "urgent": "MEDIUM", "routine": "LOW"}
SAME_FETCH = timedelta(minutes=1)  # devices ask again and again: that is written down once a minute
_FILM = ("DX", "CR", "DR", "RG")


def steps(session: Session, peer: Peer, wanted: Wanted, *, zone: tzinfo, now: datetime) -> list[ScheduledStep]:
    """What may answer this peer: orders of its own site for the station it asks about, itself where it names none."""
    if peer.site_id is None:
        return []
    device = _station(session, peer, wanted)
    if device is None:
        return []
    site = session.get_one(Site, peer.site_id)
    modality = _modality(device.modality, wanted)
    rows = acquisition_store.orders_to_acquire(
        session, site.id, modality_of(device.modality, "image"), now - LOOK_BACK
    )
    return [
        _step(order, patient, device, site, modality, (returned_at or order.created_at).astimezone(zone))
        for order, patient, returned_at in rows
    ]


def _station(session: Session, peer: Peer, wanted: Wanted) -> Device | None:
    """The device whose work is asked for: of the peer's site and with the worklist service."""
    devices = acquisition_store.worklist_devices(session, peer.site_id or 0)
    asked = wanted.texts_of(f"{STEP}.ScheduledStationAETitle")
    fitting = [one for one in devices if not asked or any(is_like(one.ae_title, text) for text in asked)]
    return next((one for one in fitting if one.id == peer.device_id), fitting[0] if fitting and asked else None)


def _modality(of_device: str, wanted: Wanted) -> str:
    """The word for the modality: the one that the device asks with, because film has four of them."""
    if of_device not in _FILM:
        return of_device
    asked = wanted.texts_of(f"{STEP}.Modality")
    return next((text for text in asked if text in _FILM), "DX" if of_device == "DR" else of_device)


def _step(
    order: Order, patient: Patient, device: Device, site: Site, modality: str, start: datetime
) -> ScheduledStep:
    name = name_to_send(patient.name)
    return ScheduledStep(
        order_uid=order.order_uid, study_instance_uid=order.study_instance_uid or "",
        accession_number=order.accession_number, patient_name=name,
        name_forms=(patient.name, name_pinyin(patient.name), name_initials(patient.name)),
        patient_id=patient.patient_id or "", issuer=site.code,
        birth_date=f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "", sex=patient.sex or "",
        modality=modality, station_ae_title=device.ae_title, station_name=device.name[:16],
        start_date=f"{start:%Y%m%d}", start_time=f"{start:%H%M%S}", body_part=order.body_part,
        description=f"{modality} {order.body_part}".strip()[:64], question=order.question, complaint=order.complaint,
        requesting_physician=name_to_send(order.requesting_doctor), priority=PRIORITY.get(order.priority, "LOW"),
        status="STARTED" if order.acquisition == Acquisition.IN_PROGRESS else "SCHEDULED",
        institution=site.name_zh[:64],
    )  # fmt: skip


def give_study_uids(session: Session, site_id: int) -> None:
    """Orders from before worklists existed get the UID that their images are to carry."""
    rows = session.scalars(
        select(Order).where(
            Order.site_id == site_id, Order.study_instance_uid.is_(None), Order.made_from_object.is_(False)
        )
    )
    for order in rows:
        order.study_instance_uid = new_uid()


def lacks_study_uids(session: Session, site_id: int) -> bool:
    query = select(Order.order_uid).where(
        Order.site_id == site_id, Order.study_instance_uid.is_(None), Order.made_from_object.is_(False)
    )
    return session.scalar(query.limit(1)) is not None


def news(session: Session, device_id: int, told: Iterable[tuple[str, str]], now: datetime) -> list[tuple[str, str]]:
    """Of (order, name as sent), what is not written down yet or was last a while ago."""
    wanted = dict(told)
    known = session.scalars(
        select(WorklistFetch).where(WorklistFetch.device_id == device_id, WorklistFetch.order_uid.in_(wanted))
    )
    for row in known:
        if row.name_sent == wanted[row.order_uid] and now - row.last_at < SAME_FETCH:
            del wanted[row.order_uid]
    return sorted(wanted.items())


def note_told(session: Session, peer: Peer, told: Sequence[tuple[str, str]], now: datetime) -> int:
    """Write down what a device was told, and in which form the name; how many orders were new to it."""
    device = session.get_one(Device, peer.device_id)
    n_new, moved = 0, []
    for order_uid, name_sent in told:
        fetch = session.get(WorklistFetch, (order_uid, device.id))
        if fetch is None:
            n_new += 1
            fetch = WorklistFetch(order_uid=order_uid, device_id=device.id, first_at=now, name_sent="", last_at=now)
            session.add(fetch)
        fetch.name_sent, fetch.last_at = name_sent[:256], now
        order = session.get_one(Order, order_uid)
        if order.acquisition in (Acquisition.REQUESTED, Acquisition.COMPLETED):  # completed, and to be taken again
            set_acquisition(order, Acquisition.FETCHED, device, now)
            moved.append(order)
    session.flush()
    if n_new:
        site = session.get_one(Site, device.site_id)
        audit.record(
            session, now=now, actor=device.ae_title, role="device", site=site.code, act="worklist.fetch",
            object_type="device", object_uid=device.ae_title, details={"new": n_new},
        )  # fmt: skip
    tell_acquisition(session, moved, device, now)
    return n_new


def set_acquisition(order: Order, state: Acquisition, device: Device | None, now: datetime, reason: str = "") -> None:
    """How far the device is with an order; ``tell_acquisition`` is for when all rows have changed."""
    order.acquisition, order.acquisition_at, order.acquisition_reason = state, now, reason
    order.acquisition_device = (device.name or device.ae_title) if device else ""


def tell_acquisition(session: Session, orders: Iterable[Order], device: Device | None, now: datetime) -> None:
    """Open pages hear of it."""
    for order in orders:
        audit.emit(
            session, "acquisition", now=now, actor=device.ae_title if device else "system", site_id=order.site_id,
            order_uid=order.order_uid, state=str(order.acquisition),
        )  # fmt: skip


def shown_on_devices(session: Session, site_id: int, modality: str, name: str) -> list[dict[str, object]]:
    """For each device of the site that fetches such orders: the name as its list will show it."""
    found: list[dict[str, object]] = []
    for device in acquisition_store.worklist_devices(session, site_id):
        if modality_of(device.modality, "image") != modality_of(modality, "image"):
            continue
        sent = str(written(name_to_send(name), "PN", device.character_set, spelled))
        groups = sent.split("=")
        is_spelled = len(groups) == 1 and not name.isascii()
        shown = groups[0] if len(groups) == 1 else groups[1]
        found.append({
            "ae_title": device.ae_title, "device": device.name or device.ae_title, "is_spelled": is_spelled,
            "character_set": device.character_set, "name": shown.replace("^", " " if shown.isascii() else ""),
        })  # fmt: skip
    return found
