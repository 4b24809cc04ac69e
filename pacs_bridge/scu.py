"""Our calls to other application entities: echo, and files sent, as they are wherever that is taken. [adapter]"""

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from pacs_bridge import elements
from pacs_bridge.pynetdicom_hooks import RequestorEntity
from pacs_bridge.records import Problem
from pacs_bridge.retrieval import EXPLICIT, IMPLICIT, syntaxes_to_offer
from pacs_bridge.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacs_bridge.transcode_pool import TranscodeFailed

MAX_CONTEXTS = 128  # PS3.8 9.3.2.2
_MAX_PDU_BYTES = 131_072
_META_TAGS = (0x00020002, 0x00020003, 0x00020010)
# C-STORE warnings, PS3.4 B.2.3: the peer keeps the object.
WARNINGS = frozenset((0xB000, 0xB006, 0xB007))


@dataclass(frozen=True)
class Timeouts:
    """Seconds. ``response``: how long a peer may take over one object, large ones on slow lines included."""

    connect_s: float = 10.0
    negotiation_s: float = 10.0
    response_s: float = 60.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True)
class EchoResult:
    """``outcome``: accepted, refused (association rejected or status not 0), unreachable, aborted, timeout."""

    outcome: str
    status: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class StoreResult:
    """What became of one file.

    ``outcome``: accepted (0x0000), warning (Bxxx: kept), refused (a failure status, or the association was
    rejected), unreachable, aborted, timeout, no_context (the peer takes no such class and syntax),
    not_convertible (it takes the class, not the syntax, and what it takes cannot be made of the file: why, in
    ``detail``) or unreadable (not a Part 10 file with its identifying meta). ``detail`` has no patient data.
    ``sent_as``: the transfer syntax of the copy that left instead of the file's own.
    """

    path: Path
    outcome: str
    status: int | None = None
    sop_instance_uid: str = ""
    detail: str = ""
    sent_as: str = ""


class Transcoder(Protocol):
    """Makes the copy for a peer that does not take a file's own syntax. Raises TranscodeFailed."""

    def transcode(self, source: Path, target: Path, transfer_syntax_uid: str) -> None: ...


@dataclass(frozen=True)
class _File:
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    def contexts(self, transcoder: Transcoder | None) -> list[tuple[str, str]]:
        """In what it may leave: class and syntax, best first."""
        syntaxes = syntaxes_to_offer(self.transfer_syntax_uid) if transcoder else (self.transfer_syntax_uid,)
        return [(self.sop_class_uid, syntax) for syntax in syntaxes]


