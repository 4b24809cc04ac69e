"""Which sections a report has, what stands in them when all is normal, and the phrases offered. [domain]

The templates are data: one file each in ``templates_data``. Text with an ideographic space has a gap to
fill. A phrase is found by the initials of its name's pinyin (``jdjgmd`` 基底节高密度).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA_DIR = Path(__file__).parent / "templates_data"
GENERIC = "generic"
ECG = "ecg-12lead"


@dataclass(frozen=True)
class Phrase:
    """A ready sentence; ``initials`` are ASCII, lower case."""

    initials: str
    name: str
    text: str


@dataclass(frozen=True)
class TemplateSection:
    """A part of the report; ``required`` ones are not signed empty. ``normal`` is what F2 fills in."""

    code: str
    label_zh: str
    label_en: str
    required: bool
    normal: str
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class ReportTemplate:
    """A template; ``modalities`` and ``body_parts`` say which studies it is offered for first."""

    code: str
    title_zh: str
    title_en: str
    modalities: frozenset[str]
    body_parts: frozenset[str]
    sections: tuple[TemplateSection, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready: ``{code, title: {zh, en}, sections: [{code, label: {zh, en}, required, normal, phrases}]}``."""
        sections = [
            {
                "code": section.code,
                "label": {"zh": section.label_zh, "en": section.label_en},
                "required": section.required,
                "normal": section.normal,
                "phrases": [{"initials": p.initials, "name": p.name, "text": p.text} for p in section.phrases],
            }
            for section in self.sections
        ]
        return {"code": self.code, "title": {"zh": self.title_zh, "en": self.title_en}, "sections": sections}


def _section(data: Mapping[str, Any]) -> TemplateSection:
    phrases = tuple(Phrase(**phrase) for phrase in data["phrases"])
    label = data["label"]
    return TemplateSection(data["code"], label["zh"], label["en"], data["required"], data["normal"], phrases)


def _template(data: Mapping[str, Any]) -> ReportTemplate:
    return ReportTemplate(
        code=data["code"],
        title_zh=data["title"]["zh"],
        title_en=data["title"]["en"],
        modalities=frozenset(data["modalities"]),
        body_parts=frozenset(data["body_parts"]),
        sections=tuple(_section(section) for section in data["sections"]),
    )


_ORDER = ("dr-chest", "ct-head", "ct-chest", ECG, GENERIC)
TEMPLATES: Mapping[str, ReportTemplate] = {
    code: _template(json.loads((DATA_DIR / f"{code}.json").read_text("utf-8"))) for code in _ORDER
}


def template_for(modality: str, body_part: str) -> ReportTemplate:
    """The first template of this modality and body part, else the generic one; an ECG needs no body part.

    ``body_part`` is Body Part Examined (0018,0015), CHEST or HEAD, or the words of a request, 头颅 or 胸部.
    """
    for template in TEMPLATES.values():
        if modality.upper() in template.modalities and (template.code == ECG or _matches(template, body_part)):
            return template
    return TEMPLATES[GENERIC]


def _matches(template: ReportTemplate, body_part: str) -> bool:
    """Latin words match whole (CHEST, not CHESTNUT), Han characters anywhere in the text."""
    words = set(re.findall(r"[A-Z]+", body_part.upper()))
    han = [part for part in template.body_parts if not part.isascii()]
    return not words.isdisjoint(template.body_parts) or any(part in body_part for part in han)
