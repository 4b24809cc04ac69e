"""``teleread tls``: a local certificate authority and its certificates, for hospitals without their own. [adapter]

RFC 5280 profile, as browsers ask it (CA/Browser Forum Baseline Requirements 7.1): names only in
subjectAltName, serverAuth, at most 397 days. The authority's own certificate is what administrators
install on the workstations once.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_VALID = timedelta(days=3650)
SERVER_VALID = timedelta(days=397)
_SKEW = timedelta(hours=1)  # workstation clocks in townships run behind


class TlsError(ValueError):
    """A certificate cannot be made so: ``host_invalid``, ``no_hosts``, ``authority_broken``, ``authority_expires``."""

    def __init__(self, code: str, **params: str) -> None:
        super().__init__(f"{code}: {params}")
        self.code = code
        self.params = params


@dataclass(frozen=True)
class TlsFiles:
    """What ``make_tls`` wrote. ``certificate`` is the chain for TELEREAD_TLS_CERT."""

    authority: Path
    certificate: Path
    key: Path


def make_tls(folder: Path, hosts: Sequence[str], now: datetime) -> TlsFiles:
    """A server certificate for ``hosts`` (names or addresses), signed by the authority in ``folder``.

    The authority is made once and kept. Files are readable by their owner alone. Raises TlsError:
    no_hosts, host_invalid, authority_broken, authority_expires.
    """
    names = [_general_name(host) for host in dict.fromkeys(hosts)]
    if not names:
        raise TlsError("no_hosts")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority_key, authority = _authority(folder, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _server_certificate(key, names, authority_key, authority, now)
    files = TlsFiles(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    _write(files.key, _pem_of_key(key))
    _write(files.certificate, _pem(certificate) + _pem(authority))
    return files


def make_device_tls(folder: Path, ae_title: str, now: datetime) -> TlsFiles:
    """A client certificate for the device of that AE title, signed by the authority in ``folder``, as ``make_tls``.

    It is the device's alone: the server keeps its fingerprint. Raises TlsError: authority_broken, authority_expires.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority_key, authority = _authority(folder, now)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ae_title)])
    certificate = _end_certificate(
        _builder(subject, authority.subject, key, now, SERVER_VALID), ExtendedKeyUsageOID.CLIENT_AUTH, authority_key
    )
    name = f"device-{quote(ae_title, safe='')}"  # an AE title may hold what a file name may not
    files = TlsFiles(folder / "authority.pem", folder / f"{name}.pem", folder / f"{name}.key")
    _write(files.key, _pem_of_key(key))
    _write(files.certificate, _pem(certificate) + _pem(authority))
    return files


def _general_name(host: str) -> x509.GeneralName:
    text = host.strip().strip("[]").rstrip(".")
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        name = text.encode("idna").decode("ascii").lower()
        labels = name.removeprefix("*.").split(".")
        if not all(label and set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for label in labels):
            raise TlsError("host_invalid", host=host)
        return x509.DNSName(name)
    except UnicodeError:
        raise TlsError("host_invalid", host=host) from None


def _authority(folder: Path, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """The authority kept in ``folder``, else a new one."""
    key_path, certificate_path = folder / "authority.key", folder / "authority.pem"
    if not key_path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _authority_certificate(key, now)
        _write(certificate_path, _pem(certificate))
        _write(key_path, _pem_of_key(key))  # last: a key on disk means the pair is whole
        return key, certificate
    try:
        kept = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (ValueError, TypeError, OSError) as error:
        raise TlsError("authority_broken", path=str(folder)) from error
    if not isinstance(kept, ec.EllipticCurvePrivateKey) or certificate.public_key() != kept.public_key():
        raise TlsError("authority_broken", path=str(folder))
    if certificate.not_valid_after_utc < now + SERVER_VALID:
        raise TlsError("authority_expires", path=str(folder))
    return kept, certificate


def _authority_certificate(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"teleread local authority {now:%Y-%m-%d}")])
    return (
        _builder(name, name, key, now, AUTHORITY_VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[x509.GeneralName],
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "teleread")])
    builder = _builder(subject, authority.subject, key, now, SERVER_VALID)
    named = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _end_certificate(named, ExtendedKeyUsageOID.SERVER_AUTH, authority_key)


def _end_certificate(
    builder: x509.CertificateBuilder, purpose: x509.ObjectIdentifier, authority_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """What every certificate says that is no authority's, and the authority's signature."""
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, valid: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    # PKCS#8 without a passphrase: the server starts unattended; the file's mode guards it.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all, 0600 from the first byte."""
    half = path.with_suffix(path.suffix + ".new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def certificate_facts(pem: str) -> tuple[str, datetime] | None:
    """SHA-256 of the first certificate's DER (hex) and its end; None where the text is no certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return None
    return certificate.fingerprint(hashes.SHA256()).hex(), certificate.not_valid_after_utc
