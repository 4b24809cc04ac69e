"""Signing from end to end: the document is shown, the PIN is tried, the signed row is written. [app]

Rendering and signing stand outside any transaction; what must hold is checked before and again in the
transaction that writes. Between the two nothing is locked: a report that changed meanwhile is refused.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.orm import Session

from reports import service, store
from reports.document import build_document
from reports.paper import ReportDocument
from reports.signing_pool import SigningRefusedError, SigningRequest
from reports.tables import Preparation, Report
from worklist.access import Actor, Refused
from worklist.base import audit
from worklist.base.config import Settings
from worklist.base.db import Database
from worklist.tables import Study, Workitem

AUTHOR_FIELD, REVIEWER_FIELD = "report_doctor", "reviewer"
CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 letters without 0 O 1 I
CODE_LENGTH = 26  # 130 bits


class Blobs(Protocol):
    """Where documents are kept."""

    def put(self, content: bytes) -> str: ...
    def path(self, key: str) -> Path: ...


class Signer(Protocol):
    """The pool of signing processes."""

    def sign(self, request: SigningRequest) -> bytes: ...


@dataclass(frozen=True)
class ReportDesk:
    """Everything a signature needs, joined by the roof."""

    db: Database
    settings: Settings
    blobs: Blobs
    signer: Signer
    render: Callable[[ReportDocument], bytes]
    prepare_fields: Callable[[bytes, int], bytes]
    render_stamp: Callable[..., bytes]
    ecg_svg: Callable[[Session, Study], str | None]
    now: Callable[[], datetime]

    def prepare(self, actor: Actor, workitem_uid: str, version: int, preliminary: bool = False) -> Preparation:
        """Make the document exactly as it will be signed and keep it; its digest is what the signer sees.

        For a verification it is the document that the author signed.
        """
        now = self.now()
        with self.db.read() as session:
            verifying = _is_verification(session, workitem_uid)
            _, study, report, _ = service.check_signable(
                session, actor, workitem_uid, version, preliminary=preliminary, verifying=verifying, now=now,
                today=self._day(now),
            )  # fmt: skip
            if verifying:
                return _submitted(report, actor, now)
            found = store.preparation(session, report.report_uid, version, actor.account_id, preliminary)
            if found is not None:
                return found
            code = new_verify_code()
            document = build_document(
                session, self.settings, actor, study, report, preliminary=preliminary, verify_code=code,
                ecg_svg=self.ecg_svg(session, study), now=now,
            )  # fmt: skip
        pdf = self.prepare_fields(self.render(document), 1 if preliminary else report.n_signatures_required)
        prepared = Preparation(
            report_uid=report.report_uid, version=version, account_id=actor.account_id, preliminary=preliminary,
            verify_code=code, pdf_key=self.blobs.put(pdf), pdf_sha256=hashlib.sha256(pdf).hexdigest(), prepared_at=now,
        )  # fmt: skip
        with self.db.write() as session:
            # Prepared twice at once: the first stands, so that both saw the same bytes.
            first = store.preparation(session, report.report_uid, version, actor.account_id, preliminary)
            if first is not None:
                return first
            session.add(prepared)
        return prepared

    def submit(
        self,
        actor: Actor,
        workitem_uid: str,
        pin: str,
        version: int,
        digest: str | None = None,
        preliminary_reason: str | None = None,
    ) -> Report:
        """The author signs; FINAL, or SUBMITTED where a second signature follows, or PRELIM with its reason.

        ``digest``: SHA-256 of the document the signer saw; raises Refused("digest_mismatch") when it is another.
        Raises Refused("wrong_pin", remaining=n), SigningUnavailableError; what ``check_signable`` raises.
        """
        if preliminary_reason is not None and not preliminary_reason.strip():
            raise Refused("reason_missing")
        preliminary = preliminary_reason is not None
        prepared = self.prepare(actor, workitem_uid, version, preliminary)
        signed = self._sign(
            actor, workitem_uid, version, prepared, digest, AUTHOR_FIELD, pin=pin, preliminary=preliminary
        )
        now = self.now()
        with self.db.write() as session:
            workitem, study, report, _ = service.check_signable(
                session, actor, workitem_uid, version, preliminary=preliminary, verifying=False, now=now,
                today=self._day(now),
            )  # fmt: skip
            return service.sign_draft(
                session, actor, workitem, study, report, preliminary_reason=preliminary_reason, now=now,
                signed=signed | {"verify_code": prepared.verify_code},
            )  # fmt: skip

    def verify(self, actor: Actor, workitem_uid: str, pin: str, version: int, digest: str | None = None) -> Report:
        """The reviewer signs second; FINAL. Raises as ``submit``."""
        prepared = self.prepare(actor, workitem_uid, version)
        signed = self._sign(actor, workitem_uid, version, prepared, digest, REVIEWER_FIELD, pin=pin, verifying=True)
        now = self.now()
        with self.db.write() as session:
            workitem, study, report, _ = service.check_signable(
                session, actor, workitem_uid, version, preliminary=False, verifying=True, now=now,
                today=self._day(now),
            )  # fmt: skip
            return service.sign_verification(session, actor, workitem, study, report, signed=signed, now=now)

    def _sign(
        self,
        actor: Actor,
        workitem_uid: str,
        version: int,
        prepared: Preparation,
        digest: str | None,
        field: str,
        *,
        pin: str,
        preliminary: bool = False,
        verifying: bool = False,
    ) -> dict[str, Any]:
        """Try the PIN and sign; where the document is now and what it is. The try is counted before it is made."""
        if digest is not None and not secrets.compare_digest(digest.lower(), prepared.pdf_sha256):
            raise Refused("digest_mismatch")
        now = self.now()
        with self.db.write() as session:
            _, study, _, key = service.check_signable(
                session, actor, workitem_uid, version, preliminary=preliminary, verifying=verifying, now=now,
                today=self._day(now),
            )  # fmt: skip
            is_ecg = study.kind == "ecg"
            encrypted, certificate, serial = key.encrypted_pkcs8, key.certificate_pem, key.serial
            remaining = service.spend_pin_try(session, actor.account_id, now)
        try:
            request = SigningRequest(
                document=self.blobs.path(prepared.pdf_key).read_bytes(),
                expected_sha256=prepared.pdf_sha256, field_name=field,
                pin=pin, encrypted_pkcs8=encrypted, certificate_pem=certificate, signer_name=actor.name, signed_at=now,
                stamp_pdf=self.render_stamp(field, is_ecg, actor.name, now, serial, self.settings.zone),
            )  # fmt: skip
            pdf = self.signer.sign(request)
        except SigningRefusedError as error:
            self._refused(actor, workitem_uid, error.code, now)
            if error.code == "wrong_pin":
                raise Refused("wrong_pin", remaining=remaining) from None
            raise Refused(error.code, **error.params) from None
        except Exception:  # nobody could try it: no answer, a file or a stamp that is not there
            self._give_back(actor)
            raise
        with self.db.write() as session:
            service.refund_pin_try(session, actor.account_id, pin_was_right=True)
        digest = hashlib.sha256(pdf).hexdigest()
        return {"pdf_key": self.blobs.put(pdf), "pdf_sha256": digest, "pdf_size_bytes": len(pdf)}

    def _refused(self, actor: Actor, workitem_uid: str, code: str, now: datetime) -> None:
        with self.db.write() as session:
            if code != "wrong_pin":
                service.refund_pin_try(session, actor.account_id, pin_was_right=False)
            audit.record(
                session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act="report.pin",
                object_type="workitem", object_uid=workitem_uid, result=code,
            )  # fmt: skip

    def _day(self, now: datetime) -> date:
        return now.astimezone(self.settings.zone).date()

    def _give_back(self, actor: Actor) -> None:
        with self.db.write() as session:
            service.refund_pin_try(session, actor.account_id, pin_was_right=False)


def new_verify_code() -> str:
    """A code of 130 random bits that derives from nothing; groups of it are printed on paper."""
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


def _is_verification(session: Session, workitem_uid: str) -> bool:
    workitem = session.get(Workitem, workitem_uid)
    return workitem is not None and workitem.step == "verification"


def _submitted(report: Report, actor: Actor, now: datetime) -> Preparation:
    """The document the author signed, as the reviewer's preparation."""
    return Preparation(
        report_uid=report.report_uid, version=report.version, account_id=actor.account_id, preliminary=False,
        verify_code=report.verify_code or "", pdf_key=report.pdf_key or "", pdf_sha256=report.pdf_sha256 or "",
        prepared_at=now,
    )  # fmt: skip
