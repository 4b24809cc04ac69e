"""The data set of a request: read in every syntax it may come in, and never more of it than a listener can bear."""

import zlib
from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.dsutils import encode
from pynetdicom.presentation import PresentationContext

from pacs_bridge.provider import TEXT_SYNTAXES, BadIdentifier, Exchange

DEFLATED = "1.2.840.10008.1.2.1.99"


def exchange(content: bytes, syntax: str) -> Exchange:
    context, request = PresentationContext(), C_FIND()
    context.transfer_syntax = [UID(syntax)]
    request.Identifier = BytesIO(content)
    nobody: Any = None
    return Exchange(nobody, request, context, nobody, None)


@pytest.mark.parametrize("syntax", sorted(TEXT_SYNTAXES))
def test_an_identifier_is_read_as_it_was_written(syntax: str) -> None:
    written, uid = Dataset(), UID(syntax)
    written.PatientID, written.NumberOfStudyRelatedInstances = "0001", 300
    content = encode(written, uid.is_implicit_VR, uid.is_little_endian, uid.is_deflated)
    assert content is not None and exchange(content, syntax).identifier() == written


def test_an_identifier_that_swells_is_none() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = b"\x10\0\0\x40LT\x80\0" + b" " * 128
    bomb = packer.compress(element * 300_000) + packer.flush()
    assert len(bomb) < 1 << 18
    with pytest.raises(BadIdentifier):
        exchange(bomb, DEFLATED).identifier()
    with pytest.raises(BadIdentifier):
        exchange(bomb[:100], DEFLATED).identifier()
