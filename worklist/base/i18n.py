"""Sentences by code, in zh-CN and English side by side. [store]

Each file ``worklist/locale/<area>.json`` holds ``{"area.key": {"zh": "…", "en": "…"}}``: one entry has
both languages, so neither can be forgotten. Placeholders are ``{name}``.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("zh", "en")
LOCALE_DIR = Path(__file__).parents[1] / "locale"


@cache
def catalog() -> Mapping[str, Mapping[str, str]]:
    """All entries of all areas. Raises ValueError where a key stands twice or a language is missing."""
    entries: dict[str, Mapping[str, str]] = {}
    for path in sorted(LOCALE_DIR.glob("*.json")):
        for key, sentence in json.loads(path.read_text("utf-8")).items():
            if key in entries or set(sentence) != set(LANGUAGES):
                raise ValueError(f"{path.name}: {key} stands twice or lacks a language")
            entries[key] = sentence
    return entries


def language_of(tag: str | None) -> str:
    """``zh`` or ``en`` for any language tag (``zh_CN``, ``en-US,en;q=0.9``); zh is the first language."""
    return "en" if (tag or "").strip().lower().startswith("en") else "zh"


def translate(key: str, language: str, /, **values: object) -> str:
    """The sentence for ``key``; raises KeyError for a key no catalog has."""
    sentence = catalog()[key][language]
    return sentence.format(**values) if values else sentence
