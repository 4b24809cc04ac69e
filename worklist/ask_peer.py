"""``teleread echo`` and ``teleread find``: whether a peer is there, and what it has. [app]"""

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pacs_bridge.scu import echo
from pacs_bridge.scu_query import RETURN_KEYS, PeerFailure, Target, check_keys, find
from worklist.admin_service import check_ae_title
from worklist.administration import explained, parse_peer
from worklist.base.config import ConfigError
from worklist.base.i18n import LANGUAGES
from worklist.transfer import MOST_LINES
from worklist.web_errors import sentence

SHOWN = {
    "PATIENT": ("PatientID", "PatientName", "PatientSex", "PatientBirthDate"),
    "STUDY": ("StudyDate", "PatientID", "PatientName", "ModalitiesInStudy", "StudyDescription", "AccessionNumber",
              "NumberOfStudyRelatedInstances", "StudyInstanceUID"),
    "SERIES": RETURN_KEYS["SERIES"], "IMAGE": RETURN_KEYS["IMAGE"],
}  # fmt: skip


def echo_command(peer: str, sender: str) -> int:
    """C-ECHO to ``AE@HOST:PORT``; 0 when it answers, 1 when not. Raises ConfigError."""
    target = _target(peer, sender)
    result = echo(target.host, target.port, called_ae=target.called_ae, calling_ae=sender)
    if result.outcome == "accepted":
        print(f"{peer}: {_both('peer.answers')}")
        return 0
    print(f"{peer}: {_why(result.outcome, result.status, result.detail)}", file=sys.stderr)
    return 1


def find_command(peer: str, sender: str, level: str, given: Sequence[str], *, as_json: bool, most: int) -> int:
    """C-FIND; 0 with matches or without, 1 when the peer did not answer to the end. Raises ConfigError."""
    target, keys = _target(peer, sender), _keys(given)
    found: list[dict[str, str]] = []
    failure: PeerFailure | None = None
    console = Console(stderr=True)
    try:
        with console.status(f"C-FIND {peer}") if console.is_terminal else console:
            for record in find(target, level, keys, most=most):
                found.append(record)
                if as_json:
                    print(json.dumps(record, ensure_ascii=False), flush=True)
    except PeerFailure as caught:
        failure = caught
    if not as_json:
        _show(found, SHOWN[level])
        print(_both("peer.found", number=len(found)), file=sys.stderr)
    if failure is not None:
        print(f"{peer}: {_why(failure.outcome, failure.status, failure.detail)}", file=sys.stderr)
    return 1 if failure is not None else 0


def _target(peer: str, sender: str) -> Target:
    called_ae, host, port = parse_peer(peer)
    with explained():
        check_ae_title(sender)
    return Target(host, port, called_ae, sender)


def _keys(given: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` words; a key alone is asked for. Raises ConfigError for what is no DICOM keyword."""
    keys = {name: value for name, _, value in (word.partition("=") for word in given)}
    wrong = check_keys(keys)
    if wrong is not None:
        raise ConfigError(_both("peer.keyword", keyword=wrong))
    return keys


def _why(outcome: str, status: int | None, detail: str) -> str:
    """The outcome in both languages, then what the peer gave as its reason."""
    code = f" {status:04X}H" if status is not None else ""
    known = {"1/1/3": "peer.calling_unknown", "1/1/7": "peer.called_unknown"}.get(detail)
    reason = f" – {_both(known)}" if known else f" ({detail})" if detail else ""
    return _both(f"transfer.{outcome}") + code + reason


def _show(records: Sequence[dict[str, str]], columns: Sequence[str]) -> None:
    """A table on a terminal, tab-separated where the output is a file or a pipe."""
    console = Console()
    if not console.is_terminal:
        for record in records:
            print("\t".join(" ".join(record.get(name, "").split()) for name in columns))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name)
    for record in records[:MOST_LINES]:
        table.add_row(*(Text(record.get(name, "")) for name in columns))
    console.print(table)
    if len(records) > MOST_LINES:
        print(f"… +{len(records) - MOST_LINES}")


def _both(key: str, **params: object) -> str:
    return " / ".join(sentence(key, params, language) for language in LANGUAGES)
