"""Whether a signed report is whole: stricter than a viewer's green tick. [adapter]

A viewer says each signature is valid. That is also true of a report whose reviewer was cut off, or to
which a page was added. Here every field that was created is signed, by different people, in a role
their certificate allows, by a chain to our CA, nobody revoked, and the last signature ends the file.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import MDPPerm, enumerate_sig_fields
from pyhanko.sign.validation import EmbeddedPdfSignature, SignatureCoverageLevel, validate_pdf_signature
from pyhanko.sign.validation.generic_cms import extract_tst_data_iter
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext

from reports.signature_field import FIELDS

# RFC 5280 5.3.1: with these the key was never lost, so what was stamped before stays good.
HARMLESS_LATER = ("cessation_of_operation", "superseded", "affiliation_changed")


@dataclass(frozen=True)
class Reason:
    """Why a report is not whole; the sentence is ``verify.<code>`` of the catalog."""

    code: str
    params: dict[str, str]


@dataclass(frozen=True)
class SignatureFact:
    """What one signature says about itself."""

    field: str
    name: str
    licence_number: str
    serial: str
    signed_at: datetime | None
    has_time_stamp: bool


@dataclass(frozen=True)
class VerifyResult:
    """``is_valid`` only without any reason."""

    n_signatures_required: int
    signatures: tuple[SignatureFact, ...]
    reasons: tuple[Reason, ...]

    @property
    def is_valid(self) -> bool:
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, times in ISO 8601 UTC."""
        signatures = [
            asdict(fact) | {"signed_at": fact.signed_at.isoformat() if fact.signed_at else None}
            for fact in self.signatures
        ]
        reasons = [asdict(reason) for reason in self.reasons]
        head = {"valid": self.is_valid, "n_signatures_required": self.n_signatures_required}
        return {**head, "signatures": signatures, "reasons": reasons}


@dataclass(frozen=True)
class Trust:
    """What is believed: the CA certificates, their revocation list, further revoked serials (hexadecimal)."""

    ca_pems: Sequence[bytes]
    crl_pem: bytes | None
    revoked_serials: Collection[str] = ()
    requires_time_stamp: bool = True


def verify_report(pdf: bytes, trust: Trust, now: datetime) -> VerifyResult:
    """Never raises for what the bytes may be: what cannot be read is a reason."""
    try:
        return _verified(pdf, trust, now)
    except Exception as error:  # hostile bytes: pyHanko raises whatever its parsers raise
        return VerifyResult(0, (), (Reason("unreadable", {"kind": type(error).__name__}),))


def _verified(pdf: bytes, trust: Trust, now: datetime) -> VerifyResult:
    reader = PdfFileReader(BytesIO(pdf))
    created = [str(name) for name, _, _ in enumerate_sig_fields(reader)]
    signed = list(reader.embedded_signatures)
    reasons = _field_reasons(created, [signature.field_name for signature in signed])
    facts = []
    for index, signature in enumerate(signed):
        facts.append(_fact(signature))
        reasons += _signature_reasons(signature, facts[-1], index, len(created), trust, now)
    reasons += _people_reasons(facts)
    if signed and not _ends_the_file(signed[-1], pdf):
        reasons.append(Reason("followed_by_more", {"field": signed[-1].field_name}))
    return VerifyResult(len(created), tuple(facts), tuple(reasons))


def _field_reasons(created: list[str], signed: list[str]) -> list[Reason]:
    """The fields are the first n of ours, and all of them are filled."""
    if not created:
        return [Reason("not_signed", {})]
    unknown = [name for name in created if name not in FIELDS]
    reasons = [Reason("unknown_field", {"field": name}) for name in unknown]
    missing = [name for name in FIELDS[: len(created)] if name not in created]
    reasons += [Reason("field_absent", {"field": name}) for name in missing]
    return reasons + [Reason("missing_signature", {"field": name}) for name in created if name not in signed]


def _people_reasons(facts: list[SignatureFact]) -> list[Reason]:
    licences = [fact.licence_number for fact in facts]
    return [
        Reason("same_person", {"name": fact.name})
        for index, fact in enumerate(facts)
        if fact.licence_number in licences[:index]
    ]


def _signature_reasons(
    signature: EmbeddedPdfSignature, fact: SignatureFact, index: int, n_created: int, trust: Trust, now: datetime
) -> list[Reason]:
    who = {"field": fact.field, "name": fact.name}
    status = validate_pdf_signature(signature, _context(trust, fact.signed_at or now))
    reasons = _integrity_reasons(status, who)
    if index == 0:
        reasons += _certification_reasons(signature, n_created, who)
    if not status.trusted:
        reasons.append(Reason("untrusted_certificate", who))
    if fact.field not in _roles(signature.signer_cert):
        reasons.append(Reason("wrong_role", who))
    stamp = status.timestamp_validity
    if trust.requires_time_stamp and not (stamp and stamp.valid and stamp.trusted and stamp.intact):
        reasons.append(Reason("time_stamp_missing" if stamp is None else "time_stamp_bad", who))
    return reasons + _revocation_reasons(signature.signer_cert.serial_number, fact, trust, now)


