"""How DICOMweb's bytes leave: single or multipart, by range, or not at all because the client has them. [web]"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from flask import Response, request

from worklist.web_files import FileRange, HeldFile, Piece, Segment, length_of, send_segments

CRLF = "\r\n"
NO_STORE = "no-store"


Maker = Callable[[], tuple[Piece, str, str]]  # the data, its content type, its location


@dataclass(frozen=True)
class Part:
    """One part of a multipart body."""

    content_type: str
    segments: tuple[Segment, ...]
    location: str = ""


def boundary_of(etag: str) -> str:
    """The same for the same content, so that a range of the body can be asked for later."""
    return f"teleread-{etag[:40]}"


def _head(boundary: str, content_type: str, location: str, is_first: bool) -> bytes:
    place = f"Content-Location: {location}\r\n" if location else ""
    return f"{'' if is_first else CRLF}--{boundary}\r\nContent-Type: {content_type}\r\n{place}\r\n".encode()


def multipart_segments(parts: Sequence[Part], boundary: str) -> list[Segment]:
    """RFC 2387; PS3.18 8.6.1.2."""
    body: list[Segment] = []
    for number, part in enumerate(parts):
        body += [_head(boundary, part.content_type, part.location, number == 0), *part.segments]
    return [*body, f"\r\n--{boundary}--\r\n".encode()]


def answer_parts(parts: Sequence[Part], media: str, etag: str) -> Response:
    boundary = boundary_of(etag)
    return answer(
        multipart_segments(parts, boundary), f'multipart/related; type="{media}"; boundary={boundary}', etag,
    )  # fmt: skip


def answer_lazy_parts(makers: Sequence[Maker], media: str, etag: str) -> Response:
    """Parts that are made one after another while the body leaves; its length is not known before."""
    boundary = boundary_of(etag)

    def made(maker: Maker, is_first: bool) -> list[Piece]:
        data, content_type, location = maker()
        return [_head(boundary, content_type, location, is_first), data]

    segments: list[Segment] = [partial(made, maker, number == 0) for number, maker in enumerate(makers)]
    segments.append(f"\r\n--{boundary}--\r\n".encode())
    return answer(segments, f'multipart/related; type="{media}"; boundary={boundary}', etag)


def answer(
    segments: Sequence[Segment], content_type: str, etag: str, headers: dict[str, str] | None = None
) -> Response:
    """200, 206, 304 or 416 (RFC 9110 13-14). ``etag``: a strong validator of these very bytes."""
    response = Response(content_type=content_type)
    response.headers.update({"Cache-Control": NO_STORE, "Vary": "Accept", **(headers or {})})
    response.set_etag(etag)
    if request.if_none_match.contains(etag):
        response.status_code = 304
        return response
    size = length_of(segments)
    if size is None:
        return send_segments(response, segments)
    response.headers["Accept-Ranges"] = "bytes"
    wanted = request.range
    holds = request.if_range.etag in (None, etag) and request.if_range.date is None
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1 or not holds:
        return send_segments(response, segments)
    span = wanted.range_for_length(size)
    if span is None:
        response.status_code = 416
        response.headers["Content-Range"] = f"bytes */{size}"
        return response
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
    return send_segments(response, cut(segments, *span))


def cut(segments: Sequence[Segment], start: int, end: int) -> list[Segment]:
    """The pieces between two offsets of the whole."""
    kept: list[Segment] = []
    at = 0
    for segment in segments:
        if not isinstance(segment, bytes | FileRange | HeldFile):
            continue  # only pieces of known length come here
        length = len(segment) if isinstance(segment, bytes) else segment.length
        first, last = max(start - at, 0), min(end - at, length)
        if first < last and isinstance(segment, bytes):
            kept.append(segment[first:last])
        elif first < last and isinstance(segment, FileRange | HeldFile):
            kept.append(replace(segment, offset=segment.offset + first, length=last - first))
        at += length
    return kept
