"""``teleread check``: what is wrong with this installation, and how to mend it, in both languages. [app]"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields

from rich.console import Console
from rich.progress import Progress
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pacs_bridge.archives import without_credentials
from worklist import check_machine
from worklist.base import seal
from worklist.base.config import ConfigError, Settings
from worklist.base.i18n import LANGUAGES, translate
from worklist.check_storage import Finding, storage_findings
from worklist.roof import Roof, open_roof

MOST_OF_A_KIND = 50  # lines of one code; the rest is counted
_SECRETS = frozenset({"demo_password"})


def check_command(settings: Settings, *, show: bool, audit_chain: bool, deep: bool) -> int:
    """Look at everything; print each problem in both languages. 1 when there is any problem, else 0.

    ``show``: every setting first. ``audit_chain``: verify the audit trail. ``deep``: read every object again.
    """
    if show:
        _show(settings)
    report = _Report()
    report.tell("settings", check_machine.settings_findings(settings))
    if not settings.data_path.is_dir():
        report.tell("folders", [Finding("data_dir_missing", {"path": str(settings.data_path)})])
        return report.close()
    report.tell("folders", check_machine.folder_findings(settings))
    try:
        roof = open_roof(settings)
    except (ConfigError, ArgumentError):
        report.tell("database", [Finding("database_url")])
        return report.close()
    try:
        _look_inside(roof, report, audit_chain=audit_chain, deep=deep)
    finally:
        roof.close()
    return report.close()


def _look_inside(roof: Roof, report: "_Report", *, audit_chain: bool, deep: bool) -> None:
    report.tell("certificates", check_machine.tls_findings(roof.settings, roof.now()))
    report.tell("authority", check_machine.authority_findings(roof.keys_dir, roof.now()))
    report.tell("space", check_machine.space_findings(roof))
    report.tell("roles", _if_usable(report, check_machine.reach_findings(roof.settings)))
    if report.tell("database", check_machine.database_findings(roof.db, deep=deep)):
        return  # nothing below can be asked
    with _progress() as progress:
        task = progress.add_task("--deep", visible=deep)
        found = storage_findings(
            roof, deep=deep, progress=lambda done, total: progress.update(task, completed=done, total=total)
        )
        report.tell("storage", found)
    report.tell("work", check_machine.work_findings(roof))
    report.tell("peers", check_machine.peer_findings(roof))
    if roof.archive is not None:
        report.tell("archive", check_machine.archive_findings(roof))
    if audit_chain:
        report.tell("audit", _audit_findings(roof))


def _if_usable(report: "_Report", findings: Iterator[Finding]) -> Iterator[Finding]:
    """Ports that cannot be read cannot be asked; that was told under settings."""
    try:
        yield from findings
    except ConfigError:
        report.say("check.skipped")


def _audit_findings(roof: Roof) -> Iterator[Finding]:
    with roof.db.read() as session:
        for problem in seal.verify_chain(session):
            yield Finding(f"audit_{problem.code}", {"row_id": problem.row_id, "seal_id": problem.seal_id})
        head = seal.head(session)
    yield Finding("audit_head", {"head": head}, is_problem=False)


class _Report:
    """Prints as it goes and remembers whether anything was wrong."""

    def __init__(self) -> None:
        self._n_problems = 0

    def tell(self, area: str, findings: Iterable[Finding]) -> int:
        """One heading and the findings below it; how many were problems."""
        title = " ".join(translate(f"check.area.{area}", language) for language in LANGUAGES)
        lines: list[Finding] = []
        try:
            lines.extend(findings)
        except SQLAlchemyError as error:
            cause = type(getattr(error, "orig", None) or error).__name__
            lines.append(Finding("database", {"cause": cause, "url": ""}))
        n_problems = sum(finding.is_problem for finding in lines)
        print(f"{'✗' if n_problems else '✓'} {title}")
        self._print(lines)
        self._n_problems += n_problems
        return n_problems

    def _print(self, lines: Iterable[Finding]) -> None:
        told: Counter[str] = Counter()
        for finding in lines:
            told[finding.code] += 1
            if told[finding.code] <= MOST_OF_A_KIND:
                self.say(f"check.{finding.code}", **finding.params)
        for code, number in told.items():
            if number > MOST_OF_A_KIND:
                print(f"    … +{number - MOST_OF_A_KIND} ({code})")

    @staticmethod
    def say(key: str, /, **params: object) -> None:
        for language in LANGUAGES:
            print(f"    {translate(key, language, **params)}")

    def close(self) -> int:
        """The last line and the exit status."""
        if self._n_problems:
            print(f"{self._n_problems} 个问题 / {self._n_problems} problem{'s' if self._n_problems > 1 else ''}")
        else:
            print("一切正常 / all is well")
        return 1 if self._n_problems else 0


def _show(settings: Settings) -> None:
    """Every setting: name, value (secrets masked), default, help."""
    for entry in fields(Settings):
        value = getattr(settings, entry.name)
        print(f"{entry.metadata['name']}={_masked(entry.name, value)}")
        print(f"    默认 / default: {entry.default!r}    {entry.metadata['help']}")


def _masked(name: str, value: str) -> str:
    if name in _SECRETS and value:
        return "***"
    if name == "archive":
        return without_credentials(value)
    if name == "database_url" and value:
        try:
            return make_url(value).render_as_string(hide_password=True)
        except ArgumentError:
            return "***"
    return value


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, disable=not console.is_terminal, transient=True)
