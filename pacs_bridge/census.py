"""The connections of all processes of one listener, counted in all and by source in shared memory. [adapter]

Made before the processes part. Each writes its own connections into a part of its own; whoever takes one more counts
all parts, under a lock that the kernel takes back from a process that dies. Who sees a process end wipes its part:
what a killed process held is gone with it, and there is no sum that could be wrong.

A connection that has said nothing yet makes room for the next one, in whichever process it is. A source that keeps
failing (its handshakes, its association requests) is throttled: each failure takes time to be forgiven, one good
association forgives all.
"""

import contextlib
import fcntl
import ipaddress
import mmap
import os
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

_FREE, _SILENT, _BEGUN, _LEAVING = range(4)
_PLACE_WORDS = 4  # state, monotonic ns since when, source (two words)
_SOURCE_WORDS = 4  # source (two words), ns when all is forgiven, ns until when its throttling has been told
_N_SOURCES = 256  # that failed lately; the one that is forgiven soonest gives way
_WORD_BYTES = 8
_TOLD_FOR_NS = 60_000_000_000
_TOLD_WORDS = 3  # source (two words), ns until when its being turned away has been told
_N_TOLD = 64  # at once: a crowd of sources must not flood the trail

Source = tuple[int, int]


class Limit(StrEnum):
    """Which one leaves no place for a connection."""

    IN_ALL = "in_all"
    PER_SOURCE = "per_source"
    THROTTLED = "throttled"


class Refused(Exception):
    """No place for this connection."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(frozen=True)
class Bounds:
    """``failures``: that a source has at once; ``forgiven_s``: after which each is forgotten."""

    in_all: int
    per_source: int
    failures: int
    forgiven_s: float


@dataclass(frozen=True)
class Place:
    """A place taken. ``leaver``: the place of this process's own connection that has to go for it."""

    at: int
    leaver: int | None


class _Held(NamedTuple):
    at: int
    state: int
    since_ns: int
    source: Source


def source_of(address: str) -> Source:
    """An address as two words; IPv4 as itself and as mapped into IPv6 are one source."""
    found = ipaddress.ip_address(address.partition("%")[0])
    number = int(found) if found.version == 6 else 0xFFFF << 32 | int(found)
    return number >> 64, number & (1 << 64) - 1


class Census:
    """The shared memory, made before the processes part; ``seat`` in each of them."""

    def __init__(self, n_processes: int, bounds: Bounds) -> None:
        self.n_processes, self.bounds = n_processes, bounds
        self.part_words = 2 * bounds.in_all * _PLACE_WORDS  # the other half is for those that are leaving
        self.n_place_words = n_processes * self.part_words
        self.first_told = self.n_place_words + _N_SOURCES * _SOURCE_WORDS
        n_bytes = (self.first_told + _N_TOLD * _TOLD_WORDS) * _WORD_BYTES
        self._descriptor = os.memfd_create("teleread-connections")  # the lock needs a file
        os.ftruncate(self._descriptor, n_bytes)
        self.words = memoryview(mmap.mmap(self._descriptor, n_bytes)).cast("Q")
        weakref.finalize(self, os.close, self._descriptor)

    def seat(self, number: int) -> "Seat":
        """The part of process ``number``, taken in that process; what an earlier life left in it is wiped."""
        with self.alone():  # nobody may be about to mark what the earlier life held
            self.wipe(number)
        return Seat(self, number)

    def wipe(self, number: int) -> None:
        """Process ``number`` has ended. Waits for nobody: a part has one writer, and it is gone."""
        first, empty = number * self.part_words, bytes(self.part_words * _WORD_BYTES)
        self.words[first : first + self.part_words] = memoryview(empty).cast("Q")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process counts meanwhile. The kernel gives the lock of a process that dies to the next."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


