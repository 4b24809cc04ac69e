"""Every code an image can be refused with has its sentence, and no sentence is left without a code."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("pacs_bridge/pixels.py", "pacs_bridge/codestream.py", "viewer/image_metadata.py", "viewer/derive.py",
           "viewer/derive_pool.py", "pacs_bridge/transcode.py")  # fmt: skip
CODE = (r'"((?:missing|invalid|unsupported)_[a-z_]+|truncated|size_mismatch|undecodable|unreadable|too_large|'
        r'decoder_crashed|time_out)"')  # fmt: skip


def test_codes_and_sentences_are_the_same_set() -> None:
    text = "".join((ROOT / source).read_text("utf-8") for source in SOURCES)
    sizes = {f"{kind}_{name}" for kind in ("missing", "invalid") for name in ("rows", "columns")}
    catalog = json.loads((ROOT / "worklist/locale/image.json").read_text("utf-8"))
    assert {f"image.{code}" for code in {*re.findall(CODE, text), *sizes}} == set(catalog)
