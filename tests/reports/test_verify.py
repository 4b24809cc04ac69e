"""The tamper set: what viewers call valid and is not; each rejected for its own reason."""

import io
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from pyhanko.pdf_utils.content import RawContent
from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, NumberObject, pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import BoxConstraints
from pyhanko.pdf_utils.writer import PageObject
from pyhanko.sign.fields import SigFieldSpec, append_signature_field
from pyhanko.stamp import StaticStampStyle

from reports.pdf import render
from reports.pin import decrypt_key
from reports.sign import sign
from reports.verify import Trust, verify_report
from reports.verify_command import read_trust, verify_command
from tests.reports.paper import (
    PIN,
    REVIEWER_PIN,
    Clinic,
    clinic,
    clinic_in,
    document,
    prepared,
    sign_as_author,
    sign_as_reviewer,
    signed_once,
    signed_twice,
)
from worklist.base.i18n import catalog, translate


def trust_of(at: Clinic) -> Trust:
    return read_trust(at.authority.ca_path)


def codes(pdf: bytes, trust: Trust | None = None, at: Clinic | None = None) -> list[str]:
    at = at or clinic()
    result = verify_report(pdf, trust or trust_of(at), at.now)
    assert result.is_valid == (not result.reasons)
    return [reason.code for reason in result.reasons]


def bit_changed(pdf: bytes) -> bytes:
    """One bit of the first revision, inside the compressed page."""
    at = pdf.index(b"stream\n") + 200
    return pdf[:at] + bytes([pdf[at] ^ 1]) + pdf[at + 1 :]


def appended(change: Callable[[IncrementalPdfFileWriter], None]) -> Callable[[bytes], bytes]:
    def run(pdf: bytes) -> bytes:
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        change(writer)
        output = io.BytesIO()
        writer.write(output)
        return output.getvalue()

    return run


def overlay(writer: IncrementalPdfFileWriter) -> None:
    box = BoxConstraints(200, 40)
    black = RawContent(b"0 g 0 0 200 40 re f", box=box)
    StaticStampStyle(background=black).create_stamp(writer, box, {}).apply(0, 50, 500)


def page(writer: IncrementalPdfFileWriter) -> None:
    from pyhanko.pdf_utils.generic import StreamObject

    contents = writer.add_object(StreamObject(stream_data=b"0 g 0 0 99 99 re f"))
    media_box = ArrayObject([NumberObject(value) for value in (0, 0, 595, 842)])
    writer.insert_page(PageObject(contents=contents, media_box=media_box))


def annotation(writer: IncrementalPdfFileWriter) -> None:
    rectangle = ArrayObject([NumberObject(value) for value in (50, 50, 200, 90)])
    note = DictionaryObject(
        {
            pdf_name("/Type"): pdf_name("/Annot"),
            pdf_name("/Subtype"): pdf_name("/Square"),
            pdf_name("/Rect"): rectangle,
        }
    )  # fmt: skip
    writer.register_annotation(writer.find_page_for_modification(0)[0], writer.add_object(note))
    writer.update_container(writer.root["/Pages"])


def second_field(writer: IncrementalPdfFileWriter) -> None:
    append_signature_field(writer, SigFieldSpec("reviewer", on_page=0, box=(50, 50, 200, 90)))


def third_field(writer: IncrementalPdfFileWriter) -> None:
    append_signature_field(writer, SigFieldSpec("director", on_page=0, box=(50, 50, 200, 90)))


def resaved(pdf: bytes) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(pdf)
        file.flush()
        command = ["qpdf", "--object-streams=generate", file.name, "-"]
        return subprocess.run(command, check=True, capture_output=True).stdout


def test_good_reports_are_valid() -> None:
    assert codes(signed_twice()) == []
    assert codes(sign_as_author(prepared(1), clinic())) == []
    result = verify_report(signed_twice(), trust_of(clinic()), clinic().now)
    assert result.n_signatures_required == 2
    assert [(fact.field, fact.name, fact.licence_number) for fact in result.signatures] == [
        ("report_doctor", "陈知远", "110370000012345"),
        ("reviewer", "周敏仪", "110370000099999"),
    ]
    assert all(fact.signed_at == clinic().now.replace(microsecond=0) for fact in result.signatures)


