"""A copy of a stored object in a plain little endian syntax, for a peer that does not take the stored one. [adapter]

Pixels are decoded frame by frame and written as they come; every other element keeps its bytes wherever the
encoding allows. The original is only read. ``transcode_pool`` runs this in a process of its own.
"""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset

from pacs_bridge.pixel_error import PixelError
from pacs_bridge.pixels import NATIVE, bit_plane, decode_frames, read_format
from pacs_bridge.retrieval import BIG_ENDIAN, IMPLICIT
from pacs_bridge.spool import part10_preamble

_JPEG_LOSSY = frozenset(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"))
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_PIXEL_DATA = 0x7FE00010
_MOST_BYTES = 0xFFFFFFFE  # of an element with a defined length


def transcode(source: Path, target: Path, transfer_syntax_uid: str, max_frame_bytes: int) -> None:
    """Write ``source`` as ``transfer_syntax_uid``, one of ``retrieval.PLAIN``, to ``target``.

    Raises PixelError, OSError, and whatever pydicom raises for a broken object.
    """
    dataset = dcmread(source)
    if "SOPInstanceUID" not in dataset:
        raise ValueError("ends before its identity")  # an empty copy would replace the whole one at the peer
    stored = str(dataset.file_meta.TransferSyntaxUID)
    with target.open("wb") as stream:
        stream.write(_meta(dataset, transfer_syntax_uid))
        out = DicomFileLike(stream)
        out.is_little_endian, out.is_implicit_VR = True, transfer_syntax_uid == IMPLICIT
        if stored in NATIVE or "PixelData" not in dataset:
            if stored == BIG_ENDIAN:
                _swap_words(dataset)
            write_dataset(out, dataset)
            return
        _write_decoded(out, dataset, max_frame_bytes)


def _meta(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    source_ae = str(dataset.file_meta.get("SourceApplicationEntityTitle", ""))
    meta = dataset.file_meta
    return part10_preamble(
        str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), transfer_syntax_uid, source_ae
    )


def _write_decoded(out: DicomFileLike, dataset: Dataset, max_frame_bytes: int) -> None:
    form = read_format(dataset, max_frame_bytes)
    _free_overlays(dataset, form.frames)
    if form.photometric == "PALETTE COLOR":
        dataset.PhotometricInterpretation = "MONOCHROME2"  # the indices are wanted, not their colours
    frames = decode_frames(dataset, max_frame_bytes)
    size = form.values * form.bits_allocated // 8 * form.frames
    if size + size % 2 > _MOST_BYTES:
        raise PixelError("too_large", rows=form.rows, columns=form.columns)
    head = dataset[:_PIXEL_DATA]
    tail = dataset[_PIXEL_DATA + 1 :]
    _describe(head, form.samples, form.photometric, form.bits_stored, form.transfer_syntax_uid)
    write_dataset(out, head)
    vr = b"OW" if form.bits_allocated > 8 else b"OB"
    out.write(b"\xe0\x7f\x10\x00" + (b"" if out.is_implicit_VR else vr + b"\0\0"))
    out.write((size + size % 2).to_bytes(4, "little"))
    signed = dataset.PixelRepresentation == 1 and form.samples == 1
    cell = np.dtype(f"<{'i' if signed else 'u'}{form.bits_allocated // 8}")
    for frame in frames:
        out.write(np.ascontiguousarray(frame.astype(cell, copy=False)).tobytes())
    out.write(b"\0" * (size % 2))
    write_dataset(out, tail)


def _describe(head: Dataset, samples: int, photometric: str, bits_stored: int, stored_syntax: str) -> None:
    """The Image Pixel module as the decoded frames are; lossy flags stay, and are set where JPEG forgot them."""
    head.PhotometricInterpretation = "RGB" if samples == 3 else photometric
    head.HighBit = bits_stored - 1
    if samples == 3:
        head.PlanarConfiguration = 0
    if stored_syntax in _JPEG_LOSSY:
        head.LossyImageCompression = "01"
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in head:
            del head[keyword]


def _free_overlays(dataset: Dataset, n_frames: int) -> None:
    """Overlays that old writers kept in unused pixel bits become elements of their own: decoding cuts those bits."""
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x0102) not in dataset or (group, 0x3000) in dataset:
            continue
        bit = int(dataset[group, 0x0102].value or 0)
        if bit == 0:
            continue
        if n_frames != 1:
            raise PixelError("unsupported_overlay")
        plane = bit_plane(dataset, bit)
        dataset.add_new((group, 0x3000), "OW", plane + b"\0" * (len(plane) % 2))
        dataset.add_new((group, 0x0100), "US", 1)
        dataset.add_new((group, 0x0102), "US", 0)


def _swap_words(dataset: Dataset) -> None:
    """pydicom turns numbers, not the words of OW, OF, OL, OD and OV."""
    for element in dataset.iterall():
        width = _WORD_BYTES.get(element.VR)
        value: Any = element.value
        if width and isinstance(value, bytes):
            element.value = np.frombuffer(value[: len(value) // width * width], f">u{width}").byteswap().tobytes()
