"""Bombs in every codec, deflated ones, processes killed in the middle: one object fails, with a reason, and no more."""

import os
import signal
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

from pacs_bridge.extract import extract
from pacs_bridge.header_dump import header_elements
from pacs_bridge.listener import Listener
from pacs_bridge.pixels import decode_frames
from pacs_bridge.records import Problem
from pacs_bridge.transcode_pool import TranscodeFailed, TranscodePool
from tests.pacs_bridge.inbox import MemoryInbox
from tests.peers import dcmtk
from tests.peers.data import shared_data
from tests.peers.instances import corrected, new_instance
from tests.peers.raw_modality import RawModality
from viewer.derive_pool import DerivePool

EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
SIDE = 64
CELLS = (np.indices((SIDE, SIDE)).sum(axis=0) * 2).astype(np.uint8)


def _sized(data: bytes, marker: bytes, offset: int, layout: str, side: int) -> bytes:
    """The codestream with another size written in its header."""
    at = data.index(marker) + offset
    return data[:at] + struct.pack(layout, side, side) + data[at + struct.calcsize(layout) :]


def _rle(side: int) -> bytes:
    """Runs of 128 zeros: 2 bytes each; ``side`` is what they swell to."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x00" * (side * side // 128)


# Transfer syntax → its codestream of a blank square that says it is ``side`` wide and high.
CODECS: dict[str, Callable[[int], bytes]] = {
    "1.2.840.10008.1.2.4.50": lambda side: _sized(imagecodecs.jpeg8_encode(CELLS), b"\xff\xc0", 5, ">HH", side),
    "1.2.840.10008.1.2.4.70": lambda side: _sized(
        imagecodecs.jpeg8_encode(CELLS, lossless=True), b"\xff\xc3", 5, ">HH", side
    ),
    "1.2.840.10008.1.2.4.80": lambda side: _sized(imagecodecs.jpegls_encode(CELLS), b"\xff\xf7", 5, ">HH", side),
    "1.2.840.10008.1.2.4.90": lambda side: _sized(
        imagecodecs.jpeg2k_encode(CELLS, codecformat="j2k", reversible=True), b"\xff\x51", 6, ">II", side
    ),
    "1.2.840.10008.1.2.4.201": lambda side: _sized(imagecodecs.htj2k_encode(CELLS), b"\xff\x51", 6, ">II", side),
    "1.2.840.10008.1.2.5": _rle,
}


def bomb(path: Path, syntax: str, *, declared: int, in_stream: int) -> Path:
    dataset = new_instance(side=8, Rows=declared, Columns=declared, BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate([CODECS[syntax](in_stream)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def pool() -> Iterator[DerivePool]:
    made = DerivePool(timeout_s=20, memory_bytes=1 << 30, max_frame_bytes=1 << 22)
    yield made
    made.close()


@pytest.mark.parametrize("syntax", CODECS)
def test_a_bomb_is_one_failed_image(syntax: str, pool: DerivePool, tmp_path: Path) -> None:
    """A stream larger than the header says, a header larger than the setting allows, both large and nearly empty."""
    for number, (declared, in_stream, codes) in enumerate((
        (SIDE, 60_000 if not syntax.endswith(".5") else 8000, ("size_mismatch", "undecodable")),
        (60_000, SIDE, ("too_large",)),
        (2048, 2048, None),  # within the limit: shown or refused, in bounded time and memory
    )):  # fmt: skip
        manifest = pool.derive(bomb(tmp_path / "bomb", syntax, declared=declared, in_stream=in_stream),
                               tmp_path / "out" / str(number))  # fmt: skip
        assert manifest["reason"] not in ("decoder_crashed", "time_out"), manifest["reason"]
        assert codes is None or manifest["reason"] in codes, manifest["reason"]


@pytest.mark.parametrize("side", [64, 2048])
def test_the_codec_samples_are_pictures(side: int, tmp_path: Path) -> None:
    """Without the lie in their headers they decode: the bombs above fail for the lie alone."""
    for syntax in CODECS:
        if side == SIDE or syntax.endswith(".5"):
            path = bomb(tmp_path / "fair", syntax, declared=side, in_stream=side)
            (frame,) = decode_frames(pydicom.dcmread(path))
            assert frame.shape == (side, side)
            assert np.abs(frame.astype(int) - (0 if syntax.endswith(".5") else CELLS)).max() <= 6


def deflated_bomb(n_mb: int) -> bytes:
    """A data set with the usual identity, then zeros without end."""
    dataset = new_instance(side=8)
    del dataset.PixelData
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    body = buffer.getvalue()
    at = body.index(struct.pack("<HH", 8, 5))
    tail = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, n_mb << 20)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [deflater.compress(body[at:] + tail)]
    parts += [deflater.compress(bytes(1 << 20)) for _ in range(n_mb)]
    return b"".join([*parts, deflater.flush()])


def file_of(data_set: bytes) -> bytes:
    dataset = new_instance(side=8)
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    body = buffer.getvalue()
    meta = body[: body.index(struct.pack("<HH", 8, 5))].replace(
        b"\x10\x00UI" + struct.pack("<H", 20) + EXPLICIT.encode() + b"\0",
        b"\x10\x00UI" + struct.pack("<H", 22) + DEFLATED.encode(),
    )
    length = struct.unpack_from("<I", meta, 140)[0] + 2
    return meta[:140] + struct.pack("<I", length) + meta[144:] + data_set


def resident_kb() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def test_a_deflated_bomb_is_quarantined_and_not_inflated(listener: Listener, inbox: MemoryInbox) -> None:
    data = deflated_bomb(300)
    assert len(data) < 500_000
    before_kb, began_s = resident_kb(), time.monotonic()
    with RawModality(listener.port, syntax=DEFLATED) as modality:
        assert modality.store(data) == 0
    assert time.monotonic() - began_s < 5
    assert resident_kb() - before_kb < 200_000
    (received,) = inbox.received
    assert received.problem is not None
    assert (received.problem.code, received.problem.params) == ("deflate_ratio", {"most": 200})
    assert dcmtk.echoscu(listener.port, "QS_CT").returncode == 0


def test_its_header_can_be_looked_at_without_inflating_it(tmp_path: Path) -> None:
    path = tmp_path / "bomb.dcm"
    path.write_bytes(file_of(deflated_bomb(300)))
    before_kb = resident_kb()
    assert all(line["tag"].startswith("(0002,") for line in header_elements(path))
    assert header_elements(path)
    assert resident_kb() - before_kb < 100_000
    with pytest.raises(Problem, match="deflate_ratio"):
        corrected(path, {"PatientName": "A"})


def test_honest_deflated_objects_are_no_bombs(tmp_path: Path) -> None:
    """A real one, and a small one that is blank: a screen without a picture deflates to a thousandth."""
    real = shared_data("dicom", "syntaxes", "image_dfl.dcm")
    assert extract(real, fallback_character_set="GB18030", zone=UTC).is_displayable
    dataset = new_instance(Rows=700, Columns=700, PixelData=bytes(700 * 700 * 2))
    dataset.save_as(tmp_path / "plain.dcm", enforce_file_format=True)
    assert dcmtk.run("dcmconv", "+td", str(tmp_path / "plain.dcm"), str(tmp_path / "small.dcm")).returncode == 0
    assert (tmp_path / "small.dcm").stat().st_size < 700 * 700 * 2 / 200
    record = extract(tmp_path / "small.dcm", fallback_character_set="GB18030", zone=UTC)
    assert record.is_displayable


def test_a_process_killed_while_it_compares_makes_two_objects_different(tmp_path: Path) -> None:
    pool = TranscodePool(timeout_s=20)
    one, other = shared_data("dicom", "dr", "RG3_J2KR.dcm"), shared_data("dicom", "dr", "RG3_JLSL")
    same = shared_data("dicom", "syntaxes", "MR_small.dcm"), shared_data("dicom", "syntaxes", "MR_small_implicit.dcm")
    os.mkfifo(tmp_path / "endless")
    answers: list[Any] = []
    try:
        assert pool.same_content(*same)
        assert not pool.same_content(one, same[0])
        waiting = threading.Thread(target=lambda: answers.append(pool.same_content(tmp_path / "endless", other)))
        waiting.start()
        time.sleep(0.3)
        assert pool._process is not None
        assert pool._process.pid is not None
        os.kill(pool._process.pid, signal.SIGSEGV)
        waiting.join(10)
        assert answers == [False]
        assert pool.same_content(*same)
    finally:
        pool.close()


def test_the_setting_bounds_what_is_transcoded(tmp_path: Path) -> None:
    pool = TranscodePool(max_frame_bytes=1 << 16)
    try:
        with pytest.raises(TranscodeFailed, match="too_large"):
            pool.transcode(shared_data("dicom", "dr", "RG3_J2KR.dcm"), tmp_path / "out.dcm", EXPLICIT)
        pool.transcode(shared_data("dicom", "syntaxes", "MR_small_RLE.dcm"), tmp_path / "out.dcm", EXPLICIT)
    finally:
        pool.close()


# More than sixteen bits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [17, 20, 24, 31, 32])
@pytest.mark.parametrize("is_signed", [False, True])
def test_wide_whole_numbers_are_pydicoms(bits: int, is_signed: bool, tmp_path: Path) -> None:
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    cells = np.random.default_rng(bits).integers(lowest, highest, (9, 7), np.int64, endpoint=True)
    cells[0, :2] = lowest, highest
    dataset = new_instance(side=8, Rows=9, Columns=7, BitsAllocated=32, BitsStored=bits, HighBit=bits - 1)
    dataset.PixelRepresentation = int(is_signed)
    dataset.PixelData = cells.astype("<i4" if is_signed else "<u4").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(tmp_path / "wide.dcm", enforce_file_format=True)
    expected = pixel_array(tmp_path / "wide.dcm", raw=True)
    assert dcmtk.run("dcmconv", "+tb", str(tmp_path / "wide.dcm"), str(tmp_path / "big.dcm")).returncode == 0
    assert dcmtk.run("dcmcrle", str(tmp_path / "wide.dcm"), str(tmp_path / "rle.dcm")).returncode == 0
    for name in ("wide.dcm", "big.dcm", "rle.dcm"):
        (frame,) = decode_frames(pydicom.dcmread(tmp_path / name))
        assert np.array_equal(frame, expected)
        assert np.array_equal(frame, cells)


@pytest.mark.parametrize(("keyword", "kind", "vr"), [("FloatPixelData", "<f4", "OF"), ("DoubleFloatPixelData", "<f8", "OD")])
def test_floating_point_pixels_are_shown(keyword: str, kind: str, vr: str, pool: DerivePool, tmp_path: Path) -> None:
    cells = (np.indices((64, 64)).sum(axis=0) / 7 - 3).astype(kind)
    dataset = new_instance(side=8, Rows=64, Columns=64, BitsAllocated=cells.itemsize * 8, PixelData=None,
                           BitsStored=None, HighBit=None, PixelRepresentation=None, PixelPaddingValue=None)  # fmt: skip
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, 10
    dataset.add_new(pydicom.datadict.tag_for_keyword(keyword) or 0, vr, cells.tobytes())
    dataset.save_as(tmp_path / "float.dcm", enforce_file_format=True)
    read = pydicom.dcmread(tmp_path / "float.dcm")
    (frame,) = decode_frames(read)
    assert np.array_equal(frame, read.pixel_array)
    manifest = pool.derive(tmp_path / "float.dcm", tmp_path / "out")
    assert (manifest["state"], manifest["bits_stored"], manifest["signed"]) == ("ready", 16, False)
    shown = imagecodecs.jpeg2k_decode((tmp_path / "out" / "frame_1.jphc").read_bytes())
    lut = manifest["modality_lut"]
    values = shown * lut["slope"] + lut["intercept"]
    assert np.abs(values - (cells.astype(float) * 2 + 10)).max() <= (cells.max() - cells.min()) * 2 / 65535
