"""``teleread verify-report FILE.pdf [--json]``: reads, judges, prints, and answers by exit code. [app]"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from reports.verify import Trust, VerifyResult, verify_report
from worklist.base.i18n import translate

EXIT_VALID, EXIT_INVALID, EXIT_UNREADABLE = 0, 1, 2


def verify_command(
    path: Path,
    json_output: bool,
    ca_path: Path,
    *,
    now: datetime | None = None,
    language: str = "zh",
    output: TextIO | None = None,
) -> int:
    """0 when the report is whole, 1 when not, 2 when file or CA cannot be read.

    ``ca_path`` is a CA certificate (PEM); its revocation list lies beside it with the suffix ``.crl``.
    """
    out = output or sys.stdout
    try:
        pdf = path.read_bytes()
    except OSError:
        print(translate("verify.file_unreadable", language, path=path), file=out)
        return EXIT_UNREADABLE
    try:
        trust = read_trust(ca_path)
    except OSError:
        print(translate("verify.ca_unreadable", language, path=ca_path), file=out)
        return EXIT_UNREADABLE
    result = verify_report(pdf, trust, now or datetime.now(UTC))
    print(json.dumps(result.as_json(), ensure_ascii=False) if json_output else sentences(result, language), file=out)
    return EXIT_VALID if result.is_valid else EXIT_INVALID


def read_trust(ca_path: Path) -> Trust:
    """The CA and, where it exists, its list. Raises OSError."""
    crl_path = ca_path.with_suffix(".crl")
    return Trust([ca_path.read_bytes()], crl_path.read_bytes() if crl_path.exists() else None)


def sentences(result: VerifyResult, language: str) -> str:
    """The verdict, each signature, each reason: one line each."""
    head = "verify.valid" if result.is_valid else "verify.invalid"
    lines = [translate(head, language, n=result.n_signatures_required)]
    for fact in result.signatures:
        role = translate(f"verify.role_{fact.field}", language) if _is_known(fact.field) else fact.field
        at = fact.signed_at.strftime("%Y-%m-%d %H:%M UTC") if fact.signed_at else "—"
        values = {"role": role, "name": fact.name, "licence": fact.licence_number, "at": at, "serial": fact.serial}
        lines.append(translate("verify.signature_line", language, **values))
    lines += [translate(f"verify.{reason.code}", language, **reason.params) for reason in result.reasons]
    return "\n".join(lines)


def _is_known(field: str) -> bool:
    return field in ("report_doctor", "reviewer")
