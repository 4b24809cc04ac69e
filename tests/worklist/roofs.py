"""A roof over a temporary data directory, and the pages of administration on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask

from pacs_bridge.blobs import FileBlobs
from reports.certificate import open_authority
from tests.conftest import Clock
from tests.worklist.county import PASSWORD
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.roof import Roof
from worklist.web import WebServices, create_web
from worklist.web_adapters import admin_adapters


def make_settings(tmp_path: Path, database_url: str, **values: str) -> Settings:
    data_dir = tmp_path / "var"
    data_dir.mkdir(mode=0o700, exist_ok=True)
    return Settings(data_dir=str(data_dir), database_url=database_url, **values)


def make_roof(tmp_path: Path, database: Database, clock: Clock, **values: str) -> Roof:
    settings = make_settings(tmp_path, database.url.render_as_string(hide_password=False), **values)
    roof = Roof(settings, database, FileBlobs(settings.data_path / "blobs"), clock)
    open_authority(roof.keys_dir, clock())
    return roof


def make_pages(roof: Roof, blueprints: Sequence[Blueprint]) -> Flask:
    adapters = {**admin_adapters(roof), "failing_parts": list}
    return create_web(WebServices(roof.db, roof.settings, roof.now, blueprints, adapters))


class Caller:
    """Calls the API as one person, by token."""

    def __init__(self, app: Flask, username: str, password: str = PASSWORD) -> None:
        self._client = app.test_client()
        answer = self._client.post("/api/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.json
        self._headers = {"Authorization": f"Bearer {answer.json['token']}"}

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self._client.open(path, method=method, json=body, headers=self._headers)
        return answer.status_code, answer.json
