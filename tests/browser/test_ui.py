"""The pages' building blocks in a real Chromium: dialogs, notices, the log-in overlay, one stream for all tabs."""

import json
import queue
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.peers.frontend import build_page

HERE = Path(__file__).parent


class Peer:
    """A server that speaks the stream and the log-in as interfaces.md says, and remembers who asked."""

    def __init__(self, dist: Path, manifest: dict[str, str]) -> None:
        self.dist, self.manifest = dist, manifest
        self.streams: list[queue.Queue[bytes | None]] = []
        self.asked: list[str] = []
        self.is_expired = False
        self.tokens: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"peer": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def send(self, event_id: int, kind: str, data: object) -> None:
        for stream in self.streams:
            stream.put(f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode())


class Handler(BaseHTTPRequestHandler):
    peer: Peer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/events":
            return self.stream()
        if path == "/api/session":
            return self.session()
        file = self.peer.dist / path.removeprefix("/dist/")
        if path.startswith("/dist/") and file.is_file():
            return self.answer(200, file.read_bytes(), {".js": "text/javascript", ".css": "text/css"}[file.suffix])
        body = (
            f'<!doctype html><html lang="zh" data-theme="dark"><meta charset="utf-8">'
            f'<link rel="stylesheet" href="/dist/{self.peer.manifest["css"]}"><body>'
            f'<script type="module" src="/dist/{self.peer.manifest["main"]}"></script>'
        )
        return self.answer(200, body.encode(), "text/html")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.peer.tokens.append(self.headers.get("X-CSRF-Token", ""))
        if body == {"password": "right"}:
            self.peer.is_expired = False
            return self.json(200, {"username": "radiologist", "csrf_token": "new"})
        return self.json(401, {"error": {"code": "invalid_credentials", "message": "密码错误", "details": {}}})

    def session(self) -> None:
        if self.peer.is_expired:
            return self.json(401, {"error": {"code": "session_expired", "message": "", "details": {}}})
        return self.json(200, {"now": "2026-11-18T06:32:08Z"})

    def stream(self) -> None:
        self.peer.asked.append(self.path)
        mine: queue.Queue[bytes | None] = queue.Queue()
        self.peer.streams.append(mine)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            self.wfile.write(b"id: 7\nevent: hello\ndata: {}\n\n")
            while (block := mine.get()) is not None:
                self.wfile.write(block)
        except OSError:
            pass
        finally:
            self.peer.streams.remove(mine)

    def json(self, status: int, body: object) -> None:
        self.answer(status, json.dumps(body).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at what the peer remembers."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    dist = tmp_path_factory.mktemp("dist")
    return dist, build_page(dist, HERE / "ui_page.ts")


@pytest.fixture
def peer(built: tuple[Path, dict[str, str]]) -> Iterator[Peer]:
    started = Peer(*built)
    yield started
    for stream in list(started.streams):
        stream.put(None)
    started.server.shutdown()
    started.server.server_close()


@pytest.fixture
def context(browser: Browser, peer: Peer) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, peer: Peer) -> Page:
    return tab(context, peer.url)


def tab(context: BrowserContext, url: str) -> Page:
    opened = context.new_page()
    opened.goto(url)
    opened.wait_for_function("window.live !== undefined")
    return opened


def kinds(page: Page) -> list[str]:
    return page.evaluate("heard.map((message) => message.kind)")


