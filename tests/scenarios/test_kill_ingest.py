"""kill -9 at random moments: every acknowledged instance is there, byte for byte. ``make campaign`` does more of it."""

from pathlib import Path

import pytest

from tests.campaigns.kill_ingest import run_campaign


@pytest.mark.timeout(300)
def test_ten_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    outcome = run_campaign(tmp_path, seed=20260302, n_instances=200, n_kills=10, say=print)
    print(outcome.line())
    assert outcome.problems == []
    assert outcome.n_acknowledged + outcome.n_impatient == 200
    assert outcome.n_sent_again > 0  # the kills did hit something