def test_valid_two_years_after_both_certificates_ended() -> None:
    assert verify_report(signed_twice(), _fresh_list(clinic()), clinic().now + timedelta(days=1500)).is_valid


def _fresh_list(at: Clinic) -> Trust:
    import shutil

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(at.authority.directory, f"{folder}/keys")
        authority = replace(at.authority, directory=Path(folder) / "keys")
        authority.renew_crl(at.now + timedelta(days=1499))
        return read_trust(authority.ca_path)


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (bit_changed, {"content_changed"}),
        (appended(overlay), {"changed_after_signing"}),
        (appended(annotation), {"changed_after_signing"}),
        (appended(page), {"changed_after_signing"}),
        (appended(third_field), {"unknown_field"}),
        (resaved, {"content_changed"}),
        (lambda pdf: pdf + b"\n% later\n", {"followed_by_more"}),
        (lambda pdf: pdf[:-700], {"unreadable", "followed_by_more", "content_changed", "changed_after_signing"}),
    ],
    ids=["bit", "overlay", "annotation", "page", "field", "resaved", "trailing", "truncated"],
)
def test_tampered_after_the_last_signature(tamper: Callable[[bytes], bytes], expected: set[str]) -> None:
    found = codes(tamper(signed_twice()))
    assert found and expected & set(found)


def test_pdfsig_still_says_valid_for_an_overlay(tmp_path: Path) -> None:
    """Why ours must be stricter: the reason this module exists."""
    path = tmp_path / "overlay.pdf"
    path.write_bytes(appended(overlay)(signed_twice()))
    said = subprocess.run(["pdfsig", "-nocert", str(path)], check=True, capture_output=True, text=True).stdout
    assert said.count("Signature is Valid.") == 2
    assert "followed_by_more" in codes(path.read_bytes())


def test_reviewer_cut_off() -> None:
    assert codes(signed_once()) == ["missing_signature"]
    assert codes(prepared(2)) == ["missing_signature", "missing_signature"]
    assert codes(render(document())) == ["not_signed"]


def test_a_field_added_after_certification_and_signed() -> None:
    once = sign_as_author(prepared(1), clinic())
    from pyhanko.sign.signers import PdfSignatureMetadata, SimpleSigner, sign_pdf

    at = clinic()
    from asn1crypto import keys, pem
    from asn1crypto import x509 as asn1_x509
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    signer = SimpleSigner(
        asn1_x509.Certificate.load(pem.unarmor(at.reviewer.certificate_pem.encode())[2]),
        keys.PrivateKeyInfo.load(bytes(decrypt_key(at.reviewer.encrypted_pkcs8, REVIEWER_PIN.encode()))),
        SimpleCertificateStore(),
    )
    # The first field fixed "no changes": a signer that obeys refuses, so the bytes are made by one that does not.
    raw = appended(second_field)(once)
    writer = IncrementalPdfFileWriter(io.BytesIO(raw))
    from unittest.mock import patch

    with patch("pyhanko.sign.signers.PdfSigner._enforce_certification_constraints"):
        forged = sign_pdf(writer, PdfSignatureMetadata(field_name="reviewer"), signer=signer).getvalue()
    found = codes(forged)
    assert "changed_after_signing" in found


def test_revoked(tmp_path: Path) -> None:
    at = clinic_in(tmp_path / "keys")
    pdf = sign_as_reviewer(sign_as_author(prepared(2), at), at)
    assert codes(pdf, at=at) == []
    at.authority.revoke(at.reviewer.serial, at.now + timedelta(seconds=1))
    assert codes(pdf, at=at) == ["revoked"]
    untouched = trust_of(clinic())
    assert codes(signed_twice(), replace(untouched, revoked_serials={clinic().author.serial})) == ["revoked"]


