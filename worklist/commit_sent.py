"""``teleread send --commit``: the peer is asked to keep what it took, and its answer is waited for. [app]"""

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console

from pacs_bridge.commitment import CommitmentRequest, Reference
from pacs_bridge.scu import StoreResult, read_meta
from pacs_bridge.scu_commitment import request_commitment
from worklist import commitment_service as service
from worklist.administration import command_roof, parse_peer
from worklist.base.config import Settings
from worklist.base.i18n import LANGUAGES
from worklist.commitment import CommitmentState
from worklist.commitment_tables import CommitmentTransaction
from worklist.roof import Roof
from worklist.uid import new_uid
from worklist.web_errors import sentence

LOOK_EVERY_S = 0.5


def commit_sent(settings: Settings, to: str, sender: str, wait_s: float) -> Callable[[Sequence[StoreResult]], int]:
    """What ``send_command`` does with its results: 0 when all that was taken is committed, else 1.

    The request is a row before it leaves: an answer that comes later is heard by the listener. Raises ConfigError.
    """

    def commit(results: Sequence[StoreResult]) -> int:
        metas = [read_meta(result.path) for result in results if result.outcome in ("accepted", "warning")]
        references = tuple(dict.fromkeys(Reference(meta.sop_class_uid, meta.sop_instance_uid) for meta in metas))
        if not references:
            return 0
        with command_roof(settings) as roof:
            return _committed(roof, CommitmentRequest(new_uid(), references), to, sender, wait_s)

    return commit


def _committed(roof: Roof, request: CommitmentRequest, to: str, sender: str, wait_s: float) -> int:
    called_ae, host, port = parse_peer(to)
    with roof.db.write() as session:
        number = service.note_asking(session, called_ae, request, roof.now())
    deadline_s = time.monotonic() + wait_s
    console = Console(stderr=True)
    with console.status(f"N-ACTION {to}") if console.is_terminal else console:
        answer = request_commitment(request, host, port, called_ae=called_ae, calling_ae=sender, wait_s=min(wait_s, 5))
        with roof.db.write() as session:
            if answer.result is not None:
                service.note_answer(session, called_ae, answer.result, roof.now())
            elif answer.outcome != "accepted":
                service.note_refused(session, number, answer.outcome, roof.now())
        if answer.outcome != "accepted":
            status = f" {answer.status:04X}H" if answer.status is not None else ""
            print(f"{_both('commitment.refused')}: {_both(f'transfer.{answer.outcome}')}{status}", file=sys.stderr)
            return 1
        return _told(roof, number, len(request.references), deadline_s)


def _told(roof: Roof, number: int, total: int, deadline_s: float) -> int:
    while True:
        with roof.db.read() as session:
            row = session.get_one(CommitmentTransaction, number)
            if row.state == CommitmentState.ANSWERED:
                failed = service.result(session, row).failed
                break
        if time.monotonic() > deadline_s:
            print(_both("commitment.waiting"), file=sys.stderr)
            return 1
        time.sleep(LOOK_EVERY_S)
    print(_both("commitment.answered", committed=total - len(failed), total=total))
    for one, reason in failed.items():
        print(f"{one.sop_instance_uid}\t{reason:04X}H")
    return 1 if failed else 0


def _both(key: str, **params: object) -> str:
    return " / ".join(sentence(key, params, language) for language in LANGUAGES)
