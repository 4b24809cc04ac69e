"""The power fails: every cut point of a small reception. ``make campaign`` does 300 instances."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaigns.power_cut import Recording, recorded, replay


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    with recorded(tmp_path_factory.mktemp("record"), seed=20260303, n_instances=15) as made:
        yield made


@pytest.mark.timeout(300)
def test_no_cut_loses_what_was_acknowledged(recording: Recording, tmp_path: Path) -> None:
    outcome = replay(recording, recording.operations(), tmp_path / "cut", 20260303, 60, print)
    print(outcome.line())
    assert outcome.problems == []
    assert (outcome.n_acknowledged, outcome.n_verified > 0, outcome.n_cuts > 80) == (15, True, True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", ["/objects", "teleread.sqlite3-wal"])
def test_a_product_that_did_not_sync_would_be_found_out(recording: Recording, tmp_path: Path, what: str) -> None:
    """The replay has teeth: without the syncs of the object's folder, or of the index, instances are lost."""
    done = (one for one in recording.operations() if not (one.act == "sync" and what in one.path))
    outcome = replay(recording, done, tmp_path / "cut", 1, 10_000, print)
    assert any("lost" in problem or "without" in problem for problem in outcome.problems)