def test_a_doctor_who_left_later_keeps_the_old_signatures(tmp_path: Path) -> None:
    at = clinic_in(tmp_path / "keys")
    pdf = sign_as_author(prepared(1), at)
    at.authority.revoke(at.author.serial, at.now + timedelta(seconds=2), x509.ReasonFlags.cessation_of_operation)
    assert codes(pdf, at=at) == []
    later = replace(at, now=at.now + timedelta(seconds=9))
    assert codes(sign_as_author(prepared(1), later), at=later) == ["revoked"]


def test_foreign_authority(tmp_path: Path) -> None:
    stranger = clinic_in(tmp_path / "keys")
    pdf = sign_as_reviewer(sign_as_author(prepared(2), stranger), stranger)
    found = codes(pdf)
    assert found.count("untrusted_certificate") == 2 and found.count("time_stamp_bad") == 2
    assert codes(pdf, at=stranger) == []


def test_revocation_list_must_be_ours_and_current(tmp_path: Path) -> None:
    ours, stranger = trust_of(clinic()), trust_of(clinic_in(tmp_path / "keys"))
    assert set(codes(signed_twice(), replace(ours, crl_pem=None))) == {"revocation_unknown"}
    assert set(codes(signed_twice(), replace(ours, crl_pem=stranger.crl_pem))) == {"revocation_unknown"}
    old = verify_report(signed_twice(), ours, clinic().now + timedelta(days=400))
    assert {reason.code for reason in old.reasons} == {"revocation_unknown"}


def test_one_person_in_both_fields() -> None:
    at = clinic()
    key = decrypt_key(at.reviewer.encrypted_pkcs8, REVIEWER_PIN.encode())
    once = sign(prepared(2), at.signing("report_doctor", at.reviewer, "周敏仪"), key)
    assert codes(sign_as_reviewer(once, at)) == ["same_person"]


def test_wrong_role_without_our_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    at = clinic()
    monkeypatch.setattr("reports.sign._check_certificate", lambda *_: None)
    key = decrypt_key(at.author.encrypted_pkcs8, PIN.encode())
    forged = sign(signed_once(), at.signing("reviewer", at.author, "陈知远"), key)
    assert codes(forged) == ["wrong_role", "same_person"]


def test_time_stamp_missing_unless_the_site_does_without() -> None:
    pdf = sign_as_author(prepared(1), clinic(), with_tsa=False)
    assert codes(pdf) == ["time_stamp_missing"]
    assert codes(pdf, replace(trust_of(clinic()), requires_time_stamp=False)) == []


@pytest.mark.parametrize("junk", [b"", b"%PDF-1.7\n", b"\x00" * 5000, b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer"])
def test_what_is_no_pdf_is_a_reason_not_a_crash(junk: bytes) -> None:
    assert codes(junk) in (["unreadable"], ["not_signed"])


def test_every_reason_has_its_sentences(tmp_path: Path) -> None:
    import re

    source = (Path(__file__).parents[2] / "reports" / "verify.py").read_text("utf-8")
    used = set(re.findall(r'Reason\(\s*"(\w+)"', source)) | {"time_stamp_missing", "time_stamp_bad"}
    assert len(used) >= 14
    values = {"name": "陈", "field": "reviewer", "serial": "1"}
    for code in used:
        assert f"verify.{code}" in catalog()
        for language in ("zh", "en"):
            assert "{" not in translate(f"verify.{code}", language, **values)


def test_the_command_prints_and_exits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, ca = tmp_path / "signed.pdf", clinic().authority.ca_path
    path.write_bytes(signed_twice())
    assert verify_command(path, False, ca, now=datetime.now(UTC)) == 0
    said = capsys.readouterr().out
    assert said.startswith("签名有效：应有 2 个签名") and "报告医师　陈知远　执业编号 110370000012345" in said
    assert verify_command(path, True, ca) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True
    path.write_bytes(appended(page)(signed_twice()))
    assert verify_command(path, False, ca, language="en") == 1
    assert "Something was added to the file after 周敏仪 signed" in capsys.readouterr().out
    assert verify_command(tmp_path / "absent.pdf", False, ca) == 2
    assert verify_command(path, False, tmp_path / "absent.crt") == 2
