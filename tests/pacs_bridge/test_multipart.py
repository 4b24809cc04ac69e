"""A multipart body read in pieces of any size."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_bridge.multipart import MultipartError, read_parts

BOUNDARY = "b-42"


def body(parts: list[bytes]) -> bytes:
    head = b"Content-Type: application/dicom\r\nX: y"
    return b"".join(b"--b-42\r\n" + head + b"\r\n\r\n" + part + b"\r\n" for part in parts) + b"--b-42--\r\n"


def read(data: bytes, size: int, most: int = 1 << 20) -> list[bytes]:
    stream = BytesIO(data)
    return [b"".join(part.chunks) for part in read_parts(lambda _: stream.read(size), BOUNDARY, most)]


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 50))
def test_parts_come_out_as_they_went_in(parts: list[bytes], size: int) -> None:
    parts = [part for part in parts if b"\r\n--b-42" not in b"\r\n" + part]
    assert read(body(parts), size) == parts


@given(st.lists(st.sampled_from([b"\r\n", b"--", b"--b-4", b"\r\n--b-4", b"-", b"\r"]), max_size=20), st.integers(1, 9))
def test_what_looks_like_a_boundary_is_none(pieces: list[bytes], size: int) -> None:
    part = b"".join(pieces)
    if b"\r\n--b-42" not in b"\r\n" + part:
        assert read(body([part, b"next"]), size) == [part, b"next"]


@pytest.mark.parametrize("cut", [4, 10, 60, 90])
def test_a_body_that_ends_early_is_said_to(cut: int) -> None:
    whole = body([b"x" * 40, b"y" * 40])
    with pytest.raises(MultipartError) as caught:
        read(whole[: len(whole) - cut], 7)
    assert caught.value.code == "multipart_cut"


def test_limits() -> None:
    with pytest.raises(MultipartError, match="too_large"):
        read(body([b"x" * 1000]), 100, most=500)
    with pytest.raises(MultipartError, match="multipart_headers"):
        read(b"--b-42\r\n" + b"a" * 20000, 4096)
    with pytest.raises(MultipartError, match="multipart_boundary"):
        list(read_parts(BytesIO(b"").read, "", 1))
