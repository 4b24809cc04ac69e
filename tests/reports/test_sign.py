"""Signed reports as pyHanko's strict policy, poppler's pdfsig, qpdf and OpenSSL judge them."""

import re
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext

from reports.pdf import render
from reports.pin import decrypt_key
from reports.sign import SignError, prepare, sign
from tests.reports.paper import (
    PIN,
    REVIEWER_PIN,
    clinic,
    document,
    prepared,
    run,
    sign_as_author,
    sign_as_reviewer,
    signed_once,
    signed_twice,
)


@pytest.fixture(scope="module")
def trust_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An NSS store that trusts our CA, for pdfsig."""
    folder = tmp_path_factory.mktemp("nss")
    run("certutil", "-N", "-d", str(folder), "--empty-password")
    run("certutil", "-A", "-d", str(folder), "-n", "demo", "-t", "C,C,C", "-i", str(clinic().authority.ca_path))
    return folder


def statuses(pdf: bytes) -> list[PdfSignatureStatus]:
    authority = clinic().authority
    root = asn1_x509.Certificate.load(_der(authority.ca_path))
    context = ValidationContext(trust_roots=[root], allow_fetching=False)
    reader = PdfFileReader(BytesIO(pdf))
    return [validate_pdf_signature(signature, context) for signature in reader.embedded_signatures]


def _der(path: Path) -> bytes:
    return subprocess.run(
        ["openssl", "x509", "-in", str(path), "-outform", "DER"], check=True, capture_output=True
    ).stdout  # fmt: skip


def test_two_signatures_hold_in_pyhanko() -> None:
    found = statuses(signed_twice())
    assert [status.bottom_line for status in found] == [True, True]
    assert [status.modification_level for status in found] == [ModificationLevel.FORM_FILLING, ModificationLevel.NONE]
    stamps = [status.timestamp_validity for status in found]
    assert all(stamp.intact and stamp.valid and stamp.trusted for stamp in stamps)


def test_pdfsig_says_valid_trusted_and_whole(tmp_path: Path, trust_store: Path) -> None:
    path = tmp_path / "signed.pdf"
    path.write_bytes(signed_twice())
    said = run("pdfsig", "-nssdir", str(trust_store), str(path))
    assert said.count("Signature is Valid.") == 2 and said.count("Certificate is Trusted.") == 2
    assert said.count("ETSI.CAdES.detached") == 2
    assert re.findall(r"Common Name: (\S+)", said) == ["陈知远", "周敏仪"]
    assert "Total document signed" in said.split("Signature #2")[1]


def test_one_signature_locks_everything(tmp_path: Path, trust_store: Path) -> None:
    pdf = sign_as_author(prepared(1), clinic())
    path = tmp_path / "signed.pdf"
    path.write_bytes(pdf)
    assert "Total document signed" in run("pdfsig", "-nssdir", str(trust_store), str(path))
    (signature,) = PdfFileReader(BytesIO(pdf)).embedded_signatures
    assert signature.docmdp_level is not None and signature.docmdp_level.value == 1


@pytest.mark.parametrize("is_ecg", [False, True])
def test_qpdf_finds_nothing_and_stamps_are_text_with_embedded_fonts(tmp_path: Path, is_ecg: bool) -> None:
    pdf = prepare(render(document(is_ecg=is_ecg)), 2)
    pdf = sign_as_author(pdf, clinic(), landscape=is_ecg)
    pdf = sign_as_reviewer(pdf, clinic(), landscape=is_ecg)
    path = tmp_path / "signed.pdf"
    path.write_bytes(pdf)
    assert "No syntax or stream encoding errors" in run("qpdf", "--check", str(path))
    rows = run("pdffonts", str(path)).splitlines()[2:]
    assert rows and all(re.search(r"yes yes yes", row) for row in rows)
    text = run("pdftotext", str(path), "-")
    assert text.count("周敏仪") == 1 and text.count("电子签名") == 2
    serial = clinic().reviewer.serial[-8:]
    assert f"{serial[:4]} {serial[4:]}" in text


def test_openssl_verifies_each_signature_and_its_time_stamp(tmp_path: Path) -> None:
    pdf, ca = signed_twice(), str(clinic().authority.ca_path)
    for signature in PdfFileReader(BytesIO(pdf)).embedded_signatures:
        start, first, second, last = (int(value) for value in signature.byte_range)
        (tmp_path / "content").write_bytes(pdf[start:first] + pdf[second : second + last])
        (tmp_path / "cms").write_bytes(bytes(signature.pkcs7_content))
        common = ["-inform", "DER", "-in", str(tmp_path / "cms"), "-CAfile", ca, "-purpose", "any", "-binary"]
        run("openssl", "cms", "-verify", *common, "-content", str(tmp_path / "content"), "-out", "/dev/null")
        info = cms.ContentInfo.load(bytes(signature.pkcs7_content))["content"]["signer_infos"][0]
        token = next(a for a in info["unsigned_attrs"] if a["type"].native == "signature_time_stamp_token")
        (tmp_path / "token").write_bytes(token["values"][0].dump())
        (tmp_path / "value").write_bytes(info["signature"].native)
        said = run(
            "openssl", "ts", "-verify", "-token_in", "-in", str(tmp_path / "token"),
            "-data", str(tmp_path / "value"), "-CAfile", ca,
        )  # fmt: skip
        assert "Verification: OK" in said


def test_earlier_revisions_are_kept_byte_for_byte() -> None:
    assert signed_once().startswith(prepared(2)) and signed_twice().startswith(signed_once())


def test_fields_stand_where_the_page_labels_them(tmp_path: Path) -> None:
    """The stamp begins under its label on paper: same left edge, just below."""
    path = tmp_path / "signed.pdf"
    path.write_bytes(signed_twice())
    boxes = run("pdftotext", "-bbox", str(path), "-")

    def corner(word: str) -> tuple[float, float]:
        """The leftmost place: label and name of the author stand again in the table at the right."""
        found = re.findall(rf'xMin="([\d.]+)" yMin="([\d.]+)"[^>]*>{word}<', boxes)
        return min((float(x), float(y)) for x, y in found)

    for label, name in (("报告医师", "陈知远"), ("审核医师", "周敏仪")):
        (x, y), (name_x, name_y) = corner(label), corner(name)
        assert abs(name_x - x) < 3 and 5 < name_y - y < 40


def test_without_time_stamp_where_the_site_says_so() -> None:
    pdf = sign_as_author(prepared(1), clinic(), with_tsa=False)
    (status,) = statuses(pdf)
    assert status.intact and status.valid and status.timestamp_validity is None


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: sign_as_reviewer(prepared(2), clinic()), "earlier_field_empty"),
        (lambda: sign_as_author(signed_once(), clinic()), "field_signed"),
        (lambda: sign_as_reviewer(sign_as_author(prepared(1), clinic()), clinic()), "field_missing"),
        (lambda: sign_as_author(render(document()), clinic()), "field_missing"),
    ],
)
def test_fields_are_filled_once_and_in_order(make: object, code: str) -> None:
    with pytest.raises(SignError) as refused:
        make()  # type: ignore[operator]
    assert refused.value.code == code


def test_certificate_must_fit_key_role_and_time() -> None:
    at = clinic()
    author_key = decrypt_key(at.author.encrypted_pkcs8, PIN.encode())
    reviewer_key = decrypt_key(at.reviewer.encrypted_pkcs8, REVIEWER_PIN.encode())
    good = at.signing("report_doctor", at.author, "陈知远")
    cases = [
        (prepared(2), good, reviewer_key, "key_mismatch"),
        (prepared(2), replace(good, signed_at=at.now + timedelta(days=800)), author_key, "certificate_expired"),
        (prepared(2), replace(good, signed_at=at.now - timedelta(days=1)), author_key, "certificate_expired"),
        (signed_once(), replace(good, field="reviewer"), author_key, "role_not_certified"),
    ]
    for pdf, signing, key, code in cases:
        with pytest.raises(SignError) as refused:
            sign(pdf, signing, key)
        assert refused.value.code == code
    for n_fields in (0, 3):
        with pytest.raises(SignError):
            prepare(render(document()), n_fields)


def test_sign_time_is_told() -> None:
    sign_as_author(prepared(2), clinic())
    started = time.perf_counter()
    sign_as_author(prepared(2), clinic())
    print(f"stamp + open key + sign B-T, in process: {(time.perf_counter() - started) * 1000:.0f} ms")
