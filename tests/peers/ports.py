"""Ports for servers that tests start: none that the kernel might give to somebody's connection in between."""

import os
import socket
from itertools import count

_FIRST, _BELOW = 15_000, 32_000  # Linux hands out 32768 and above by itself (ip_local_port_range, ip(7))
_asked = count()


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(n_ports: int) -> list[int]:
    """Consecutive ports where nobody listens; each process of a test run begins at a place of its own."""
    for _ in range(1000):
        place = os.getpid() * 397 + next(_asked) * 8
        first = _FIRST + place % (_BELOW - _FIRST - n_ports)
        found = list(range(first, first + n_ports))
        if all(map(_is_free, found)):
            return found
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
