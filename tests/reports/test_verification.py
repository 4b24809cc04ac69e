"""The public check of a printed report: it verifies the document it speaks of, and says little."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reports.verification import VerifyDesk, is_intact
from tests.peers.township import Township

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def desk(county: Township) -> VerifyDesk:
    return VerifyDesk(county.roof.db, partial(is_intact, county.roof.blobs.path, county.roof.keys_dir / "ca.crt"))


def look_up(desk: VerifyDesk, county: Township, code: str, source: str = "10.0.0.1") -> tuple[str, Any]:
    return desk.look_up(code, source, county.clock(), ZONE, "zh")


def test_a_valid_report_shows_a_masked_name_and_its_signer(county: Township, desk: VerifyDesk, tmp_path: Path) -> None:
    _, _, report = county.signed_study(tmp_path)
    code = report.verify_code or ""
    printed = "-".join(code[at : at + 4] for at in range(0, len(code), 4)).lower()
    outcome, shown = look_up(desk, county, printed)
    assert (outcome, shown["masked_name"], shown["sha256"]) == ("valid", "韩**", report.pdf_sha256)
    assert [row["name"] for row in shown["signatures"]] == ["陈知远"]
    assert "秀芝" not in str(shown) and "QS-0042817" not in str(shown) and "双肺" not in str(shown)


def test_an_altered_document_is_said_to_be_invalid(county: Township, desk: VerifyDesk, tmp_path: Path) -> None:
    _, _, report = county.signed_study(tmp_path)
    path = county.roof.blobs.path(report.pdf_key or "")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    assert look_up(desk, county, report.verify_code or "")[0] == "invalid"
    path.unlink()
    assert look_up(desk, county, report.verify_code or "")[0] == "invalid"


def test_codes_cannot_be_searched(county: Township, desk: VerifyDesk) -> None:
    tries = [look_up(desk, county, "A" * 26)[0] for _ in range(11)]
    assert tries == ["unknown"] * 10 + ["too_many"]
    assert look_up(desk, county, "A" * 26, "10.0.0.2")[0] == "unknown"
    county.clock.forward(timedelta(seconds=61).total_seconds())
    assert look_up(desk, county, "A" * 26)[0] == "unknown"
