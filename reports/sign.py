"""Signature fields and PAdES signatures in a report PDF. [adapter]

All fields are created empty before the first signature. The first signature certifies the document
(DocMDP, ISO 32000-2 12.8.2.2: only the remaining fields may be filled, or nothing at all), the second
approves it. Each carries its time stamp inside (PAdES B-T, ETSI EN 319 142-1), so the last signature
covers the whole file and nothing is appended after it.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from io import BytesIO

from asn1crypto import keys, pem
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from pyhanko.pdf_utils.content import ImportedPdfPage
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import AxisAlignment, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import (
    MDPPerm,
    SigFieldSpec,
    SigSeedSubFilter,
    append_signature_field,
    enumerate_sig_fields,
)
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper
from pyhanko.stamp import StaticStampStyle
from pyhanko_certvalidator.registry import SimpleCertificateStore

from reports.signature_field import FIELDS, boxes_pt


class SignError(Exception):
    """A document that cannot be signed like this; ``code`` and ``params`` make the sentence."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


@dataclass(frozen=True)
class Tsa:
    """The local time stamp unit: certificate and RSA key, PEM."""

    certificate_pem: bytes
    key_pem: bytes

    @cached_property
    def certificate(self) -> asn1_x509.Certificate:
        return asn1_x509.Certificate.load(_der(self.certificate_pem))

    def stamper(self, at: datetime) -> DummyTimeStamper:
        key = keys.PrivateKeyInfo.load(_der(self.key_pem))
        return DummyTimeStamper(self.certificate, key, fixed_dt=at)


@dataclass(frozen=True)
class Signing:
    """Who signs where and when. ``tsa`` None makes B-B, openly without a time stamp."""

    field: str
    certificate_pem: bytes
    ca_pem: bytes
    signer_name: str
    signed_at: datetime  # aware
    stamp_pdf: bytes | None  # one page of exactly the field's size, drawn as the visible mark
    tsa: Tsa | None


def prepare(pdf: bytes, n_fields: int) -> bytes:
    """The document with ``n_fields`` (1 or 2) empty signature fields on its last page, where they are labelled."""
    if not 1 <= n_fields <= len(FIELDS):
        raise SignError("bad_field_count", n_fields=n_fields)
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    page_ix = int(writer.root["/Pages"]["/Count"]) - 1
    page, _ = writer.find_page_for_modification(page_ix)  # type: ignore[no-untyped-call]
    media_box = page.get_object()["/MediaBox"]
    boxes = boxes_pt(float(media_box[2]), float(media_box[3]))
    for name in FIELDS[:n_fields]:
        append_signature_field(writer, SigFieldSpec(name, on_page=page_ix, box=boxes[name]))
    output = BytesIO()
    writer.write(output)  # type: ignore[no-untyped-call]
    return output.getvalue()


def sign(pdf: bytes, signing: Signing, key_der: bytes | bytearray) -> bytes:
    """The document with ``signing.field`` filled. Raises SignError when field, certificate or key do not allow it.

    Everything before is kept byte for byte; one revision is appended.
    """
    reader = PdfFileReader(BytesIO(pdf))
    n_empty = _check_field(reader, signing.field)
    certificate = asn1_x509.Certificate.load(_der(signing.certificate_pem))
    key = keys.PrivateKeyInfo.load(bytes(key_der))
    _check_certificate(certificate, key, signing)
    is_first = not reader.embedded_signatures
    metadata = PdfSignatureMetadata(
        field_name=signing.field,
        md_algorithm="sha256",
        subfilter=SigSeedSubFilter.PADES,
        name=signing.signer_name,
        certify=is_first,
        docmdp_permissions=MDPPerm.FILL_FORMS if n_empty > 1 else MDPPerm.NO_CHANGES,
    )
    signer = PdfSigner(
        metadata,
        signer=SimpleSigner(certificate, key, _chain(signing)),
        timestamper=signing.tsa.stamper(signing.signed_at.replace(microsecond=0)) if signing.tsa else None,
        stamp_style=_stamp_style(signing.stamp_pdf),
    )
    return asyncio.run(_run(signer, pdf, signing.signed_at.replace(microsecond=0)))


async def _run(signer: PdfSigner, pdf: bytes, signed_at: datetime) -> bytes:
    """PdfSigner.async_sign_pdf, but at the time handed in."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    session = signer.init_signing_session(writer, existing_fields_only=True)
    session.system_time = signed_at
    validation = await session.perform_presign_validation(writer)
    reserved = await session.estimate_signature_container_size(validation, tight=False)
    document = session.prepare_tbs_document(validation_info=validation, bytes_reserved=reserved)
    output = BytesIO()
    digest, _ = document.digest_tbs_document(output=output)
    signed = await document.perform_signature(
        document_digest=digest.document_digest,
        pdf_cms_signed_attrs=PdfCMSSignedAttributes(signing_time=signed_at),
    )
    await signed.post_signature_processing(output)
    return output.getvalue()


def _check_field(reader: PdfFileReader, field: str) -> int:
    """Number of empty fields. The fields are signed in their order."""
    empty = [name for name, _, _ in enumerate_sig_fields(reader, filled_status=False)]
    if field not in FIELDS or field not in [name for name, _, _ in enumerate_sig_fields(reader)]:
        raise SignError("field_missing", field=field)
    if field not in empty:
        raise SignError("field_signed", field=field)
    if field != empty[0]:
        raise SignError("earlier_field_empty", field=empty[0])
    return len(empty)


def _check_certificate(certificate: asn1_x509.Certificate, key: keys.PrivateKeyInfo, signing: Signing) -> None:
    if certificate.public_key.dump() != key_public(key):
        raise SignError("key_mismatch")
    if not certificate.not_valid_before <= signing.signed_at <= certificate.not_valid_after:
        raise SignError("certificate_expired", valid_until=certificate.not_valid_after.isoformat())
    if signing.field not in str(certificate.subject.native.get("title", "")).split(","):
        raise SignError("role_not_certified", field=signing.field)


def key_public(key: keys.PrivateKeyInfo) -> bytes:
    """DER SubjectPublicKeyInfo that belongs to a private key."""
    public = load_der_private_key(key.dump(), password=None).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _chain(signing: Signing) -> SimpleCertificateStore:
    store = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    store.register(asn1_x509.Certificate.load(_der(signing.ca_pem)))
    return store


def _der(text: bytes) -> bytes:
    return bytes(pem.unarmor(text)[2]) if pem.detect(text) else text


class _StampPage(ImportedPdfPage):
    """pyHanko's imported page, from bytes instead of a file."""

    def __init__(self, pdf: bytes) -> None:
        super().__init__(file_name="")  # type: ignore[no-untyped-call]
        self._pdf = pdf

    def render(self) -> bytes:
        writer = self._ensure_writer
        drawing = writer.import_page_as_xobject(PdfFileReader(BytesIO(self._pdf)), page_ix=0)
        self.resources.xobject["/Stamp"] = drawing
        x1, y1, x2, y2 = (round(edge) for edge in drawing.get_object()["/BBox"])
        self.box.width, self.box.height = x2 - x1, y2 - y1  # whole points, as ``boxes_pt`` makes them
        return b"/Stamp Do"


def _stamp_style(stamp_pdf: bytes | None) -> StaticStampStyle | None:
    if stamp_pdf is None:
        return None
    layout = SimpleBoxLayoutRule(AxisAlignment.ALIGN_MIN, AxisAlignment.ALIGN_MIN, margins=Margins(0, 0, 0, 0))
    return StaticStampStyle(background=_StampPage(stamp_pdf), border_width=0, background_layout=layout)
