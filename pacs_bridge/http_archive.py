"""What archives that are reached over HTTP have in common: one client, and failures as codes. [adapter]"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from pacs_bridge.ports import ArchiveFailure

READ_BYTES = 1 << 18
TIMEOUT = httpx.Timeout(60.0, connect=5.0)


def client_options(username: str, password: str) -> dict[str, Any]:
    """How our clients are made: the system's authorities, no proxy of the environment, no redirects."""
    auth = httpx.BasicAuth(username, password) if username else None
    return {
        "auth": auth, "timeout": TIMEOUT, "trust_env": False, "verify": ssl.create_default_context(),
        "follow_redirects": False,
    }  # fmt: skip


@contextmanager
def told_as_failure() -> Iterator[None]:
    """What HTTP or the network say, as an ArchiveFailure; nothing of an answer's text goes along."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        code = "archive_missing" if status == 404 else "archive_unreachable" if status >= 500 else "archive_refused"
        raise ArchiveFailure(code, str(status)) from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise ArchiveFailure("archive_unreachable", type(error).__name__) from None


def file_chunks(path: Path) -> Iterator[bytes]:
    """A file in pieces, for a request's body."""
    with path.open("rb") as stream:
        while chunk := stream.read(READ_BYTES):
            yield chunk
