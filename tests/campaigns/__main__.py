"""``make campaign``: the full counts of what ``make test`` does in small; one line each into docs/benchmarks.md."""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import document
from tests.campaigns.kill_ingest import run_campaign


def main() -> int:
    """Run the campaign; 1 when any promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="repeats a plan; default: a new one")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--instances", type=int, default=2000)
    options = parser.parse_args()
    print(f"kill ingest: seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="teleread-campaign-") as folder:
        outcome = run_campaign(
            Path(folder), seed=options.seed, n_instances=options.instances, n_kills=options.kills,
            say=lambda text: print(text, flush=True),
        )  # fmt: skip
    print(outcome.line())
    for problem in outcome.problems:
        print(f"  {problem}")
    document.append_row(
        "campaigns", document.now(), document.commit(), document.machine(), "kill ingest", outcome.line()
    )
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
