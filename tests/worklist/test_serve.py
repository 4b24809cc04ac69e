"""The real server: files by range, a bounded pool, HTTP/2 over TLS, cookies in parts, a quick stop."""

import hashlib
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.peers.product import until
from tests.worklist.conftest import ROOT, SmallWeb, Starter
from worklist.tls import make_tls

PLAIN_BYTES = bytes(range(256)) * 12_000  # 3 MB: more than one chunk


@pytest.fixture
def web(start_web: Starter, migrated_sqlite: Path) -> SmallWeb:
    return start_web(f"sqlite:///{migrated_sqlite}")


def test_a_file_leaves_whole_and_in_ranges(web: SmallWeb) -> None:
    (web.folder / "图.bin").write_bytes(PLAIN_BYTES)
    with httpx.Client(base_url=web.url) as client:
        whole = client.get("/file/图.bin")
        assert whole.status_code == 200 and whole.content == PLAIN_BYTES
        assert "x-teleread-file" not in whole.headers
        assert whole.headers["content-type"] == "image/jphc"
        for asked, first, last in (("5-9", 5, 9), ("1000000-", 1_000_000, 3_071_999), ("-7", 3_071_993, 3_071_999)):
            part = client.get("/file/图.bin", headers={"Range": f"bytes={asked}"})
            assert part.status_code == 206
            assert part.content == PLAIN_BYTES[first : last + 1]
            assert part.headers["content-range"] == f"bytes {first}-{last}/3072000"
        assert client.get("/file/图.bin", headers={"Range": "bytes=3072000-"}).status_code == 416
        assert client.get("/file/图.bin", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
        stale = client.get("/file/图.bin", headers={"Range": "bytes=0-1", "If-Range": '"other"'})
        assert stale.status_code == 200 and len(stale.content) == len(PLAIN_BYTES)
        head = client.head("/file/图.bin")
        assert head.headers["content-length"] == "3072000" and head.content == b""


def test_an_empty_file_is_an_empty_answer(web: SmallWeb) -> None:
    (web.folder / "empty").touch()
    answer = httpx.get(f"{web.url}/file/empty")
    assert answer.status_code == 200 and answer.content == b""


def test_a_file_outside_the_root_is_not_sent(web: SmallWeb) -> None:
    (web.folder.parent / "outside.txt").write_text("secret")
    answer = httpx.get(f"{web.url}/outside")
    assert answer.status_code == 404 and answer.content == b""


def test_a_large_upload_arrives_whole(web: SmallWeb) -> None:
    body = PLAIN_BYTES * 4
    assert httpx.post(f"{web.url}/sum", content=body, timeout=30).text == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("n_parts", [0, 1, 200])
def test_an_answer_made_while_it_leaves_arrives_whole(web: SmallWeb, n_parts: int) -> None:
    """Of several parts each is made in whichever thread, all in the context in which the first was."""
    answer = httpx.get(f"{web.url}/long?n={n_parts}")
    assert answer.content == b"".join(f"{number} ".encode().ljust(50_000) for number in range(n_parts))
    assert (web.folder / "given back").exists()


def test_what_a_client_that_goes_left_half_made_is_given_back(web: SmallWeb) -> None:
    with httpx.stream("GET", f"{web.url}/long?n=20000") as answer:
        next(answer.iter_raw())
        assert not (web.folder / "given back").exists()
    until((web.folder / "given back").exists, 10, "the generator's end")
    assert httpx.get(f"{web.url}/slow?s=0").json() == {"most": 1}


def test_an_answer_that_fails_in_its_middle_never_looks_whole(web: SmallWeb) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{web.url}/long?n=200&fails_at=150")
    assert httpx.get(f"{web.url}/long?n=200&fails_at=3").status_code == 500
    until((web.folder / "given back").exists, 10, "the generator's end")


def test_the_pool_is_bounded(web: SmallWeb) -> None:
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: httpx.get(f"{web.url}/slow?s=0.2", timeout=20).json()["most"], range(30)))
    assert max(answers) == 12


def test_a_second_server_on_the_port_refuses_to_start(web: SmallWeb, migrated_sqlite: Path) -> None:
    command = [sys.executable, "-m", "tests.worklist.small_web", f"sqlite:///{migrated_sqlite}", str(web.port), "x"]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode != 0
    assert "Address already in use" in second.stderr


def test_stopping_is_quick_with_a_request_under_way_and_lets_it_end(web: SmallWeb) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{web.url}/slow?s=1.5", timeout=20)
        time.sleep(0.5)
        assert web.stop() < 5
        assert answer.result().status_code == 200


def test_stopping_does_not_wait_for_a_request_that_hangs(web: SmallWeb) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{web.url}/slow?s=30", timeout=40)
        time.sleep(0.5)
        assert web.stop() < 6
        with pytest.raises(httpx.HTTPError):
            answer.result()


def test_tls_speaks_http_2_and_joins_cookies_sent_in_parts(
    start_web: Starter, migrated_sqlite: Path, tmp_path: Path
) -> None:
    files = make_tls(tmp_path / "tls", ["localhost", "127.0.0.1"], datetime.now(UTC))
    web = start_web(f"sqlite:///{migrated_sqlite}", str(files.certificate), str(files.key))
    context = ssl.create_default_context(cafile=str(files.authority))
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", web.port)) as plain, context.wrap_socket(
        plain, server_hostname="localhost"
    ) as secure:
        assert secure.selected_alpn_protocol() == "h2"
    url = f"https://localhost:{web.port}"
    told = curl("--cacert", str(files.authority), "--http2", f"{url}/protocol")
    assert '"HTTP/2"' in told and '"https"' in told
    two = ("-H", "cookie: a=1", "-H", "cookie: b=2")
    cookies = curl("--cacert", str(files.authority), "--http2", *two, f"{url}/cookies")
    assert cookies.strip() == '{"a":"1","b":"2"}'
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://localhost:{web.port}/protocol")


def curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, check=True, timeout=20).stdout
