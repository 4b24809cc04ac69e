"""One product and one Chromium for the reader pages of a module."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import chromium
from tests.peers.product import PASSWORD, Product, running_product


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(product: Product, browser: Browser) -> Iterator[Any]:
    """``open_page(username)``: that person's page after the log-in; errors of the scripts fail the test."""
    errors: list[str] = []
    contexts = []

    def enter(username: str, path: str = "/", width: int = 1366) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 768}, locale="zh-CN")
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{product.url}/login")
        page.fill("#username", username)
        page.fill("#password", PASSWORD)
        page.click("#login-submit")
        page.wait_for_url(lambda url: "/login" not in url)
        if path != "/":
            page.goto(product.url + path)
        return page

    yield enter
    for context in contexts:
        context.close()
    assert errors == []
