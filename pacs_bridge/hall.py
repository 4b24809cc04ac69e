"""Connections that have not said a word yet: they wait for their first byte together, not in a thread each. [adapter]

Of the accepting thread alone, but for ``len``.
"""

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """An accepted connection; ``until_s`` (monotonic) it may be silent."""

    client: socket.socket
    address: tuple[str, int]
    place: int
    is_tls: bool
    until_s: float

    def is_gone(self) -> bool:
        """Whether the other side has hung up without a word."""
        try:
            return not self.client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return True


class Hall:
    """Waits for callers to speak and, at the same time, for new ones on the listening sockets."""

    def __init__(self, *listening: socket.socket) -> None:
        self._poller = select.poll()
        self._listening = {one.fileno(): one for one in listening}
        self._callers: dict[int, Caller] = {}  # by descriptor, in the order of their coming
        for descriptor in self._listening:
            self._poller.register(descriptor, select.POLLIN)

    def __len__(self) -> int:
        return len(self._callers)

    def add(self, caller: Caller) -> None:
        descriptor = caller.client.fileno()
        self._callers[descriptor] = caller
        self._poller.register(descriptor, select.POLLIN)

    def wait(self, timeout_s: float) -> tuple[list[Caller], list[socket.socket]]:
        """Callers who have spoken or gone, and are here no more; listening sockets where somebody knocks."""
        ready = [descriptor for descriptor, _ in self._poller.poll(timeout_s * 1000)]
        speaking = [self._remove(descriptor) for descriptor in ready if descriptor in self._callers]
        return speaking, [self._listening[descriptor] for descriptor in ready if descriptor in self._listening]

    def take(self, place: int) -> Caller | None:
        """The caller of that place, who is here no more."""
        return next((self._remove(key) for key, one in list(self._callers.items()) if one.place == place), None)

    def take_overdue(self, now_s: float) -> Iterator[Caller]:
        """Callers who have been silent for too long, and are here no more."""
        while self._callers:
            descriptor, oldest = next(iter(self._callers.items()))
            if oldest.until_s > now_s:
                return
            yield self._remove(descriptor)

    def _remove(self, descriptor: int) -> Caller:
        self._poller.unregister(descriptor)
        return self._callers.pop(descriptor)
