"""Starting: the schema, the demo county, the roles under their supervisor. [app]"""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread

from worklist.base.config import ConfigError, Settings
from worklist.bind import bind_refusal
from worklist.ready import tell_ready

MIGRATIONS = Path(__file__).parent / "migrations" / "versions"
RENEW_REVOCATIONS_AFTER_S = 30 * 86_400


def check_bind(settings: Settings, *, demo: bool) -> None:
    """Raises ConfigError where the web server may not be bound like this."""
    refusal = bind_refusal(
        settings.http_host, has_tls=settings.has_tls, is_behind_proxy=settings.is_behind_proxy, is_demo=demo
    )
    if refusal:
        raise ConfigError(refusal)


def migrate_all(settings: Settings) -> None:
    """Make the data directory and the demo CA, bring the schema up to date.

    Raises ConfigError where a newer version of the program has had this database.
    """
    from alembic.util import CommandError  # noqa: PLC0415

    from reports.certificate import open_authority  # noqa: PLC0415
    from worklist.base.migrate import migrate  # noqa: PLC0415
    from worklist.roof import clock  # noqa: PLC0415

    os.umask(0o077)  # the database file too is for its owner alone
    settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        migrate(settings.resolved_database_url)
    except CommandError as error:
        raise ConfigError(
            "数据库属于更新的程序版本：请安装该版本，或恢复升级前的备份"
            " / the database is of a newer version: install that,"
            f" or restore the backup made before the migration ({error})"
        ) from None
    open_authority(settings.data_path / "keys", clock()).renew_crl(clock())


def is_prepared(settings: Settings, *, demo: bool) -> bool:
    """Whether a second start has nothing to prepare; looks only at SQLite, and imports nothing heavy.

    False where in doubt: preparing twice changes nothing, it only takes two seconds.
    """
    database = Path(settings.resolved_database_url.removeprefix("sqlite:///"))
    revocations = settings.data_path / "keys" / "ca.crl"
    if not (settings.resolved_database_url.startswith("sqlite:///") and database.is_file() and revocations.is_file()):
        return False
    if time.time() - revocations.stat().st_mtime > RENEW_REVOCATIONS_AFTER_S:
        return False
    newest = max(path.name.partition("_")[0] for path in MIGRATIONS.glob("[0-9]*_*.py"))
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            current = connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)]
            return current and (not demo or connection.execute("SELECT 1 FROM site LIMIT 1").fetchone() is not None)
    except sqlite3.Error:
        return False


def run(settings: Settings, *, demo: bool) -> int:
    """Migrate, make the demo county on first start, then run listener, web and worker until stopped."""
    check_bind(settings, demo=demo)
    if demo and settings.dicom_host == Settings().dicom_host:
        # The demo's devices have no secrets: nothing beyond this machine may speak for them.
        os.environ["TELEREAD_DICOM_HOST"] = "127.0.0.1"
        settings = replace(settings, dicom_host="127.0.0.1")
    if demo and (refusal := bind_refusal(settings.dicom_host, has_tls=False, is_behind_proxy=False, is_demo=True)):
        raise ConfigError(refusal)
    if not is_prepared(settings, demo=demo):
        # In a process of its own: the supervisor lives as long as the server and stays small.
        prepared = subprocess.run([sys.executable, "-m", "worklist", "demo" if demo else "migrate"], check=False)
        if prepared.returncode:
            return prepared.returncode
    from worklist.supervisor import AlreadyRunning, role, supervise  # noqa: PLC0415

    roles = [
        role("listen", f"DICOM  {settings.ae_title}@{settings.dicom_host}:{settings.dicom_port}"),
        replace(role("work", "worker ready"), is_last=True),
        role("serve", f"teleread  {settings.base_url}", *(["--demo"] if demo else [])),
    ]
    try:
        return supervise(roles, settings.data_path)
    except AlreadyRunning as error:
        raise ConfigError(str(error)) from None


def serve_role(settings: Settings, *, demo: bool) -> None:
    """The web role: pages, API and streams until SIGTERM."""
    check_bind(settings, demo=demo)
    from reports.signing_pool import SigningPool  # noqa: PLC0415
    from worklist.asgi import build_asgi  # noqa: PLC0415
    from worklist.events import EventsApp  # noqa: PLC0415
    from worklist.ohif import ohif_beside  # noqa: PLC0415
    from worklist.roof import open_roof  # noqa: PLC0415
    from worklist.serve import serve  # noqa: PLC0415
    from worklist.ups_socket import SubscriberSockets  # noqa: PLC0415
    from worklist.webserver import (  # noqa: PLC0415
        SHORT_WAY,
        authenticate,
        build_web,
        describe,
        load_signing,
        visible,
    )

    roof = open_roof(settings)
    pool = SigningPool(roof.keys_dir)
    flask_app = build_web(roof, pool)
    events = EventsApp(roof.db, partial(authenticate, roof), partial(describe, settings.zone), visible)
    app = build_asgi(
        flask_app, events, file_root=roof.blobs.root, short_way=flask_app.extensions[SHORT_WAY],
        sockets=SubscriberSockets(roof.db, partial(authenticate, roof), roof.now),
    )  # fmt: skip

    def tell() -> None:
        tell_ready()
        Thread(target=load_signing, args=(pool,), daemon=True).start()

    def close() -> None:
        pool.close()
        roof.close()

    serve(app, settings, beside=ohif_beside(roof, app), on_ready=tell, close=close)
