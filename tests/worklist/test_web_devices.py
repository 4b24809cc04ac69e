"""Devices on /admin: what they may use, how they are believed; the certificate is openssl's; on both databases."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.peers.dcmtk import require
from tests.worklist.roofs import Caller, make_pages
from worklist.base import audit
from worklist.roof import Roof
from worklist.web_devices import devices

NEW = {"site": "QINGSHAN", "ae_title": "QS_WS", "modality": "WS", "address_range": "10.21.3.20"}


@pytest.fixture
def app(roof: Roof) -> Flask:
    return make_pages(roof, [devices])


def openssl(*arguments: str) -> str:
    done = subprocess.run([require("openssl"), *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", "/CN=QS_WS", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))  # fmt: skip
    return folder / "cert.pem"


def test_a_new_modality_gets_what_a_modality_needs_and_a_workstation_less(admin: Caller) -> None:
    status, made = admin("POST", "/api/admin/devices", NEW)
    assert (status, made["services"], made["sees"]) == (201, ["echo", "store"], "site")
    status, made = admin("POST", "/api/admin/devices", NEW | {"ae_title": "QS_MR", "modality": "MR"})
    assert (status, made["services"]) == (201, ["echo", "mpps", "store", "worklist"])


@pytest.mark.parametrize("service", ["find", "move", "get", "commitment", "ups"])
def test_other_peoples_studies_need_a_certificate_or_a_written_exception(admin: Caller, service: str) -> None:
    admin("POST", "/api/admin/devices", NEW)
    wish: dict[str, Any] = {"services": ["echo", service]}
    status, refused = admin("PATCH", "/api/admin/devices/QS_WS", wish)
    assert (status, refused["error"]["code"]) == (422, "trust_missing")
    status, changed = admin("PATCH", "/api/admin/devices/QS_WS", wish | {"exception_reason": "旧工作站不支持 TLS"})
    assert (status, changed["services"]) == (200, sorted(["echo", service]))
    status, refused = admin("PATCH", "/api/admin/devices/QS_WS", {"exception_reason": "  "})
    assert (status, refused["error"]["code"]) == (422, "trust_missing")


def test_a_certificate_is_known_by_the_fingerprint_that_openssl_prints(admin: Caller, certificate: Path) -> None:
    admin("POST", "/api/admin/devices", NEW)
    body = {"certificate_pem": certificate.read_text(), "services": ["find"]}
    status, changed = admin("PATCH", "/api/admin/devices/QS_WS", body)
    printed = openssl("x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256", "-enddate")
    fingerprint, end = (line.partition("=")[2] for line in printed.strip().splitlines())
    assert (status, changed["certificate_sha256"]) == (200, fingerprint.replace(":", "").lower())
    expected = datetime.strptime(end, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    assert datetime.fromisoformat(changed["certificate_valid_until"]) == expected

    admin("POST", "/api/admin/devices", NEW | {"ae_title": "QS_WS2"})
    status, refused = admin("PATCH", "/api/admin/devices/QS_WS2", {"certificate_sha256": fingerprint})
    assert (status, refused["error"]["code"]) == (409, "certificate_taken")
    status, refused = admin("PATCH", "/api/admin/devices/QS_WS", {"certificate_sha256": None})
    assert (status, refused["error"]["code"]) == (422, "trust_missing")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"certificate_pem": "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----"}, "certificate_invalid"),
        ({"certificate_sha256": "abc"}, "certificate_invalid"), ({"sees": "everything"}, "sees_unknown"),
        ({"move_destinations": ["A\\B"]}, "ae_title_invalid"), ({"port": 70000}, "port_invalid"),
        ({"host": "a b"}, "host_invalid"), ({"character_set": "KLINGON"}, "character_set_unknown"),
        ({"services": ["print"]}, "service_unknown"), ({"address_range": "here"}, "address_invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(admin: Caller, values: dict[str, Any], code: str) -> None:
    admin("POST", "/api/admin/devices", NEW)
    before = admin("GET", "/api/admin/devices")[1]
    status, refused = admin("PATCH", "/api/admin/devices/QS_WS", values)
    assert (status, refused["error"]["code"]) == (422, code)
    assert admin("GET", "/api/admin/devices")[1] == before


def test_why_a_device_was_refused_can_be_read(admin: Caller, roof: Roof) -> None:
    with roof.db.write() as session:
        for ae, reason in (("QS_WS", "calling_ae_unknown"), ("OTHER", "called_ae_unknown"), ("QS_WS", "ok")):
            audit.record(
                session, now=roof.now(), actor=ae, role="device", site="?", act="association.open",
                object_type="association", object_uid="TELEREAD", result=reason, details={"address": "10.9.9.9"},
            )  # fmt: skip
    all_of_them = admin("GET", "/api/admin/refusals")[1]["refusals"]
    assert [row["calling_ae_title"] for row in all_of_them] == ["OTHER", "QS_WS"]
    (own,) = admin("GET", "/api/admin/refusals?ae_title=QS_WS")[1]["refusals"]
    assert (own["reason"], own["address"]) == ("calling_ae_unknown", "10.9.9.9")


def test_a_workstation_performs_as_a_reader_who_signs(admin: Caller) -> None:
    admin("POST", "/api/admin/devices", NEW)
    status, changed = admin("PATCH", "/api/admin/devices/QS_WS", {"performs_as": "reader-qingshan"})
    assert (status, changed["performs_as"]) == (200, "reader-qingshan")
    for nobody in ("clinician-qingshan", "trainee-qingshan", "no-such-person"):
        status, refused = admin("PATCH", "/api/admin/devices/QS_WS", {"performs_as": nobody})
        assert (status, refused["error"]["code"]) == (422, "reader_unknown")
    status, changed = admin("PATCH", "/api/admin/devices/QS_WS", {"performs_as": None})
    assert (status, changed["performs_as"]) == (200, None)
