"""The listener's processes, and what serves in each. [app]"""

import threading
from collections.abc import Callable

from pacs_bridge.census import Census
from pacs_bridge.listener import Limits, Listener, Sockets
from pacs_bridge.provider import Provider
from pacs_bridge.tls_context import ServerTls, TlsFiles
from pacs_bridge.transcode_pool import TranscodePool
from reports.store import signed_statuses
from worklist.acquisition_work import acquisition_providers
from worklist.base.config import ConfigError, Settings
from worklist.commitment_work import commitment_provider
from worklist.find import find_provider
from worklist.inbox import IndexInbox
from worklist.listen_front import STOP_WITHIN_S, Front, Run, bind_patiently
from worklist.migrations.metadata import metadata
from worklist.ready import tell_ready
from worklist.retrieve import retrieve_providers
from worklist.roof import Roof, open_roof, run_name
from worklist.ups import ups_provider

COMPARE_WITHIN_S = 15.0  # two objects of one UID; a transaction waits for it

# "Out of resources" is for a database that is stuck, not for one that is busy; devices wait a minute for an answer.
WRITE_WAIT_S = 15.0


def make_inbox(roof: Roof, listener_run: str) -> IndexInbox:
    """The index as the listener and uploads see it. Repeated objects are compared in a process of their own."""
    pool = TranscodePool(COMPARE_WITHIN_S, max_frame_bytes=roof.settings.max_frame_bytes_number)
    return IndexInbox(
        roof.db, roof.settings, listener_run=listener_run, signed_statuses=signed_statuses, now=roof.now,
        same_content=lambda one, other: pool.same_content(roof.blobs.path(one), roof.blobs.path(other)),
    )  # fmt: skip


def providers(roof: Roof) -> tuple[Provider, ...]:
    """The services beyond verification and storage; one entry each, joined in its own module."""
    return (
        find_provider(roof),
        *retrieve_providers(roof),
        commitment_provider(roof),
        ups_provider(roof),
        *acquisition_providers(roof),
    )


def tls_of(settings: Settings) -> ServerTls | None:
    """The TLS side of the listener; None where it is off. Raises ConfigError for files that are no use."""
    if settings.dicom_tls_port_number is None:
        return None
    try:
        return ServerTls(TlsFiles(*settings.dicom_tls_paths))
    except OSError as error:
        raise ConfigError(
            "TELEREAD_DICOM_TLS_CERT/_KEY/_CA: 无法使用，可先运行 teleread tls / cannot be used, "
            f"teleread tls makes them: {type(error).__name__}"
        ) from None


def listen_worker(
    settings: Settings, run: Run, sockets: Sockets, census: Census, stop: threading.Event, ready: Callable[[], None]
) -> None:
    """One process of the listener: takes connections until told to stop."""
    roof = open_roof(settings)
    roof.db.be_patient(WRITE_WAIT_S)
    inbox = make_inbox(roof, run.name)
    if run.is_first:
        inbox.close_lost_associations(run.family)
    inbox.close_earlier_lives(run.slot)
    listener = Listener(
        inbox, roof.blobs, settings.ae_title, settings.dicom_host, settings.dicom_port_number, zone=settings.zone,
        providers=providers(roof), sockets=sockets, tls=tls_of(settings), seat=census.seat(run.number),
    )  # fmt: skip
    listener.start()
    ready()
    stop.wait()
    listener.stop(STOP_WITHIN_S)
    inbox.close()
    roof.close()


def listen(settings: Settings, stop: threading.Event) -> None:
    """The listener's processes on one socket, until told to stop. Raises ConfigError, OSError when a port is taken."""
    tls_of(settings)  # said here, once, if it is wrong
    tls_port = settings.dicom_tls_port_number
    n_processes = settings.n_dicom_processes
    sockets = Sockets(
        bind_patiently(settings.dicom_host, settings.dicom_port_number),
        bind_patiently(settings.dicom_host, tls_port) if tls_port is not None else None,
        is_shared=n_processes > 1,
    )
    census = Limits().census(n_processes)
    metadata()  # loaded before the processes part: they share it

    def work(run: Run, told: threading.Event, ready: Callable[[], None]) -> None:
        listen_worker(settings, run, sockets, census, told, ready)

    Front(run_name("listener"), n_processes, work, census.wipe).run(stop, tell_ready)
    sockets.close()
