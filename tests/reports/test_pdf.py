"""Paper as others see it: poppler, qpdf, zbar. Scale in pixels, text by pdftotext, fonts by pdffonts."""

import random
import re
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecg.draw import svg
from ecg.formats import dicom
from ecg.layout import sheet
from reports.paper import KeyImage, Section
from reports.pdf import PdfError, age_text, render
from tests.peers.data import shared_data
from tests.reports.paper import FINDINGS, IMPRESSION, document, jpeg, key_images, run

LONG = (FINDINGS * 400)[:20_000]


def text_of(pdf: bytes, folder: Path) -> str:
    path = folder / "report.pdf"
    path.write_bytes(pdf)
    return run("pdftotext", "-raw", str(path), "-").replace("\u200b", "")


def joined(text: str) -> str:
    return re.sub(r"\s+", "", text)


def page_count(pdf: bytes, folder: Path) -> int:
    path = folder / "count.pdf"
    path.write_bytes(pdf)
    return int(re.search(r"Pages:\s+(\d+)", run("pdfinfo", str(path)))[1])  # type: ignore[index]


def pixels(pdf: bytes, folder: Path, dpi: int, page: int = 1) -> np.ndarray:
    path = folder / "pixels.pdf"
    path.write_bytes(pdf)
    span = ("-f", str(page), "-l", str(page), "-singlefile")
    run("pdftoppm", "-r", str(dpi), *span, "-gray", str(path), str(folder / "pixels"))
    with Image.open(folder / "pixels.pgm") as image:
        return np.asarray(image)


def test_text_fonts_and_structure(tmp_path: Path) -> None:
    pdf = render(document(key_images=key_images()))
    text = joined(text_of(pdf, tmp_path))
    for expected in (
        "郑䶮㛃",
        "24.0mm×20.1mm",
        "℃",
        "≥95%",
        FINDINGS,
        IMPRESSION,
        "本报告须2人签名",
        "63岁",
        "第1页/共1页",
    ):
        assert joined(expected) in text
    for expected in ("报告医师", "审核医师", "不是注册医疗器械", "7QF4-K2M9-TX3B", "2026-11-1812:05", "图1"):
        assert expected in text
    rows = run("pdffonts", str(tmp_path / "report.pdf")).splitlines()[2:]
    assert rows and all(re.search(r"Identity-H\s+yes yes yes", row) for row in rows)
    assert "No syntax or stream encoding errors" in run("qpdf", "--check", str(tmp_path / "report.pdf"))
    info = run("pdfinfo", str(tmp_path / "report.pdf"))
    assert re.search(r"Tagged:\s+yes", info) and re.search(r"Page size:.*A4", info)
    assert "pdfaid:part>2<" in run("pdfinfo", "-meta", str(tmp_path / "report.pdf"))


def test_same_document_same_bytes_in_another_folder() -> None:
    assert render(document(key_images=key_images())) == render(document(key_images=key_images()))
    assert render(document()) != render(document(version=2))


def test_code_in_text_stays_text(tmp_path: Path) -> None:
    attack = '#read("/etc/passwd") <script>alert(1)</script> $x$ *b* @a |^~\\& \\.br\\ #image("image1.jpg")'
    pdf = render(document(sections=(Section("影像所见", attack), Section("诊断意见", "正常", True)), clinical=attack))
    text = text_of(pdf, tmp_path)
    assert joined(text).count(joined(attack)) == 2
    assert "root:" not in text


@pytest.mark.parametrize(
    ("changes", "character", "field"),
    [
        ({"patient_name": "李𠮷"}, "𠮷 (U+20BB7)", "patient_name"),
        ({"sections": (Section("影像所见", "正常"), Section("诊断意见", "好😀", True))}, "😀 (U+1F600)", "诊断意见"),
        ({"requesting_doctor": "ئابلەت"}, "ئ (U+0626)", "doctor"),
        ({"key_images": (KeyImage(jpeg(9, 9), "层 𠮷"),)}, "𠮷 (U+20BB7)", "images"),
    ],
)
def test_a_character_no_font_has_is_named_with_its_place(
    changes: dict[str, object], character: str, field: str
) -> None:
    with pytest.raises(PdfError) as refused:
        render(document(**changes))
    assert refused.value.code == "missing_glyph"
    assert (refused.value.params["character"], refused.value.params["field"]) == (character, field)


def test_nul_is_refused_and_bidi_marks_are_gone(tmp_path: Path) -> None:
    with pytest.raises(PdfError) as refused:
        render(document(clinical="a\x00"))
    assert refused.value.params == {"character": "U+0000", "position": 2, "field": "clinical"}
    text = text_of(render(document(clinical="左\u202e肺\u200b上叶")), tmp_path)
    assert "左肺上叶" in text


