"""Which studies a DICOM peer may ask for, as SQL. [store]"""

from sqlalchemy import ColumnElement, true

from pacs_bridge.ports import Peer
from worklist.tables import Study


def studies_of_peer(peer: Peer) -> ColumnElement[bool]:
    """The where-clause on Study that keeps what ``peer`` may see: its own site's, or every site's."""
    return true() if peer.sees_all else Study.site_id == peer.site_id
