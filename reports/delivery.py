"""How a report version travels back to its originating site, on one channel. [domain]

research: reports.md section 5. "Sent" is not "delivered", "delivered" is not "read": only a named person
at the site closes the way (ACKED).
"""

from enum import StrEnum


class DeliveryState(StrEnum):
    QUEUED = "QUEUED"
    SENDING = "SENDING"
    ACCEPTED = "ACCEPTED"
    OPENED = "OPENED"
    ACKED = "ACKED"
    RETRY = "RETRY"
    DEAD = "DEAD"
    SUPERSEDED = "SUPERSEDED"  # a later report followed before it was sent: nobody has to act


class DeliveryMove(StrEnum):
    SEND = "send"
    ACCEPT = "accept"
    FAIL = "fail"  # will be tried again
    GIVE_UP = "give_up"  # tried for too long, or the peer says never
    RESEND = "resend"  # a person asks for it
    SUPERSEDE = "supersede"  # a preliminary report was overtaken on its way
    OPEN = "open"
    ACKNOWLEDGE = "acknowledge"


QUEUED, SENDING, ACCEPTED, OPENED, ACKED, RETRY, DEAD, SUPERSEDED = DeliveryState

TRANSITIONS: dict[tuple[DeliveryState, DeliveryMove], DeliveryState] = {
    (QUEUED, DeliveryMove.SEND): SENDING,
    (RETRY, DeliveryMove.SEND): SENDING,
    (SENDING, DeliveryMove.SEND): SENDING,  # the sender died between send and answer: send again, same SOP Instance UID
    (SENDING, DeliveryMove.ACCEPT): ACCEPTED,
    (SENDING, DeliveryMove.FAIL): RETRY,
    (SENDING, DeliveryMove.GIVE_UP): DEAD,
    (RETRY, DeliveryMove.RESEND): QUEUED,
    (DEAD, DeliveryMove.RESEND): QUEUED,
    (ACCEPTED, DeliveryMove.RESEND): QUEUED,
    (QUEUED, DeliveryMove.SUPERSEDE): SUPERSEDED,
    (RETRY, DeliveryMove.SUPERSEDE): SUPERSEDED,
    (DEAD, DeliveryMove.SUPERSEDE): SUPERSEDED,
    (SENDING, DeliveryMove.SUPERSEDE): SUPERSEDED,  # the sender died between send and answer
    (ACCEPTED, DeliveryMove.OPEN): OPENED,
    (OPENED, DeliveryMove.OPEN): OPENED,
    (ACKED, DeliveryMove.OPEN): ACKED,
    (ACCEPTED, DeliveryMove.ACKNOWLEDGE): ACKED,
    (OPENED, DeliveryMove.ACKNOWLEDGE): ACKED,
}

ARRIVED = (ACCEPTED, OPENED, ACKED)


class IllegalDeliveryMove(Exception):
    """The table has no such move; nothing was changed."""

    code = "delivery_illegal_move"

    def __init__(self, state: DeliveryState, move: DeliveryMove) -> None:
        super().__init__(f"{move} is not possible in {state}")
        self.params = {"state": state.value, "move": move.value}


def moved(state: DeliveryState | str, move: DeliveryMove) -> DeliveryState:
    """The state after ``move``; raises IllegalDeliveryMove where the table has no entry."""
    state = DeliveryState(state)
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise IllegalDeliveryMove(state, move) from None


def report_progress(channels: dict[str, str]) -> str:
    """final, delivered, opened or acknowledged, from the state of each channel.

    A report is back at its site when it stands in the portal and, where the site has a machine
    channel, that has accepted it too (research: reports.md section 6).
    """
    portal = DeliveryState(channels["portal"])
    machine = [DeliveryState(state) for channel, state in channels.items() if channel != "portal"]
    if portal is ACKED:
        return "acknowledged"
    if portal is OPENED:
        return "opened"
    return "delivered" if not machine or any(state in ARRIVED for state in machine) else "final"