def test_twenty_thousand_characters_are_all_there(tmp_path: Path) -> None:
    started = time.perf_counter()
    pdf = render(document(sections=(Section("影像所见", LONG), Section("诊断意见", IMPRESSION, True))))
    print(f"20,000 characters: {(time.perf_counter() - started) * 1000:.0f} ms")
    pages = page_count(pdf, tmp_path)
    text = text_of(pdf, tmp_path)
    assert 8 <= pages <= 14
    assert joined(text).count("检查号QS26111800244") == pages  # every page says whose it is
    body = re.sub(r"CT检查报告单郑䶮㛃男63岁患者编号QS-0031156检查号QS26111800244", "", joined(text))
    footer = r"本报告仅供.{40,90}医疗器械。核验码7QF4-K2M9-TX3B本报告须2人签名第\d+页/共\d+页"
    body = re.sub(footer, "", body).replace("\f", "")
    assert joined(LONG) in body
    assert f"第{pages}页/共{pages}页" in joined(text)


@pytest.mark.parametrize("token", ["a" * 4000, "W" * 300, "1.2.840." * 60])
def test_unbroken_tokens_stay_on_the_page(tmp_path: Path, token: str) -> None:
    pdf = render(
        document(sections=(Section("影像所见", token), Section("诊断意见", "正常", True)), patient_id="X" * 64)
    )
    assert text_of(pdf, tmp_path).count(token[0]) >= len(token) // (8 if "." in token else 1)
    for page in range(1, page_count(pdf, tmp_path) + 1):
        ink = pixels(pdf, tmp_path, 50, page) < 128
        assert not ink[:, : int(15 / 25.4 * 50)].any(), "ink in the left margin"
        assert not ink[:, int((210 - 15) / 25.4 * 50) :].any(), "ink in the right margin"


@pytest.mark.parametrize("name", ["李", "阿卜杜热合曼·买买提", "欧" * 60])
def test_names_of_every_length_are_whole(tmp_path: Path, name: str) -> None:
    assert name in joined(text_of(render(document(patient_name=name)), tmp_path))


def test_preliminary_says_so_on_every_page(tmp_path: Path) -> None:
    changes = {"is_preliminary": True, "n_signatures_required": 1}
    text = text_of(render(document(**changes)), tmp_path)
    assert text.count("临时报告") >= 3 and "正式报告 v" not in text and "审核医师" not in text
    marked = pixels(render(document(**changes)), tmp_path, 50)
    plain = pixels(render(document(n_signatures_required=1)), tmp_path, 50)
    centre = (slice(250, 420), slice(100, 320))
    assert (marked[centre] < 250).sum() > (plain[centre] < 250).sum() + 2000  # the watermark


@pytest.mark.parametrize("picture", [jpeg(1, 1), jpeg(4000, 3000, "RGB"), jpeg(300, 200, "CMYK")])
def test_odd_key_images_are_drawn(tmp_path: Path, picture: bytes) -> None:
    pdf = render(document(key_images=(KeyImage(picture, "层 1"),)))
    path = tmp_path / "image.pdf"
    path.write_bytes(pdf)
    rows = run("pdfimages", "-list", str(path)).splitlines()[2:]
    assert len(rows) == 1 and rows[0].split()[5] in ("gray", "rgb", "icc")
    assert max(int(rows[0].split()[3]), int(rows[0].split()[4])) <= 1400


@pytest.mark.parametrize("picture", [b"", b"not a picture", jpeg(100, 100)[:200]])
def test_a_broken_key_image_is_named(picture: bytes) -> None:
    with pytest.raises(PdfError) as refused:
        render(document(key_images=(*key_images(), KeyImage(picture, "层 9"))))
    assert (refused.value.code, refused.value.params) == ("bad_key_image", {"number": 4})


def test_qr_opens_the_verify_page(tmp_path: Path) -> None:
    for is_ecg in (False, True):
        pixels(render(document(is_ecg=is_ecg)), tmp_path, 300)
        with Image.open(tmp_path / "pixels.pgm") as page:
            page.save(tmp_path / "scan.jpg", quality=40)
        found = run("zbarimg", "--quiet", "--raw", str(tmp_path / "scan.jpg"))
        assert found.strip() == document().verify_url


LINE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="273mm" height="122mm" viewBox="0 0 273 122">'
    '<path d="M10 60h250" stroke="#000" stroke-width="0.6"/><path d="M20 5v110" stroke="#000" stroke-width=".6"/></svg>'
)


def test_ecg_sheet_is_true_to_scale(tmp_path: Path) -> None:
    """At 254 dpi one pixel is 0.1 mm: a line of 250 mm, of which 25 mm are 1 s, within 0.1 mm per 25 mm."""
    page = pixels(render(document(is_ecg=True, ecg_svg=LINE, sections=())), tmp_path, 254)
    assert max(abs(page.shape[0] - 2100), abs(page.shape[1] - 2970)) <= 1
    row = page[280 + 600]
    inked = np.flatnonzero(row < 128)
    assert abs(inked[-1] - inked[0] + 1 - 2500) <= 2
    assert abs(inked[0] - (120 + 100)) <= 2  # 12 mm margin, 10 mm into the sheet
    column = np.flatnonzero(page[250:1520, 320] < 128)
    assert abs(column[-1] - column[0] + 1 - 1100) <= 2


