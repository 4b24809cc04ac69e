"""``make campaign``: the full counts of what ``make test`` does in small; one line each into docs/benchmarks.md."""

import argparse
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import document
from tests.campaigns.bad_disk import run_bad_disk
from tests.campaigns.duplicates import run_duplicates
from tests.campaigns.fuzz import run_fuzz
from tests.campaigns.kill_ingest import run_campaign
from tests.campaigns.orthanc_peer import run_orthanc_peer
from tests.campaigns.power_cut import run_power_cuts

# name -> what runs it, and its full counts
CAMPAIGNS: dict[str, tuple[Callable[..., Any], dict[str, int]]] = {
    "kill ingest": (run_campaign, {"n_instances": 2000, "n_kills": 100}),
    "power cut": (run_power_cuts, {"n_instances": 300, "verify_every": 40}),
    "bad disk": (run_bad_disk, {"n_rounds": 30}),
    "duplicates": (run_duplicates, {"n_rounds": 1000}),
    "fuzz": (run_fuzz, {"n_cases": 120_000, "rounds": 20}),
    "Orthanc as peer": (run_orthanc_peer, {"n_instances": 10_000}),
}


def main() -> int:
    """Run the campaigns; 1 when any promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)}; default: all")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="repeats a plan; default: a new one")
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts, e.g. 0.1")
    options = parser.parse_args()
    if unknown := set(options.names) - CAMPAIGNS.keys():
        parser.error(f"unknown: {', '.join(unknown)}")
    n_problems = sum(_run(name, options.seed, options.share) for name in options.names or CAMPAIGNS)
    return 1 if n_problems else 0


def _run(name: str, seed: int, share: float) -> int:
    """Run one and write its line; how many promises it saw broken."""
    act, counts = CAMPAIGNS[name]
    counts = {what: count if what in ("verify_every", "rounds") else max(1, int(count * share)) for what, count in counts.items()}
    print(f"{name}: seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="teleread-campaign-") as folder:
        outcome = act(Path(folder), seed=seed, say=lambda text: print(text, flush=True), **counts)
    print(outcome.line())
    for problem in outcome.problems:
        print(f"  {problem}")
    document.append_row("campaigns", document.now(), document.commit(), document.machine(), name, outcome.line())
    return len(outcome.problems)


if __name__ == "__main__":
    sys.exit(main())
