"""One round over TLS by host name, as a hospital would run it; and the refusal to bind in the open without it."""

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.peers.ports import free_ports
from tests.peers.product import PASSWORD, REPOSITORY, running_product, until

HOST = "teleread.county.test"


def environment(folder: Path, **settings: str) -> dict[str, str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TELEREAD_")}
    return environ | {"TELEREAD_DATA_DIR": str(folder)} | {f"TELEREAD_{k.upper()}": v for k, v in settings.items()}


def teleread(environ: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worklist", *arguments], cwd=REPOSITORY, env=environ, text=True, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [("run",), ("serve",), ("run", "--demo")])
def test_it_refuses_to_bind_in_the_open_without_tls(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (port,) = free_ports(1)
    refused = teleread(environment(tmp_path, http_host="0.0.0.0", http_port=str(port)), *arguments)
    assert refused.returncode == 2
    assert ("--demo" if "--demo" in arguments else "TLS") in refused.stderr
    assert "0.0.0.0" in refused.stderr


def test_login_and_live_list_over_tls_by_host_name(tmp_path: Path) -> None:
    made = teleread(environment(tmp_path / "var"), "tls", HOST, "127.0.0.1")
    assert made.returncode == 0, made.stderr
    tls = tmp_path / "var" / "tls"
    files = {name: next(tls.glob(pattern)) for name, pattern in {"cert": "server*.pem", "key": "server*.key"}.items()}
    authority = next(tls.glob("authority*.pem"))
    assert files["key"].stat().st_mode & 0o777 == 0o600
    with running_product(
        tmp_path, tls_cert=str(files["cert"]), tls_key=str(files["key"]), public_url="",
    ) as product:  # fmt: skip
        context = ssl.create_default_context(cafile=str(authority))
        context.set_alpn_protocols(["h2", "http/1.1"])
        until(lambda: _protocol(context, product.http_port), 30, "the TLS server")
        assert _protocol(context, product.http_port) == "h2"
        url = f"https://{HOST}:{product.http_port}"
        arguments = [*ARGUMENTS, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
        with sync_playwright() as playwright:
            # Chromium does not know the local CA; that the chain and the name are right is asked of OpenSSL above.
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*arguments, "--ignore-certificate-errors"])
            page = browser.new_context(ignore_https_errors=True).new_page()
            page.goto(f"{url}/login")
            page.fill("input[name=username]", "radiologist")
            page.fill("input[name=password]", PASSWORD)
            page.click("button[type=submit]")
            page.wait_for_url(f"{url}/")
            (cookie,) = [c for c in page.context.cookies() if c["name"] == "teleread_session"]
            assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
            assert product.command("demo", "send").returncode == 0
            page.get_by_text("韩秀芝").first.wait_for(timeout=5000)
            browser.close()


def _protocol(context: ssl.SSLContext, port: int) -> str | None:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain, server_hostname=HOST) as tls:
            return tls.selected_alpn_protocol()
    except OSError:
        return None
