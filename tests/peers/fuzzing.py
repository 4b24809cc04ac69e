"""Malformed PDUs and data sets by seed: what the tests send a thousandfold and the campaign a hundred thousandfold.

``tests/corpus`` holds what they grow from: small data sets of nobody, and what once did harm (``found-*``).
"""

import random
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import count
from pathlib import Path

from pacs_bridge.extract import extract
from pacs_bridge.records import Problem

CORPUS = Path(__file__).parents[1] / "corpus"
IMPLICIT = "1.2.840.10008.1.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
# Requests with a data set: SOP class, command field, whether it names an affected or a requested instance.
REQUESTS = {
    "store": (CT, 0x0001, 0x00001000), "find": ("1.2.840.10008.5.1.4.1.2.2.1", 0x0020, 0),
    "move": ("1.2.840.10008.5.1.4.1.2.2.2", 0x0021, 0), "get": ("1.2.840.10008.5.1.4.1.2.2.3", 0x0010, 0),
    "worklist": ("1.2.840.10008.5.1.4.31", 0x0020, 0), "mpps": ("1.2.840.10008.3.1.2.3.3", 0x0140, 0x00001000),
    "mpps-set": ("1.2.840.10008.3.1.2.3.3", 0x0120, 0x00001001),
    "commitment": ("1.2.840.10008.1.20.1", 0x0130, 0x00001001),
    "ups": ("1.2.840.10008.5.1.4.34.6.1", 0x0140, 0x00001000),
    "ups-find": ("1.2.840.10008.5.1.4.34.6.3", 0x0020, 0),
    "ups-action": ("1.2.840.10008.5.1.4.34.6.1", 0x0130, 0x00001001),
}  # fmt: skip
_LENGTHS = (b"\xff\xff\xff\xff", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0", b"\x80")


def corpus(kind: str) -> list[bytes]:
    """The seeds of one kind: ``dataset``, ``file`` or ``found``."""
    return [path.read_bytes() for path in sorted(CORPUS.glob(f"{kind}-*"))]


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to six injuries."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[min(at, len(data) - 1)] = rng.randrange(256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            data[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif kind == 5:
            length = rng.choice(_LENGTHS)
            data[at : at + len(length)] = length
        else:
            other = rng.choice(seeds)
            start = rng.randrange(len(other))
            data[at:at] = other[start : start + rng.randrange(1, 200)]
    return bytes(data[: 1 << 16])


def extract_cases(seed: int, n_cases: int) -> Iterator[bytes]:
    """Files whose record must be made or refused; yields those for which something else came."""
    rng, seeds = random.Random(seed), [*corpus("file"), *corpus("found")]
    for number in range(n_cases + len(seeds)):
        data = seeds[number] if number < len(seeds) else mutated(rng, seeds)
        try:
            extract(data, fallback_character_set="GB18030", zone=UTC)
        except Problem:
            continue
        except Exception:
            yield data


# The network ------------------------------------------------------------------------------------------------------


def _item(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(data)) + data


def pdu(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(data)) + data


def association_request(calling: str = "QS_CT") -> bytes:
    """Every class of ``REQUESTS`` in implicit VR, with roles and extended negotiation."""
    classes = list(dict.fromkeys(sop_class for sop_class, _, _ in REQUESTS.values()))
    contexts = b"".join(
        _item(0x20, bytes((2 * number + 1, 0, 0, 0)) + _item(0x30, one.encode()) + _item(0x40, IMPLICIT.encode()))
        for number, one in enumerate(classes)
    )
    uid = classes[1].encode()
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3.4")
    user += _item(0x54, struct.pack(">H", len(uid)) + uid + b"\1\1") + _item(0x56, struct.pack(">H", len(uid)) + uid + b"\1\1\1")
    names = b"TELEREAD".ljust(16) + calling.encode().ljust(16) + bytes(32)
    return pdu(1, struct.pack(">HH", 1, 0) + names + _item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + _item(0x50, user))


def message(name: str, data_set: bytes, message_id: int) -> bytes:
    """One request as P-DATA, its command right and its data set as given."""
    classes = list(dict.fromkeys(sop_class for sop_class, _, _ in REQUESTS.values()))
    sop_class, command, instance_tag = REQUESTS[name]
    context = 2 * classes.index(sop_class) + 1
    uid = sop_class.encode() + b"\0" * (len(sop_class) % 2)
    is_affected = instance_tag == 0x00001000 or command < 0x0100
    values = {0x0002 if is_affected else 0x0003: uid, 0x0100: struct.pack("<H", command),
              0x0110: struct.pack("<H", message_id), 0x0800: struct.pack("<H", 1)}  # fmt: skip
    if command < 0x0100:
        values[0x0700] = struct.pack("<H", 0)
    if name == "move":
        values[0x0600] = b"NOWHERE "
    if instance_tag:
        values[instance_tag & 0xFFFF] = f"1.2.3.{message_id}.{len(data_set)}".encode().ljust(16, b"\0")
    if command == 0x0130:
        values[0x1008] = struct.pack("<H", 1)
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in sorted(values.items()))
    body = struct.pack("<HHII", 0, 0, 4, len(body)) + body
    parts = [(body, 3), (data_set, 2)]
    return b"".join(
        pdu(4, struct.pack(">IBB", len(data) + 2, context, header) + data) for data, header in parts
    )  # fmt: skip


