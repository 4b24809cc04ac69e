"""Templates: chosen by study, complete, and their phrases found by the initials pypinyin gives."""

import json

import pytest
from pypinyin import Style, lazy_pinyin

from reports.report_template import TEMPLATES, template_for
from reports.text import clean


@pytest.mark.parametrize(
    ("modality", "body_part", "code"),
    [
        ("DX", "CHEST", "dr-chest"),
        ("CR", "胸部正位", "dr-chest"),
        ("DR", "RIB", "dr-chest"),
        ("DX", "HAND", "generic"),
        ("CT", "HEAD", "ct-head"),
        ("CT", "颅脑", "ct-head"),
        ("CT", "CHEST_TO_ABDOMEN", "ct-chest"),
        ("CT", "", "generic"),
        ("ECG", "", "ecg-12lead"),
        ("US", "CHEST", "generic"),
        ("", "", "generic"),
    ],
)
def test_chosen_by_modality_and_body_part(modality: str, body_part: str, code: str) -> None:
    assert template_for(modality, body_part).code == code


@pytest.mark.parametrize("code", ["dr-chest", "ct-head", "ct-chest", "ecg-12lead", "generic"])
def test_each_is_whole(code: str) -> None:
    template = TEMPLATES[code]
    assert [section.code for section in template.sections] == ["findings", "impression"]
    labels = [section.label_zh for section in template.sections]
    assert labels == ["心电图所见" if code == "ecg-12lead" else "影像所见", "诊断意见"]
    for section in template.sections:
        assert section.required and section.normal == clean(section.normal) != ""
        assert section.phrases
        for phrase in section.phrases:
            letters = lazy_pinyin(phrase.name, style=Style.FIRST_LETTER)
            spoken = "".join(c for part in letters for c in part.lower() if c.isascii() and c.isalnum())
            assert phrase.initials == spoken
    assert json.loads(json.dumps(template.as_json()))["code"] == code
