"""How a report moves: one row per version, a signed version is never edited. [domain]

research: reports.md section 5. Everything that affects the status of a report is in this file; an
entry that is absent from TRANSITIONS is the refusal.
"""

from enum import StrEnum


class ReportStatus(StrEnum):
    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"  # first of two signatures given
    PRELIM = "PRELIM"  # 临时报告: signed, watermarked, work goes on
    FINAL = "FINAL"
    APPENDED = "APPENDED"  # a later document version after FINAL


class ReportMove(StrEnum):
    SAVE = "save"
    SUBMIT_SINGLE = "submit_single"  # the site asks one signature
    SUBMIT_FIRST = "submit_first"  # first of two
    VERIFY = "verify"  # second of two
    RETURN = "return"
    ISSUE_PRELIMINARY = "issue_preliminary"
    APPEND = "append"  # a new document version begins as a draft


D, S, P, F, A = (
    ReportStatus.DRAFT,
    ReportStatus.SUBMITTED,
    ReportStatus.PRELIM,
    ReportStatus.FINAL,
    ReportStatus.APPENDED,
)

# From None: no version exists yet. FINAL stands for FINAL or, from document version 2 on, APPENDED.
TRANSITIONS: dict[tuple[ReportStatus | None, ReportMove], ReportStatus] = {
    (None, ReportMove.SAVE): D,
    (D, ReportMove.SAVE): D,
    (D, ReportMove.SUBMIT_SINGLE): F,
    (D, ReportMove.SUBMIT_FIRST): S,
    (D, ReportMove.ISSUE_PRELIMINARY): P,
    (P, ReportMove.SAVE): D,
    (S, ReportMove.VERIFY): F,
    (S, ReportMove.RETURN): D,
    (F, ReportMove.APPEND): D,
    (A, ReportMove.APPEND): D,
}

PUBLISHED = (P, F, A)  # what the originating site may see
FINAL_STATUSES = (F, A)


class IllegalReportMove(Exception):
    """The table has no such move; nothing was changed."""

    code = "report_illegal_move"

    def __init__(self, status: ReportStatus | None, move: ReportMove) -> None:
        super().__init__(f"{move} is not possible in {status}")
        self.params = {"status": status.value if status else "NEW", "move": move.value}


def moved(status: ReportStatus | str | None, move: ReportMove, document_version: int = 1) -> ReportStatus:
    """The status after ``move``; a final one from document version 2 on is APPENDED. Raises IllegalReportMove."""
    before = ReportStatus(status) if status is not None else None
    try:
        after = TRANSITIONS[before, move]
    except KeyError:
        raise IllegalReportMove(before, move) from None
    return A if after is F and document_version > 1 else after


def signatures_required(signatures_by_modality: dict[str, int], modality: str) -> int:
    """How many signatures the site asks on a modality; one where its rule is silent."""
    return int(signatures_by_modality.get(modality, signatures_by_modality.get("*", 1)))
