"""The short way of a frame: from the socket to the stored file, on a decision that the door made a moment ago. [web]

A reader scrolls through a series: hundreds of frames, each asking the same three questions of the database. The
first frame of a series goes through the door (``retrieve_frames``): login, act, sight, the audit row. For
TRUSTED_S the others of the same login and series are then sent straight from here; nothing else ever is. Whoever
logs out or loses sight of a study is refused at the latest when that has passed.
"""

import hashlib
import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pacs_bridge.frame_places import FramePlaces
from viewer.dicomweb_accept import frame_form
from viewer.dicomweb_answer import Part, boundary_of, multipart_segments
from viewer.dicomweb_frames import frame_etag, frame_type, places_of
from worklist.outgoing import Outgoing
from worklist.web_files import FileRange, Segment

TRUSTED_S = 3.0
_MOST_SERIES = 500
_PATH = re.compile(
    r"/dicom-web/studies/([0-9.]{1,64})/series/([0-9.]{1,64})/instances/([0-9.]{1,64})/frames/([1-9][0-9]{0,6})"
)
# With one of these the long way answers: it knows conditions and ranges.
_LONG_WAY = frozenset((b"range", b"if-none-match", b"if-range", b"if-match", b"if-modified-since"))


@dataclass(frozen=True)
class _Decision:
    until: float
    address: str
    paths: Mapping[str, tuple[Path, str]]  # by SOP Instance UID: the stored file and its digest


@dataclass(frozen=True)
class FastAnswer:
    """A complete answer but for the headers that every answer of ours has."""

    headers: Sequence[tuple[bytes, bytes]]
    segments: Sequence[Segment]


class FrameMemory:
    """Decisions by login and series; safe for many threads."""

    def __init__(self) -> None:
        self._key = uuid.uuid4().bytes
        self._decisions: dict[tuple[bytes, str, str], _Decision] = {}
        self._lock = threading.Lock()

    def is_unknown(self, credential: str, host: str, study: str, series: str) -> bool:
        found = self._decisions.get((self._hashed(credential, host), study, series))
        return found is None or found.until < time.monotonic()

    def remember(
        self, credential: str, host: str, address: str, rows: Iterable[Outgoing], paths: Mapping[str, Path]
    ) -> None:
        """``rows``: the whole of one series, which the door let this login have just now."""
        first = next(iter(rows := list(rows)))
        known = {row.sop_instance_uid: (paths[row.sop_instance_uid], row.digest) for row in rows}
        key = (self._hashed(credential, host), first.study_instance_uid, first.series_instance_uid)
        with self._lock:
            while len(self._decisions) >= _MOST_SERIES:
                del self._decisions[next(iter(self._decisions))]
            self._decisions.pop(key, None)
            self._decisions[key] = _Decision(time.monotonic() + TRUSTED_S, address, known)

    def find(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> FastAnswer | None:
        """None wherever the long way has to answer."""
        asked = _PATH.fullmatch(path)
        if asked is None:
            return None
        credential, host, accept = b"", b"", b""
        for name, value in headers:
            if name in _LONG_WAY:
                return None
            if name in (b"authorization", b"cookie"):
                credential += value + b"\0"
            elif name == b"host":
                host = value
            elif name == b"accept":
                accept = value
        study, series, instance, number = asked.groups()
        key = (self._hashed(credential.decode("latin-1"), host.decode("latin-1")), study, series)
        decision = self._decisions.get(key)
        if decision is None or decision.until < time.monotonic() or instance not in decision.paths:
            return None
        file, digest = decision.paths[instance]
        places = places_of(file)
        if isinstance(places, str) or int(number) > len(places.frames):
            return None
        return _answer(places, file, digest, int(number), accept.decode("latin-1"), f"{decision.address}/{instance}")

    def _hashed(self, credential: str, host: str) -> bytes:
        return hashlib.blake2b(f"{host}\0{credential}".encode("latin-1", "replace"), key=self._key).digest()


def _answer(places: FramePlaces, file: Path, digest: str, number: int, accept: str, address: str) -> FastAnswer | None:
    # What was derived at ingest is not looked at here: where it could be wanted first, the long way answers.
    form, with_derived = (frame_form(accept, places.transfer_syntax_uid, places.is_raw, has) for has in (False, True))
    if form is None or form != with_derived:
        return None
    segments: list[Segment] = [FileRange(file, *piece) for piece in places.frames[number - 1]]
    kind, etag = frame_type(form), frame_etag(digest, form, [number])
    if form.is_multipart:
        boundary = boundary_of(etag)
        segments = multipart_segments([Part(kind, tuple(segments), f"{address}/frames/{number}")], boundary)
        kind = f'multipart/related; type="{form.media}"; boundary={boundary}'
    headers = {"content-type": kind, "etag": f'"{etag}"', "accept-ranges": "bytes", "vary": "Accept"}
    return FastAnswer([(name.encode(), value.encode("latin-1")) for name, value in headers.items()], segments)
