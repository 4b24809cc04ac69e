"""Keys and certificates as OpenSSL sees them; files as the file system shows them."""

import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from reports.certificate import open_authority
from reports.pin import WrongPinError, decrypt_key, encrypt_key, wipe
from tests.reports.paper import PIN, clinic, clinic_in


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


def test_openssl_opens_the_key_with_the_pin_only(tmp_path: Path) -> None:
    path = tmp_path / "doctor.p8"
    path.write_bytes(clinic().author.encrypted_pkcs8)
    right = openssl("pkey", "-inform", "DER", "-in", str(path), "-passin", f"pass:{PIN}", "-noout", "-text")
    assert right.returncode == 0 and "NIST CURVE: P-256" in right.stdout
    wrong = openssl("pkey", "-inform", "DER", "-in", str(path), "-passin", "pass:another", "-noout")
    assert wrong.returncode != 0
    structure = openssl("asn1parse", "-inform", "DER", "-in", str(path)).stdout
    assert [name in structure for name in (":PBES2", ":scrypt", ":aes-256-cbc")] == [True] * 3


def test_the_certificate_belongs_to_the_key_and_names_the_doctor(tmp_path: Path) -> None:
    at = clinic()
    key, certificate = tmp_path / "key.p8", tmp_path / "doctor.crt"
    key.write_bytes(at.reviewer.encrypted_pkcs8)
    certificate.write_text(at.reviewer.certificate_pem)
    public = openssl(
        "pkey", "-inform", "DER", "-in", str(key), "-passin", "pass:Reviewer-Pin-2846", "-pubout"
    ).stdout  # fmt: skip
    assert public == openssl("x509", "-in", str(certificate), "-noout", "-pubkey").stdout != ""
    subject = openssl("x509", "-in", str(certificate), "-noout", "-subject", "-nameopt", "utf8").stdout
    assert "CN = 周敏仪" in subject or "CN=周敏仪" in subject
    assert "110370000099999" in subject and "reviewer" in subject
    chain = openssl("verify", "-CAfile", str(at.authority.ca_path), str(certificate))
    assert chain.returncode == 0, chain.stderr
    assert abs(at.reviewer.valid_until - at.now - timedelta(days=730)) < timedelta(days=1)


def test_pin_decrypts_and_every_other_pin_is_wrong() -> None:
    key = encrypt_key(b"\x30\x03\x02\x01\x07", "密码①".encode())
    opened = decrypt_key(key, "密码①".encode())
    assert bytes(opened) == b"\x30\x03\x02\x01\x07"
    wipe(opened)
    assert bytes(opened) == bytes(5)
    for number in range(6):
        with pytest.raises(WrongPinError):
            decrypt_key(key, f"wrong{number}".encode())
    with pytest.raises(ValueError):
        decrypt_key(b"\x30\x00", b"x")


def test_keys_are_private_files_made_once(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    folder = tmp_path / "keys"
    threads = [threading.Thread(target=open_authority, args=(folder, now)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"ca.key", "ca.crt", "ca.crl", "tsa.key", "tsa.crt"} <= set(before)
    open_authority(folder, now + timedelta(days=1))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert openssl("verify", "-CAfile", str(folder / "ca.crt"), str(folder / "tsa.crt")).returncode == 0


def test_revocation_is_what_openssl_reads(tmp_path: Path) -> None:
    at = clinic_in(tmp_path / "keys")
    certificate = tmp_path / "doctor.crt"
    certificate.write_text(at.author.certificate_pem)
    check = ("verify", "-crl_check", "-CAfile", str(at.authority.ca_path), "-CRLfile", str(at.authority.crl_path))
    assert openssl(*check, str(certificate)).returncode == 0
    now = at.now - timedelta(minutes=1)
    at.authority.revoke(at.author.serial, now)
    at.authority.revoke(at.author.serial, now, x509.ReasonFlags.superseded)  # a second time changes nothing
    at.authority.renew_crl(now)
    answer = openssl(*check, str(certificate))
    assert answer.returncode != 0 and "certificate revoked" in answer.stdout + answer.stderr
    certificate.write_text(at.reviewer.certificate_pem)
    assert openssl(*check, str(certificate)).returncode == 0
    text = openssl("crl", "-in", str(at.authority.crl_path), "-noout", "-text").stdout
    assert text.count("Serial Number") == 1 and "Key Compromise" in text
