"""DICOMweb over the demo county: forms, ranges, sight, audit, HTTP Basic, storing. No server, real objects."""

import asyncio
import base64
import copy
import json
import struct
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from flask import Flask
from flask.testing import FlaskClient
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from pacs_bridge.blobs import FileBlobs
from pacs_bridge.extract import extract
from pacs_bridge.objects import StudyIdentity, rejection_note
from tests.peers.township import PASSWORD, Township
from tests.worklist.test_routes import token
from viewer.derive import derive_instance
from viewer.dicomweb_accept import frame_form, object_form, picked
from viewer.dicomweb_fast import FrameMemory
from viewer.dicomweb_retrieve import _made
from viewer.metadata_cache import Described, MetadataCache
from worklist.account_service import hash_password
from worklist.account_tables import Account, LoginSession
from worklist.asgi import build_asgi, send_segments
from worklist.base.audit import AuditEvent
from worklist.ohif import OhifApp, folder_of
from worklist.outgoing import Outgoing
from worklist.tables import Instance, Quarantine, Series
from worklist.web_dicomweb import dicomweb_adapters
from worklist.web_files import FileRange, segment_bytes
from worklist.webserver import build_web

EXPLICIT, J2K, HTJ2K, RLE = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.5",
)  # fmt: skip


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "teleread.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def client(county: Township) -> FlaskClient:
    app: Flask = build_web(county.roof, county.desk.signer)  # type: ignore[arg-type]
    return app.test_client()


class Object:
    """A real file as an object of QINGSHAN, derived."""

    def __init__(self, county: Township, folder: Path, name: str, **changes: Any) -> None:
        self.dataset = dcmread(Path(str(get_testdata_file(name))))
        for keyword, value in changes.items():
            setattr(self.dataset, keyword, value)
        self.path = folder / f"{name}.dcm"
        self.dataset.save_as(self.path)
        filed = county.receive(self.path)
        assert filed.outcome == "filed", filed
        with county.roof.db.write() as session:
            self.row = session.scalars(
                select(Instance).where(Instance.sop_instance_uid == str(self.dataset.SOPInstanceUID))
            ).one()
            blobs = county.roof.blobs
            state = derive_instance(blobs.path(self.row.blob_key), blobs.derived_dir(self.row.blob_key))["state"]
            self.row.derived_state = state
        ds = self.dataset
        self.series = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
        self.url = f"{self.series}/instances/{ds.SOPInstanceUID}"


def get(client: FlaskClient, county: Township, path: str, accept: str = "", user: str = "radiologist", **headers: str) -> TestResponse:
    sent = {"Authorization": f"Bearer {token(county, user)}", **{key.replace("_", "-"): value for key, value in headers.items()}}
    return client.get(path, headers={**sent, **({"Accept": accept} if accept else {})})


def parts_of(answer: TestResponse) -> list[tuple[str, bytes]]:
    """(content type, body) of each part."""
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    found = []
    for part in answer.data.split(b"--" + boundary)[1:-1]:
        head, _, body = part[2:-2].partition(b"\r\n\r\n")
        kind = next(line for line in head.decode().split("\r\n") if line.startswith("Content-Type: "))
        found.append((kind.removeprefix("Content-Type: "), body))
    return found


@pytest.mark.parametrize(("accept", "stored", "source", "media"), [
    ("", EXPLICIT, "raw", "application/octet-stream"),
    ('multipart/related; type="application/octet-stream"; transfer-syntax=*', J2K, "stored", "image/jp2"),
    ("multipart/related; type=application/octet-stream; transfer-syntax=*", EXPLICIT, "raw", "application/octet-stream"),
    ('multipart/related; type="application/octet-stream"', J2K, "decoded", "application/octet-stream"),
    ("image/jphc", EXPLICIT, "derived", "image/jphc"),
    ('multipart/related; type="image/jphc"; transfer-syntax=1.2.840.10008.1.2.4.201', J2K, "derived", "image/jphc"),
    ("multipart/related; type=image/jp2", J2K, "stored", "image/jp2"),
    ("image/jls, application/octet-stream;q=0.5", EXPLICIT, "raw", "application/octet-stream"),
    ("image/dicom-rle", RLE, "stored", "image/dicom-rle"),
])  # fmt: skip
def test_frames_leave_in_the_first_form_that_is_possible(accept: str, stored: str, source: str, media: str) -> None:
    form = frame_form(accept, stored, stored == EXPLICIT, True)
    assert form is not None
    assert (form.source, form.media) == (source, media)


