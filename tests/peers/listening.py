"""The township's own listener in this process, with every service, and what its devices may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pacs_bridge.listener import Limits, Listener
from tests.peers.township import Township
from worklist.listen import make_inbox, providers
from worklist.tables import Device, Site

EVERY_SERVICE = ["echo", "store", "find", "move", "get", "worklist", "mpps", "commitment", "ups"]


@contextmanager
def listening(county: Township, **limits: Any) -> Iterator[Listener]:
    """A listener on a free port of 127.0.0.1 over the township's index; stopped in the end."""
    roof = county.roof
    inbox = make_inbox(roof, "listener:here:1")
    listener = Listener(
        inbox, roof.blobs, "TELEREAD", "127.0.0.1", 0, Limits(**limits),
        zone=roof.settings.zone, providers=providers(roof),
    )  # fmt: skip
    listener.start()
    try:
        yield listener
    finally:
        assert listener.stop(8)
        inbox.close()


def allow(county: Township, ae_title: str, **values: Any) -> int:
    """Every service for a device, without a certificate, and ``values`` of its columns; its id.

    A device that is not there is made, at the site of the code in ``site``.
    """
    values = {"services": EVERY_SERVICE, "exception_reason": "test", "host": "127.0.0.1"} | values
    site = values.pop("site", "QINGSHAN")
    with county.roof.db.write() as session:
        device = session.scalar(select(Device).where(Device.ae_title == ae_title))
        if device is None:
            site_id = session.scalars(select(Site.id).where(Site.code == site)).one()
            device = Device(ae_title=ae_title, site_id=site_id, modality="CT", address_range="127.0.0.1/32")
            session.add(device)
        for name, value in values.items():
            setattr(device, name, value)
        session.flush()
        return device.id


def receive_all(county: Township, paths: list[Path], ae_title: str = "QS_CT") -> None:
    """Objects as if that device had sent them in one association."""
    association_id = county.associate(ae_title)
    for path in paths:
        filed = county.receive(path, ae_title, association_id)
        assert filed.outcome == "filed", (path, filed)
    county.close(association_id)