def until(what: str, condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_focus_stays_in_a_dialog_and_comes_back(page: Page) -> None:
    page.focus("#before")
    page.evaluate(
        "void openDialog({title: 'A', body: [field('x', h('input', {name: 'x'}))], primary: {words: 'go', run() {}}})"
    )
    expect(page.locator("input[name=x]")).to_be_focused()
    for _ in range(7):
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('.dialog').contains(document.activeElement)")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.querySelector('.dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.locator(".dialog")).to_have_count(0)
    expect(page.locator("#before")).to_be_focused()
    assert page.evaluate("document.querySelectorAll('[inert]').length") == 0


def test_what_fails_is_said_and_the_words_stay(page: Page) -> None:
    page.evaluate(
        "window.reasons = []; void (window.answer = askReason({title: 'A', consequence: 'B', words: 'go', "
        "run: async (reason) => { reasons.push(reason); if (reasons.length === 1) throw new Error('refused'); }}))"
    )
    page.keyboard.press("Tab")
    page.get_by_role("button", name="go").click()
    expect(page.get_by_role("alert")).to_have_text("须写明原因")
    page.fill("textarea", "  患者已离开 ")
    page.get_by_role("button", name="go").click()
    expect(page.get_by_role("alert")).to_have_text("refused")
    expect(page.locator("textarea")).to_have_value("  患者已离开 ")
    page.get_by_role("button", name="go").click()
    assert page.evaluate("answer") is True
    assert page.evaluate("reasons") == ["患者已离开", "患者已离开"]


def test_at_most_three_notices_and_text_is_only_text(page: Page) -> None:
    page.evaluate(
        "toast({kind: 'error', title: '<b>one</b>'}); "
        "for (const n of [2, 3, 4, 5]) void toast({kind: 'success', title: String(n)})"
    )
    assert page.locator(".toast .title").all_inner_texts() == ["<b>one</b>", "4", "5"]
    page.wait_for_timeout(4500)
    assert page.locator(".toast .title").all_inner_texts() == ["<b>one</b>"]


def test_an_expired_session_asks_the_same_person_and_goes_on(page: Page, peer: Peer) -> None:
    peer.is_expired = True
    page.evaluate("void (window.answer = server.get('/api/session'))")
    expect(page.get_by_role("dialog")).to_contain_text("陈知远")
    page.keyboard.press("Escape")
    page.fill("input[type=password]", "wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("密码错误")
    expect(page.locator("input[type=password]")).to_have_value("")
    page.fill("input[type=password]", "right")
    page.keyboard.press("Enter")
    assert page.evaluate("answer") == {"now": "2026-11-18T06:32:08Z"}
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.querySelector('meta[name=csrf-token]').content") == "new"
    assert peer.tokens == ["old", "old"]


def test_one_log_in_serves_every_tab(context: BrowserContext, peer: Peer) -> None:
    pages = [tab(context, peer.url) for _ in range(2)]
    peer.is_expired = True
    for one in pages:
        one.evaluate("void (window.answer = server.get('/api/session'))")
        expect(one.get_by_role("dialog")).to_have_count(1)
    pages[0].fill("input[type=password]", "right")
    pages[0].keyboard.press("Enter")
    expect(pages[1].get_by_role("dialog")).to_have_count(0)
    assert pages[1].evaluate("answer") == {"now": "2026-11-18T06:32:08Z"}


def test_one_stream_for_all_tabs_and_the_next_takes_over_where_it_ended(context: BrowserContext, peer: Peer) -> None:
    pages = [tab(context, peer.url + "#live") for _ in range(3)]
    until("stream opened", lambda: len(peer.streams) == 1)
    peer.send(8, "claimed", {"item": None})
    for one in pages:
        one.wait_for_function("heard.some((message) => message.event_id === 8 && message.kind === 'claimed')")
        assert one.evaluate("live.state") == "live"
    assert len(peer.streams) == 1
    pages[0].close()
    until("second stream", lambda: len(peer.asked) == 2)
    assert peer.asked == ["/api/events", "/api/events?last_event_id=8"]
    peer.send(9, "signed", {})
    for one in pages[1:]:
        one.wait_for_function("heard.some((message) => message.event_id === 9)")


def test_a_broken_stream_is_taken_up_again_after_its_last_id(context: BrowserContext, peer: Peer) -> None:
    page = tab(context, peer.url + "#live")
    until("stream opened", lambda: len(peer.streams) == 1)
    peer.send(41, "ready", {})
    page.wait_for_function("heard.some((message) => message.event_id === 41)")
    peer.streams[0].put(None)
    until("taken up again", lambda: len(peer.asked) == 2)
    assert re.fullmatch(r"/api/events\?last_event_id=41", peer.asked[1])
    assert kinds(page).count("ready") == 1
