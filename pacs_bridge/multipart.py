"""A multipart/related body taken apart while it arrives (RFC 2046 5.1, RFC 2387). [domain]"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

MOST_HEADER_BYTES = 16 * 1024
MOST_BOUNDARY_BYTES = 128  # RFC 2046 5.1.1 says 70; Orthanc sends 73
_READ_BYTES = 1 << 18
Read = Callable[[int], bytes]


class MultipartError(Exception):
    """The body is no such message. ``code``: multipart_boundary, multipart_headers, multipart_cut, too_large."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Part:
    """``headers`` by lower-case name; ``chunks`` must be read to their end before the next part is asked for."""

    headers: dict[str, str]
    chunks: Iterator[bytes]


def read_parts(read: Read, boundary: str, most_bytes: int) -> Iterator[Part]:
    """Part after part; memory holds one chunk. Raises MultipartError."""
    if not 0 < len(boundary) <= MOST_BOUNDARY_BYTES or not boundary.isascii():
        raise MultipartError("multipart_boundary")
    source = _Source(read, b"\r\n--" + boundary.encode(), most_bytes)
    for _ in source.until_delimiter():
        pass  # the preamble says nothing
    while not source.is_last():
        headers = _headers(source.line_block())
        yield Part(headers, source.until_delimiter())


class _Source:
    def __init__(self, read: Read, delimiter: bytes, most_bytes: int) -> None:
        self._read, self._delimiter, self._left = read, delimiter, most_bytes
        self._buffer = bytearray(b"\r\n")  # so that the first boundary looks like every other

    def _more(self) -> None:
        chunk = self._read(_READ_BYTES)
        if not chunk:
            raise MultipartError("multipart_cut")
        self._left -= len(chunk)
        if self._left < 0:
            raise MultipartError("too_large")
        self._buffer += chunk

    def until_delimiter(self) -> Iterator[bytes]:
        """What stands before the next delimiter, which is then behind us."""
        keep = len(self._delimiter) - 1
        while (at := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > keep:
                ready = bytes(self._buffer[:-keep])
                del self._buffer[:-keep]
                yield ready
            self._more()
        if at:
            yield bytes(self._buffer[:at])
        del self._buffer[: at + len(self._delimiter)]

    def is_last(self) -> bool:
        """Whether the delimiter just passed was the closing one."""
        while len(self._buffer) < 2:
            self._more()
        return self._buffer[:2] == b"--"

    def line_block(self) -> bytes:
        """The rest of the delimiter's line and the headers, up to the empty line."""
        while (at := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MOST_HEADER_BYTES:
                raise MultipartError("multipart_headers")
            self._more()
        block = bytes(self._buffer[:at])
        del self._buffer[: at + 4]
        return block


def _headers(block: bytes) -> dict[str, str]:
    """Raises MultipartError for a line that is no header."""
    padding, *lines = block.decode("utf-8", "replace").split("\r\n")
    if padding.strip(" \t"):
        raise MultipartError("multipart_headers")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MultipartError("multipart_headers")
        found[name.strip().lower()] = value.strip()
    return found
