"""Header lines against DCMTK's dcmdump; hostile files never raise."""

import re
from pathlib import Path

import pytest

from pacs_bridge.header_dump import MOST_CHARACTERS, MOST_ELEMENTS, header_elements
from tests.peers.data import shared_data
from tests.peers.dcmtk import run


def test_tags_and_types_are_dcmdumps() -> None:
    """Top level and nested tags in the order of the file; everything but the pixels."""
    path = shared_data("dicom", "ct", "CT_small.dcm")
    dump = run("dcmdump", "-q", "+L", "-Un", str(path)).stdout
    wanted = [
        (f"({group.upper()},{element.upper()})", vr)
        for group, element, vr in re.findall(r"^ *\((\w{4}),(\w{4})\) (\w\w)", dump, re.M)
        if group != "fffe" and (group, element) != ("7fe0", "0010")
    ]  # fmt: skip
    before_pixels = [pair for pair in wanted if pair[0] < "(7FE0" and pair[0] != "(0002,0000)"]
    found = [line["tag"].rsplit(".", 1)[-1] for line in header_elements(path) if line["tag"] != "(0002,0000)"]
    assert found == [tag for tag, _ in before_pixels]
    known = {line["tag"]: line for line in header_elements(path)}
    assert known["(0010,0010)"] == {
        "tag": "(0010,0010)", "keyword": "PatientName", "vr": "PN", "value": "CompressedSamples^CT1",
    }  # fmt: skip
    assert not any(tag.startswith("(7FE0") for tag in known)


def test_items_follow_their_sequence() -> None:
    lines = header_elements(shared_data("dicom", "nonimage", "waveform_ecg.dcm"))
    tags = [line["tag"] for line in lines]
    sequence = tags.index("(5400,0100)")
    assert tags[sequence + 1].startswith("(5400,0100)[1].")
    assert all(len(line["value"]) <= MOST_CHARACTERS for line in lines)


def hostile() -> list[Path]:
    folder = Path(__file__).parents[2].parent / "shared" / "data" / "dicom" / "malformed"
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []


def test_hostile_files_give_what_can_be_read() -> None:
    shared_data("dicom", "malformed")
    counts = []
    for path in hostile():
        lines = header_elements(path)
        assert len(lines) <= MOST_ELEMENTS
        assert all(set(line) == {"tag", "keyword", "vr", "value"} for line in lines)
        assert all(len(line["value"]) <= MOST_CHARACTERS and line["value"].isprintable() for line in lines), path.name
        counts.append(len(lines))
    assert sum(count > 5 for count in counts) > len(counts) / 2


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 128 + b"DICM", bytes(range(256)) * 40])
def test_what_is_not_dicom_has_no_header(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert header_elements(path) == []


def test_a_file_that_is_gone_has_no_header(tmp_path: Path) -> None:
    assert header_elements(tmp_path / "gone") == []
