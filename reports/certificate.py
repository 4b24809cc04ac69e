"""The demo certificate authority: doctors' certificates, the time stamp unit, the revocation list. [adapter]

Everything lies below one directory (0700, files 0600), made once. A hospital puts its own CA here; this
one exists so that a fresh machine can sign. A doctor's certificate carries name (CN), licence number
(serialNumber, X.520) and the report roles the holder may sign in (title): so a verifier needs nothing
but the file and the CA certificate to tell who may sign where.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reports.pin import encrypt_key

CA_YEARS = 10
DOCTOR_YEARS = 2
CRL_DAYS = 365
ROLE_REPORT_DOCTOR = "report_doctor"
ROLE_REVIEWER = "reviewer"

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class DoctorKey:
    """A new key under its PIN and its certificate, ready for the table of signing keys."""

    encrypted_pkcs8: bytes
    certificate_pem: str
    serial: str  # hexadecimal, upper case
    valid_until: datetime


@dataclass(frozen=True)
class Authority:
    """The authority in ``directory``; make or open it with ``open_authority``."""

    directory: Path

    @property
    def ca_path(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def crl_path(self) -> Path:
        return self.directory / "ca.crl"

    @property
    def ca_certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.ca_path.read_bytes())

    def new_doctor_key(self, name: str, licence_number: str, may_review: bool, pin: str, now: datetime) -> DoctorKey:
        """A P-256 key encrypted under ``pin`` at once, and a certificate of two years."""
        key = ec.generate_private_key(ec.SECP256R1())
        roles = f"{ROLE_REPORT_DOCTOR},{ROLE_REVIEWER}" if may_review else ROLE_REPORT_DOCTOR
        subject = _name((NameOID.COMMON_NAME, name), (NameOID.SERIAL_NUMBER, licence_number), (NameOID.TITLE, roles))
        certificate = self._issue(subject, key, now, _usage(signs=True))
        pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return DoctorKey(
            encrypt_key(pkcs8, pin.encode()),
            certificate.public_bytes(Encoding.PEM).decode(),
            f"{certificate.serial_number:X}",
            certificate.not_valid_after_utc,
        )

    def revoke(self, serial: str, now: datetime, reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise) -> None:
        """Puts a certificate on the revocation list; a second time changes nothing."""
        with _locked(self.directory):
            crl = x509.load_pem_x509_crl(self.crl_path.read_bytes())
            if crl.get_revoked_certificate_by_serial_number(int(serial, 16)) is not None:
                return
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(now)
            self._write_crl([*crl, entry.add_extension(x509.CRLReason(reason), critical=False).build()], now)

    def renew_crl(self, now: datetime) -> None:
        """A fresh list with the same entries: call at start, so that it never grows old."""
        with _locked(self.directory):
            self._write_crl(list(x509.load_pem_x509_crl(self.crl_path.read_bytes())), now)

    def _issue(
        self, subject: x509.Name, key: PrivateKey, now: datetime, usage: x509.KeyUsage, is_tsa: bool = False
    ) -> x509.Certificate:
        ca = self.ca_certificate
        builder = _builder(subject, ca.subject, key, now, DOCTOR_YEARS if not is_tsa else CA_YEARS)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        ca_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())  # type: ignore[arg-type]
        builder = builder.add_extension(ca_id, critical=False)
        if is_tsa:  # RFC 3161 2.3: the one extended usage, critical
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        return builder.sign(self._ca_key(), hashes.SHA256())

    def _ca_key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key((self.directory / "ca.key").read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 (made by _create_ca)
        return key

    def _write_crl(self, entries: list[x509.RevokedCertificate], now: datetime) -> None:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.ca_certificate.subject)
        builder = builder.last_update(now).next_update(now + timedelta(days=CRL_DAYS))
        for entry in entries:
            builder = builder.add_revoked_certificate(entry)
        crl = builder.sign(self._ca_key(), hashes.SHA256())
        _write(self.crl_path, crl.public_bytes(Encoding.PEM))


def open_authority(directory: Path, now: datetime) -> Authority:
    """The authority in ``directory``, made on the first call; safe from several processes at once."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    authority = Authority(directory)
    with _locked(directory):
        if not authority.crl_path.exists():  # written last: its presence says the rest is whole
            _create_ca(authority, now)
            _create_tsa(authority, now)
            authority._write_crl([], now)
    return authority


def _create_ca(authority: Authority, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name((NameOID.ORGANIZATION_NAME, "teleread"), (NameOID.COMMON_NAME, "teleread 演示证书机构 Demo CA"))
    builder = _builder(name, name, key, now, CA_YEARS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    _write(authority.directory / "ca.key", _plain_pem(key))
    _write(authority.ca_path, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def _create_tsa(authority: Authority, now: datetime) -> None:
    """RSA, because the local time stamp unit signs with RSA only."""
    key = rsa.generate_private_key(65537, 2048)
    subject = _name((NameOID.ORGANIZATION_NAME, "teleread"), (NameOID.COMMON_NAME, "teleread 演示时间戳 Demo TSA"))
    certificate = authority._issue(subject, key, now, _usage(signs=True), is_tsa=True)
    _write(authority.directory / "tsa.key", _plain_pem(key))
    _write(authority.directory / "tsa.crt", certificate.public_bytes(Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: datetime, years: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now.replace(microsecond=0))
    builder = builder.not_valid_after(now + timedelta(days=365 * years))
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(key_id, critical=False)


def _name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs if value])


def _usage(signs: bool) -> x509.KeyUsage:
    """``signs``: documents (digitalSignature, contentCommitment); else certificates and lists."""
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=signs,
        key_cert_sign=not signs,
        crl_sign=not signs,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _plain_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by the owner only from the first byte on."""
    partial = path.with_suffix(path.suffix + ".part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
