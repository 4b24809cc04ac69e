"""Our queries and retrieves at other application entities: C-FIND, C-MOVE, C-GET as plain records. [adapter]"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import build_context

from pacs_bridge.retrieval import EXPLICIT, IMPLICIT, LEVELS
from pacs_bridge.scu import DEFAULT_TIMEOUTS, MAX_CONTEXTS, Timeouts, associate, end
from pacs_bridge.spool import part10_preamble

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PENDING = (0xFF00, 0xFF01)
_UNSAFE = re.compile(r"[^0-9A-Za-z.\-]")
# What a line about a study is made of, by level; asked for besides the keys.
RETURN_KEYS = {
    "PATIENT": ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    "STUDY": (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
        "ModalitiesInStudy", "StudyDescription", "StudyInstanceUID", "NumberOfStudyRelatedInstances",
    ),
    "SERIES": ("Modality", "SeriesNumber", "SeriesDescription", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances"),
    "IMAGE": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}  # fmt: skip


class PeerFailure(Exception):
    """A peer did not answer to the end. ``outcome`` as of an ``EchoResult``; ``status`` where it gave one."""

    def __init__(self, outcome: str, status: int | None = None, detail: str = "") -> None:
        super().__init__(outcome)
        self.outcome, self.status, self.detail = outcome, status, detail


@dataclass(frozen=True)
class Target:
    """Whom we call, as whom, and how patient we are."""

    host: str
    port: int
    called_ae: str
    calling_ae: str
    timeouts: Timeouts = DEFAULT_TIMEOUTS


@dataclass(frozen=True)
class RetrieveResult:
    """How a C-MOVE or C-GET ended. ``outcome``: accepted, warning (some failed), refused, or why nothing came."""

    outcome: str
    status: int | None = None
    completed: int = 0
    failed: int = 0
    failed_uids: tuple[str, ...] = ()
    paths: tuple[Path, ...] = field(default=())


def check_keys(keys: Mapping[str, str]) -> str | None:
    """The first name that is no DICOM keyword; None: all are."""
    return next((name for name in keys if tag_for_keyword(name) is None), None)


def find(target: Target, level: str, keys: Mapping[str, str], *, most: int = 0) -> Iterator[dict[str, str]]:
    """Matches of a study root query (patient root at PATIENT), keyword to text, as they come; at most ``most``.

    Several values are joined by a backslash. Leaving early cancels. Raises PeerFailure.
    """
    model = PATIENT_ROOT_FIND if level == "PATIENT" else STUDY_ROOT_FIND
    wanted = dict.fromkeys(RETURN_KEYS[level], "") | dict(keys)
    association = _associated(target, [build_context(model, [EXPLICIT, IMPLICIT])])
    n_found, message_id = 0, 1  # one request on this association
    try:
        for status, identifier in association.send_c_find(_identifier(level, wanted), UID(model), message_id):
            _check(association, status)
            if status.Status in PENDING and identifier is not None:
                if most and n_found == most:
                    association.send_c_cancel(message_id, query_model=UID(model))
                    return
                n_found += 1
                yield _record(identifier)
    except (RuntimeError, ValueError) as error:
        raise PeerFailure("refused", detail=type(error).__name__) from error
    finally:
        end(association)


def move(target: Target, level: str, keys: Mapping[str, str], destination: str) -> RetrieveResult:
    """C-MOVE, study root, to the application entity ``destination``. Raises PeerFailure."""
    association = _associated(target, [build_context(STUDY_ROOT_MOVE, [EXPLICIT, IMPLICIT])])
    try:
        answers = association.send_c_move(_identifier(level, keys), destination, UID(STUDY_ROOT_MOVE))
        return _ended(association, answers, ())
    except (RuntimeError, ValueError) as error:
        raise PeerFailure("refused", detail=type(error).__name__) from error
    finally:
        end(association)


def get(
    target: Target, level: str, keys: Mapping[str, str], folder: Path,
    sop_classes: Sequence[tuple[str, Sequence[str]]],
) -> RetrieveResult:  # fmt: skip
    """C-GET, study root: each object becomes a file in ``folder``. Raises PeerFailure.

    ``sop_classes``: (class, transfer syntaxes) that we take, at most 127.
    """
    paths: list[Path] = []

    def keep(event: Any) -> int:
        request = event.request
        name = _UNSAFE.sub("_", str(request.AffectedSOPInstanceUID))[:64]
        path = folder / f"{name}.dcm"
        syntax = str(event.context.transfer_syntax)
        head = part10_preamble(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), syntax,
                               target.called_ae)  # fmt: skip
        try:
            with path.open("wb") as stream:
                stream.write(head)
                stream.write(request.DataSet.getbuffer())
        except OSError:
            return 0xA700
        paths.append(path)
        return 0x0000

    contexts = [build_context(STUDY_ROOT_GET, [EXPLICIT, IMPLICIT])]
    contexts += [build_context(UID(uid), [UID(one) for one in syntaxes]) for uid, syntaxes in sop_classes]
    association = _associated(
        target, contexts[:MAX_CONTEXTS], [_scp_role(uid) for uid, _ in sop_classes], [(evt.EVT_C_STORE, keep)]
    )
    try:
        answers = association.send_c_get(_identifier(level, keys), UID(STUDY_ROOT_GET))
        return _ended(association, answers, paths)
    except (RuntimeError, ValueError) as error:
        raise PeerFailure("refused", detail=type(error).__name__) from error
    finally:
        end(association)


def _scp_role(sop_class_uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = UID(sop_class_uid), False, True
    return role


def _associated(
    target: Target, contexts: list[Any], negotiation: Sequence[Any] = (), events: Sequence[Any] = ()
) -> Association:
    association, failure = associate(
        target.host, target.port, target.called_ae, target.calling_ae, contexts, target.timeouts,
        negotiation=negotiation, events=events,
    )  # fmt: skip
    if association is None:
        raise PeerFailure(failure[0], detail=failure[1])
    return association


def _check(association: Association, status: Dataset) -> None:
    """Raises PeerFailure unless the answer is pending, success or cancelled."""
    if "Status" not in status:
        raise PeerFailure("timeout" if association._sent_abort else "aborted")
    if status.Status not in (*PENDING, 0x0000, 0xFE00):
        raise PeerFailure("refused", int(status.Status))


def _ended(association: Association, answers: Any, paths: Sequence[Path]) -> RetrieveResult:
    result = RetrieveResult("aborted")
    for status, identifier in answers:
        if "Status" not in status:
            raise PeerFailure("timeout" if association._sent_abort else "aborted")
        code = int(status.Status)
        if code in PENDING:
            continue
        uids = identifier.get("FailedSOPInstanceUIDList") if identifier is not None else None
        failed_uids = () if not uids else (str(uids),) if isinstance(uids, str) else tuple(map(str, uids))
        completed = int(status.get("NumberOfCompletedSuboperations") or len(paths))
        completed += int(status.get("NumberOfWarningSuboperations") or 0)
        failed = int(status.get("NumberOfFailedSuboperations") or 0)
        outcome = "accepted" if code == 0 else "warning" if code == 0xB000 else "refused"
        result = RetrieveResult(outcome, code, completed, failed, failed_uids, tuple(paths))
    return result


def _identifier(level: str, keys: Mapping[str, str]) -> Dataset:
    identifier = Dataset()
    identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise ValueError(keyword)
        vr = dictionary_VR(tag).partition(" ")[0]
        identifier.add_new(tag, vr, Items() if vr == "SQ" else value.split("\\") if "\\" in value else value)
    return identifier


def _record(identifier: Dataset) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in identifier:
        keyword = element.keyword or keyword_for_tag(element.tag)
        if not keyword or keyword in ("SpecificCharacterSet", "QueryRetrieveLevel") or element.VR == "SQ":
            continue
        value = element.value
        many = value if isinstance(value, list) or hasattr(value, "append") else [value]
        found[keyword] = "\\".join("" if one is None else str(one) for one in many)
    return found


__all__ = [
    "LEVELS", "PeerFailure", "RetrieveResult", "Target", "check_keys", "find", "get", "move",
]  # fmt: skip
