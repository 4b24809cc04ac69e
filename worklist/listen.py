"""The listener's process. [app]"""

import threading

from pacs_bridge.compare import same_content
from pacs_bridge.listener import Listener
from pacs_bridge.provider import Provider
from reports.store import signed_statuses
from worklist.commitment_work import commitment_provider
from worklist.find import find_provider
from worklist.inbox import IndexInbox
from worklist.ready import tell_ready
from worklist.retrieve import retrieve_providers
from worklist.roof import Roof, run_name


def make_inbox(roof: Roof, listener_run: str) -> IndexInbox:
    """The index as the listener and uploads see it."""
    return IndexInbox(
        roof.db, roof.settings, listener_run=listener_run, signed_statuses=signed_statuses, now=roof.now,
        same_content=lambda one, other: same_content(roof.blobs.path(one), roof.blobs.path(other)),
    )  # fmt: skip


def providers(roof: Roof) -> tuple[Provider, ...]:
    """The services beyond verification and storage; one entry each, joined in its own module."""
    return (
        find_provider(roof),
        *retrieve_providers(roof),
        commitment_provider(roof),
    )


def listen(roof: Roof, stop: threading.Event) -> None:
    """Listen until told to stop."""
    inbox = make_inbox(roof, run_name("listener"))
    inbox.close_lost_associations()
    settings = roof.settings
    listener = Listener(
        inbox, roof.blobs, settings.ae_title, settings.dicom_host, settings.dicom_port_number, zone=settings.zone,
        providers=providers(roof),
    )  # fmt: skip
    listener.start()
    tell_ready()
    stop.wait()
    listener.stop(8.0)