@pytest.mark.parametrize("accept", ["image/jls", "video/mp4", "application/octet-stream; transfer-syntax=1.2.3", "text/html"])
def test_what_cannot_be_is_refused(accept: str) -> None:
    assert frame_form(accept, EXPLICIT, True, True) is None


def test_objects_leave_explicit_unless_another_syntax_is_accepted() -> None:
    def syntax(accept: str, stored: str) -> str | None:
        form = object_form(accept)
        return form.syntax_of(stored) if form else None

    assert syntax("", J2K) == EXPLICIT
    assert syntax('multipart/related; type="application/dicom"; transfer-syntax=*', J2K) == J2K
    assert syntax(f'multipart/related; type="application/dicom"; transfer-syntax={J2K}', J2K) == J2K
    assert syntax("application/dicom", J2K) == EXPLICIT
    assert syntax("image/jpeg", J2K) is None
    assert picked("text/html, */*;q=0.1", ["image/jpeg"]).media == "image/jpeg"  # type: ignore[union-attr]


def test_a_native_object_its_frames_and_its_bulk_data_are_the_stored_bytes(county: Township, client: FlaskClient, tmp_path: Path) -> None:
    ct = Object(county, tmp_path, "CT_small.dcm")
    stored = ct.path.read_bytes()
    whole = get(client, county, ct.url)
    assert [(kind, body == stored) for kind, body in parts_of(whole)] == [(f"application/dicom; transfer-syntax={EXPLICIT}", True)]
    single = get(client, county, ct.url, "application/dicom", Range="bytes=128-131")
    assert (single.status_code, single.data, single.headers["Content-Range"]) == (206, b"DICM", f"bytes 128-131/{len(stored)}")
    frame = get(client, county, f"{ct.url}/frames/1")
    assert parts_of(frame) == [(f"application/octet-stream; transfer-syntax={EXPLICIT}", ct.dataset.PixelData)]
    again = get(client, county, f"{ct.url}/frames/1", If_None_Match=frame.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    part = get(client, county, f"{ct.url}/frames/1", Range="bytes=100-199")
    assert (part.status_code, part.data) == (206, frame.data[100:200])
    metadata = json.loads(get(client, county, f"{ct.url}/metadata").data)[0]
    bulk = get(client, county, metadata["7FE00010"]["BulkDataURI"].removeprefix("http://localhost"))
    assert (bulk.status_code, bulk.data) == (200, ct.dataset.PixelData)
    assert [get(client, county, f"{ct.url}/{path}").status_code for path in ("frames/2", "frames/0", "frames/1,x", "bulkdata/00991001")] == [404, 400, 400, 404]
    assert [get(client, county, f"{ct.url}{path}", "video/mp4").status_code for path in ("", "/frames/1", "/metadata", "/rendered", "/thumbnail", "/bulkdata/7FE00010")] == [406] * 6


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "emri_small_jpeg_2k_lossless.dcm", "MR_small_RLE.dcm"])
def test_compressed_frames_leave_as_stored_or_as_the_pixels_that_pydicom_sees(county: Township, client: FlaskClient, tmp_path: Path, name: str) -> None:
    stored = Object(county, tmp_path, name)
    n_frames = int(stored.dataset.get("NumberOfFrames", 1))
    numbers = ",".join(str(number) for number in range(1, n_frames + 1))
    raw = parts_of(get(client, county, f"{stored.url}/frames/{numbers}", 'multipart/related; type="application/octet-stream"'))
    pixels = stored.dataset.pixel_array
    expected = pixels if n_frames > 1 else pixels[None]
    assert [np.array_equal(np.frombuffer(body, expected.dtype).reshape(expected.shape[1:]), shown) for (_, body), shown in zip(raw, expected, strict=True)] == [True] * n_frames
    as_it_is = get(client, county, f"{stored.url}/frames/1", "multipart/related; type=application/octet-stream; transfer-syntax=*")
    ((kind, body),) = parts_of(as_it_is)
    assert kind.endswith(f"transfer-syntax={stored.dataset.file_meta.TransferSyntaxUID}")
    assert body in stored.path.read_bytes()
    copied = dcmread(BytesIO(parts_of(get(client, county, stored.url))[0][1]))
    assert copied.file_meta.TransferSyntaxUID == EXPLICIT
    assert np.array_equal(copied.pixel_array, pixels)


