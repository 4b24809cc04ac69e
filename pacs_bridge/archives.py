"""An archive by its address: ``local:PATH``, ``orthanc+http(s)://…``, ``dicomweb+http(s)://…``. [adapter]"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from pacs_bridge.ports import Archive


def check_archive(url: str) -> bool:
    """Whether ``open_archive`` takes this address."""
    kind, _, address = url.partition("+")
    if url.startswith("local:"):
        return url == "local:" or Path(url.removeprefix("local:")).is_absolute()
    try:
        parts = urlsplit(address)
        return kind in ("orthanc", "dicomweb") and parts.scheme in ("http", "https") and bool(parts.hostname) and (
            parts.port is None or parts.port > 0
        )  # fmt: skip
    except ValueError:
        return False


def open_archive(url: str) -> Archive | None:
    """None for ``local:``, where our own store is all there is. Opens no connection. Raises ValueError."""
    if not check_archive(url):
        raise ValueError("no address of an archive")
    if url == "local:":
        return None
    if url.startswith("local:"):
        from pacs_bridge.local_archive import LocalArchive  # noqa: PLC0415  each kind loads what it needs

        return LocalArchive(Path(url.removeprefix("local:")))
    kind, _, address = url.partition("+")
    parts = urlsplit(address)
    credentials = unquote(parts.username or ""), unquote(parts.password or "")
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/")).geturl()
    if kind == "orthanc":
        from pacs_bridge.orthanc import OrthancArchive  # noqa: PLC0415

        return OrthancArchive(plain, *credentials)
    from pacs_bridge.dicomweb_client import DicomwebArchive  # noqa: PLC0415

    return DicomwebArchive(plain, *credentials)


def without_credentials(url: str) -> str:
    """The address as it may be shown."""
    kind, plus, address = url.partition("+")
    if not plus:
        return url
    parts = urlsplit(address)
    return f"{kind}+{parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()}"
