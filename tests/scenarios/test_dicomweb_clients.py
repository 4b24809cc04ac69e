"""Unmodified clients against the running product: dicomweb-client, and OHIF in a browser."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from playwright.sync_api import Page, sync_playwright
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.peers.ohif import ohif_in
from tests.peers.ports import free_ports
from tests.peers.product import PASSWORD, Product, running_product, until

# OHIF draws with WebGL; without a graphics card Chromium does that itself.
WEBGL = [one for one in ARGUMENTS if one not in ("--disable-gpu", "--disable-3d-apis")] + [
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
]  # fmt: skip


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder, (port,) = tmp_path_factory.mktemp("dicomweb"), free_ports(1)
    ohif_in(folder / "product" / "var")
    with running_product(folder / "product", ohif_port=str(port)) as made:
        assert made.command("demo", "send").returncode == 0
        until(lambda: made.api("radiologist").get("/api/worklist?modality=CT")["items"], 60, "the CT")
        yield made


def client_of(product: Product, username: str) -> DICOMwebClient:
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {product.api(username).token}"
    return DICOMwebClient(f"{product.url}/dicom-web", session=session)


@pytest.fixture(scope="module")
def ct(product: Product) -> tuple[str, str, str]:
    reader = client_of(product, "radiologist")
    study = product.api("radiologist").get("/api/worklist?modality=CT")["items"][0]["study_instance_uid"]
    first = reader.retrieve_study_metadata(study)[0]
    return study, first["0020000E"]["Value"][0], first["00080018"]["Value"][0]


def test_dicomweb_client_retrieves(product: Product, ct: tuple[str, str, str]) -> None:
    reader = client_of(product, "radiologist")
    instance = reader.retrieve_instance(*ct)
    assert len(reader.retrieve_series(*ct[:2])) == len(reader.retrieve_series_metadata(*ct[:2])) == 28
    metadata = Dataset.from_json(reader.retrieve_instance_metadata(*ct), lambda *_: b"")
    assert (metadata.SOPInstanceUID, metadata.PatientName) == (instance.SOPInstanceUID, instance.PatientName)
    (frame,) = reader.retrieve_instance_frames(*ct, [1])
    assert np.array_equal(np.frombuffer(frame, instance.pixel_array.dtype).reshape(instance.pixel_array.shape), instance.pixel_array)
    address = reader.retrieve_instance_metadata(*ct)["7FE00010"]["BulkDataURI"]
    assert reader.retrieve_bulkdata(address) == [instance.PixelData]
    assert reader.retrieve_instance_rendered(*ct, media_types=("image/png",))[:8] == b"\x89PNG\r\n\x1a\n"
    assert reader.retrieve_instance_frames_rendered(*ct, [1], media_types=("image/jpeg",))[:3] == b"\xff\xd8\xff"
    found = reader.search_for_studies(search_filters={"StudyInstanceUID": ct[0]})
    assert [one["0020000D"]["Value"] for one in found] == [[ct[0]]]


def test_dicomweb_client_stores_a_mixed_batch(product: Product, ct: tuple[str, str, str]) -> None:
    sender = client_of(product, "tech")
    written = BytesIO()
    sender.retrieve_instance(*ct).save_as(written)
    new, stranger = dcmread(BytesIO(written.getvalue())), dcmread(BytesIO(written.getvalue()))
    for dataset in (new, stranger):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    stranger.StudyInstanceUID = generate_uid()
    answer = sender.store_instances([new, stranger], study_instance_uid=ct[0])
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [new.SOPInstanceUID]
    assert [item.FailureReason for item in answer.FailedSOPSequence] == [0xA900]
    assert sender.retrieve_instance(*ct[:2], new.SOPInstanceUID).PixelData == new.PixelData


def frame_once_and_again(product: Product, ct: tuple[str, str, str], headers: dict[str, str]) -> list[int]:
    url = f"{product.url}/dicom-web/studies/{ct[0]}/series/{ct[1]}/instances/{ct[2]}/frames/1"
    return [requests.get(url, headers=headers, timeout=20).status_code for _ in range(2)]


def test_the_short_way_of_frames_ends_with_the_login(product: Product, ct: tuple[str, str, str]) -> None:
    url = f"{product.url}/dicom-web/studies/{ct[0]}/series/{ct[1]}/instances/{ct[2]}/frames/1"
    made = requests.post(f"{product.url}/api/login", json={"username": "radiologist2", "password": PASSWORD}, timeout=20)
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    first, second = (requests.get(url, headers=headers, timeout=20) for _ in range(2))
    assert (first.status_code, first.content, first.headers["ETag"]) == (200, second.content, second.headers["ETag"])
    assert set(first.headers) - {"date", "Date"} == set(second.headers) - {"date", "Date"}
    assert frame_once_and_again(product, ct, {}) == [401, 401]
    assert frame_once_and_again(product, ct, {"Authorization": f"Bearer {product.api('tech2').token}"}) == [404, 404]
    assert requests.post(f"{product.url}/api/logout", headers=headers, timeout=20).status_code == 200
    until(lambda: requests.get(url, headers=headers, timeout=20).status_code == 401, 5, "the door to close")


def test_ohif_shows_the_ct_with_our_login_and_nothing_else(product: Product, ct: tuple[str, str, str]) -> None:
    address = f"http://127.0.0.1:{product.environ['TELEREAD_OHIF_PORT']}"
    viewer = f"{address}/viewer?StudyInstanceUIDs={ct[0]}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=WEBGL)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        elsewhere: list[str] = []
        page.on("request", lambda request: elsewhere.append(request.url) if not re.match(r"(http://127\.0\.0\.1:|blob:|data:)", request.url) else None)
        page.goto(viewer)
        assert page.url.startswith(f"{product.url}/login")  # nobody's browser is sent to log in
        page.fill("[name=username]", "radiologist")
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{product.url}/")
        page.goto(viewer)
        page.wait_for_selector(".cornerstone-canvas", timeout=60_000)
        until(lambda: brightest_share(page) > 0.02, 60, "pixels", pause_s=1.0)
        assert page.get_by_text("W:").first.is_visible()
        assert elsewhere == []
        browser.close()
    assert requests.post(f"{address}/dicom-web/studies", timeout=20).status_code == 405  # only reading
    assert requests.get(f"{address}/dicom-web/studies", timeout=20).status_code == 401
    assert requests.get(f"{address}/../../teleread.sqlite3", timeout=20).status_code in (303, 404)


def brightest_share(page: Page) -> float:
    """The share of nearly white pixels in the viewport's picture: bone of the phantom's skull."""
    from PIL import Image

    picture = page.locator(".cornerstone-canvas").first.screenshot()
    grey = np.asarray(Image.open(BytesIO(picture)).convert("L"))
    return float((grey > 230).mean())


def test_switched_on_but_not_installed_says_how(tmp_path: Path, product: Product) -> None:
    found = product.command("ohif", "install", "--from", str(tmp_path / "absent.tgz"))
    assert "OHIF" in found.stdout  # installed already: nothing is fetched
    product.environ["TELEREAD_DATA_DIR"], kept = str(tmp_path), product.environ["TELEREAD_DATA_DIR"]
    try:
        (tmp_path / "wrong.tgz").write_bytes(b"x")
        wrong = product.command("ohif", "install", "--from", str(tmp_path / "wrong.tgz"))
    finally:
        product.environ["TELEREAD_DATA_DIR"] = kept
    assert (wrong.returncode, "checksum" in wrong.stderr) == (2, True)
