"""What the public sees of a report by the code printed on it: little, and not often. [app]"""

import hashlib
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

from reports import store
from reports.desk import CODE_ALPHABET, CODE_LENGTH
from reports.report import PUBLISHED
from worklist.account_tables import Account
from worklist.base.db import Database
from worklist.tables import Patient, Site, Study

TRIES_PER_MINUTE = 10
SOURCES_REMEMBERED = 10_000


# Whether the document kept under a key has that SHA-256 and every signature its rule asks for, at a moment.
IsIntact = Callable[[str, str, datetime], bool]


def is_intact(blob_path: Callable[[str], Path], ca_path: Path, key: str, sha256: str, now: datetime) -> bool:
    """The stored document read and verified; False where it is gone, altered, or a signer was revoked."""
    from reports.verify import verify_report  # noqa: PLC0415  its libraries are loaded after the start
    from reports.verify_command import read_trust  # noqa: PLC0415

    try:
        pdf = blob_path(key).read_bytes()
    except (OSError, ValueError):
        return False
    return hashlib.sha256(pdf).hexdigest() == sha256 and verify_report(pdf, read_trust(ca_path), now).is_valid


class VerifyDesk:
    """Answers codes, at most TRIES_PER_MINUTE per source address."""

    def __init__(self, db: Database, is_intact: IsIntact) -> None:
        self._db, self._is_intact = db, is_intact
        self._tries: dict[str, deque[datetime]] = {}
        self._lock = Lock()

    def look_up(
        self, code: str, source: str, now: datetime, zone: ZoneInfo, language: str
    ) -> tuple[str, dict[str, Any] | None]:
        """("valid" | "superseded" | "invalid" | "unknown" | "too_many", what to show).

        The stored document is verified anew each time; ``superseded`` has a valid signature too.
        """
        if not self._allowed(source, now):
            return "too_many", None
        code = code.upper().replace("-", "").strip()
        if len(code) != CODE_LENGTH or not set(code) <= set(CODE_ALPHABET):
            return "unknown", None
        with self._db.read() as session:
            report = store.report_by_verify_code(session, code)
            if report is None or report.status not in PUBLISHED:
                return "unknown", None
            study = session.get_one(Study, report.study_id)
            site = session.get_one(Site, study.site_id)
            patient = session.get_one(Patient, study.patient_pk)
            newest = store.latest_published(session, report.report_uid)
            outcome = "valid" if newest is not None and newest.id == report.id else "superseded"
            if not self._is_intact(report.pdf_key or "", report.pdf_sha256 or "", now):
                outcome = "invalid"
            signers = [("reporting", report.author, report.author_signed_at)]
            if report.verifier is not None:
                signers.append(("reviewing", report.verifier, report.verifier_signed_at))
            return outcome, {
                "masked_name": masked(patient.name), "sex": patient.sex, "status": report.status.lower(),
                "exam": f"{study.modality} {study.description or study.body_part}".strip(),
                "date": _minute(study.acquired_at or study.received_at, zone)[:10],
                "site": site.name_zh if language == "zh" else site.name_en,
                "revision": report.document_version, "sha256": report.pdf_sha256,
                "signatures": [
                    {"role": role, "name": session.get_one(Account, account).name, "at": _minute(at, zone)}
                    for role, account, at in signers if at
                ],
            }  # fmt: skip

    def _allowed(self, source: str, now: datetime) -> bool:
        with self._lock:
            while len(self._tries) >= SOURCES_REMEMBERED and source not in self._tries:
                del self._tries[next(iter(self._tries))]
            tries = self._tries.setdefault(source, deque())
            while tries and tries[0] <= now - timedelta(minutes=1):
                tries.popleft()
            if len(tries) >= TRIES_PER_MINUTE:
                return False
            tries.append(now)
            return True


def masked(name: str) -> str:
    """The family name and stars: 郑立群 → 郑**; Zheng Liqun → Z*."""
    name = name.strip()
    if not name:
        return "*"
    return name[0] + "*" * (max(1, min(len(name) - 1, 3)) if not name[0].isascii() else 1)


def _minute(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