def test_real_ecg_grid_and_pulse(tmp_path: Path) -> None:
    recording = dicom.read(shared_data("ecg", "dicom", "anonymous_ecg.dcm"))
    drawn = sheet(recording)
    pdf = render(document(is_ecg=True, ecg_svg=svg(drawn, font_family="Noto Sans SC"), title="十二导联心电图报告"))
    assert page_count(pdf, tmp_path) == 1
    page = pixels(pdf, tmp_path, 254)
    pulse = drawn.pulses[0]
    top = round(280 + (pulse.baseline_mm - pulse.height_mm) * 10)
    left, right = round(120 + pulse.x_mm * 10), round(120 + (pulse.x_mm + pulse.width_mm) * 10)
    assert (pulse.width_mm, pulse.height_mm) == (5.0, 10.0)  # 0.2 s and 1 mV
    assert (page[top - 2 : top + 3, left + 5 : right - 5].min(axis=0) < 90).all()  # the top of the pulse
    baseline = round(280 + pulse.baseline_mm * 10)
    assert (page[top + 5 : baseline - 5, left - 2 : left + 3].min(axis=1) < 90).all()  # its rising edge
    assert {"aVR", "V6"} <= set(text_of(pdf, tmp_path).split())


@pytest.mark.parametrize("drawing", ["<svg/>", '<svg width="300mm" height="122mm"></svg>'])
def test_an_ecg_without_or_beyond_scale_is_refused(drawing: str) -> None:
    with pytest.raises(PdfError) as refused:
        render(document(is_ecg=True, ecg_svg=drawing))
    assert refused.value.code == "bad_ecg_sheet"


def test_long_ecg_report_goes_on_and_keeps_its_scale(tmp_path: Path) -> None:
    sections = (Section("心电图所见", LONG[:5000]), Section("诊断意见", IMPRESSION, True))
    pdf = render(document(is_ecg=True, ecg_svg=LINE, sections=sections))
    assert page_count(pdf, tmp_path) >= 2
    text = joined(text_of(pdf, tmp_path))
    assert "见第2页" in text and joined(IMPRESSION) in text
    inked = np.flatnonzero(pixels(pdf, tmp_path, 254)[880] < 128)
    assert abs(inked[-1] - inked[0] + 1 - 2500) <= 2


@pytest.mark.parametrize(
    ("born", "expected"),
    [("1963-11-19", "62 岁"), ("1963-11-18", "63 岁"), ("2025-06-18", "17 个月"), ("2026-11-01", "17 天")],
)
def test_age_at_the_examination(born: str, expected: str) -> None:
    sample = document()
    assert age_text(date.fromisoformat(born), sample.acquired_at, sample) == expected


def test_the_code_is_printed_in_groups(tmp_path: Path) -> None:
    for is_ecg in (False, True):
        pdf = render(document(verify_code="7QF4K2M9TX3B7QF4K2M9TX3B77", is_ecg=is_ecg))
        assert "7QF4-K2M9-TX3B-7QF4-K2M9-TX3B-77" in joined(text_of(pdf, tmp_path))


def test_english_paper(tmp_path: Path) -> None:
    text = text_of(render(document(language="en", title="CT report")), tmp_path)
    assert "Signatures required: 2" in text and "Reviewing physician" in text and "63 y" in text


def test_render_time_is_told() -> None:
    render(document(key_images=key_images()))
    started = time.perf_counter()
    render(document(key_images=key_images(), clinical="另一份"))
    print(f"render, two signatures, three key images: {(time.perf_counter() - started) * 1000:.0f} ms")


def test_one_report_never_shows_the_picture_of_another(tmp_path: Path) -> None:
    """Both pictures have the same name inside; nothing of the first render may linger."""
    for number, shade in enumerate((10, 250)):
        picture = tmp_path / "made.jpg"
        Image.new("L", (64, 64), shade).save(picture)
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(render(document(key_images=(KeyImage(picture.read_bytes(), "层 1"),))))
        run("pdfimages", "-j", str(path), str(tmp_path / f"out{number}"))
        with Image.open(tmp_path / f"out{number}-000.jpg") as shown:
            assert abs(int(np.asarray(shown.convert("L")).mean()) - shade) <= 2


def test_mixed_characters_of_every_kind_are_set() -> None:
    source = random.Random(20261118)
    text = "".join(source.choice("肺a1 mm，。%℃\n≥×（）“”—…·") for _ in range(20_000))
    assert render(document(sections=(Section("影像所见", text), Section("诊断意见", "1 mm " * 4000, True))))
