"""How a piece of reading work moves: a UPS, SCHEDULED to COMPLETED or CANCELED. [domain]

PS3.4 CC.1.1. Everything that affects the state of a workitem is in this file; an entry that is
absent from TRANSITIONS is the refusal. Nothing leads back: a release ends the workitem and a
successor takes its place.
"""

from enum import StrEnum


class WorkitemState(StrEnum):
    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class WorkitemStep(StrEnum):
    INTERPRETATION = "interpretation"
    VERIFICATION = "verification"
    ADDENDUM = "addendum"


class WorkitemMove(StrEnum):
    CLAIM = "claim"  # the performer takes it, under a Transaction UID
    REASSIGN = "reassign"  # before a claim: another scheduled performer
    COMPLETE = "complete"  # its product is signed
    RELEASE = "release"  # given back, handed over or taken over: a successor follows
    RETURN = "return"  # a reviewer sends the report back: a new interpretation follows
    RETAKE = "retake"  # the images do not do: the site takes them again, and new work follows them
    DISMISS = "dismiss"  # an addendum that nothing has to be written for
    WITHDRAW = "withdraw"  # the reason for the work has gone


S, P, D, X = WorkitemState.SCHEDULED, WorkitemState.IN_PROGRESS, WorkitemState.COMPLETED, WorkitemState.CANCELED

TRANSITIONS: dict[tuple[WorkitemState, WorkitemMove], WorkitemState] = {
    (S, WorkitemMove.CLAIM): P,
    (S, WorkitemMove.REASSIGN): S,
    (P, WorkitemMove.COMPLETE): D,
    (P, WorkitemMove.RELEASE): X,
    (P, WorkitemMove.RETURN): X,
    (P, WorkitemMove.RETAKE): X,
    (P, WorkitemMove.DISMISS): X,
    (P, WorkitemMove.WITHDRAW): X,
}


class IllegalMove(Exception):
    """The table has no such move; nothing was changed."""

    code = "workitem_illegal_move"

    def __init__(self, state: WorkitemState, move: WorkitemMove) -> None:
        super().__init__(f"{move} is not possible in {state}")
        self.params = {"state": state.value, "move": move.value}


def moved(state: WorkitemState | str, move: WorkitemMove) -> WorkitemState:
    """The state after ``move``; raises IllegalMove where the table has no entry."""
    state = WorkitemState(state)
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise IllegalMove(state, move) from None
