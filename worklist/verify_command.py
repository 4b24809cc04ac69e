"""``teleread verify``: the whole store re-hashed against the index, and repaired from a peer or the archive. [app]"""

import json
import sys
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

from pacs_bridge.scu_query import Target
from worklist.administration import command_roof, parse_peer
from worklist.base.config import ConfigError, Settings
from worklist.base.i18n import LANGUAGES, translate
from worklist.check_storage import Finding
from worklist.checks import MOST_OF_A_KIND
from worklist.repair_storage import Repair, repair
from worklist.roof import Roof
from worklist.verify_storage import Verdict, verify_storage

ARCHIVE = "archive"
WELL, PROBLEMS, NOT_VERIFIED = 0, 1, 2
_REPAIRED = ("repaired", "repaired_same_content")


def verify_command(settings: Settings, *, repair_from: str = "", as_json: bool = False) -> int:
    """0: all is well, or was repaired. 1: something is lost or damaged. 2: it could not be looked at.

    ``repair_from``: ``AE@HOST:PORT`` or ``archive``. Raises ConfigError.
    """
    target = _target(settings, repair_from)
    with command_roof(settings) as roof:
        if repair_from == ARCHIVE and roof.archive is None:
            raise ConfigError("--repair-from archive: TELEREAD_ARCHIVE 未设置 / is not set")
        try:
            verdict, repairs = _verify(roof, repair_from, target)
        except (SQLAlchemyError, OSError) as error:
            cause = type(getattr(error, "orig", None) or error).__name__
            print(_both("check.not_verified", cause=cause), file=sys.stderr)
            return NOT_VERIFIED
    (_print_json if as_json else _print)(verdict, repairs)
    return WELL if verdict.is_well else PROBLEMS


def _target(settings: Settings, repair_from: str) -> Target | None:
    if repair_from in ("", ARCHIVE):
        return None
    called_ae, host, port = parse_peer(repair_from)
    return Target(host, port, called_ae, settings.ae_title)


def _verify(roof: Roof, repair_from: str, target: Target | None) -> tuple[Verdict, list[Repair]]:
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    repairs: list[Repair] = []
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def note(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        verdict = verify_storage(roof, note)
        if repair_from:
            for done, result in enumerate(repair(roof, verdict.damages, target), start=1):
                repairs.append(result)
                note("repair", done, len(verdict.damages))
    mended = {id(result.damage) for result in repairs if result.outcome in _REPAIRED}
    verdict.damages = [damage for damage in verdict.damages if id(damage) not in mended]
    verdict.n_repaired = len(mended)
    return verdict, repairs


def _print(verdict: Verdict, repairs: list[Repair]) -> None:
    failed = [one for one in repairs if one.outcome not in _REPAIRED]
    lines = [damage.finding for damage in verdict.damages] + verdict.findings
    lines += [Finding(one.outcome, {"uid": one.damage.uid}, is_problem=False)
              for one in repairs if one.outcome == "repaired_same_content"]  # fmt: skip
    lines += [Finding(one.outcome, {"uid": one.damage.uid, "cause": one.detail}) for one in failed]
    _print_findings(lines)
    print(_both(
        "check.verified", rows=verdict.n_rows, files=verdict.n_files, archived=verdict.n_only_in_archive,
        copies=verdict.n_copies, repaired=verdict.n_repaired,
    ))  # fmt: skip
    n_problems = len(verdict.damages) + sum(finding.is_problem for finding in verdict.findings)
    print(_both("check.verify_well") if verdict.is_well else _both("check.verify_problems", n=n_problems))


def _print_findings(lines: Iterable[Finding]) -> None:
    told: Counter[str] = Counter()
    for finding in lines:
        told[finding.code] += 1
        if told[finding.code] <= MOST_OF_A_KIND:
            print(f"{'✗' if finding.is_problem else '·'} {_both(f'check.{finding.code}', **finding.params)}")
    for code, number in told.items():
        if number > MOST_OF_A_KIND:
            print(f"  … +{number - MOST_OF_A_KIND} ({code})")


def _print_json(verdict: Verdict, repairs: list[Repair]) -> None:
    problems = [damage.finding for damage in verdict.damages]
    problems += [finding for finding in verdict.findings if finding.is_problem]
    print(json.dumps({
        "is_well": verdict.is_well, "rows": verdict.n_rows, "files": verdict.n_files,
        "only_in_archive": verdict.n_only_in_archive, "archive_copies": verdict.n_copies,
        "problems": [{"code": one.code, **one.params} for one in problems],
        "notes": [{"code": one.code, **one.params} for one in verdict.findings if not one.is_problem],
        "repairs": [{"uid": one.damage.uid, "outcome": one.outcome, "detail": one.detail} for one in repairs],
    }, ensure_ascii=False, indent=1))  # fmt: skip


def _both(key: str, /, **params: object) -> str:
    return " / ".join(translate(key, language, **params) for language in LANGUAGES)
