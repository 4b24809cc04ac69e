"""Settings, folders, database, certificates, ports and peers: what is wrong with them. [app]"""

import http.client
import json
import shutil
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from pacs_bridge import scu
from pacs_bridge.archives import check_archive
from pacs_bridge.blobs import write_durable
from pacs_bridge.ports import ArchivedObject, ArchiveFailure
from worklist import archive_store
from worklist.account_tables import Account, SigningKey
from worklist.admin_service import check_ae_title
from worklist.base import outbox
from worklist.base.config import ConfigError, Settings
from worklist.base.db import Database
from worklist.base.migrate import is_current
from worklist.bind import bind_refusal
from worklist.check_storage import Finding
from worklist.roof import Roof
from worklist.tables import Site

EXPIRES_SOON = timedelta(days=30)
LEAST_FREE_BYTES = 2 << 30
AUTHORITY_FILES = ("ca.crt", "ca.key", "ca.crl", "tsa.crt", "tsa.key")
_NOTHING = ArchivedObject("2.25.0", "2.25.0", "2.25.0", "0" * 64, "0" * 32, 0)  # asked for to hear an answer
PEER_TIMEOUTS = scu.Timeouts(connect_s=4.0, negotiation_s=4.0, response_s=6.0)


def settings_findings(settings: Settings) -> Iterator[Finding]:
    """Values that cannot be used, and a server that may not be bound so."""
    numbers = ("http_port_number", "dicom_port_number", "demo_return_port_number")
    for read in (*numbers, "archive_site_codes", "cache_bytes_number"):
        try:
            getattr(settings, read)
        except ConfigError as error:
            yield Finding("setting", {"message": str(error)})
    try:
        _ = settings.zone
    except (ZoneInfoNotFoundError, ValueError):
        yield Finding("timezone", {"value": settings.timezone})
    try:
        check_ae_title(settings.ae_title)
    except Exception:  # a refusal; its sentence speaks of devices
        yield Finding("ae_title", {"value": settings.ae_title})
    if settings.blob_url != "file:":
        yield Finding("blob_url", {"value": settings.blob_url})
    if not check_archive(settings.archive):
        yield Finding("archive_url")
    if settings.behind_proxy not in ("0", "1"):
        yield Finding("behind_proxy", {"value": settings.behind_proxy})
    if bool(settings.tls_cert) != bool(settings.tls_key):
        yield Finding("tls_half")
    refusal = bind_refusal(
        settings.http_host, has_tls=settings.has_tls, is_behind_proxy=settings.is_behind_proxy, is_demo=False
    )
    if refusal:
        yield Finding("setting", {"message": refusal})


def folder_findings(settings: Settings) -> Iterator[Finding]:
    """Who else on this machine could read what lies here."""
    root = settings.data_path
    for folder in (root, root / "keys", root / "tls", root / "blobs"):
        if folder.is_dir() and folder.stat().st_mode & 0o077:
            yield Finding("folder_open", {"path": str(folder)})
    files = [*(root / "keys").glob("*"), *(root / "tls").glob("*"), *root.glob("*.sqlite3*")]
    if settings.tls_key:
        files.append(Path(settings.tls_key))
    for path in sorted(set(files)):
        if path.is_file() and path.stat().st_mode & 0o077:
            yield Finding("file_open", {"path": str(path)})


def space_findings(roof: Roof) -> Iterator[Finding]:
    """Whether the storage can be written, and for how long."""
    free = shutil.disk_usage(roof.settings.data_path).free
    if free < LEAST_FREE_BYTES:
        yield Finding("disk_full", {"path": str(roof.settings.data_path), "free_mb": free >> 20})
    try:
        write_durable(roof.blobs.spool_dir, b"check").unlink()
    except OSError as error:
        yield Finding("storage_not_writable", {"path": str(roof.blobs.root), "cause": error.strerror or ""})


def database_findings(db: Database, *, deep: bool) -> Iterator[Finding]:
    """Whether it answers, has our schema and, with ``deep`` on SQLite, is whole."""
    try:
        with db.read() as session:
            session.execute(text("SELECT 1"))
        if not is_current(db):
            yield Finding("schema")
            return
        if deep and db.is_sqlite:
            with db.read() as session:
                said = session.execute(text("PRAGMA integrity_check")).scalars().all()
            if [*said] != ["ok"]:
                yield Finding("database_damaged", {"said": "; ".join(map(str, said[:3]))})
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = type(getattr(error, "orig", None) or error).__name__
        yield Finding("database", {"cause": cause, "url": db.url.render_as_string(hide_password=True)})


def work_findings(roof: Roof) -> Iterator[Finding]:
    """Work that was given up, and signing keys that run out."""
    soon = roof.now() + EXPIRES_SOON
    with roof.db.read() as session:
        for row in outbox.backlog(session):
            if row.n_dead:
                yield Finding("dead_jobs", {"kind": row.kind, "n": row.n_dead})
        keys = session.execute(
            select(Account.username, SigningKey.valid_until)
            .join(SigningKey, SigningKey.account_id == Account.id)
            .where(Account.enabled, SigningKey.revoked_at.is_(None), SigningKey.valid_until < soon)
            .order_by(Account.username)
        )
        for username, until in keys:
            yield Finding("signing_key_expires", {"username": username, "until": f"{until:%Y-%m-%d}"})


