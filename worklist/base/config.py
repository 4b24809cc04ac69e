"""Settings: environment variables over ``teleread.toml`` over defaults. [store]"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from zoneinfo import ZoneInfo


class ConfigError(ValueError):
    """A setting cannot be used; the message names it and says what to do, in both languages."""


def setting(name: str, default: str, help_text: str) -> str:
    """A setting's default and help, readable by ``teleread check --show``."""
    value: str = field(default=default, metadata={"name": name, "help": help_text})
    return value


@dataclass(frozen=True)
class Settings:
    """Every setting as text, as it was given; typed views below."""

    data_dir: str = setting("TELEREAD_DATA_DIR", "./var", "where files, keys and the SQLite database live")
    database_url: str = setting("TELEREAD_DATABASE_URL", "", "SQLAlchemy URL; empty: SQLite in the data dir")
    blob_url: str = setting("TELEREAD_BLOB_URL", "file:", "where objects are kept; file: is the data dir")
    archive: str = setting("TELEREAD_ARCHIVE", "local:", "local:[PATH], orthanc+http(s)://… or dicomweb+http(s)://…")
    archive_sites: str = setting("TELEREAD_ARCHIVE_SITES", "", "whose an archive's arrivals are: AE=SITE,…,*=SITE")
    cache_bytes: str = setting("TELEREAD_CACHE_BYTES", "", "bytes of archived files kept here too; empty: all")
    http_host: str = setting("TELEREAD_HTTP_HOST", "127.0.0.1", "address the web server binds")
    http_port: str = setting("TELEREAD_HTTP_PORT", "8080", "port the web server binds")
    public_url: str = setting("TELEREAD_PUBLIC_URL", "", "address printed in QR codes; empty: from host and port")
    ohif_port: str = setting("TELEREAD_OHIF_PORT", "", "port of the OHIF viewer (teleread ohif install); empty: off")
    tls_cert: str = setting("TELEREAD_TLS_CERT", "", "PEM file of the server certificate")
    tls_key: str = setting("TELEREAD_TLS_KEY", "", "PEM file of the server key")
    behind_proxy: str = setting("TELEREAD_BEHIND_PROXY", "0", "1: a proxy in front ends TLS")
    dicom_host: str = setting("TELEREAD_DICOM_HOST", "0.0.0.0", "address the DICOM listener binds")  # noqa: S104
    dicom_port: str = setting("TELEREAD_DICOM_PORT", "11112", "port the DICOM listener binds")
    dicom_processes: str = setting("TELEREAD_DICOM_PROCESSES", "", "listener processes; empty: one per core, ≤ 4")
    dicom_tls_port: str = setting("TELEREAD_DICOM_TLS_PORT", "", "port of DICOM over TLS; empty: off")
    dicom_tls_cert: str = setting("TELEREAD_DICOM_TLS_CERT", "", "PEM of its chain; empty: from teleread tls")
    dicom_tls_key: str = setting("TELEREAD_DICOM_TLS_KEY", "", "PEM of its key; empty: from teleread tls")
    dicom_tls_ca: str = setting("TELEREAD_DICOM_TLS_CA", "", "PEM of the devices' CA; empty: teleread tls")
    max_frame_bytes: str = setting("TELEREAD_MAX_FRAME_BYTES", "268435456", "largest decoded frame; larger: not shown")
    ae_title: str = setting("TELEREAD_AE_TITLE", "TELEREAD", "our AE title")
    demo_password: str = setting("TELEREAD_DEMO_PASSWORD", "", "password of demo users; empty: random, printed once")
    demo_return_port: str = setting("TELEREAD_DEMO_RETURN_PORT", "11113", "port of QS_PACS; BS_PACS is one higher")
    language: str = setting("TELEREAD_LANGUAGE", "zh_CN", "language of screens before a user chooses")
    timezone: str = setting("TELEREAD_TIMEZONE", "Asia/Shanghai", "time zone of screens and paper")

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir).resolve()

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_path / 'teleread.sqlite3'}"

    @property
    def http_port_number(self) -> int:
        return _port("TELEREAD_HTTP_PORT", self.http_port)

    @property
    def ohif_port_number(self) -> int | None:
        return _port("TELEREAD_OHIF_PORT", self.ohif_port) if self.ohif_port else None

    @property
    def dicom_port_number(self) -> int:
        return _port("TELEREAD_DICOM_PORT", self.dicom_port)

    @property
    def dicom_tls_port_number(self) -> int | None:
        off = self.dicom_tls_port in ("", "0")
        return None if off else _port("TELEREAD_DICOM_TLS_PORT", self.dicom_tls_port)

    @property
    def dicom_tls_paths(self) -> tuple[Path, Path, Path]:
        """Certificate chain, key and client authorities."""
        local = self.data_path / "tls"
        return (
            Path(self.dicom_tls_cert or local / "server.pem"), Path(self.dicom_tls_key or local / "server.key"),
            Path(self.dicom_tls_ca or local / "authority.pem"),
        )  # fmt: skip

    @property
    def max_frame_bytes_number(self) -> int:
        text = self.max_frame_bytes
        if not text.isdecimal() or not 1 << 16 <= int(text) <= 1 << 31:
            raise ConfigError(f"TELEREAD_MAX_FRAME_BYTES={text!r}: 须为 65536–2147483648 / must be 65536–2147483648")
        return int(text)

    @property
    def n_dicom_processes(self) -> int:
        if not self.dicom_processes:
            return min(4, os.cpu_count() or 1)
        if not self.dicom_processes.isdecimal() or not 1 <= int(self.dicom_processes) <= 16:
            raise ConfigError(f"TELEREAD_DICOM_PROCESSES={self.dicom_processes!r}: 须为 1–16 / must be 1–16")
        return int(self.dicom_processes)

    @property
    def demo_return_port_number(self) -> int:
        return _port("TELEREAD_DEMO_RETURN_PORT", self.demo_return_port)

    @property
    def archive_site_codes(self) -> dict[str, str]:
        """Site code by AE title; "*" stands for every other."""
        pairs = [pair.partition("=") for pair in self.archive_sites.split(",") if pair.strip()]
        if any(not (sign and ae_title.strip() and code.strip()) for ae_title, sign, code in pairs):
            raise ConfigError(f"TELEREAD_ARCHIVE_SITES={self.archive_sites!r}: AE=SITE,…,*=SITE")
        return {ae_title.strip(): code.strip() for ae_title, _, code in pairs}

    @property
    def cache_bytes_number(self) -> int | None:
        if not self.cache_bytes:
            return None
        if not self.cache_bytes.isdecimal():
            raise ConfigError(f"TELEREAD_CACHE_BYTES={self.cache_bytes!r}: 须为字节数 / must be a number of bytes")
        return int(self.cache_bytes)

    @property
    def has_tls(self) -> bool:
        return bool(self.tls_cert and self.tls_key)

    @property
    def is_behind_proxy(self) -> bool:
        return self.behind_proxy == "1"

    @property
    def base_url(self) -> str:
        """Where a browser finds us, without a trailing slash."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"{'https' if self.has_tls else 'http'}://{self.http_host}:{self.http_port}"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def _port(name: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"{name}={text!r}: 须为 1–65535 的端口号 / must be a port number 1–65535")
    return int(text)


def load(environ: Mapping[str, str] | None = None, toml_path: Path = Path("teleread.toml")) -> Settings:
    """Settings from the environment, else ``teleread.toml``, else defaults; ``NAME_FILE`` names a file with the value.

    Raises ConfigError for an unknown TELEREAD_ name or an unreadable file.
    """
    environ = os.environ if environ is None else environ
    by_name = {f.metadata["name"]: f.name for f in fields(Settings)}
    given: dict[str, str] = {}
    if toml_path.is_file():
        given |= {name: str(value) for name, value in tomllib.loads(toml_path.read_text("utf-8")).items()}
    given |= {name: value for name, value in environ.items() if name.startswith("TELEREAD_")}
    values: dict[str, str] = {}
    for name, value in given.items():
        plain = name.removesuffix("_FILE")
        if plain not in by_name:
            raise ConfigError(f"{name}: 未知的设置 / unknown setting; teleread check --show")
        try:
            values[by_name[plain]] = Path(value).read_text("utf-8").strip() if name != plain else value
        except OSError as error:
            raise ConfigError(f"{name}: 无法读取 / cannot read {value}: {error.strerror}") from error
    return Settings(**values)
