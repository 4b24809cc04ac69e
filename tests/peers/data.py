"""Where the shared real data lies, beside the checkout; absent data skips loudly, or fails under CI."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """A path below ``../shared/data``. Skips the test when it is absent; with CI=true that is a failure."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        message = f"test data absent: ../shared/data/{'/'.join(parts)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
