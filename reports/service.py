"""Reports are drafted, signed, verified, returned; each signed version is a row that never changes. [service]"""

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import case, literal, update
from sqlalchemy.orm import Session

from reports import delivery_service, store
from reports.report import FINAL_STATUSES, ReportMove, ReportStatus, moved, signatures_required
from reports.report_template import TEMPLATES
from reports.tables import Report
from reports.text import clean
from worklist import store as worklist_store
from worklist import triage
from worklist.access import Act, Actor, Refused, check
from worklist.account_tables import Account, SigningKey
from worklist.base import audit
from worklist.base.db import UtcDateTime
from worklist.repair_store import repaired_since
from worklist.tables import Site, Study, Workitem
from worklist.uid import new_uid
from worklist.workitem import WorkitemMove, WorkitemState, WorkitemStep
from worklist.workitem_service import held, move, successor, tell

MAX_SECTION_CHARACTERS = 20_000
MAX_WRONG_PINS = 5
READING_LASTS = timedelta(minutes=30)  # a page that loads a report again is no new reading


def save_draft(
    session: Session, actor: Actor, workitem_uid: str,
    template: str, sections: dict[str, str], version: int, now: datetime,
) -> Report:
    """Save what the holder of a workitem typed; the row with its new version.

    What was saved already is saved: who heard no answer sends the same once more and is told the row of the first time.
    Raises Refused: "template_unknown", "section_unknown", "section_too_long", "stale_version" (the report was
    saved elsewhere since ``version``), and what ``held`` raises; reports.text.TextError for characters that
    cannot stand in a document.
    """
    workitem, study = held(session, actor, Act.REPORT_WRITE, workitem_uid, now)
    if workitem.step == WorkitemStep.VERIFICATION:
        raise Refused("verification_edits_nothing")
    cleaned = _checked_sections(template, sections)
    report = store.latest(session, workitem.report_uid) if workitem.report_uid else None
    if report is None or report.signed_at is not None:
        return _new_draft(session, actor, workitem, study, report, template, cleaned, version, now)
    moved(report.status, ReportMove.SAVE)
    saved = session.execute(
        update(Report)
        .where(Report.id == report.id, Report.version == version, Report.signed_at.is_(None))
        .values(
            template=template, sections=cleaned, version=version + 1, updated_at=now, author=actor.account_id,
            workitem_uid=workitem_uid,
        )
    )  # fmt: skip
    if saved.rowcount != 1:  # type: ignore[attr-defined]
        session.refresh(report)
        if _is_saved_already(report, actor, workitem_uid, template, cleaned, version):
            return report
        raise Refused("stale_version", version=report.version)
    session.refresh(report)
    return report


def _is_saved_already(
    report: Report, actor: Actor, workitem_uid: str, template: str, sections: dict[str, str], version: int
) -> bool:
    """Whether the row is what this very saving, sent before, has made of ``version``."""
    by, found = (actor.account_id, workitem_uid, template), (report.author, report.workitem_uid, report.template)
    is_next = report.version == version + 1 and report.signed_at is None
    return is_next and by == found and report.sections == sections


def _checked_sections(template: str, sections: dict[str, str]) -> dict[str, str]:
    if template not in TEMPLATES:
        raise Refused("template_unknown", template=template)
    known = {section.code for section in TEMPLATES[template].sections}
    for code, text in sections.items():
        if code not in known or not isinstance(text, str):
            raise Refused("section_unknown", section=code)
        if len(text) > MAX_SECTION_CHARACTERS:
            raise Refused("section_too_long", section=code, most=MAX_SECTION_CHARACTERS)
    return {code: clean(text) for code, text in sections.items()}


