"""The UPS state machine: every entry, and the refusal of every other."""

import itertools

import pytest

from worklist.workitem import TRANSITIONS, IllegalMove, WorkitemMove, WorkitemState, moved

# PS3.4 Table CC.1.1-2: the only ways between states; nothing leads out of a final state.
UPS = {
    ("SCHEDULED", "IN PROGRESS"), ("SCHEDULED", "SCHEDULED"), ("IN PROGRESS", "COMPLETED"), ("IN PROGRESS", "CANCELED"),
}  # fmt: skip


@pytest.mark.parametrize(("state", "move"), list(itertools.product(WorkitemState, WorkitemMove)))
def test_every_pair_is_in_the_table_or_refused(state: WorkitemState, move: WorkitemMove) -> None:
    if (state, move) in TRANSITIONS:
        assert (state.value, moved(state, move).value) in UPS
    else:
        with pytest.raises(IllegalMove) as refused:
            moved(state, move)
        assert refused.value.params == {"state": state.value, "move": move.value}


def test_nothing_leads_out_of_a_final_state() -> None:
    assert not [entry for entry in TRANSITIONS if entry[0] in (WorkitemState.COMPLETED, WorkitemState.CANCELED)]
