"""Orthanc beside the product, both ways, by C-STORE and DICOMweb. ``make campaign`` does 10,000 instances."""

from pathlib import Path

import pytest

from tests.campaigns.orthanc_peer import run_orthanc_peer


@pytest.mark.timeout(300)
def test_orthanc_and_we_hold_the_same(tmp_path: Path) -> None:
    outcome = run_orthanc_peer(tmp_path, seed=20260306, n_instances=60, say=print)
    print(outcome.line())
    assert outcome.problems == []
    assert (outcome.n_to_orthanc, outcome.n_from_orthanc, outcome.n_dicomweb) == (30, 30, 10)
    assert outcome.n_compared == 40
