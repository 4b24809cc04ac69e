"""The whole product as a user starts it: ``teleread run --demo`` on free ports, in a directory of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.peers.ports import free_ports

PASSWORD = "demo-Pass-1"
PIN = f"{PASSWORD}-pin"
REPOSITORY = Path(__file__).resolve().parents[2]
START_WITHIN_S = 60


def takes_connections(port: int) -> bool:
    """Whether something listens there on this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class ApiError(Exception):
    """An answer with an error in it."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.code = body.get("error", {}).get("code") if isinstance(body, dict) else None
        self.body = body


@dataclass
class Api:
    """One person's token; ``call`` returns JSON or bytes and raises ApiError."""

    base_url: str
    token: str = ""

    def call(
        self, method: str, path: str, body: Any = None, *, data: bytes | None = None, content_type: str = "",
        language: str = "zh",
    ) -> Any:  # fmt: skip
        headers = {"Accept-Language": language}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            data, content_type = json.dumps(body).encode(), "application/json"
        if content_type:
            headers["Content-Type"] = content_type
        request = urllib.request.Request(self.base_url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return _decoded(answer.read(), answer.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, _decoded(error.read(), error.headers.get("Content-Type", ""))) from None

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, {} if body is None else body)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def upload(self, path: str, files: dict[str, bytes], **fields: str) -> Any:
        """multipart/form-data with ``file`` parts."""
        boundary = "----teleread-test-boundary"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        for name, content in files.items():
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
        data = b"".join(parts) + f"--{boundary}--\r\n".encode()
        return self.call("POST", path, data=data, content_type=f"multipart/form-data; boundary={boundary}")


def _decoded(content: bytes, content_type: str) -> Any:
    return json.loads(content) if "json" in content_type else content


@dataclass
class Product:
    """A running product."""

    folder: Path
    http_port: int
    dicom_port: int
    return_port: int
    process: "subprocess.Popen[bytes]"
    environ: dict[str, str]
    scheme: str = "http"
    _tokens: dict[str, Api] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http_port}"

    @property
    def data_dir(self) -> Path:
        return self.folder / "var"

    def api(self, username: str) -> Api:
        """A logged-in client; one token per person."""
        if username not in self._tokens:
            anyone = Api(self.url)
            made = anyone.post("/api/login", {"username": username, "password": PASSWORD})
            self._tokens[username] = Api(self.url, made["token"])
        return self._tokens[username]

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``teleread …`` with this product's settings."""
        return subprocess.run(
            [sys.executable, "-m", "worklist", *arguments], cwd=REPOSITORY, env=self.environ, text=True,
            capture_output=True, timeout=180, check=False,
        )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def children(self) -> dict[str, int]:
        """Process ids of the roles by name."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().split(b"\0")
                parent = int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == self.process.pid and b"worklist" in command:
                found[command[command.index(b"worklist") + 1].decode()] = int(path.parent.name)
        return found

    def kill(self, role: str) -> None:
        """SIGKILL one role; the supervisor starts it again."""
        os.kill(self.children()[role], signal.SIGKILL)

    def wait_healthy(self, within_s: float = START_WITHIN_S) -> None:
        until(self.is_healthy, within_s, "the product to be healthy")

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            if self.process.poll() is not None:
                raise AssertionError(f"the product ended: {self.log()}") from None
            return False


def until(found: Callable[[], Any], within_s: float, what: str, pause_s: float = 0.1) -> Any:
    """Ask until the answer is true, and give it; AssertionError naming ``what`` when the time is up."""
    deadline = time.monotonic() + within_s
    while True:
        answer = found()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within_s} s for {what}")
        time.sleep(pause_s)


@contextmanager
def running_product(folder: Path, **settings: str) -> Iterator[Product]:
    """Start ``teleread run --demo`` and stop it in the end. ``settings``: TELEREAD_ names in lower case."""
    folder.mkdir(parents=True, exist_ok=True)
    http_port, dicom_port, return_port, _ = free_ports(4)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TELEREAD_")}
    environ |= {
        "TELEREAD_DATA_DIR": str(folder / "var"), "TELEREAD_HTTP_PORT": str(http_port),
        "TELEREAD_DICOM_PORT": str(dicom_port), "TELEREAD_DEMO_RETURN_PORT": str(return_port),
        "TELEREAD_DEMO_PASSWORD": PASSWORD, "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    environ |= {f"TELEREAD_{name.upper()}": value for name, value in settings.items()}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worklist", "run", "--demo"], cwd=REPOSITORY, env=environ, stdout=log, stderr=log
        )
    product = Product(folder, http_port, dicom_port, return_port, process, environ)
    if "tls_cert" in settings:
        product.scheme = "https"
    try:
        if product.scheme == "http":
            product.wait_healthy()
        yield product
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(12)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the product did not stop within 12 s") from None
        if not os.environ.get("TELEREAD_KEEP"):
            shutil.rmtree(folder / "var", ignore_errors=True)
