"""Event reports told to other application entities by associations of ours: UPS, and MPPS Notification. [adapter]

PS3.4 CC.2.4 and F.9; the information of an MPPS Notification is empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.uid import UID

from pacs_bridge.find_identifier import Spell
from pacs_bridge.performed_step import NOTIFICATION_SOP_CLASS
from pacs_bridge.scu import DEFAULT_TIMEOUTS, Timeouts, associate_to_report, end
from pacs_bridge.ups import EVENT, PUSH, Attributes
from pacs_bridge.ups_dataset import to_dataset

# The class that an event is negotiated by: the class that the instance is of.
_CLASS_OF_INSTANCE = {EVENT: PUSH, NOTIFICATION_SOP_CLASS: NOTIFICATION_SOP_CLASS}


@dataclass(frozen=True)
class Event:
    """One event report."""

    number: int
    sop_instance_uid: str
    event_type: int
    information: Attributes


def tell_events(
    events: Iterable[Event], host: str, port: int, *, called_ae: str, calling_ae: str, term: str, spell: Spell,
    abstract_syntax: str = EVENT, timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> tuple[list[int], str]:  # fmt: skip
    """N-EVENT-REPORTs in order on one association, we in the SCP role; (numbers that arrived, outcome).

    ``outcome``: accepted when all have; else how it ended. Any answer is an arrival: the peer has heard, and its
    refusal of one event says nothing of the next. Never raises for the peer.
    """
    association, failure = associate_to_report(abstract_syntax, host, port, called_ae, calling_ae, timeouts)
    if association is None:
        return [], failure[0]
    told: list[int] = []
    is_done = False
    try:
        for event in events:
            answer, _ = association.send_n_event_report(
                to_dataset(event.information, term, spell) if event.information else None, event.event_type,
                UID(_CLASS_OF_INSTANCE[abstract_syntax]), UID(event.sop_instance_uid),
                msg_id=event.number % 0xFFFF or 1, meta_uid=UID(abstract_syntax),
            )  # fmt: skip
            if answer.get("Status") is None:
                break
            told.append(event.number)
        else:
            is_done = True
    except (RuntimeError, ValueError):
        return told, "refused"
    finally:
        outcome = end(association)
    return told, "accepted" if is_done else outcome
