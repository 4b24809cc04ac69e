"""Screenshots of every page of the running product, with demo data played through all states.

``python -m tests.browser.screens docs/screens [page…]`` starts the product on free ports, sends what the demo
modalities send, has it read, signed, returned and acknowledged, and writes one PNG per page, size and language:
pages in Chinese in both sizes and in English in the small one, dialogs and states in the small one only, and of a
dialog only itself.
"""

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, StorageState
from playwright.sync_api import Error as PlaywrightError

from tests.browser.chromium import chromium
from tests.browser.screens_pages import Picture, pages
from tests.browser.screens_stage import Insistent, Stage, administration, play, trouble
from tests.peers.dcmtk import storescp
from tests.peers.product import PASSWORD, ApiError, Product, running_product

SMALL, LARGE = (1366, 768), (1920, 1080)
LARGEST_TRUE_COLOUR_BYTES = 90_000  # what is larger, by its images, is saved with a palette instead
COLOURS, COLOURS_OF_A_STATE = 256, 128


_LOGINS: dict[str, StorageState] = {}


@contextmanager
def signed_in(browser: Browser, product: Product, username: str, size: tuple[int, int], language: str) -> Iterator[Page]:
    """That person's first page; one log-in per person, as at a real desk."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, locale="zh-CN" if language == "zh" else "en-GB",
        storage_state=_LOGINS.get(username),
    )  # fmt: skip
    context.add_cookies([{"name": "teleread_language", "value": language, "url": product.url}])
    page = context.new_page()
    page.on("pageerror", lambda error: print(f"{username}: {error}", file=sys.stderr))
    if username:
        Insistent(product.url, product.api(username).token).post("/api/language", {"language": language})
    page.goto(product.url if username in _LOGINS else f"{product.url}/login")
    if username and username not in _LOGINS:
        page.fill("#username", username)
        page.fill("#password", PASSWORD)
        page.click("#login-submit")
        page.wait_for_url(lambda url: "/login" not in url)
        _LOGINS[username] = context.storage_state()
    try:
        yield page
    finally:
        context.close()


def shot(page: Page, picture: Picture) -> bytes:
    """The window, or the part that the picture is about; what still moves has a moment to rest."""
    page.wait_for_timeout(600)
    part = page.locator(picture.part).first if picture.part else page
    return part.screenshot()


def save(content: bytes, path: Path, picture: Picture) -> None:
    """As a small PNG."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    if picture.is_page:
        image.save(path, optimize=True)
    if not picture.is_page or path.stat().st_size > LARGEST_TRUE_COLOUR_BYTES:
        colours = COLOURS if picture.is_page else COLOURS_OF_A_STATE
        image.quantize(colours, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}  {path.stat().st_size // 1000} kB", flush=True)


def views(picture: Picture) -> Iterator[tuple[tuple[int, int], str, str]]:
    """(size, language, name of the file)."""
    for size in (SMALL, LARGE) if picture.is_page else (SMALL,):
        yield size, "zh", f"{picture.name}-{size[0]}.png"
    yield SMALL, "en", f"{picture.name}-{SMALL[0]}-en.png"


def take(browser: Browser, product: Product, target: Path, pictures: list[Picture]) -> int:
    """How many pictures failed; a failed one does not keep the others from being made."""
    n_failed = 0
    with ThreadPoolExecutor(1) as saver:  # while the next page is looked at
        saved: list[Future[None]] = []
        for picture in pictures:
            for size, language, name in views(picture):
                with signed_in(browser, product, picture.username, size, language) as page:
                    try:
                        picture.prepare(page)
                        saved.append(saver.submit(save, shot(page, picture), target / name, picture))
                    except (PlaywrightError, AssertionError) as error:
                        n_failed += 1
                        print(f"{name}: {error}", file=sys.stderr)
        for one in saved:
            one.result()
    return n_failed


def main(target: Path, chosen: set[str]) -> int:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_product(folder / "product") as product:
            stage = Stage(product, folder)
            with storescp(folder / "pacs", "QS_PACS", port=product.return_port):
                shown = play(stage)
                administration(stage, shown["committed"])
                time.sleep(3)
            shown |= trouble(stage)
            with chromium() as browser:
                n_failed = take(browser, product, target, [one for one in pages(shown) if not chosen or one.name in chosen])
    total = sum(path.stat().st_size for path in target.glob("*.png"))
    print(f"{total / 1e6:.1f} MB in {target}, {n_failed} failed")
    return n_failed


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), set(sys.argv[2:])) > 0)
    except ApiError as error:
        sys.exit(f"{error}")
