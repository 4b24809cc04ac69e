"""C-MOVE and C-GET joined to the index: whose studies, which destinations, what the audit trail hears. [app]"""

import logging

from sqlalchemy.exc import SQLAlchemyError

from pacs_bridge.egress import Egress
from pacs_bridge.get_scp import GetProvider
from pacs_bridge.move_scp import MoveProvider
from pacs_bridge.ports import Peer
from pacs_bridge.provider import Provider
from pacs_bridge.retrieval import DESTINATION_UNKNOWN, SUCCESS, Destination, Leaving, Retrieval, Wanted
from pacs_bridge.transcode_pool import TranscodePool
from worklist.base import audit
from worklist.outgoing import device_to_send_to, outgoing_wanted
from worklist.peer_sight import studies_of_peer
from worklist.roof import Roof
from worklist.tables import Site

log = logging.getLogger("teleread.retrieve")


def retrieve_providers(roof: Roof) -> tuple[Provider, ...]:
    """C-MOVE and C-GET; they share one way out."""
    index = _Index(roof)
    egress = Egress(roof.blobs, TranscodePool(max_frame_bytes=roof.settings.max_frame_bytes_number))
    return (
        MoveProvider(index.matches, index.destination, egress, roof.settings.ae_title, index.note),
        GetProvider(index.matches, egress, index.note),
    )


class _Index:
    """What the providers ask; each call is a transaction of its own."""

    def __init__(self, roof: Roof) -> None:
        self._roof = roof

    def matches(self, peer: Peer, wanted: Wanted) -> list[Leaving]:
        with self._roof.db.read() as session:
            return [one.leaving() for one in outgoing_wanted(session, studies_of_peer(peer), wanted)]

    def destination(self, peer: Peer, ae_title: str) -> Destination | None:
        """The peer itself, a device of its site, or one an administrator has allowed it; None: not for this peer."""
        with self._roof.db.read() as session:
            device = device_to_send_to(session, ae_title)
            if device is None or not device.host or device.port is None:
                return None
            is_own = device.site_id == peer.site_id or device.id == peer.device_id
            if not is_own and device.ae_title not in peer.move_destinations:
                return None
            return Destination(device.ae_title, device.host, device.port)

    def note(self, peer: Peer, retrieval: Retrieval) -> None:
        """One audit row for each study, one where none was found or none may be had; the objects have left by now,
        so a row that cannot be written is logged."""
        details = {
            "destination": retrieval.destination, "status": f"{retrieval.status:04X}",
            "sent": retrieval.completed, "failed": retrieval.failed,
        }  # fmt: skip
        act = "study.get" if retrieval.message == "C_GET" else "study.move"
        result = {SUCCESS: "ok", DESTINATION_UNKNOWN: "refused"}.get(retrieval.status, "partial")
        objects = [("study", uid) for uid in retrieval.study_instance_uids] or [("query", retrieval.message)]
        try:
            with self._roof.db.write() as session:
                site = session.get(Site, peer.site_id) if peer.site_id is not None else None
                for object_type, uid in objects:
                    audit.record(
                        session, now=self._roof.now(), actor=peer.ae_title, role="device",
                        site=site.code if site else "?", act=act, object_type=object_type, object_uid=uid,
                        result=result, details=details,
                    )  # fmt: skip
        except SQLAlchemyError as error:
            log.error("retrieve not audited: %s", type(error).__name__)