class Seat:
    """One process's view; safe for its threads."""

    def __init__(self, census: Census, number: int) -> None:
        self._census, self._words, self._bounds = census, census.words, census.bounds
        first = number * census.part_words
        self._own = range(first, first + census.part_words, _PLACE_WORDS)
        self._lock = threading.Lock()  # the file's lock is the process's: it does not part threads

    def take(self, address: str) -> Place:
        """A place for a new connection, which has said nothing yet. Raises Refused."""
        source = source_of(address)
        with self._alone():
            if self._is_throttled(source):
                raise Refused(Limit.THROTTLED)
            leaver = self._leaver(source)
            at = next((at for at in self._own if self._words[at] == _FREE), None)
            if at is None:  # as many are leaving as may be here
                raise Refused(Limit.IN_ALL)
            if leaver is not None:
                self._words[leaver] = _LEAVING
            self._words[at + 1], self._words[at + 2], self._words[at + 3] = time.monotonic_ns(), *source
            self._words[at] = _SILENT
        return Place(at, leaver if leaver in self._own else None)

    def _leaver(self, source: Source) -> int | None:
        """Where there are too many: the oldest that has said nothing, one of our own if there is any."""
        held = self._held()
        of_source = [one for one in held if one.source == source]
        if len(of_source) >= self._bounds.per_source:
            among, limit = of_source, Limit.PER_SOURCE
        elif len(held) >= self._bounds.in_all:
            among, limit = held, Limit.IN_ALL
        else:
            return None
        silent = [one for one in among if one.state == _SILENT]
        if not silent:
            raise Refused(limit)
        return min(silent, key=lambda one: (one.at not in self._own, one.since_ns)).at

    def begin(self, at: int) -> bool:
        """The connection has said what it wants. False: it has been asked to leave just before."""
        with self._alone():
            if self._words[at] != _SILENT:
                return False
            self._words[at] = _BEGUN
            return True

    def leave(self, at: int) -> None:
        """The connection has ended."""
        with self._alone():
            self._words[at] = _FREE

    def is_leaving(self, at: int) -> bool:
        """The connection has been asked to leave."""
        return self._words[at] == _LEAVING

    def leavers(self) -> list[int]:
        """Places of our own connections that have to go, whoever asked for it."""
        return [at for at in self._own if self._words[at] == _LEAVING]

    def n_held(self) -> int:
        """Connections of all processes, without those that are leaving."""
        return len(self._held())

    def n_ahead(self) -> int:
        """How many connections we have more than the process that has the fewest."""
        counts = [0] * self._census.n_processes
        for one in self._held():
            counts[one.at // self._census.part_words] += 1
        return counts[self._own.start // self._census.part_words] - min(counts)

    def failed(self, address: str) -> bool:
        """A connection of this source was of no use. True: it is throttled from now on, and this should be told."""
        source, now_ns = source_of(address), time.monotonic_ns()
        forgiven_ns, most_ns = self._forgiveness_ns()
        with self._alone():
            at = self._place_of(source) or self._least_guilty()
            if (self._words[at], self._words[at + 1]) != source:
                self._words[at], self._words[at + 1], self._words[at + 2], self._words[at + 3] = *source, 0, 0
            self._words[at + 2] = min(max(self._words[at + 2], now_ns) + forgiven_ns, now_ns + most_ns + forgiven_ns)
            if not self._is_throttled(source) or self._words[at + 3] > now_ns:
                return False
            self._words[at + 3] = now_ns + _TOLD_FOR_NS
            return True

    def succeeded(self, address: str) -> None:
        """An association of this source was accepted: all is forgiven."""
        source = source_of(address)
        with self._alone():
            if (at := self._place_of(source)) is not None:
                self._words[at + 2] = 0

    def turned_away(self, address: str) -> bool:
        """A connection of this source had no place. True: this should be told, once a minute whoever sees it."""
        source, now_ns = source_of(address), time.monotonic_ns()
        with self._alone():
            told = range(self._census.first_told, len(self._words), _TOLD_WORDS)
            fresh = [at for at in told if self._words[at + 2] > now_ns]
            if len(fresh) == len(told) or any((self._words[at], self._words[at + 1]) == source for at in fresh):
                return False
            at = next(at for at in told if at not in fresh)
            self._words[at], self._words[at + 1], self._words[at + 2] = *source, now_ns + _TOLD_FOR_NS
            return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, self._census.alone():
            yield

    def _held(self) -> list[_Held]:
        """The connections that count, of all processes."""
        words = self._words[: self._census.n_place_words].tolist()
        return [
            _Held(at, words[at], words[at + 1], (words[at + 2], words[at + 3]))
            for at in range(0, len(words), _PLACE_WORDS)
            if words[at] in (_SILENT, _BEGUN)
        ]

    def _forgiveness_ns(self) -> tuple[int, int]:
        """Of one failure; of as many as a source may have."""
        one = int(self._bounds.forgiven_s * 1e9)
        return one, one * self._bounds.failures

    def _is_throttled(self, source: Source) -> bool:
        at = self._place_of(source)
        return at is not None and self._words[at + 2] - time.monotonic_ns() >= self._forgiveness_ns()[1]

    def _place_of(self, source: Source) -> int | None:
        first = self._census.n_place_words
        words = self._words[first : self._census.first_told].tolist()
        for at in range(0, len(words), _SOURCE_WORDS):
            if words[at + 1] == source[1] and words[at] == source[0]:
                return first + at
        return None

    def _least_guilty(self) -> int:
        first = self._census.n_place_words
        return min(range(first, self._census.first_told, _SOURCE_WORDS), key=lambda at: self._words[at + 2])
