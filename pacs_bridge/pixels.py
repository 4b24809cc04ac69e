"""Frames decoded to stored values, from every transfer syntax, with no LUT ever applied. [adapter]

Mono frames come back as (rows, columns) uint8, uint16, int16, uint32, int32 or, of the float pixel elements,
float32 or float64; colour as (rows, columns, 3) RGB (YBR and palette converted) of uint8, uint16 or uint32, as deep as
BitsStored says (a palette's always uint8). MONOCHROME1 is left as stored. Every refusal is a `PixelError` with a code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import imagecodecs
import numpy as np
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from pacs_bridge.codestream import Codestream, read_header
from pacs_bridge.pixel_error import PixelError

__all__ = ["MAX_FRAME_BYTES", "PixelError", "PixelFormat", "bit_plane", "decode_frame", "decode_frames", "read_format"]

MAX_FRAME_BYTES = 256 * 1024 * 1024
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", EXPLICIT_BIG_ENDIAN})
RLE = "1.2.840.10008.1.2.5"
LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 203))
CODESTREAMS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203))
GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
# Words in which a sign is carried up: unsigned, signed, bits.
NARROW: tuple[Any, Any, int] = (np.uint16, np.int16, 16)
WIDE: tuple[Any, Any, int] = (np.uint32, np.int32, 32)
END_OF_IMAGE, TAIL = b"\xff\xd9", 1024
RLE_SLACK = 256  # bytes a sloppy encoder may write past a segment's last row
BITS_ALLOCATED = (1, 8, 16, 32)
FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})


@dataclass(frozen=True)
class PixelFormat:
    """The Image Pixel module (PS3.3 C.7.6.3), checked: a frame of it can be decoded or is refused for its bytes."""

    transfer_syntax_uid: str
    photometric: str
    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_planar: bool
    is_float: bool = False

    @property
    def values(self) -> int:
        return self.rows * self.columns * self.samples

    @property
    def native_frame_bytes(self) -> int:
        """Of an uncompressed frame; one-bit frames are packed across frame borders and handled apart."""
        if self.photometric == "YBR_FULL_422":
            return self.rows * self.columns * 2 * self.bits_allocated // 8
        return self.values * self.bits_allocated // 8


def read_format(dataset: Dataset, max_frame_bytes: int = MAX_FRAME_BYTES) -> PixelFormat:
    """Raises PixelError: missing_*, invalid_*, unsupported_*, too_large."""
    syntax = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", ""))
    if not syntax:
        raise PixelError("missing_transfer_syntax")
    rows, columns = _size(dataset, "Rows", "rows"), _size(dataset, "Columns", "columns")
    samples, photometric = _colour(dataset)
    if "PixelData" not in dataset:
        return _float_format(dataset, syntax, (rows, columns), samples, photometric, max_frame_bytes)
    allocated, stored, high = _bits(dataset)
    if stored < 8 and photometric.startswith("YBR"):
        raise PixelError("unsupported_colour_depth", bits=stored)  # where grey is, 128 or half, nobody agrees on
    representation = _integer(dataset, "PixelRepresentation")
    if representation not in (0, 1) and samples == 1:
        raise PixelError("missing_pixel_representation" if representation is None else "invalid_pixel_representation")
    if rows * columns * samples * max(allocated // 8, 1) > max_frame_bytes:
        raise PixelError("too_large", rows=rows, columns=columns)
    return PixelFormat(
        syntax, photometric, rows, columns, samples, _frames(dataset), allocated, stored, high,
        is_signed=representation == 1 and samples == 1 and photometric != "PALETTE COLOR",
        is_planar=samples == 3 and _integer(dataset, "PlanarConfiguration") == 1,
    )  # fmt: skip


def decode_frame(dataset: Dataset, index: int = 0, max_frame_bytes: int = MAX_FRAME_BYTES) -> np.ndarray:
    """One frame, counted from 0. Raises PixelError."""
    for frame in islice(decode_frames(dataset, max_frame_bytes), index, index + 1):
        return frame
    raise PixelError("missing_frame", frame=index + 1)


def decode_frames(dataset: Dataset, max_frame_bytes: int = MAX_FRAME_BYTES) -> Iterator[np.ndarray]:
    """All frames in order, one in memory at a time. Raises PixelError, at the latest at the frame that is wrong."""
    form = read_format(dataset, max_frame_bytes)
    for cells, precision, is_rgb in _cells(dataset, form):
        yield np.ascontiguousarray(_colours(dataset, form, _stored(cells, form, precision), is_rgb))


def bit_plane(dataset: Dataset, bit: int) -> bytes:
    """One bit of every pixel of the first frame (an overlay of old style), packed, first pixel in the lowest bit."""
    form = read_format(dataset)
    cells, precision, _ = next(_cells(dataset, form))
    if form.samples != 1 or not 0 <= bit < precision:
        raise PixelError("undecodable")
    cells = cells.view(cells.dtype.str.replace("i", "u"))
    return np.packbits((cells >> bit & 1).astype(np.uint8), bitorder="little").tobytes()


# The module's numbers -------------------------------------------------------------------------------------------


def _integer(dataset: Dataset, keyword: str) -> int | None:
    try:
        value: Any = dataset.get(keyword)
        return None if value is None or value == "" else int(value)
    except Exception:  # a value of the wrong VR raises whatever its converter raises: for us it is not there
        return None


def _size(dataset: Dataset, keyword: str, name: str) -> int:
    value = _integer(dataset, keyword)
    if value is None:
        raise PixelError(f"missing_{name}")
    if value <= 0:
        raise PixelError(f"invalid_{name}")
    return value


def _float_format(
    dataset: Dataset, syntax: str, size: tuple[int, int], samples: int, photometric: str, max_frame_bytes: int
) -> PixelFormat:
    """Of Float or Double Float Pixel Data (PS3.3 C.7.6.24, C.7.6.25): grey, native, nothing to be masked."""
    bits = next((bits for keyword, bits in FLOAT_BITS.items() if keyword in dataset), 0)
    if not bits:
        raise PixelError("missing_pixel_data")
    if samples != 1 or photometric == "PALETTE COLOR" or syntax not in NATIVE:
        raise PixelError("unsupported_float_pixels")
    if size[0] * size[1] * bits // 8 > max_frame_bytes:
        raise PixelError("too_large", rows=size[0], columns=size[1])
    return PixelFormat(
        syntax, photometric, *size, 1, _frames(dataset), bits, bits, bits - 1,
        is_signed=True, is_planar=False, is_float=True,
    )  # fmt: skip


def _colour(dataset: Dataset) -> tuple[int, str]:
    samples = _integer(dataset, "SamplesPerPixel")
    try:
        photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    except Exception:
        photometric = ""
    if samples is None or not photometric:
        raise PixelError("missing_samples_per_pixel" if samples is None else "missing_photometric")
    if photometric not in GREY | COLOUR:
        raise PixelError("unsupported_photometric")
    if samples != (1 if photometric in GREY else 3):
        raise PixelError("invalid_samples_per_pixel", samples=samples)
    return samples, photometric


def _bits(dataset: Dataset) -> tuple[int, int, int]:
    allocated, stored = _integer(dataset, "BitsAllocated"), _integer(dataset, "BitsStored")
    if allocated is None or stored is None:
        raise PixelError("missing_bits")
    if allocated not in BITS_ALLOCATED:
        raise PixelError("unsupported_bits_allocated", bits=allocated)
    high = _integer(dataset, "HighBit")
    high = stored - 1 if high is None else high
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise PixelError("invalid_bits", allocated=allocated, stored=stored, high=high)
    return allocated, stored, high


def _frames(dataset: Dataset) -> int:
    if not dataset.get("NumberOfFrames") and _integer(dataset, "NumberOfFrames") in (None, 0):
        return 1
    frames = _integer(dataset, "NumberOfFrames")
    if frames is None or frames < 1:
        raise PixelError("invalid_number_of_frames")
    return frames


# Bytes to cells -------------------------------------------------------------------------------------------------


def _cells(dataset: Dataset, form: PixelFormat) -> Iterator[tuple[np.ndarray, int, bool]]:
    """(cells shaped (rows, columns[, 3]), significant bits of a cell, whether colour is RGB already)."""
    if form.transfer_syntax_uid in NATIVE:
        yield from _native(dataset, form)
        return
    if form.transfer_syntax_uid != RLE and form.transfer_syntax_uid not in CODESTREAMS:
        raise PixelError("unsupported_transfer_syntax")
    if form.bits_allocated == 1:
        raise PixelError("unsupported_bits_allocated", bits=1)
    count = 0
    for count, frame in enumerate(islice(_fragments(dataset, form), form.frames), 1):  # noqa: B007
        yield _decoded(frame, form)
    if count < form.frames:
        raise PixelError("truncated", frames=count)


def _fragments(dataset: Dataset, form: PixelFormat) -> Iterator[bytes]:
    """Raises PixelError("undecodable") where the encapsulation (PS3.5 A.4) is broken."""
    tables = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        tables = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    try:
        yield from generate_frames(dataset.PixelData, number_of_frames=form.frames, extended_offsets=tables)
    except PixelError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        raise PixelError("undecodable") from error


def _native(dataset: Dataset, form: PixelFormat) -> Iterator[tuple[np.ndarray, int, bool]]:
    data = _float_data(dataset, form) if form.is_float else dataset.PixelData or b""
    total_bits = form.values * form.frames if form.bits_allocated == 1 else form.native_frame_bytes * form.frames * 8
    if len(data) * 8 < total_bits:
        raise PixelError("truncated", bytes=len(data), needed=(total_bits + 7) // 8)
    for index in range(form.frames):
        yield _arranged(_native_values(dataset, form, data, index), form), form.bits_allocated, False


def _float_data(dataset: Dataset, form: PixelFormat) -> bytes:
    data = dataset[next(name for name, bits in FLOAT_BITS.items() if bits == form.bits_allocated)].value
    return data if isinstance(data, bytes) else b""


def _native_values(dataset: Dataset, form: PixelFormat, data: bytes, index: int) -> np.ndarray:
    if form.bits_allocated == 1:
        first = index * form.values
        packed = np.frombuffer(data, np.uint8)[first // 8 : (first + form.values + 7) // 8]
        return np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + form.values]
    size, n_cells = form.native_frame_bytes, form.native_frame_bytes * 8 // form.bits_allocated
    is_big = form.transfer_syntax_uid == EXPLICIT_BIG_ENDIAN
    if form.bits_allocated == 32 and is_big and not form.is_float:
        # OW is made of 16-bit words, each swapped alone, the low one first (PS3.5 8.1.1, Annex D); OL of 32-bit ones.
        kind, n_words = (">u4", 1) if dataset["PixelData"].VR == "OL" else (">u2", 2)
        words = np.frombuffer(data, kind, n_cells * n_words, index * size)
        return words if n_words == 1 else words.astype("<u2").view("<u4")
    if form.bits_allocated > 8:
        kind = f"{'>' if is_big else '<'}{'f' if form.is_float else 'u'}{form.bits_allocated // 8}"
        return np.frombuffer(data, kind, n_cells, index * size)
    if is_big and dataset["PixelData"].VR == "OW":  # two 8-bit pixels travel as one swapped 16-bit word, PS3.5 8.1.1
        data = np.frombuffer(data[: len(data) // 2 * 2], np.uint16).byteswap().tobytes()
    return np.frombuffer(data, np.uint8, size, index * size)


def _arranged(values: np.ndarray, form: PixelFormat) -> np.ndarray:
    """A flat native or RLE frame as (rows, columns[, 3])."""
    if form.photometric == "YBR_FULL_422":
        if form.columns % 2:
            raise PixelError("invalid_columns", columns=form.columns)
        pairs = values.reshape(-1, 4)  # Y1 Y2 Cb Cr, PS3.3 C.7.6.3.1.2
        triples = np.stack([pairs[:, [0, 2, 3]], pairs[:, [1, 2, 3]]], axis=1)
        return triples.reshape(form.rows, form.columns, 3)
    if form.samples == 1:
        return values.reshape(form.rows, form.columns)
    if form.is_planar:
        return values.reshape(3, form.rows, form.columns).transpose(1, 2, 0)
    return values.reshape(form.rows, form.columns, 3)


def _decoded(frame: bytes, form: PixelFormat) -> tuple[np.ndarray, int, bool]:
    try:
        if form.transfer_syntax_uid == RLE:
            return _decoded_rle(frame, form), form.bits_allocated, False
        header = read_header(frame)
        if (header.rows, header.columns, header.components) != (form.rows, form.columns, form.samples):
            raise PixelError("size_mismatch", rows=header.rows, columns=header.columns)
        most = 32 if header.kind == "jpeg2000" else 16
        if not 1 <= header.precision <= (form.bits_allocated if form.samples == 3 else most):
            raise PixelError("unsupported_bits_stored", bits=header.precision)
        cells, is_rgb = _decoded_codestream(frame, header, form)
    except (PixelError, MemoryError):
        raise
    except Exception as error:  # each codec has its own exception class: any of them means these bytes are no image
        raise PixelError("undecodable") from error
    shape = (form.rows, form.columns, 3) if form.samples == 3 else (form.rows, form.columns)
    if cells.dtype.itemsize > 4 or cells.size != form.values:
        raise PixelError("undecodable")
    return cells.reshape(shape), header.precision, is_rgb


def _decoded_rle(frame: bytes, form: PixelFormat) -> np.ndarray:
    """PS3.5 Annex G. Segments are byte planes, most significant first; the decoder is told the size it may fill."""
    width = form.bits_allocated // 8
    header = np.frombuffer(frame, "<u4", 16)
    count = int(header[0])
    if count != form.samples * width:
        raise PixelError("undecodable")
    ends = [*header[2 : count + 1].tolist(), len(frame)]
    plane_size = form.rows * form.columns
    planes = np.empty((count, plane_size), np.uint8)
    for plane, start, end in zip(planes, header[1 : count + 1].tolist(), ends, strict=True):
        if not 64 <= start <= end <= len(frame):
            raise PixelError("undecodable")
        unpacked = imagecodecs.packbits_decode(frame[start:end], out=plane_size + RLE_SLACK)
        plane[:] = np.frombuffer(unpacked, np.uint8)[:plane_size]
    bytewise = planes.reshape(form.samples, width, plane_size).transpose(0, 2, 1)
    words = np.ascontiguousarray(bytewise).view(f">u{width}").astype(f"<u{width}", copy=False)
    shaped = words.reshape(form.samples, form.rows, form.columns)
    arranged: np.ndarray = shaped[0] if form.samples == 1 else shaped.transpose(1, 2, 0)
    return arranged


def _decoded_codestream(frame: bytes, header: Codestream, form: PixelFormat) -> tuple[np.ndarray, bool]:
    if header.kind == "jpegls":
        return imagecodecs.jpegls_decode(frame), False
    if header.kind in ("jpeg2000", "htj2k"):  # not OpenJPH for HTJ2K: lossy overshoot wraps 255 to 0 there
        return imagecodecs.jpeg2k_decode(frame[header.offset :], numthreads=1), _has_component_transform(frame, form)
    if END_OF_IMAGE not in frame[-TAIL:]:  # the decoder would fill the missing part with grey and say nothing
        raise PixelError("truncated", bytes=len(frame))
    if form.samples == 1:
        return imagecodecs.jpeg8_decode(frame), False
    is_ycc = header.has_ycc if header.has_ycc is not None else form.photometric != "RGB"
    return imagecodecs.jpeg8_decode(frame, colorspace="YCBCR" if is_ycc else "RGB", outcolorspace="RGB"), True


def _has_component_transform(frame: bytes, form: PixelFormat) -> bool:
    """Whether the decoder gave RGB: it undid the transform (COD marker's MCT byte, ISO/IEC 15444-1 A.6.1), or the
    header names a transform (YBR_RCT, YBR_ICT) that the stream does not have: real files then hold plain RGB."""
    at = frame.find(b"\xff\x52")
    return not form.photometric.startswith("YBR_FULL") or (0 <= at < len(frame) - 8 and frame[at + 8] == 1)


# Cells to stored values -----------------------------------------------------------------------------------------


def _stored(cells: np.ndarray, form: PixelFormat, precision: int) -> np.ndarray:
    """Unused high bits (overlays, garbage) cut off, the sign carried up from the right bit. PS3.5 8.1.1."""
    if form.is_float:
        return cells
    cells = cells.view(cells.dtype.str.replace("i", "u"))
    wide = WIDE if cells.dtype.itemsize > 2 else NARROW
    bits = min(precision, form.bits_stored)
    if precision > form.bits_stored and form.transfer_syntax_uid in LOSSY:
        cells = _clipped(cells, form, precision)
    elif precision > form.bits_stored:
        cells = cells >> (form.high_bit + 1 - form.bits_stored) if form.high_bit >= form.bits_stored else cells
    if form.is_signed:
        shift = wide[2] - bits
        values: np.ndarray = (cells.astype(wide[0]) << shift).view(wide[1]) >> shift
        return values.astype(np.int16 if form.bits_stored <= 16 else np.int32, copy=False)
    if bits < cells.dtype.itemsize * 8:
        cells = cells & np.array((1 << bits) - 1, cells.dtype)
    least = np.uint8 if form.bits_stored <= 8 else np.uint16 if form.bits_stored <= 16 else np.uint32
    return cells.astype(least, copy=False)


def _clipped(cells: np.ndarray, form: PixelFormat, precision: int) -> np.ndarray:
    """A lossy coder may overshoot the declared range by a little; cutting bits would turn white into black."""
    if not form.is_signed:
        return np.asarray(np.minimum(cells, (1 << form.bits_stored) - 1))
    wide = WIDE if precision > 16 else NARROW
    shift = wide[2] - precision
    values = (cells.astype(wide[0]) << shift).view(wide[1]) >> shift
    half = 1 << (form.bits_stored - 1)
    return np.asarray(np.clip(values, -half, half - 1)).view(wide[0])


def _colours(dataset: Dataset, form: PixelFormat, values: np.ndarray, is_rgb: bool) -> np.ndarray:
    if form.photometric == "PALETTE COLOR":
        return _palette(dataset, values)
    if form.samples == 3 and form.photometric.startswith("YBR") and not is_rgb:
        return _rgb_of_ybr(values, form.bits_stored)
    return values


def _rgb_of_ybr(values: np.ndarray, bits: int) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2, with half of the range wherever that says 128: deeper colour is meant the same way."""
    if bits == 8:
        return convert_color_space(values, "YBR_FULL", "RGB", per_frame=False)
    luma, blue, red = (values[..., plane].astype(np.float64) for plane in range(3))
    blue, red = 1.772 * (blue - (1 << (bits - 1))), 1.402 * (red - (1 << (bits - 1)))
    shades = np.stack((luma + red, luma - (0.114 * blue + 0.299 * red) / 0.587, luma + blue), axis=-1)
    rgb: np.ndarray = np.rint(np.clip(shades, 0, (1 << bits) - 1)).astype(values.dtype)
    return rgb


def _palette(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    try:
        colours = apply_color_lut(values, dataset)[..., :3]
    except Exception as error:
        raise PixelError("invalid_palette") from error
    if colours.dtype == np.uint16:  # 16-bit entries hold 8-bit colours in some files: then they are not shifted
        colours = colours >> 8 if int(colours.max()) > 255 else colours
    return colours.astype(np.uint8)