def _integrity_reasons(status: PdfSignatureStatus, who: dict[str, str]) -> list[Reason]:
    if not (status.intact and status.valid):
        return [Reason("content_changed", who)]
    harmless = (ModificationLevel.NONE, ModificationLevel.FORM_FILLING)
    if status.modification_level not in harmless or not status.docmdp_ok:
        return [Reason("changed_after_signing", who)]
    if status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        return [Reason("content_not_covered", who)]
    return []


def _certification_reasons(signature: EmbeddedPdfSignature, n_created: int, who: dict[str, str]) -> list[Reason]:
    """The first signature certifies: one field allows no change, two allow the second to be filled, no more."""
    allowed = MDPPerm.NO_CHANGES if n_created == 1 else MDPPerm.FILL_FORMS
    level = signature.docmdp_level
    return [] if level is not None and level <= allowed else [Reason("not_certified", who)]


def _revocation_reasons(serial: int, fact: SignatureFact, trust: Trust, now: datetime) -> list[Reason]:
    who = {"field": fact.field, "name": fact.name, "serial": fact.serial}
    if fact.serial in {text.upper().lstrip("0") for text in trust.revoked_serials}:
        return [Reason("revoked", who)]
    crl = _crl(trust, now)
    if crl is None:
        return [Reason("revocation_unknown", who)]
    entry = crl.get_revoked_certificate_by_serial_number(serial)
    if entry is None:
        return []
    is_later = bool(fact.has_time_stamp and fact.signed_at and fact.signed_at < entry.revocation_date_utc)
    return [] if is_later and _crl_reason(entry) in HARMLESS_LATER else [Reason("revoked", who)]


def _crl(trust: Trust, now: datetime) -> x509.CertificateRevocationList | None:
    """The list, when one of our CAs signed it and it is not out of date."""
    if trust.crl_pem is None:
        return None
    crl = x509.load_pem_x509_crl(trust.crl_pem)
    keys = [x509.load_pem_x509_certificate(text).public_key() for text in trust.ca_pems]
    is_ours = any(_is_signed_by(crl, key) for key in keys)
    return crl if is_ours and crl.next_update_utc is not None and crl.next_update_utc > now else None


def _is_signed_by(crl: x509.CertificateRevocationList, key: Any) -> bool:
    try:
        return crl.is_signature_valid(key)
    except (InvalidSignature, TypeError, ValueError):
        return False


def _crl_reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.name
    except x509.ExtensionNotFound:
        return "unspecified"


def _context(trust: Trust, at: datetime) -> ValidationContext:
    """Chains as they stood when signed; revocation is looked at by ourselves, nothing is fetched."""
    roots = [asn1_x509.Certificate.load(pem.unarmor(text)[2]) for text in trust.ca_pems]
    return ValidationContext(trust_roots=roots, allow_fetching=False, moment=at, revocation_mode="soft-fail")


def _fact(signature: EmbeddedPdfSignature) -> SignatureFact:
    subject = signature.signer_cert.subject.native
    stamp = next(extract_tst_data_iter(signature.signer_info, signed=False), None)
    return SignatureFact(
        field=signature.field_name,
        name=str(subject.get("common_name", "")),
        licence_number=str(subject.get("serial_number", "")),
        serial=f"{signature.signer_cert.serial_number:X}",
        signed_at=_stamped_at(stamp) if stamp is not None else signature.self_reported_timestamp,
        has_time_stamp=stamp is not None,
    )


def _stamped_at(stamp: Any) -> datetime | None:
    """genTime of the time stamp token (RFC 3161 2.4.2)."""
    content = stamp["encap_content_info"]["content"].parsed
    moment: datetime | None = content["gen_time"].native
    return moment


def _roles(certificate: asn1_x509.Certificate) -> list[str]:
    return str(certificate.subject.native.get("title", "")).split(",")


def _ends_the_file(signature: EmbeddedPdfSignature, pdf: bytes) -> bool:
    """The signed ranges begin at 0, end at the last byte and leave out the signature alone."""
    start, first, second, last = (int(value) for value in signature.byte_range)
    covers = signature.evaluate_signature_coverage() == SignatureCoverageLevel.ENTIRE_FILE
    return start == 0 and first < second and second + last == len(pdf) and covers
