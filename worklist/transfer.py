"""``teleread send`` and ``teleread import``: files to another PACS, files into this one. [app]"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import OperationalError

from pacs_bridge.scu import StoreResult, store_files
from pacs_bridge.transcode_pool import TranscodePool
from worklist import store
from worklist.admin_service import check_ae_title
from worklist.administration import command_roof, explained, parse_peer
from worklist.base.config import ConfigError, Settings
from worklist.base.i18n import LANGUAGES
from worklist.import_files import Importer, Taken, files_below
from worklist.web_errors import sentence

MOST_LINES = 200  # of a summary; the rest is counted
_GOOD = ("accepted", "warning")


def send_command(
    files: Sequence[Path], to: str, sender: str, after: Callable[[Sequence[StoreResult]], int] = lambda results: 0
) -> int:
    """C-STORE files and folders to ``AE@HOST:PORT``; 1 when one was not accepted, else what ``after`` gives.

    What the peer does not take as it is leaves decompressed, as by C-MOVE. Raises ConfigError.
    """
    called_ae, host, port = parse_peer(to)
    with explained():
        check_ae_title(sender)
    found = _all_files(files)
    paths = [path for path in found if path.name.upper() != "DICOMDIR" or path in files]
    with _progress() as progress, closing(TranscodePool()) as pool:
        task = progress.add_task(f"{sender} → {to}", total=len(paths))

        def note(result: StoreResult) -> None:
            progress.update(task, advance=1, description=result.path.name[:40])

        results = store_files(paths, host, port, called_ae, sender, progress=note, transcoder=pool)
    counts = Counter(result.outcome for result in results)
    print("  ".join(f"{_outcome(name)} {number}" for name, number in sorted(counts.items())))
    if n_converted := sum(result.outcome in _GOOD and bool(result.sent_as) for result in results):
        print(f"{_outcome('converted')} {n_converted}")
    if len(paths) < len(found):
        print(_both("transfer.dicomdir"))
    bad = [result for result in results if result.outcome not in _GOOD]
    _table((str(result.path), _why_not_sent(result)) for result in bad)
    status = after(results)
    return 1 if bad else status


def _why_not_sent(result: StoreResult) -> str:
    status = f" {result.status:04X}H" if result.status is not None else ""
    return _both(f"transfer.{result.outcome}") + status + (f" ({result.detail})" if result.detail else "")


def import_command(
    settings: Settings, path: Path, site: str, patient_name: str = "", patient_id: str = ""
) -> int:
    """Take in a file or a folder for a site; 1 when something was refused or kept aside. Raises ConfigError."""
    paths = _all_files([path])
    with command_roof(settings) as roof:
        with roof.db.read() as session:
            row = store.site_by_code(session, site)
        if row is None:
            raise ConfigError(f"--site {site}: 未知机构 / unknown site")
        taken: list[Taken] = []
        try:
            with closing(Importer(roof, row, patient_name.strip(), patient_id.strip())) as importer:
                failure = _take(importer, paths, taken)
        except OperationalError:
            failure = _both("transfer.database")
    return _summary(taken, failure)


def _take(importer: Importer, paths: list[Path], taken: list[Taken]) -> str | None:
    """Fills ``taken``; returns why it ended early, if it did."""
    with _progress() as progress:
        task = progress.add_task("import", total=len(paths))
        try:
            for result in importer.take(paths):
                taken.append(result)
                progress.update(task, advance=1, description=result.path.name[:40])
        except OSError as error:
            return f"{_both('transfer.storage')}: {error.strerror}"
        progress.update(task, completed=len(paths))
    return None


def _summary(taken: Sequence[Taken], failure: str | None) -> int:
    counts = Counter(result.outcome for result in taken)
    print("  ".join(f"{_outcome(name)} {number}" for name, number in sorted(counts.items())) or "0")
    told = [result for result in taken if result.outcome not in ("filed", "duplicate")]
    told += [result for result in taken if result.outcome == "duplicate"]
    _table((str(result.path), _outcome(result.outcome), _reason(result)) for result in told)
    if failure is not None:
        print(failure, file=sys.stderr)
    return 1 if failure is not None or counts["refused"] or counts["quarantined"] else 0


def _reason(result: Taken) -> str:
    return _both(result.reason, **{"file": result.path.name} | dict(result.params)) if result.reason else ""


def _outcome(name: str) -> str:
    return _both(f"transfer.{name}")


def _both(key: str, **params: object) -> str:
    return " / ".join(sentence(key, params, language) for language in LANGUAGES)


def _all_files(given: Iterable[Path]) -> list[Path]:
    """Folders expanded. Raises ConfigError for what does not exist."""
    paths: list[Path] = []
    for path in given:
        if not path.exists():
            raise ConfigError(f"{path}: 不存在 / does not exist")
        paths += files_below(path)
    return paths


def _progress() -> Progress:
    """On standard error, and only where someone looks at it."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip


def _table(rows: Iterable[tuple[str, ...]]) -> None:
    """Lines of a table on a terminal, tab-separated where the output is a file or a pipe."""
    lines = list(rows)
    console = Console()
    if not console.is_terminal:
        for line in lines:
            print("\t".join(line))
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for line in lines[:MOST_LINES]:
        table.add_row(*(Text(text) for text in line))
    console.print(table)
    if len(lines) > MOST_LINES:
        print(f"… +{len(lines) - MOST_LINES}")