def _new_draft(
    session: Session,
    actor: Actor,
    workitem: Workitem,
    study: Study,
    before: Report | None,
    template: str,
    sections: dict[str, str],
    version: int,
    now: datetime,
) -> Report:
    """The first draft of a report, or the draft after a signed row (returned, preliminary, addendum)."""
    found = before.version if before else 0
    if found != version:
        raise Refused("stale_version", version=found)
    document_version = 1
    if before is None:
        status = moved(None, ReportMove.SAVE)
    elif before.status in FINAL_STATUSES:
        status = moved(before.status, ReportMove.APPEND)
        document_version = before.document_version + 1
    else:
        status, document_version = moved(before.status, ReportMove.SAVE), before.document_version
    site = session.get_one(Site, study.site_id)
    report = Report(
        report_uid=before.report_uid if before else new_uid(), revision=before.revision + 1 if before else 1,
        version=version + 1, status=status, document_version=document_version, study_id=study.id,
        workitem_uid=workitem.workitem_uid, template=template, sections=sections, author=actor.account_id,
        created_at=now, updated_at=now,
        n_signatures_required=signatures_required(site.signatures_by_modality, study.modality),
    )  # fmt: skip
    session.add(report)
    session.flush()
    workitem.report_uid = report.report_uid
    if study.report_status in ("none", "returned"):
        study.report_status = "draft"
    tell(session, actor, "drafted", "report.write", workitem, study, now)
    return report


def check_signable(
    session: Session, actor: Actor, workitem_uid: str, version: int,
    *, preliminary: bool, verifying: bool, now: datetime, today: date,
) -> tuple[Workitem, Study, Report, SigningKey]:
    """Everything that must hold before a signature, and what it is about. ``today``: the day where it is signed.

    Raises Refused: "stale_version", "study_not_ready" (not complete: only a preliminary report), "study_conflict"
    (objects in conflict that nobody has looked at), "section_missing", "licence_expired", "no_signing_key",
    "signing_locked", "certificate_expired"; the table's IllegalReportMove; what ``held`` raises.
    """
    act = Act.REPORT_VERIFY if verifying else Act.REPORT_SIGN
    workitem, study = held(session, actor, act, workitem_uid, now)
    if verifying != (workitem.step == WorkitemStep.VERIFICATION):
        raise Refused("wrong_step", step=workitem.step)
    report = store.latest(session, workitem.report_uid) if workitem.report_uid else None
    if report is None:
        raise Refused("report_missing")
    if report.version != version:
        raise Refused("stale_version", version=report.version)
    moved(report.status, _signing_move(report, preliminary, verifying), report.document_version)
    if not preliminary and study.input_readiness != "READY":
        raise Refused("study_not_ready")
    if any(conflict.seen_at is None for conflict in worklist_store.open_conflicts(session, study.id)):
        raise Refused("study_conflict")
    for section in TEMPLATES[report.template].sections:
        if section.required and not report.sections.get(section.code, "").strip():
            raise Refused("section_missing", section=section.code)
    if verifying and report.author == actor.account_id:
        raise Refused("own_report")
    if verifying and repaired_since(session, study.id, report.author_signed_at) is not None:
        raise Refused("identity_changed")  # the author's signature stands under another patient's name
    return workitem, study, report, _usable_key(session, actor, now, today)


def _usable_key(session: Session, actor: Actor, now: datetime, today: date) -> SigningKey:
    account = session.get_one(Account, actor.account_id)
    if account.licence_valid_until is None or account.licence_valid_until < today:
        raise Refused("licence_expired")
    key = session.get(SigningKey, actor.account_id)
    if key is None or key.revoked_at is not None:
        raise Refused("no_signing_key")
    if key.locked_at is not None:
        raise Refused("signing_locked")
    if key.valid_until <= now:
        raise Refused("certificate_expired")
    return key


def _signing_move(report: Report, preliminary: bool, verifying: bool) -> ReportMove:
    if verifying:
        return ReportMove.VERIFY
    if preliminary:
        return ReportMove.ISSUE_PRELIMINARY
    return ReportMove.SUBMIT_FIRST if report.n_signatures_required > 1 else ReportMove.SUBMIT_SINGLE


