"""Storage Commitment towards other application entities: a result told, a request made. [adapter]"""

import threading
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from pacs_bridge.commitment import (
    REQUEST_ACTION,
    SOP_CLASS,
    WELL_KNOWN_INSTANCE,
    BadCommitment,
    CommitmentRequest,
    CommitmentResult,
    read_result,
    write_request,
    write_result,
)
from pacs_bridge.retrieval import EXPLICIT, IMPLICIT
from pacs_bridge.scu import DEFAULT_TIMEOUTS, EchoResult, Timeouts, associate, associate_to_report, end


@dataclass(frozen=True)
class CommitmentAnswer:
    """``outcome``: accepted, or as of an ``EchoResult``. ``result`` where it came on the same association."""

    outcome: str
    status: int | None = None
    result: CommitmentResult | None = None


def tell_result(
    result: CommitmentResult, host: str, port: int, *, called_ae: str, calling_ae: str,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> EchoResult:  # fmt: skip
    """N-EVENT-REPORT on an association of its own, we in the SCP role (PS3.4 J.3.3). Never raises for the peer."""
    association, failure = associate_to_report(SOP_CLASS, host, port, called_ae, calling_ae, timeouts)
    if association is None:
        return EchoResult(failure[0], detail=failure[1])
    try:
        # Peers that forget to answer the role are taken by what they accepted: the class is of no other use here.
        answer, _ = association.send_n_event_report(
            write_result(result, calling_ae), result.event_type, UID(SOP_CLASS), UID(WELL_KNOWN_INSTANCE)
        )
        status = answer.get("Status")
    except (RuntimeError, ValueError) as error:
        return EchoResult("refused", detail=type(error).__name__)
    finally:
        outcome = end(association)
    if status is None:
        return EchoResult(outcome)
    return EchoResult("accepted" if status == 0 else "refused", int(status))


def request_commitment(
    request: CommitmentRequest, host: str, port: int, *, called_ae: str, calling_ae: str, wait_s: float = 0.0,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> CommitmentAnswer:  # fmt: skip
    """N-ACTION; the association stays for ``wait_s`` at most, for a result on it. Never raises for the peer."""
    heard, came = list[CommitmentResult](), threading.Event()

    def hear(event: Any) -> tuple[int, Dataset | None]:
        try:
            result = read_result(event.event_information)
        except (BadCommitment, AttributeError):
            return 0x0115, None
        if result.transaction_uid != request.transaction_uid:
            return 0x0115, None
        heard.append(result)
        came.set()
        return 0x0000, None

    association, failure = associate(
        host, port, called_ae, calling_ae, [build_context(SOP_CLASS, [EXPLICIT, IMPLICIT])], timeouts,
        events=[(evt.EVT_N_EVENT_REPORT, hear)],
    )  # fmt: skip
    if association is None:
        return CommitmentAnswer(failure[0])
    status = None
    try:
        status = _ask(association, request)
        if status == 0:
            came.wait(wait_s)
    except (RuntimeError, ValueError):
        return CommitmentAnswer("refused")
    finally:
        outcome = end(association)
    if status is None:
        return CommitmentAnswer(outcome)
    return CommitmentAnswer("accepted" if status == 0 else "refused", status, heard[0] if heard else None)


def _ask(association: Association, request: CommitmentRequest) -> int | None:
    answer, _ = association.send_n_action(
        write_request(request), REQUEST_ACTION, UID(SOP_CLASS), UID(WELL_KNOWN_INSTANCE)
    )
    status = answer.get("Status")
    return None if status is None else int(status)