def test_a_picture_of_which_nothing_is_asked_is_the_one_made_at_ingest(
    county: Township, client: FlaskClient, tmp_path: Path
) -> None:
    """The same bytes as one made now; with another wish it is made now."""
    made = Object(county, tmp_path, "CT_small.dcm")
    folder = county.roof.blobs.derived_dir(made.row.blob_key)
    kept = get(client, county, f"{made.url}/rendered", "image/jpeg")
    assert kept.data == (folder / "preview.jpg").read_bytes()
    (folder / "preview.jpg").unlink()
    again = get(client, county, f"{made.url}/rendered", "image/jpeg")
    assert again.data == kept.data
    assert get(client, county, f"{made.url}/rendered?quality=10", "image/jpeg").data != kept.data


def test_what_must_be_corrected_and_cannot_be_fails_visibly(tmp_path: Path) -> None:
    """Its part is neither empty nor the stored object: it says that there is a problem, and where."""
    stored = tmp_path / "stored"
    stored.write_bytes(b"DICM")
    form = object_form("multipart/related; type=application/dicom")
    assert form is not None
    for corrections, expected in (({"PatientID": "2"}, "application/problem+json"), ({}, "application/dicom; transfer")):
        row = Outgoing("1.2", "1.3", "1.4", "1.5", RLE, "key", "digest", 4, 1, corrections)
        data, media, url = _made(lambda _row, _syntax: None, row, form, FileRange(stored, 0, 4), "/instances/1.4")
        assert (media.startswith(expected), url) == (True, "/instances/1.4")
        held = segment_bytes(data)
        assert held == b"DICM" if not corrections else json.loads(held)["instance"] == url


