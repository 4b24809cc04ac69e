"""The power fails: every cut point of a small reception. ``make campaign`` does 300 instances."""

from pathlib import Path

import pytest

from tests.campaigns.power_cut import Operation, run_power_cuts


@pytest.mark.timeout(300)
def test_no_cut_loses_what_was_acknowledged(tmp_path: Path) -> None:
    outcome = run_power_cuts(tmp_path, seed=20260303, n_instances=20, verify_every=40, say=print)
    print(outcome.line())
    assert outcome.problems == []
    assert outcome.n_acknowledged == 20
    assert outcome.n_cuts > 100


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", ["objects", "teleread.sqlite3-wal"])
def test_a_product_that_did_not_sync_would_be_found_out(tmp_path: Path, what: str) -> None:
    """The replay has teeth: without the syncs of the object's folder, or of the index, instances are lost."""

    def forget(one: Operation) -> bool:
        return one.act == "sync" and what in one.path

    outcome = run_power_cuts(tmp_path, seed=1, n_instances=3, verify_every=10_000, say=print, forget=forget)
    assert any("lost" in problem or "without" in problem for problem in outcome.problems)
