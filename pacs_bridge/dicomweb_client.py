"""An archive that speaks DICOMweb (PS3.18), whoever made it: STOW-RS there, WADO-RS back, QIDO-RS to ask. [adapter]

The standard lets a server rewrite what it was given. So a copy counts only when it was read back and is the same,
bit for bit; from a server that rewrites, nothing is ever counted on.
"""

import uuid
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import httpx
from blake3 import blake3

from pacs_bridge.http_archive import READ_BYTES, client_options, file_chunks, told_as_failure
from pacs_bridge.multipart import MultipartError, read_parts
from pacs_bridge.ports import ArchivedObject, ArchiveFailure

_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_MOST_OVERHEAD_BYTES = 1 << 16  # boundary and part headers around an object
_CONFLICT = 409  # PS3.18 10.5.3: none was stored; perhaps it was there before


class DicomwebArchive:
    """``pacs_bridge.ports.Archive``. ``url``: the service's root, such as https://host/dicom-web."""

    def __init__(self, url: str, username: str = "", password: str = "") -> None:
        self.name = f"dicomweb+{url}"
        self._url = url
        self._client = httpx.Client(**client_options(username, password))

    def store(self, path: Path, archived: ArchivedObject) -> None:
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            yield from file_chunks(path)
            yield tail

        with told_as_failure():
            answer = self._client.post(
                f"{self._url}/studies", content=body(),
                headers={
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                    "Content-Length": str(len(head) + archived.size_bytes + len(tail)),
                    "Accept": "application/dicom+json",
                },
            )  # fmt: skip
            if answer.status_code != _CONFLICT:
                answer.raise_for_status()
        self._compare(archived)

    def _compare(self, archived: ArchivedObject) -> None:
        hasher = blake3()
        try:
            for chunk in self.retrieve(archived):
                hasher.update(chunk)
        except ArchiveFailure as failure:
            if failure.code == "archive_missing":
                raise ArchiveFailure("archive_refused", failure.detail) from None
            raise
        if hasher.hexdigest() != archived.digest:
            raise ArchiveFailure("archive_differs")

    def retrieve(self, archived: ArchivedObject) -> Iterator[bytes]:
        most = archived.size_bytes * 2 + _MOST_OVERHEAD_BYTES
        address = f"{self._series(archived)}/instances/{archived.sop_instance_uid}"
        with told_as_failure(), self._client.stream("GET", address, headers={"Accept": _AS_STORED}) as answer:
            answer.raise_for_status()
            boundary = _boundary(answer.headers.get("Content-Type", ""))
            received = answer.iter_bytes(READ_BYTES)
            try:
                for part in read_parts(lambda _: next(received, b""), boundary, most):
                    yield from part.chunks
                    return
            except MultipartError as error:
                raise ArchiveFailure("archive_refused", error.code) from None
        raise ArchiveFailure("archive_missing")

    def has(self, archived: ArchivedObject) -> bool:
        with told_as_failure():
            answer = self._client.get(
                f"{self._series(archived)}/instances", params={"SOPInstanceUID": archived.sop_instance_uid},
                headers={"Accept": "application/dicom+json"},
            )  # fmt: skip
            if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.NO_CONTENT):
                return False
            return bool(answer.raise_for_status().json())

    def close(self) -> None:
        self._client.close()

    def _series(self, archived: ArchivedObject) -> str:
        return f"{self._url}/studies/{archived.study_instance_uid}/series/{archived.series_instance_uid}"


def _boundary(content_type: str) -> str:
    message = Message()
    message["Content-Type"] = content_type
    return str(message.get_param("boundary") or "")
