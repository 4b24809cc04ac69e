"""What a compressed frame says about itself: its kind, size, depth and colour, read from its own header. [domain]"""

from dataclasses import dataclass

from pacs_bridge.pixel_error import PixelError

JP2_SIGNATURE = b"\x00\x00\x00\x0cjP"
SOC_SIZ = b"\xff\x4f\xff\x51"
SOI = b"\xff\xd8"
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # SOF0-15 of T.81, SOF55 of T.87
MARKERS_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}


@dataclass(frozen=True)
class Codestream:
    """``kind``: jpeg | jpegls | jpeg2000 | htj2k. ``precision``: bits a sample. ``is_signed``: JPEG 2000 only.

    ``has_ycc``: True or False where a JPEG says so itself (Adobe APP14, JFIF, chroma subsampling), else None.
    """

    kind: str
    rows: int
    columns: int
    components: int
    precision: int
    is_signed: bool = False
    has_ycc: bool | None = None
    offset: int = 0


def read_header(frame: bytes) -> Codestream:
    """Raises PixelError("undecodable") where the bytes are no JPEG, JPEG-LS or JPEG 2000 stream."""
    try:
        if frame.startswith(SOI):
            return _jpeg(frame)
        start = frame.find(SOC_SIZ, 0, 4096) if frame.startswith(JP2_SIGNATURE) else 0
        if start >= 0 and frame[start : start + 4] == SOC_SIZ:
            return _jpeg2000(frame, start)
    except IndexError:
        pass
    raise PixelError("undecodable")


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _u32(data: bytes, at: int) -> int:
    return _u16(data, at) << 16 | _u16(data, at + 2)


def _jpeg2000(frame: bytes, start: int) -> Codestream:
    """ISO/IEC 15444-1 A.5.1 (SIZ); a CAP marker right after SIZ means part 15 (HTJ2K) when its bit 14 is set."""
    siz = start + 4
    columns, rows = (_u32(frame, siz + 4 + k) - _u32(frame, siz + 12 + k) for k in (0, 4))
    depth = frame[siz + 38]
    after = siz + _u16(frame, siz)
    has_part_15 = _u16(frame, after) == 0xFF50 and bool(_u32(frame, after + 4) & 1 << (32 - 15))
    kind = "htj2k" if has_part_15 else "jpeg2000"
    return Codestream(kind, rows, columns, _u16(frame, siz + 36), (depth & 0x7F) + 1, bool(depth & 0x80), offset=start)


def _jpeg(frame: bytes) -> Codestream:
    """ITU-T T.81 B.2: walk the markers to the frame header; APP0/APP14 on the way tell the colour space."""
    at, has_ycc = 2, None
    while True:
        while frame[at] == 0xFF and frame[at + 1] == 0xFF:
            at += 1
        if frame[at] != 0xFF:
            raise PixelError("undecodable")
        marker = frame[at + 1]
        if marker in MARKERS_WITHOUT_LENGTH:
            at += 2
            continue
        body = frame[at + 4 : at + 2 + _u16(frame, at + 2)]
        if marker in FRAME_HEADERS:
            return _jpeg_frame(marker, body, has_ycc)
        if marker == 0xE0 and body.startswith(b"JFIF") and has_ycc is None:
            has_ycc = True
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            has_ycc = body[11] == 1
        at += 2 + max(_u16(frame, at + 2), 2)


def _jpeg_frame(marker: int, body: bytes, has_ycc: bool | None) -> Codestream:
    kind = "jpegls" if marker == 0xF7 else "jpeg"
    components = body[5]
    sampling = {body[7 + 3 * i] for i in range(components)}
    if kind == "jpeg" and components == 3 and len(sampling) > 1:
        has_ycc = True  # only chroma is ever subsampled
    return Codestream(kind, _u16(body, 1), _u16(body, 3), components, body[0], has_ycc=has_ycc)
