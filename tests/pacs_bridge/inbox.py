"""An inbox that remembers, and can be told to fail."""

import threading
from dataclasses import dataclass, field

from pacs_bridge.ports import Peer, ReceivedObject

BOTH = frozenset(("echo", "store"))


def peer(ae_title: str, services: frozenset[str] = BOTH, fallback: str = "GB18030") -> Peer:
    return Peer(1, 1, ae_title, services, 0, fallback)


@dataclass
class MemoryInbox:
    """Knows the given peers (from 127.0.0.1); ``answers`` are statuses or exceptions for the next objects."""

    peers: dict[str, Peer] = field(default_factory=lambda: {"QS_CT": peer("QS_CT"), "QS_DR": peer("QS_DR")})
    received: list[ReceivedObject] = field(default_factory=list)
    opened: list[tuple[str, str, str]] = field(default_factory=list)
    outcomes: dict[int, str] = field(default_factory=dict)
    refused: list[tuple[str, str, str, str]] = field(default_factory=list)
    answers: list[int | Exception] = field(default_factory=list)
    certificates: dict[str, str] = field(default_factory=dict)  # fingerprint by AE title
    lock: threading.Lock = field(default_factory=threading.Lock)

    def identify(
        self, calling_ae: str, called_ae: str, address: str, certificate_sha256: str | None = None
    ) -> Peer | None:
        if address != "127.0.0.1" or self.certificates.get(calling_ae) != certificate_sha256:
            return None
        return self.peers.get(calling_ae)

    def association_opened(self, peer: Peer, calling_ae: str, called_ae: str, address: str) -> int:
        with self.lock:
            self.opened.append((calling_ae, called_ae, address))
            return len(self.opened)

    def association_closed(self, association_id: int, outcome: str) -> None:
        self.outcomes[association_id] = outcome

    def association_refused(self, calling_ae: str, called_ae: str, address: str, reason: str) -> None:
        self.refused.append((calling_ae, called_ae, address, reason))

    def receive(self, received: ReceivedObject) -> int:
        received.wait_durable()
        with self.lock:
            answer = self.answers.pop(0) if self.answers else 0x0000
            if isinstance(answer, Exception):
                raise answer
            if answer == 0x0000:
                self.received.append(received)
            return answer
