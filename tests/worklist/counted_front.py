"""A listener of several processes with an inbox that writes down refusals: prints its port, ends at the end of its input."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.listener import Limits, Listener, Sockets, bind
from pacs_bridge.ports import Peer
from tests.pacs_bridge.inbox import MemoryInbox
from worklist.listen_front import Front, Run

LIMITS = Limits(
    max_connections=12, max_connections_per_source=6, max_failures_per_source=4, failure_forgiven_s=1.0,
    handshake_timeout_s=30.0,
)  # fmt: skip


class NotingInbox(MemoryInbox):
    """Its peers come from anywhere."""

    def __init__(self, trail: Path) -> None:
        super().__init__()
        self._trail = trail

    def identify(
        self, calling_ae: str, called_ae: str, address: str, certificate_sha256: str | None = None
    ) -> Peer | None:
        return self.peers.get(calling_ae)

    def association_refused(self, calling_ae: str, called_ae: str, address: str, reason: str) -> None:
        with self._trail.open("a") as trail:
            trail.write(f"{address} {reason}\n")


def main(folder: Path, n_processes: int) -> None:
    census, sockets = LIMITS.census(n_processes), Sockets(bind("0.0.0.0", 0), is_shared=True)

    def work(run: Run, stop: threading.Event, ready: Callable[[], None]) -> None:
        listener = Listener(
            NotingInbox(folder / "trail"), FileBlobs(folder / f"blobs{run.number}"), "TELEREAD", "", 0, LIMITS,
            sockets=sockets, seat=census.seat(run.number),
        )  # fmt: skip
        listener.start()
        ready()
        stop.wait()
        listener.stop(2)

    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    port = sockets.plain.getsockname()[1]
    Front("listener:test:0123456789abcdef", n_processes, work, census.wipe).run(stop, lambda: print(port, flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
