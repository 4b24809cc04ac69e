"""What becomes of a storage commitment transaction: one a peer asked of us, or one we asked of a peer. [domain]"""

from enum import StrEnum

ASKED, ASKING = "asked", "asking"  # direction: a peer asked us, we asked a peer
COMMITTED = 0  # instead of a Failure Reason: the object is kept


class CommitmentState(StrEnum):
    REQUESTED = "REQUESTED"
    CHECKED = "CHECKED"  # re-read; the peer does not know yet
    TOLD = "TOLD"  # the peer has acknowledged our result
    ANSWERED = "ANSWERED"  # the peer has told us its result
    DEAD = "DEAD"  # given up; a person can have it tried again


class CommitmentMove(StrEnum):
    CHECK = "check"
    TELL = "tell"
    ANSWER = "answer"
    GIVE_UP = "give_up"
    RESEND = "resend"


REQUESTED, CHECKED, TOLD, ANSWERED, DEAD = CommitmentState

TRANSITIONS: dict[tuple[CommitmentState, CommitmentMove], CommitmentState] = {
    (REQUESTED, CommitmentMove.CHECK): CHECKED,
    (CHECKED, CommitmentMove.CHECK): CHECKED,  # association and worker both came to it
    (CHECKED, CommitmentMove.TELL): TOLD,
    (TOLD, CommitmentMove.TELL): TOLD,
    (REQUESTED, CommitmentMove.ANSWER): ANSWERED,
    (ANSWERED, CommitmentMove.ANSWER): ANSWERED,  # told twice: the peer did not hear our acknowledgement
    (DEAD, CommitmentMove.ANSWER): ANSWERED,
    (REQUESTED, CommitmentMove.GIVE_UP): DEAD,
    (CHECKED, CommitmentMove.GIVE_UP): DEAD,
    (DEAD, CommitmentMove.RESEND): CHECKED,
}


class IllegalCommitmentMove(Exception):
    """The table has no such move; nothing was changed."""

    code = "illegal_commitment_move"

    def __init__(self, state: str, move: CommitmentMove) -> None:
        super().__init__(f"{state} has no {move}")
        self.params = {"state": state, "move": str(move)}


def moved(state: str, move: CommitmentMove) -> CommitmentState:
    """Raises IllegalCommitmentMove."""
    after = TRANSITIONS.get((CommitmentState(state), move))
    if after is None:
        raise IllegalCommitmentMove(state, move)
    return after
