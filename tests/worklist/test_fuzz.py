"""Five thousand malformed cases against a real listener process; every malformed file has a reason for the admin."""

import random
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_bridge.elements import inflate
from pacs_bridge.extract import extract
from pacs_bridge.header_dump import header_elements
from pacs_bridge.records import Problem
from tests.campaigns.fuzz import run_fuzz
from tests.peers import fuzzing
from tests.peers.data import shared_data
from worklist.base.i18n import translate


def test_a_listener_survives_what_nobody_should_send(tmp_path: Path) -> None:
    outcome = run_fuzz(tmp_path, seed=20, n_cases=900)
    assert outcome.problems == []
    assert outcome.n_cases >= 900
    assert outcome.slowest_echo_s < 2


def test_a_file_gives_a_record_or_a_reason(tmp_path: Path) -> None:
    assert list(fuzzing.extract_cases(20, 4000)) == []


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2000))
def test_any_bytes_in_the_place_of_elements(data: bytes, cut: int) -> None:
    """What hypothesis finds it makes small."""
    whole = fuzzing.corpus("file")[1]
    for case in (whole[:cut] + data, whole[:cut] + data + whole[cut:]):
        try:
            extract(case, fallback_character_set="GB18030", zone=UTC)
        except Problem as problem:
            assert problem.code
    try:
        inflate(data, 0)
    except Problem as problem:
        assert problem.code in ("truncated", "malformed", "deflate_ratio")


def test_headers_of_broken_files_are_shown_as_far_as_they_go(tmp_path: Path) -> None:
    rng, seeds = random.Random(20), fuzzing.corpus("file")
    for _ in range(300):
        (tmp_path / "case").write_bytes(fuzzing.mutated(rng, seeds))
        assert isinstance(header_elements(tmp_path / "case"), list)


def malformed() -> list[Path]:
    root = shared_data("dicom", "malformed")
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_every_malformed_file_is_filed_or_has_a_reason_that_can_be_acted_on() -> None:
    """A sentence in both languages for whatever refuses one, with all its parameters filled in."""
    refused = 0
    for path in malformed():
        try:
            extract(path, fallback_character_set="GB18030", zone=UTC)
        except Problem as problem:
            refused += 1
            for language in ("zh", "en"):
                sentence = translate(f"quarantine.{problem.code}", language, **problem.params)
                assert sentence != f"quarantine.{problem.code}", (path.name, problem.code)
                assert "{" not in sentence
    assert refused > 20


@pytest.mark.parametrize("kind", ["dataset", "file"])
def test_the_corpus_is_there_and_names_nobody(kind: str) -> None:
    seeds = fuzzing.corpus(kind)
    assert len(seeds) >= 7
    assert all(len(seed) < 4096 for seed in seeds)