def tls_findings(settings: Settings, now: datetime) -> Iterator[Finding]:
    """The server's certificate: there, ours, valid now and for a while."""
    if not settings.has_tls:
        return
    try:
        certificate = x509.load_pem_x509_certificate(Path(settings.tls_cert).read_bytes())
        key = load_pem_private_key(Path(settings.tls_key).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        yield Finding("tls_unreadable", {"cause": str(getattr(error, "strerror", "") or type(error).__name__)})
        return
    if certificate.public_key() != key.public_key():
        yield Finding("tls_mismatch", {"cert": settings.tls_cert, "key": settings.tls_key})
    yield from _validity(certificate, settings.tls_cert, now, "tls_expires")


def authority_findings(keys_dir: Path, now: datetime) -> Iterator[Finding]:
    """The signing authority's files, certificates and revocation list."""
    missing = [name for name in AUTHORITY_FILES if not (keys_dir / name).is_file()]
    if missing:
        yield Finding("authority_missing", {"path": str(keys_dir), "files": ", ".join(missing)})
        return
    try:
        for name in ("ca.crt", "tsa.crt"):
            certificate = x509.load_pem_x509_certificate((keys_dir / name).read_bytes())
            yield from _validity(certificate, str(keys_dir / name), now, "authority_expires")
        crl = x509.load_pem_x509_crl((keys_dir / "ca.crl").read_bytes())
    except (OSError, ValueError) as error:
        yield Finding("authority_unreadable", {"path": str(keys_dir), "cause": type(error).__name__})
        return
    if crl.next_update_utc is None or crl.next_update_utc < now:
        yield Finding("crl_old", {"path": str(keys_dir / "ca.crl")})


def _validity(certificate: x509.Certificate, path: str, now: datetime, code: str) -> Iterator[Finding]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now or ends < now + EXPIRES_SOON:
        yield Finding(code, {"path": path, "begins": f"{begins:%Y-%m-%d}", "ends": f"{ends:%Y-%m-%d}"})


def reach_findings(settings: Settings) -> Iterator[Finding]:
    """Whether web and listener answer. One that does not run is a note: a stopped server can be checked too."""
    host, port = _reachable(settings.http_host), settings.http_port_number
    try:
        status, body = _healthz(host, port, tls=settings.has_tls)
    except ConnectionRefusedError:
        yield Finding("web_not_running", {"address": f"{host}:{port}"}, is_problem=False)
    except (OSError, http.client.HTTPException) as error:
        yield Finding("web_no_answer", {"address": f"{host}:{port}", "cause": type(error).__name__})
    else:
        if status != 200:
            yield Finding("web_failing", {"address": f"{host}:{port}", "what": _failing(body)})
    dicom_host, dicom_port = _reachable(settings.dicom_host), settings.dicom_port_number
    try:
        socket.create_connection((dicom_host, dicom_port), timeout=3).close()
    except OSError:
        yield Finding("listener_not_running", {"address": f"{dicom_host}:{dicom_port}"}, is_problem=False)


def _reachable(host: str) -> str:
    """From this machine, a server on every interface is on loopback."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _healthz(host: str, port: int, *, tls: bool) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The certificate is judged by itself; here only the answer counts, and nothing secret is sent.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, answer.read(4096)
    finally:
        connection.close()


def _failing(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return "?"
    return ", ".join(map(str, said.get("failing", []))) if isinstance(said, dict) else "?"


def peer_findings(roof: Roof) -> Iterator[Finding]:
    """C-ECHO to every enabled site's return address, all at once."""
    with roof.db.read() as session:
        sites = session.scalars(
            select(Site).where(Site.enabled, Site.return_ae_title.is_not(None), Site.return_host.is_not(None))
            .where(Site.return_port.is_not(None)).order_by(Site.id)
        ).all()  # fmt: skip
    if not sites:
        return

    def echo(site: Site) -> scu.EchoResult:
        return scu.echo(
            site.return_host or "", site.return_port or 0, called_ae=site.return_ae_title or "",
            calling_ae=roof.settings.ae_title, timeouts=PEER_TIMEOUTS,
        )  # fmt: skip

    with ThreadPoolExecutor(max_workers=8) as pool:
        for site, found in zip(sites, pool.map(echo, sites), strict=True):
            if found.outcome != "accepted":
                peer = f"{site.return_ae_title}@{site.return_host}:{site.return_port}"
                yield Finding("peer", {"site": site.code, "peer": peer, "outcome": found.outcome})


def archive_findings(roof: Roof) -> Iterator[Finding]:
    """Whether the archive answers, and what it holds that is not ours."""
    if roof.archive is None:
        return
    try:
        roof.archive.has(_NOTHING)
    except ArchiveFailure as failure:
        yield Finding("archive_failing", {"archive": roof.archive.name, "cause": f"{failure.code} {failure.detail}"})
    with roof.db.read() as session:
        uids = archive_store.differing(session, roof.archive.name)
    if uids:
        yield Finding("archive_differs", {"archive": roof.archive.name, "n": len(uids), "uid": uids[0]})
