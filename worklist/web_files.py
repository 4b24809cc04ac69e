"""Large bytes leave by file range, after the view has checked access. [web]

A view answers with the header ``X-Teleread-File``; the ASGI side (``worklist.asgi``) takes it off and
sends the file itself, so the bytes are never copied through WSGI. A body of many pieces is handed over in the
request's ASGI scope. Without ASGI (test client) the view answers with the bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from flask import Response, request
from werkzeug.http import http_date

FILE_HEADER = "X-Teleread-File"
SEGMENTS = "segments"  # the header's value where the pieces are in the scope
SEGMENTS_KEY = "teleread.segments"


@dataclass(frozen=True)
class FileRange:
    """``length`` bytes of a stored file from ``offset``."""

    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


class Held:
    """A file kept open by whoever holds this, however the answer ends; its name may be gone already."""

    def __init__(self, path: Path) -> None:
        self.stream = path.open("rb")

    def __del__(self) -> None:
        if hasattr(self, "stream"):
            self.stream.close()

    def whole(self) -> "HeldFile":
        return HeldFile(self, 0, self.stream.seek(0, 2))


@dataclass(frozen=True)
class HeldFile:
    """``length`` bytes of a held file from ``offset``; of one answer, which asks for one piece after another."""

    held: Held
    offset: int
    length: int

    def read(self) -> bytes:
        self.held.stream.seek(self.offset)
        return self.held.stream.read(self.length)


Piece = bytes | FileRange | HeldFile
Segment = Piece | Callable[[], Sequence[Piece]]  # the last: made only when its turn comes


def send_stored(path: Path, mimetype: str, *, etag: str, max_age_s: int = 0) -> Response:
    """The file, or the one range asked for (RFC 9110 14): 200, 206, 304 or 416. Raises FileNotFoundError.

    ``etag``: a strong validator of the bytes. ``max_age_s`` > 0: the bytes behind this URL never change and
    the browser may keep them privately so long; 0: no-store.
    """
    stat = path.stat()
    response = Response(mimetype=mimetype)
    response.set_etag(etag)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Last-Modified"] = http_date(stat.st_mtime)
    response.headers["Cache-Control"] = f"private, max-age={max_age_s}, immutable" if max_age_s else "no-store"
    if request.if_none_match.contains(etag):
        response.status_code = 304
        return response
    return _with_range(response, path, stat.st_size, etag)


def _with_range(response: Response, path: Path, size: int, etag: str) -> Response:
    wanted = request.range
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1 or not _range_still_holds(etag):
        return attach_file(response, path, 0, size)
    span = wanted.range_for_length(size)
    if span is None:
        response.status_code = 416
        response.headers["Content-Range"] = f"bytes */{size}"
        return response
    start, end = span
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return attach_file(response, path, start, end - start)


def _range_still_holds(etag: str) -> bool:
    return request.if_range.etag in (None, etag) and request.if_range.date is None


def attach_file(response: Response, path: Path, offset: int, length: int) -> Response:
    """Make ``length`` bytes of the file from ``offset`` the body of the response."""
    if "asgi.scope" in request.environ:
        response.headers[FILE_HEADER] = f"{quote(str(path))};{offset};{length}"  # a header holds latin-1 only
        return response
    with path.open("rb") as file:
        file.seek(offset)
        response.data = file.read(length)
    return response


def send_segments(response: Response, segments: Sequence[Segment]) -> Response:
    """Make these pieces, one after another, the body of the response."""
    if "asgi.scope" in request.environ:
        request.environ["asgi.scope"][SEGMENTS_KEY] = segments
        response.headers[FILE_HEADER] = SEGMENTS
        return response
    response.data = b"".join(segment_bytes(segment) for segment in segments)
    return response


def segment_bytes(segment: Segment) -> bytes:
    """The piece itself, in memory."""
    if isinstance(segment, bytes):
        return segment
    if isinstance(segment, FileRange | HeldFile):
        return segment.read()
    return b"".join(segment_bytes(piece) for piece in segment())


def length_of(segments: Sequence[Segment]) -> int | None:
    """How many bytes they are together, where that is known before they are made."""
    total = 0
    for segment in segments:
        if not isinstance(segment, bytes | FileRange | HeldFile):
            return None
        total += len(segment) if isinstance(segment, bytes) else segment.length
    return total
