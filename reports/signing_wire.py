"""Messages between the server and a signing process: a JSON head and byte blobs, each with its length. [adapter]

``[u32 size of head][head][blob …]``; the head's ``sizes`` names each blob and its length in bytes. Secrets
travel as blobs, never in the head, so nothing that prints a head can print them.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

MAX_HEAD_BYTES = 64 * 1024
MAX_BLOB_BYTES = 64 * 1024 * 1024


class WireError(Exception):
    """The other end closed, or sent what is no message."""


def encode(head: Mapping[str, Any], blobs: Mapping[str, bytes | bytearray]) -> list[bytes | bytearray]:
    """The parts of a message, in order; blobs are not copied."""
    text = json.dumps({**head, "sizes": {name: len(blob) for name, blob in blobs.items()}}).encode()
    return [len(text).to_bytes(4, "big"), text, *blobs.values()]


def decode(read_exactly: Callable[[int], bytearray]) -> tuple[dict[str, Any], dict[str, bytearray]]:
    """A message taken with ``read_exactly(n)``. Raises WireError."""
    size = int.from_bytes(read_exactly(4), "big")
    if not 2 <= size <= MAX_HEAD_BYTES:
        raise WireError("bad head")
    head = json.loads(bytes(read_exactly(size)))
    blobs = {}
    for name, n_bytes in head.pop("sizes").items():
        if not 0 <= n_bytes <= MAX_BLOB_BYTES:
            raise WireError("bad blob")
        blobs[name] = read_exactly(n_bytes)
    return head, blobs