def spend_pin_try(session: Session, account_id: int, now: datetime) -> int:
    """Count one try before it is made, so that tries at once cannot outrun the lock; how many are left.

    The fifth locks, until the PIN turns out to be right: a try whose process died was a try. What was locked by
    wrong PINs stays so until an administrator re-issues the key. Raises Refused("signing_locked").
    """
    counted = session.execute(
        update(SigningKey)
        .where(SigningKey.account_id == account_id, SigningKey.locked_at.is_(None))
        .where(SigningKey.failed_pins < MAX_WRONG_PINS)
        .values(
            failed_pins=SigningKey.failed_pins + 1,
            locked_at=case((SigningKey.failed_pins >= MAX_WRONG_PINS - 1, literal(now, UtcDateTime()))),
        )
    )
    if counted.rowcount != 1:  # type: ignore[attr-defined]
        raise Refused("signing_locked")
    key = session.get_one(SigningKey, account_id, populate_existing=True)
    return MAX_WRONG_PINS - key.failed_pins


def refund_pin_try(session: Session, account_id: int, *, pin_was_right: bool) -> None:
    """The PIN was right (the count starts anew), or nobody could try it (the one try is given back)."""
    back = 0 if pin_was_right else SigningKey.failed_pins - 1
    session.execute(
        update(SigningKey)
        .where(SigningKey.account_id == account_id, SigningKey.failed_pins > 0)
        .values(failed_pins=back, locked_at=None)
    )


def sign_draft(
    session: Session,
    actor: Actor,
    workitem: Workitem,
    study: Study,
    report: Report,
    *,
    signed: dict[str, Any],
    preliminary_reason: str | None,
    now: datetime,
) -> Report:
    """Seal the draft row as signed by its author and move the work on.

    ``signed``: verify_code, pdf_key, pdf_sha256, pdf_size_bytes of the signed document.
    """
    status = moved(
        report.status, _signing_move(report, preliminary_reason is not None, False), report.document_version
    )
    sealed = session.execute(
        update(Report)
        .where(Report.id == report.id, Report.version == report.version, Report.signed_at.is_(None))
        .values(
            status=status, version=report.version + 1, author=actor.account_id, author_signed_at=now, signed_at=now,
            preliminary_reason=preliminary_reason, updated_at=now, **signed,
        )
    )  # fmt: skip
    if sealed.rowcount != 1:  # type: ignore[attr-defined]
        raise Refused("stale_version", version=report.version)
    session.refresh(report)
    if status is ReportStatus.PRELIM:
        study.report_status = "preliminary"
        delivery_service.promise_deliveries(session, report, study, now)
        session.add(_next_draft(report, workitem, now))
        tell(session, actor, "preliminary", "report.sign", workitem, study, now)
        return report
    move(session, workitem, WorkitemMove.COMPLETE, now)
    study.late_images_at = None  # the author has just signed with them
    if status is ReportStatus.SUBMITTED:
        study.report_status = "submitted"
        _offer_verification(session, actor, workitem, now)
        tell(session, actor, "submitted", "report.sign", workitem, study, now)
    else:
        _published(session, actor, workitem, study, report, now)
    return report


def _next_draft(signed: Report, workitem: Workitem, now: datetime) -> Report:
    """The row on which work goes on after a signed one that is not the last word."""
    return Report(
        report_uid=signed.report_uid, revision=signed.revision + 1, version=signed.version + 1,
        status=ReportStatus.DRAFT, document_version=signed.document_version, study_id=signed.study_id,
        workitem_uid=workitem.workitem_uid, template=signed.template, sections=dict(signed.sections),
        author=signed.author, created_at=now, updated_at=now, n_signatures_required=signed.n_signatures_required,
    )  # fmt: skip


def _offer_verification(session: Session, actor: Actor, done: Workitem, now: datetime) -> None:
    """A second workitem, offered to everyone but the author."""
    session.add(
        Workitem(
            workitem_uid=new_uid(), study_id=done.study_id, step=WorkitemStep.VERIFICATION, created_at=now,
            state=WorkitemState.SCHEDULED, priority=done.priority, due_at=done.due_at, report_uid=done.report_uid,
            excluded_performer=actor.account_id,
        )
    )  # fmt: skip
    session.flush()


