"""A full disk and a read-only one, under the whole product. ``make campaign`` does more rounds."""

from pathlib import Path

import pytest

from tests.campaigns.bad_disk import run_bad_disk


@pytest.mark.timeout(300)
def test_a_full_or_read_only_disk_refuses_and_recovers(tmp_path: Path) -> None:
    outcome = run_bad_disk(tmp_path, seed=20260304, n_rounds=3, say=print)
    print(outcome.line())
    assert outcome.problems == []
    assert outcome.n_refused > 0 < outcome.n_http_507
    assert outcome.n_read_only_refused == 4
    assert outcome.n_accepted == 22