def test_pictures_have_the_window_and_the_size_asked_for(county: Township, client: FlaskClient, tmp_path: Path) -> None:
    ct = Object(county, tmp_path, "CT_small.dcm")

    def pixels(query: str) -> np.ndarray:
        from PIL import Image

        answer = get(client, county, f"{ct.url}/rendered{query}", "image/png")
        assert answer.status_code == 200, answer.data
        return np.asarray(Image.open(BytesIO(answer.data)))

    hounsfield = ct.dataset.pixel_array * float(ct.dataset.RescaleSlope) + float(ct.dataset.RescaleIntercept)
    expected = np.clip((hounsfield - (40 - 0.5)) / (400 - 1) + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    assert np.abs(pixels("?window=40,400,linear").astype(float) - expected).max() <= 1
    assert pixels("?viewport=64,32").shape == (32, 32)
    assert pixels("?viewport=64,64,0,0,32,32&window=40,400").shape == (64, 64)
    wrong = ("?window=1", "?window=40,0", "?window=1e400,1", "?window=1,1e400", "?quality=0", "?viewport=a,b", "?viewport=90000,1")
    assert [get(client, county, f"{ct.url}/rendered{query}").status_code for query in wrong] == [400] * len(wrong)
    for path in (f"{ct.url}/thumbnail", f"{ct.series}/thumbnail", f"{ct.url}/frames/1/thumbnail"):
        assert get(client, county, path).data[:3] == b"\xff\xd8\xff"


def test_hidden_objects_are_not_there(county: Township, client: FlaskClient, tmp_path: Path) -> None:
    ct = Object(county, tmp_path, "CT_small.dcm")
    assert get(client, county, f"{ct.series}/metadata").status_code == 200
    with county.roof.db.write() as session:
        session.get_one(Instance, ct.row.id).hidden_code = "113001"
    county.clock.forward(10)
    paths = (ct.series, ct.url, f"{ct.url}/frames/1", f"{ct.series}/metadata", f"{ct.url}/rendered", f"{ct.url}/bulkdata/7FE00010")
    assert [get(client, county, path).status_code for path in paths] == [404] * len(paths)


def test_metadata_are_zipped_kept_and_made_anew_when_the_series_grows(county: Township, client: FlaskClient, tmp_path: Path) -> None:
    ct = Object(county, tmp_path, "CT_small.dcm")
    first = get(client, county, f"{ct.series}/metadata", Accept_Encoding="gzip")
    assert (first.headers["Content-Encoding"], first.mimetype) == ("gzip", "application/dicom+json")
    assert get(client, county, f"{ct.series}/metadata", Accept_Encoding="gzip", If_None_Match=first.headers["ETag"]).status_code == 304
    Object(county, tmp_path, "CT_small.dcm", SOPInstanceUID=generate_uid(), InstanceNumber=2)
    grown = get(client, county, f"{ct.series}/metadata", If_None_Match=first.headers["ETag"])
    assert len(json.loads(grown.data)) == 2


def test_metadata_asked_for_by_many_at_once_appear_whole(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "store")
    key = blobs.put(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    cache, start = MetadataCache(blobs), threading.Barrier(8)
    wanted = [Described(key, f"http://host/{number}") for number in range(300)]

    def ask(number: int) -> list[int]:
        sizes = []
        for round_ in range(6):
            start.wait(20)
            found = cache.file_of("1.2.3", wanted[round_:])
            sizes.append(len(json.loads(found.plain.read_bytes())))
        return sizes

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [[300 - round_ for round_ in range(6)]] * 8


def test_metadata_of_series_are_kept_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was let go is made again."""
    monkeypatch.setattr("viewer.metadata_cache.MOST_FOLDERS", 3)
    monkeypatch.setattr("viewer.metadata_cache.SHARDS", 1)
    blobs = FileBlobs(tmp_path)
    key = blobs.put(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    cache, wanted = MetadataCache(blobs), [Described(key, "http://one")]
    uids = [uid for uid in map(str, range(4000)) if blake3(uid.encode()).hexdigest().startswith("00")][:8]
    first = cache.file_of(uids[0], wanted).plain.read_bytes()
    for uid in uids:
        cache.file_of(uid, wanted)
    assert sorted(path.name for path in (tmp_path / "derived" / "metadata" / "00").iterdir()) == sorted(
        blake3(uid.encode()).hexdigest()[:32] for uid in uids[-3:]
    )
    assert cache.file_of(uids[0], wanted).plain.read_bytes() == first
    blobs.close()


def test_who_reads_is_written_down_once_a_sitting(county: Township, client: FlaskClient, tmp_path: Path) -> None:
    ct = Object(county, tmp_path, "CT_small.dcm")
    sent = {"Authorization": f"Bearer {token(county, 'radiologist')}"}
    for path in ("/metadata", "/frames/1", "/frames/1", "/rendered"):
        assert client.get(ct.url + path, headers=sent).status_code == 200
    with county.roof.db.read() as session:
        query = select(func.count()).where(AuditEvent.act == "study.view_images", AuditEvent.result == "ok")
        assert session.scalar(query.where(AuditEvent.object_uid == str(ct.dataset.StudyInstanceUID))) == 1


def test_basic_is_compared_once_remembered_and_limited(county: Township, client: FlaskClient, tmp_path: Path) -> None:
    ct = Object(county, tmp_path, "CT_small.dcm")
    with county.roof.db.write() as session:
        account = session.scalars(select(Account).where(Account.username == "radiologist")).one()
        account.password_hash = hash_password(PASSWORD)

    def status(username: str, password: str, path: str = f"{ct.url}/metadata") -> int:
        given = base64.b64encode(f"{username}:{password}".encode()).decode()
        return client.get(path, headers={"Authorization": f"Basic {given}"}).status_code

    def logins() -> int:
        with county.roof.db.read() as session:
            return session.scalar(select(func.count()).where(LoginSession.kind == "basic")) or 0

    assert [status("radiologist", PASSWORD) for _ in range(3)] == [200] * 3
    assert logins() == 1
    county.clock.forward(295)  # compared again before the login ends: no request falls between
    assert (status("radiologist", PASSWORD), logins()) == (200, 2)
    padded = {"Authorization": "Basic" + " " * 2000 + base64.b64encode(f"radiologist:{PASSWORD}".encode()).decode()}
    assert client.get(f"{ct.url}/metadata", headers=padded).status_code == 401
    assert status("radiologist", PASSWORD, "/api/worklist") == 401  # DICOMweb's alone
    with county.roof.db.write() as session:
        for row in session.scalars(select(LoginSession).where(LoginSession.kind == "basic")):
            row.ended_at, row.end_reason = county.clock(), "revoked"
    assert [status("radiologist", PASSWORD) for _ in range(2)] == [401, 200]  # proved anew
    refused = client.get(ct.url, headers={"Authorization": "Basic !"})
    assert (refused.status_code, refused.headers.getlist("WWW-Authenticate")[1].partition(" ")[0]) == (401, "Basic")
    browser = client.get(ct.url, headers={"Sec-Fetch-Mode": "cors"})
    assert browser.headers.getlist("WWW-Authenticate") == ["Bearer"]
    assert [status("radiologist", "wrong") for _ in range(6)] == [401] * 5 + [423]
    assert 429 in [status(f"nobody{number}", "x") for number in range(31)]


def stow(client: FlaskClient, county: Township, objects: list[bytes], path: str = "/dicom-web/studies", user: str = "tech", kind: str = "application/dicom") -> TestResponse:
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n" for data in objects) + b"--b--\r\n"
    headers = {"Authorization": f"Bearer {token(county, user)}", "Content-Type": f'multipart/related; type="{kind}"; boundary=b'}
    return client.post(path, data=body, headers=headers)


def file_of(name: str = "CT_small.dcm", **changes: Any) -> bytes:
    dataset = copy.deepcopy(dcmread(Path(str(get_testdata_file(name)))))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    written = BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def test_a_mixed_batch_is_202_and_says_which_failed_and_why(county: Township, client: FlaskClient) -> None:
    good, stranger = file_of(), file_of(SOPInstanceUID=generate_uid(), StudyInstanceUID=generate_uid())
    study = str(dcmread(BytesIO(good)).StudyInstanceUID)
    answer = stow(client, county, [good, stranger, b"no dicom"], f"/dicom-web/studies/{study}")
    assert (answer.status_code, answer.mimetype) == (202, "application/dicom+json")
    said = json.loads(answer.data)
    assert [item["00081155"]["Value"] for item in said["00081199"]["Value"]] == [[str(dcmread(BytesIO(good)).SOPInstanceUID)]]
    assert [item["00081197"]["Value"] for item in said["00081198"]["Value"]] == [[0xA900], [0xC000]]
    stored = dcmread(BytesIO(parts_of(get(client, county, f"/dicom-web/studies/{study}"))[0][1]))
    assert stored.PixelData == dcmread(BytesIO(good)).PixelData
    with county.roof.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Quarantine)) == 1  # what is no DICOM is kept for an admin
    assert stores(county) == [("tech", study, "ok", {"objects": 3, "failed": 2})]


def stores(county: Township) -> list[tuple[str, str, str, Any]]:
    with county.roof.db.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.act == "study.store").order_by(AuditEvent.id))
        return [(row.actor, row.object_uid, row.result, row.details) for row in rows]


def test_storing_again_is_all_right_and_other_content_is_not(county: Township, client: FlaskClient) -> None:
    assert [stow(client, county, [file_of()]).status_code for _ in range(2)] == [200, 200]
    changed = stow(client, county, [file_of(Rows=64)])
    assert changed.status_code == 409
    assert json.loads(changed.data)["00081198"]["Value"][0]["00081197"]["Value"] == [0x0111]
    other_site = stow(client, county, [file_of(SOPInstanceUID=generate_uid())], user="tech2")
    assert json.loads(other_site.data)["00081198"]["Value"][0]["00081197"]["Value"] == [0x0124]
    assert stores(county)[-1] == ("tech2", "?", "refused", {"objects": 1, "failed": 1})


def test_a_note_before_its_study_is_stored_and_works(county: Township, client: FlaskClient) -> None:
    slice_ = dcmread(BytesIO(file_of()))
    note = rejection_note(
        "113001", [(str(slice_.SeriesInstanceUID), str(slice_.SOPClassUID), str(slice_.SOPInstanceUID))],
        study=StudyIdentity(str(slice_.StudyInstanceUID), str(slice_.PatientName), str(slice_.PatientID)),
        sop_instance_uid=generate_uid(), series_instance_uid=generate_uid(), made_at=county.clock(), reason="体动",
    )  # fmt: skip
    assert [stow(client, county, [one]).status_code for one in (note, file_of())] == [200, 200]
    assert get(client, county, f"/dicom-web/studies/{slice_.StudyInstanceUID}").status_code == 404


def test_an_object_that_we_fail_to_read_costs_neither_itself_nor_the_others(
    county: Township, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [True, False]

    def reads(*given: Any, **named: Any) -> Any:
        if fails.pop(0):
            raise RecursionError("Doe^John")
        return extract(*given, **named)

    monkeypatch.setattr("worklist.stow.extract", reads)
    answer = stow(client, county, [file_of(SOPInstanceUID=generate_uid()), file_of()])
    assert answer.status_code == 202
    with county.roof.db.read() as session:
        kept = session.scalars(select(Quarantine)).one()
    assert (kept.reason, kept.details, county.roof.blobs.exists(kept.blob_key)) == ("malformed", {"part": "RecursionError"}, True)


def test_the_short_way_gives_nothing_that_the_long_way_would_give_otherwise(tmp_path: Path) -> None:
    data = Path(str(get_testdata_file("CT_small.dcm")))
    row = Outgoing("1.2", "1.3", "1.4", "1.5", EXPLICIT, "key", "digest", data.stat().st_size, 1)
    memory, path = FrameMemory(), "/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1"
    memory.remember("c\0", "host", "http://host/dicom-web/studies/1.2/series/1.3/instances", [row], {"1.4": data})

    def answered(accept: str, cookie: bytes = b"c", host: bytes = b"host") -> bool:
        return memory.find(path, [(b"cookie", cookie), (b"host", host), (b"accept", accept.encode())]) is not None

    assert [answered(accept) for accept in ("*/*", "application/octet-stream")] == [True, True]
    assert [answered(accept) for accept in ("image/jphc", "image/jphc, */*;q=0.1", "image/png")] == [False, False, False]
    assert not answered("*/*", cookie=b"another") and not answered("*/*", host=b"another")


def test_what_is_no_store_request(county: Township, client: FlaskClient) -> None:
    assert stow(client, county, [], kind="application/dicom+json").status_code == 415
    assert stow(client, county, []).status_code == 400
    headers = {"Authorization": f"Bearer {token(county, 'tech')}", "Content-Type": "multipart/related; type=application/dicom; boundary=b"}
    assert client.post("/dicom-web/studies", data=b"--b\r\n\r\nhalf", headers=headers).status_code == 400
    assert [row[2] for row in stores(county)] == ["empty_store"]
    assert client.post("/dicom-web/studies", json={}, headers={"Authorization": headers["Authorization"]}).status_code == 415
    assert stow(client, county, [file_of()], user="radiologist").status_code == 403
    with county.roof.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Series)) == 0


def test_files_leave_while_copies_are_made(tmp_path: Path) -> None:
    app = build_asgi(Flask("test"), None, file_root=tmp_path)  # type: ignore[arg-type]
    (tmp_path / "frame").write_bytes(b"frame")
    end = threading.Event()

    def made() -> list[bytes]:
        end.wait(20)
        return [b"copy"]

    async def body_of(segments: list[Any]) -> bytes:
        body = b""

        async def send(message: Any) -> None:
            nonlocal body
            body += message["body"]

        await send_segments(app, send, segments)
        return body

    async def ask() -> list[bytes]:
        copies = [asyncio.create_task(body_of([made])) for _ in range(8)]
        await asyncio.sleep(0.1)
        frame = await asyncio.wait_for(body_of([FileRange(tmp_path / "frame", 0, 5)]), 5)
        end.set()
        return [frame, *await asyncio.gather(*copies)]

    try:
        assert asyncio.run(ask()) == [b"frame", *[b"copy"] * 8]
    finally:
        end.set()


def test_a_large_object_that_is_decoded_for_the_client_is_never_in_memory(county: Township, tmp_path: Path) -> None:
    """300 frames of 1 MiB, 5 MB as stored: what is made of it leaves from the disk, and nothing of it stays there."""
    side, n_frames = 1024, 300
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    segment = b"\x81\x07" * (side * side // 128)
    dataset.Rows = dataset.Columns = side
    dataset.NumberOfFrames, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = n_frames, 8, 8, 7
    dataset.PixelRepresentation = 0
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + segment
    dataset.PixelData = encapsulate([frame] * n_frames)
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = RLE
    dataset.save_as(tmp_path / "large.dcm", enforce_file_format=True)
    key = county.roof.blobs.put((tmp_path / "large.dcm").read_bytes())
    row = Outgoing("1.2", "1.3", "1.4", dataset.SOPClassUID, RLE, key, key, 1, 1)
    held = dicomweb_adapters(county.roof, None, FrameMemory())["object_in"](row, EXPLICIT)  # type: ignore[arg-type]
    app = build_asgi(Flask("test"), None, file_root=tmp_path)  # type: ignore[arg-type]
    heard = [0, 0]

    async def send(message: Any) -> None:
        heard[0] += len(message["body"])
        heard[1] += message["body"].count(b"\x07")

    tracemalloc.start()
    try:
        asyncio.run(send_segments(app, send, [lambda: [b"head", held]]))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0 < heard[0] - side * side * n_frames < 10_000
    assert (heard[1] >= side * side * n_frames, peak_bytes < 16 << 20) == (True, True)
    assert [path for path in county.roof.blobs.spool_dir.rglob("*") if path.is_file()] == []


def test_ohif_has_no_file_without_a_name(county: Township) -> None:
    folder = folder_of(county.roof.settings)
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("ohif")
    app, sent = OhifApp(None, county.roof.settings, lambda _: True), list[Any]()  # type: ignore[arg-type]

    async def send(message: Any) -> None:
        sent.append(message)

    for path in ("/\0", "/../../secret.txt", "/"):
        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
    assert [message["status"] for message in sent if "status" in message] == [404, 404, 200]


def test_what_the_server_says_of_itself(client: FlaskClient) -> None:
    for answer in (client.get("/dicom-web/"), client.options("/dicom-web/")):
        assert (answer.status_code, answer.mimetype) == (200, "application/vnd.sun.wadl+xml")
    told = client.get("/dicom-web/", headers={"Accept": "application/json"}).get_json()
    assert "GET" in told["resources"]["/dicom-web/studies/{study}/series/{series}/metadata"]