RELEASE, RELEASED = pdu(5, bytes(4)), 6


_talks = count()


@dataclass
class Talk:
    """What a listener answered to a stream: PDU types in order."""

    types: list[int] = field(default_factory=list)
    is_closed: bool = False


def talk(port: int, stream: bytes, *, hangs_up: bool, timeout_s: float = 20.0) -> Talk:
    """Send all of it, then listen until the other side closes or has answered the release.

    ``hangs_up``: say at once that nothing more comes, so that half a PDU is not waited for. Each comes from another
    address of this machine: one that keeps failing would be throttled.
    """
    heard, answer = bytearray(), Talk()
    number = next(_talks)
    source = f"127.1.{number // 250 % 250}.{number % 250 + 1}"
    with socket.create_connection(("127.0.0.1", port), timeout_s, (source, 0)) as sock:
        try:
            sock.sendall(stream)
            if hangs_up:
                sock.shutdown(socket.SHUT_WR)
            while chunk := sock.recv(65536):
                heard += chunk
                while len(heard) >= 6 and len(heard) >= (size := 6 + struct.unpack_from(">I", heard, 2)[0]):
                    answer.types.append(heard[0])
                    del heard[:size]
                if answer.types[-1:] == [RELEASED] and not hangs_up:
                    break
            answer.is_closed = True
        except ConnectionError:
            answer.is_closed = True
        except TimeoutError:
            pass
    return answer


def broken_streams(seed: int, n_cases: int) -> Iterator[bytes]:
    """Whole conversations with injuries anywhere."""
    rng, data_sets = random.Random(seed), corpus("dataset")
    for number in range(n_cases):
        name = rng.choice(list(REQUESTS))
        whole = association_request() + message(name, rng.choice(data_sets), number % 60000 + 1) + RELEASE
        yield mutated(rng, [whole])


def broken_data_sets(seed: int, n_cases: int, per_association: int = 10) -> Iterator[tuple[bytes, int]]:
    """Conversations that are right but for their data sets; with the number of requests in each."""
    rng, data_sets = random.Random(seed), corpus("dataset")
    for first in range(0, n_cases, per_association):
        n = min(per_association, n_cases - first)
        requests = [message(rng.choice(list(REQUESTS)), mutated(rng, data_sets), one + 1) for one in range(n)]
        yield association_request() + b"".join(requests) + RELEASE, n