def echo(host: str, port: int, *, called_ae: str, calling_ae: str, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> EchoResult:
    """C-ECHO: whether the peer is there and knows us."""
    association, failure = associate(host, port, called_ae, calling_ae, [build_context(Verification)], timeouts)
    if association is None:
        return EchoResult(failure[0], detail=failure[1])
    try:
        status = association.send_c_echo().get("Status")
    except (RuntimeError, ValueError) as error:
        status = None
        if not association.accepted_contexts:
            return EchoResult("refused", detail=type(error).__name__)
    finally:
        outcome = end(association)
    if status is None:
        return EchoResult(outcome)
    return EchoResult("accepted" if status == 0 else "refused", int(status))


def store_files(
    paths: Iterable[Path],
    host: str,
    port: int,
    called_ae: str,
    calling_ae: str,
    *,
    progress: Callable[[StoreResult], None] | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    transcoder: Transcoder | None = None,
) -> list[StoreResult]:
    """Send files over as few associations as their presentation contexts allow; one result per file, in order.

    The data set leaves byte for byte as it lies in the file where the peer takes its syntax; else, with a
    ``transcoder``, as Explicit or Implicit VR Little Endian. Never raises for the peer's or a file's fault.
    ``progress`` hears every result as it is known.
    """
    results: dict[int, StoreResult] = {}
    readable: list[tuple[int, _File]] = []

    def note(index: int, result: StoreResult) -> None:
        results[index] = result
        if progress is not None:
            progress(result)

    for index, path in enumerate(paths):
        try:
            readable.append((index, read_meta(path)))
        except (OSError, Problem) as error:
            note(index, StoreResult(path, "unreadable", detail=getattr(error, "code", type(error).__name__)))
    for batch in _batches(readable, transcoder):
        for index, result in _send_batch(batch, host, port, called_ae, calling_ae, timeouts, transcoder):
            note(index, result)
    return [results[index] for index in sorted(results)]


def read_meta(path: Path) -> _File:
    """The identifying file meta. Raises OSError, Problem."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if head[128:132] != b"DICM":
        raise Problem("not_dicom")
    values = elements.walk(head, 132, elements.EXPLICIT_LITTLE, _META_TAGS, group=2).values
    uids = [values.get(tag, b"").rstrip(b"\0 ").decode("ascii", "replace") for tag in _META_TAGS]
    if not all(uids):
        raise Problem("malformed", {"part": "file meta"})
    return _File(path, *uids)


def _batches(
    files: Sequence[tuple[int, _File]], transcoder: Transcoder | None
) -> Iterator[list[tuple[int, _File]]]:
    """Files in order, cut where a batch would need more than 128 presentation contexts."""
    batch: list[tuple[int, _File]] = []
    contexts: set[tuple[str, str]] = set()
    for index, file in files:
        needed = file.contexts(transcoder)
        if len(contexts.union(needed)) > MAX_CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append((index, file))
        contexts.update(needed)
    if batch:
        yield batch


def _send_batch(
    batch: list[tuple[int, _File]], host: str, port: int, called_ae: str, calling_ae: str, timeouts: Timeouts,
    transcoder: Transcoder | None,
) -> Iterator[tuple[int, StoreResult]]:  # fmt: skip
    # One context per class and syntax: the peer can then not choose a syntax the file does not have.
    needed = dict.fromkeys(context for _, file in batch for context in file.contexts(transcoder))
    contexts = [build_context(UID(sop_class), [UID(syntax)]) for sop_class, syntax in needed]
    association, failure = associate(host, port, called_ae, calling_ae, contexts, timeouts)
    if association is None:
        for index, file in batch:
            yield index, StoreResult(file.path, failure[0], None, file.sop_instance_uid, failure[1])
        return
    broken = ""  # how the association ended, once it has
    try:
        for index, file in batch:
            result = _result(file, broken) if broken else _send_one(association, file, transcoder)
            if result.outcome in {"aborted", "timeout"}:
                broken = result.outcome
            yield index, result
    finally:
        end(association)


def _result(file: _File, outcome: str, status: int | None = None, detail: str = "") -> StoreResult:
    return StoreResult(file.path, outcome, status, file.sop_instance_uid, detail)


def _send_one(association: Association, file: _File, transcoder: Transcoder | None) -> StoreResult:
    accepted = {(str(cx.abstract_syntax), str(cx.transfer_syntax[0])) for cx in association.accepted_contexts}
    syntax = next((syntax for one, syntax in file.contexts(transcoder) if (one, syntax) in accepted), None)
    if syntax is None:
        return _result(file, "no_context")
    if transcoder is None or syntax == file.transfer_syntax_uid:
        return _send_path(association, file, file.path)
    try:
        with TemporaryDirectory(prefix="teleread-") as folder:
            copy = Path(folder) / "leaving.dcm"
            transcoder.transcode(file.path, copy, syntax)
            return replace(_send_path(association, file, copy), sent_as=syntax)
    except TranscodeFailed as failure:
        return _result(file, "not_convertible", detail=failure.code)
    except OSError as error:  # no room for the copy
        return _result(file, "not_convertible", detail=type(error).__name__)


def _send_path(association: Association, file: _File, path: Path) -> StoreResult:
    try:
        status = association.send_c_store(path).get("Status")
    except (RuntimeError, ValueError, TypeError, AttributeError, OSError) as error:  # TypeError: a UID of two values
        outcome = "unreadable" if association.is_established else "aborted"
        return _result(file, outcome, detail=type(error).__name__)
    if status is None:
        return _result(file, _lost_how(association))
    if status == 0:
        return _result(file, "accepted", 0)
    return _result(file, "warning" if status in WARNINGS else "refused", int(status))


def _lost_how(association: Association) -> str:
    """No response came: we gave up waiting and aborted ourselves, or the peer (or the line) went."""
    return "timeout" if association._sent_abort else "aborted"


def associate(
    host: str, port: int, called_ae: str, calling_ae: str, contexts: list[PresentationContext], timeouts: Timeouts,
    *, negotiation: Sequence[Any] = (), events: Sequence[Any] = (),
) -> tuple[Association | None, tuple[str, str]]:  # fmt: skip
    """(association, _) or (None, (outcome, detail)). ``negotiation``: role selection and the like."""
    ae = RequestorEntity(calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = timeouts.connect_s
    ae.acse_timeout = timeouts.negotiation_s
    ae.dimse_timeout = ae.network_timeout = timeouts.response_s
    met: list[Any] = []
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, met.append), *events]
    try:
        association = ae.associate(
            host,
            port,
            contexts,
            ae_title=called_ae,
            max_pdu=_MAX_PDU_BYTES,
            evt_handlers=handlers,
            ext_neg=list(negotiation) or None,
        )
    except (socket.gaierror, ValueError, TypeError) as error:
        return None, ("unreachable", type(error).__name__)
    if association.is_established:
        return association, ("", "")
    if association.is_rejected:
        answer: Any = association.acceptor.primitive
        return None, ("refused", f"{answer.result}/{answer.result_source}/{answer.diagnostic}")
    if not met:
        return None, ("unreachable", "")
    if association.acceptor.primitive is not None:  # accepted, but none of the contexts
        return None, ("no_context", "")
    return None, ("timeout" if association._sent_abort else "aborted", "")


def associate_to_report(
    abstract_syntax: str, host: str, port: int, called_ae: str, calling_ae: str, timeouts: Timeouts
) -> tuple[Association | None, tuple[str, str]]:
    """For event reports of one class: we are its SCP, although we call (PS3.7 D.3.3.4)."""
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = UID(abstract_syntax), False, True
    contexts = [build_context(abstract_syntax, [EXPLICIT, IMPLICIT])]
    return associate(host, port, called_ae, calling_ae, contexts, timeouts, negotiation=[role])


def end(association: Association) -> str:
    """Release if it still stands; returns how it had ended otherwise."""
    if association.is_established:
        association.release()
        return "aborted"
    return _lost_how(association)