def sign_verification(
    session: Session,
    actor: Actor,
    workitem: Workitem,
    study: Study,
    report: Report,
    *,
    signed: dict[str, Any],
    now: datetime,
) -> Report:
    """The second signature: a new row with both, the workitem completed, the report on its way back."""
    status = moved(report.status, ReportMove.VERIFY, report.document_version)
    final = Report(
        report_uid=report.report_uid, revision=report.revision + 1, version=report.version + 1, status=status,
        document_version=report.document_version, study_id=report.study_id, workitem_uid=workitem.workitem_uid,
        template=report.template, sections=dict(report.sections), author=report.author, verifier=actor.account_id,
        created_at=report.created_at, updated_at=now, n_signatures_required=report.n_signatures_required,
        author_signed_at=report.author_signed_at, verifier_signed_at=now, signed_at=now,
        verify_code=report.verify_code, **signed,
    )  # fmt: skip
    session.add(final)
    session.flush()
    move(session, workitem, WorkitemMove.COMPLETE, now)
    _published(session, actor, workitem, study, final, now, event="verified")
    return final


def _published(
    session: Session,
    actor: Actor,
    workitem: Workitem,
    study: Study,
    report: Report,
    now: datetime,
    event: str | None = None,
) -> None:
    study.report_status = "final"
    if study.late_images_at is not None:
        _offer_addendum(session, workitem, study, report, now)
    act = "report.verify" if event else "report.sign"
    tell(session, actor, event or "submitted", act, workitem, study, now)
    delivery_service.promise_deliveries(session, report, study, now)
    tell(session, actor, "final", "report.publish", workitem, study, now)


def has_read(session: Session, actor: Actor, report_uid: str, revision: int, now: datetime) -> bool:
    """Whether the audit trail has this person reading this version within READING_LASTS."""
    return audit.was_recorded(
        session, actor=actor.username, act="report.read", object_uid=report_uid, since=now - READING_LASTS,
        details={"revision": revision},
    )  # fmt: skip


def note_reading(session: Session, actor: Actor, report_uid: str, revision: int, now: datetime) -> None:
    """A person has the text of this version on their screen."""
    audit.record(
        session, now=now, actor=actor.username, role=actor.role, site=actor.site_code, act="report.read",
        object_type="report", object_uid=report_uid, details={"revision": revision},
    )  # fmt: skip


def _offer_addendum(session: Session, verified: Workitem, study: Study, report: Report, now: datetime) -> None:
    """Images came between the two signatures: the author has not seen them, and gets work of their own."""
    session.add(
        Workitem(
            workitem_uid=new_uid(), study_id=study.id, step=WorkitemStep.ADDENDUM, state=WorkitemState.SCHEDULED,
            priority=verified.priority, created_at=now, scheduled_performer=report.author, report_uid=report.report_uid,
            due_at=triage.due_at(now, study.modality, study.body_part, verified.priority, None),
        )
    )  # fmt: skip
    session.flush()


def return_for_edit(session: Session, actor: Actor, workitem_uid: str, reason: str, now: datetime) -> Workitem:
    """A reviewer sends the report back to its author; the new interpretation workitem with the draft.

    Raises Refused("reason_missing"), and what ``held`` raises.
    """
    check(actor, Act.REPORT_VERIFY)
    if not reason.strip():
        raise Refused("reason_missing")
    workitem, study = held(session, actor, Act.REPORT_VERIFY, workitem_uid, now)
    if workitem.step != WorkitemStep.VERIFICATION or workitem.report_uid is None:
        raise Refused("wrong_step", step=workitem.step)
    signed = store.latest(session, workitem.report_uid)
    if signed is None:
        raise Refused("report_missing")
    status = moved(signed.status, ReportMove.RETURN)
    move(session, workitem, WorkitemMove.RETURN, now, reason)
    item = successor(
        session, workitem, now, step=WorkitemStep.INTERPRETATION, scheduled_performer=signed.author,
        excluded_performer=None,
    )  # fmt: skip
    draft = _next_draft(signed, item, now)
    draft.status, draft.returned_reason = status, reason
    session.add(draft)
    study.report_status = "returned"
    session.flush()
    tell(session, actor, "returned", "report.return", item, study, now)
    return item
