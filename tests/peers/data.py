"""Where the shared real data lies, beside the checkout; see `lacking` where it is absent."""

from pathlib import Path

from tests.peers.lacking import lacking

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """A path below ``../shared/data``. `lacking` where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        lacking(f"test data absent: ../shared/data/{'/'.join(parts)}")
    return path
