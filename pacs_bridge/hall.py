"""Connections that have not said a word yet: they wait for their first byte together, not in a thread each. [adapter]

So do a few of those for whom there is no place, so that they hear why. Of the accepting thread alone, but for ``len``.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LOCAL_LIMIT_EXCEEDED = (2, 3, 2)  # A-ASSOCIATE-RJ (result, source, reason), PS3.8 Table 9-21
_REJECTION = bytes((3, 0, 0, 0, 0, 4, 0, *LOCAL_LIMIT_EXCEEDED))  # PS3.8 9.3.4
_REQUEST = b"\x01"  # what an A-ASSOCIATE-RQ begins with, PS3.8 9.3.2
_MOST_TURNED_AWAY = 16  # at once; more are hung up on
_TURNED_AWAY_S = 1.0  # to ask, to hear the answer and to hang up
_READ_BYTES = 1 << 16
_MOST_READ_BYTES = 1 << 18  # a request is half of it at most
_CALLED, _CALLING = slice(10, 26), slice(26, 42)  # AE titles in an A-ASSOCIATE-RQ, PS3.8 Table 9-11


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


class _TurnedAway:
    """A connection without a place. Its request is answered; nothing here ever waits for it."""

    def __init__(self, client: socket.socket, address: str) -> None:
        self.client, self.address, self.until_s = client, address, time.monotonic() + _TURNED_AWAY_S
        self._n_read_bytes = 0
        self._head = b""  # of the request, as far as its AE titles

    def is_over(self) -> bool:
        """Read what is there, answer the first of it. False: it may still say more.

        It is the one to hang up: to close over words unread resets the connection, and the answer may be lost.
        """
        try:
            said = self.client.recv(_READ_BYTES)
            self._head += said[: _CALLING.stop - len(self._head)]
            if said and not self._n_read_bytes:
                if not said.startswith(_REQUEST) or self.client.send(_REJECTION) != len(_REJECTION):
                    return True
                self.client.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._n_read_bytes += len(said)
        return not said or self._n_read_bytes > _MOST_READ_BYTES

    def titles(self) -> tuple[str, str]:
        """Calling and called AE title; empty where the request has not been read so far."""
        if not self._head.startswith(_REQUEST) or len(self._head) < _CALLING.stop:
            return "", ""
        return _title(self._head[_CALLING]), _title(self._head[_CALLED])


def _title(field: bytes) -> str:
    text = field.decode("ascii", "replace").strip(" \0")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Hall:
    """Waits for callers to speak and, at the same time, for new ones on the listening sockets.

    ``told``: is called with address, calling and called AE title of who was turned away, once it is gone.
    """

    def __init__(self, *listening: socket.socket, told: Callable[[str, str, str], None] = lambda *_: None) -> None:
        self._told = told
        self._poller = select.poll()
        self._listening = {one.fileno(): one for one in listening}
        self._callers: dict[int, Caller] = {}  # by descriptor, in the order of their coming
        self._turned_away: dict[int, _TurnedAway] = {}  # likewise
        for descriptor in self._listening:
            self._poller.register(descriptor, select.POLLIN)

    def __len__(self) -> int:
        return len(self._callers)

    def add(self, caller: Caller) -> None:
        descriptor = caller.client.fileno()
        self._callers[descriptor] = caller
        self._poller.register(descriptor, select.POLLIN)

    def turn_away(self, client: socket.socket, address: str, *, may_hear_why: bool) -> None:
        """There is no place for it: it hears so as soon as it asks, if it may and is one of few, or is hung up on."""
        if not may_hear_why or len(self._turned_away) >= _MOST_TURNED_AWAY:
            client.close()
            return self._told(address, "", "")
        client.setblocking(False)
        descriptor = client.fileno()
        self._turned_away[descriptor] = _TurnedAway(client, address)
        return self._poller.register(descriptor, select.POLLIN)

    def wait(self, timeout_s: float) -> tuple[list[Caller], list[socket.socket]]:
        """Callers who have spoken or gone, and are here no more; listening sockets where somebody knocks."""
        ready = [descriptor for descriptor, _ in self._poller.poll(timeout_s * 1000)]
        for descriptor in ready:
            if descriptor in self._turned_away and self._turned_away[descriptor].is_over():
                self._close_turned_away(descriptor)
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

    def close_overdue(self, now_s: float) -> None:
        """Hang up on those turned away whose time is over."""
        for descriptor in [key for key, one in self._turned_away.items() if one.until_s <= now_s]:
            self._close_turned_away(descriptor)

    def _close_turned_away(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        gone = self._turned_away.pop(descriptor)
        gone.client.close()
        self._told(gone.address, *gone.titles())

    def _remove(self, descriptor: int) -> Caller:
        self._poller.unregister(descriptor)
        return self._callers.pop(descriptor)
