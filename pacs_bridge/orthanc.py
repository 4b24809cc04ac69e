"""An archive that is an Orthanc, over its REST API: copies there and back, and what others brought to it. [adapter]

Orthanc keeps a file as it was given. What it holds under a UID is compared by the MD5 of its stored attachment.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from pyorthanc import Orthanc

from pacs_bridge.http_archive import READ_BYTES, client_options, file_chunks, told_as_failure
from pacs_bridge.ports import ArchivedObject, ArchiveFailure, Arrival

_NEW_INSTANCE = "NewInstance"


class OrthancArchive:
    """``pacs_bridge.ports.FollowedArchive``. ``url``: http(s)://host:port, without credentials."""

    def __init__(self, url: str, username: str = "", password: str = "") -> None:
        self.name = f"orthanc+{url}"
        self._orthanc = Orthanc(url, return_raw_response=True, **client_options(username, password))

    def store(self, path: Path, archived: ArchivedObject) -> None:
        if self.has(archived):
            return
        with told_as_failure():
            answer = self._orthanc.post(
                f"{self._orthanc.url}/instances", content=file_chunks(path),
                headers={"Content-Length": str(archived.size_bytes), "Content-Type": "application/dicom"},
            )  # fmt: skip
            answer.raise_for_status()
        if not self.has(archived):
            # It keeps what it had first (OverwriteInstances is off as shipped), or something else came of the bytes.
            raise ArchiveFailure("archive_differs")

    def retrieve(self, archived: ArchivedObject) -> Iterator[bytes]:
        keys = self._keys(archived.sop_instance_uid)
        if not keys:
            raise ArchiveFailure("archive_missing")
        same = [key for key in keys if self._md5(key) == archived.md5]
        if not same:
            raise ArchiveFailure("archive_differs")
        yield from self.read(same[0])

    def has(self, archived: ArchivedObject) -> bool:
        return any(self._md5(key) == archived.md5 for key in self._keys(archived.sop_instance_uid))

    def arrivals(self, since: int, limit: int) -> tuple[list[Arrival], int]:
        """What is gone again by now is left out."""
        answer = self._json("/changes", {"since": since, "limit": limit})
        keys = [change["ID"] for change in answer["Changes"] if change["ChangeType"] == _NEW_INSTANCE]
        found = [arrival for key in keys if (arrival := self._arrival(key)) is not None]
        return found, int(answer["Last"]) if answer["Changes"] else since

    def read(self, key: str) -> Iterator[bytes]:
        with told_as_failure(), self._orthanc.stream("GET", f"{self._orthanc.url}/instances/{key}/file") as answer:
            answer.raise_for_status()
            yield from answer.iter_bytes(READ_BYTES)

    def close(self) -> None:
        self._orthanc.close()

    def _arrival(self, key: str) -> Arrival | None:
        try:
            tags = self._json(f"/instances/{key}")["MainDicomTags"]
            source_ae = self._text(f"/instances/{key}/metadata/RemoteAET") or ""
            md5 = self._md5(key)
        except ArchiveFailure as failure:
            if failure.code == "archive_missing":
                return None
            raise
        return Arrival(key, str(tags.get("SOPInstanceUID", "")), source_ae, md5) if md5 else None

    def _keys(self, sop_instance_uid: str) -> list[str]:
        """Its names for a SOP Instance UID; several where it came under several patients or studies."""
        with told_as_failure():
            answer = self._orthanc.post(f"{self._orthanc.url}/tools/lookup", content=sop_instance_uid.encode())
            answer.raise_for_status()
            return [found["ID"] for found in answer.json() if found["Type"] == "Instance"]

    def _md5(self, key: str) -> str:
        return self._text(f"/instances/{key}/attachments/dicom/md5") or ""

    def _json(self, path: str, params: dict[str, Any] | None = None) -> Any:
        with told_as_failure():
            return self._get(path, params).raise_for_status().json()

    def _text(self, path: str) -> str | None:
        """None where there is no such thing."""
        with told_as_failure():
            answer = self._get(path)
            return None if answer.status_code == httpx.codes.NOT_FOUND else answer.raise_for_status().text.strip()

    def _get(self, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        answer: httpx.Response = self._orthanc.get(f"{self._orthanc.url}{path}", params=params)
        return answer
