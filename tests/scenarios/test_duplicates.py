"""Two senders, one instance, one moment. ``make campaign`` does 1,000 rounds."""

from pathlib import Path

import pytest

from tests.campaigns.duplicates import run_duplicates


@pytest.mark.timeout(300)
def test_an_instance_sent_twice_at_once_is_kept_once_and_a_conflict_is_seen(tmp_path: Path) -> None:
    outcome = run_duplicates(tmp_path, seed=20260305, n_rounds=40, say=print)
    print(outcome.line())
    assert outcome.problems == []
    assert outcome.n_acknowledged == 80
    assert outcome.n_conflicts > 0 < outcome.n_duplicates
