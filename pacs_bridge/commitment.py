"""Storage Commitment Push Model as values (PS3.4 Annex J): a request, its result, the reasons of failure. [domain]"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

SOP_CLASS = "1.2.840.10008.1.20.1"
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_ACTION = 1  # J.3.2.1
ALL_COMMITTED, FAILURES_EXIST = 1, 2  # event types, J.3.3.1
# Failure Reason (0008,1197), PS3.3 C.14.1.1.
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119
DUPLICATE_TRANSACTION = 0x0131


class BadCommitment(ValueError):
    """A request or result without its transaction or without references."""


@dataclass(frozen=True)
class Reference:
    """One object named by class and instance."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class CommitmentRequest:
    """What one side wants the other to keep safe."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class CommitmentResult:
    """What is kept, and what is not with its reason."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: Mapping[Reference, int] = field(default_factory=dict)

    @property
    def event_type(self) -> int:
        return FAILURES_EXIST if self.failed else ALL_COMMITTED


def read_request(information: Dataset) -> CommitmentRequest:
    """The action information of an N-ACTION. Raises BadCommitment."""
    references = tuple(dict.fromkeys(_references(information, "ReferencedSOPSequence")))
    if not references:
        raise BadCommitment("ReferencedSOPSequence")
    return CommitmentRequest(_transaction(information), references)


def write_request(request: CommitmentRequest) -> Dataset:
    """The action information of an N-ACTION."""
    information = Dataset()
    information.TransactionUID = request.transaction_uid
    information.ReferencedSOPSequence = Items([_item(one) for one in request.references])
    return information


def read_result(information: Dataset) -> CommitmentResult:
    """The event information of an N-EVENT-REPORT. Raises BadCommitment."""
    failed: dict[Reference, int] = {}
    for item in _items(information, "FailedSOPSequence"):
        failed[_reference(item)] = int(item.get("FailureReason") or PROCESSING_FAILURE)
    committed = tuple(dict.fromkeys(_references(information, "ReferencedSOPSequence")))
    return CommitmentResult(_transaction(information), committed, failed)


def write_result(result: CommitmentResult, ae_title: str) -> Dataset:
    """The event information of an N-EVENT-REPORT; ``ae_title`` says where to retrieve from."""
    information = Dataset()
    information.TransactionUID = result.transaction_uid
    if result.committed:
        information.RetrieveAETitle = ae_title
        information.ReferencedSOPSequence = Items([_item(one) for one in result.committed])
    if result.failed:
        failed = Items()
        for one, reason in result.failed.items():
            item = _item(one)
            item.FailureReason = reason
            failed.append(item)
        information.FailedSOPSequence = failed
    return information


def _transaction(information: Dataset) -> str:
    uid = str(information.get("TransactionUID") or "").strip()
    if not uid or len(uid) > 64:
        raise BadCommitment("TransactionUID")
    return uid


def _items(information: Dataset, keyword: str) -> Sequence[Any]:
    found = information.get(keyword)
    return found if isinstance(found, Items) else ()


def _references(information: Dataset, keyword: str) -> list[Reference]:
    return [_reference(item) for item in _items(information, keyword)]


def _reference(item: Dataset) -> Reference:
    sop_class = str(item.get("ReferencedSOPClassUID") or "").strip()
    instance = str(item.get("ReferencedSOPInstanceUID") or "").strip()
    if not sop_class or not instance or max(len(sop_class), len(instance)) > 64:
        raise BadCommitment("ReferencedSOPSequence")
    return Reference(sop_class, instance)


def _item(one: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class_uid, one.sop_instance_uid
    return item
