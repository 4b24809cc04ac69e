"""Text of a data set as Unicode, and whether its label can be believed. [domain]

PS3.5 6.1.2 and Annexes H-K; defined terms of (0008,0005) in PS3.3 C.12.1.1.2. Strict decoding
throughout: bytes that do not fit their label are read with the device's fallback and marked doubtful,
never replaced in silence.
"""

import re
from dataclasses import dataclass

_PYTHON_CODEC = {
    "": "ascii", "ISO_IR 6": "ascii", "ISO 2022 IR 6": "ascii",
    "ISO_IR 100": "latin_1", "ISO_IR 101": "iso8859_2", "ISO_IR 109": "iso8859_3", "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7", "ISO_IR 127": "iso8859_6", "ISO_IR 138": "iso8859_8", "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9", "ISO_IR 203": "iso8859_15", "ISO_IR 166": "tis_620", "ISO_IR 13": "shift_jis",
    "ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gbk",
}  # fmt: skip
# Escape sequences of PS3.3 Tables C.12-3 and C.12-4: how the bytes after them are read. Two-byte sets
# in G0 keep their escape, because the Python codec wants it; the others lose it.
_BY_ESCAPE = {
    b"(B": "ascii", b"(J": "shift_jis", b")I": "shift_jis", b"-A": "latin_1", b"-B": "iso8859_2",
    b"-C": "iso8859_3", b"-D": "iso8859_4", b"-F": "iso8859_7", b"-G": "iso8859_6", b"-H": "iso8859_8",
    b"-L": "iso8859_5", b"-M": "iso8859_9", b"-b": "iso8859_15", b"-T": "tis_620", b"$)C": "euc_kr", b"$)A": "gb2312",
}  # fmt: skip
_BY_ESCAPE_G0 = {b"$B": "iso2022_jp", b"$(D": "iso2022_jp_2"}
_ESCAPE = re.compile(rb"\x1b([\x20-\x2f]+[\x30-\x7e]|\$[\x20-\x2f]*[\x30-\x7e])")
_GB_FAMILY = ("gb18030", "gbk", "gb2312")
_SINGLE_BYTE = frozenset(codec for codec in _PYTHON_CODEC.values() if codec.startswith(("iso8859", "latin")))
_HAN = re.compile("[\u2e80-\u2fdf\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_MULTI_BYTE_CHARACTER = re.compile("[\u0800-\uffff\U00010000-\U0010ffff]")
# A component that is Chinese all through: ideographs, the name dot, punctuation, digits; no Latin letter.
_CHINESE_COMPONENT = re.compile(r"[^A-Za-z\x80-\u02ff\u0370-\u1fff]+")


@dataclass(frozen=True)
class Text:
    """Decoded text. ``doubtful``: the label could not have been true, or something is unreadable (U+FFFD)."""

    value: str
    doubtful: bool = False


def codec_of(defined_term: str) -> str | None:
    """The Python codec of a (0008,0005) term, or None when we do not know the term."""
    term = defined_term.strip().upper().replace("ISO-IR", "ISO_IR").replace("ISO IR", "ISO_IR")
    term = "ISO_IR " + term[12:].strip() if term.startswith("ISO 2022 IR ") else term
    return _PYTHON_CODEC.get(term) or {"ISO_IR 149": "euc_kr", "ISO_IR 58": "gb2312", "ISO_IR 87": "ascii",
                                       "ISO_IR 159": "ascii", "ISO 2022 GBK": "gbk",
                                       "ISO 2022 58": "gb2312", "UTF-8": "utf_8"}.get(term)  # fmt: skip


def decode(raw: bytes, character_sets: tuple[str, ...], fallback: str) -> Text:
    """The value's bytes as Unicode.

    ``character_sets``: the values of Specific Character Set as found; ``fallback``: the device's defined term.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return Text(raw.decode("ascii"))
    codec = codec_of(character_sets[0] if character_sets else "")
    if b"\x1b" in raw:
        return _decode_escaped(raw, codec or "ascii", fallback)
    if codec is None or codec == "ascii":
        return _guess(raw, fallback)
    if codec in _SINGLE_BYTE:
        return _decode_single_byte(raw, codec, fallback)
    text = _strict(raw, codec)
    if text is None:
        return _guess(raw, fallback)
    return Text(text, doubtful=codec in _GB_FAMILY and _utf8_of_many_bytes(raw) is not None)


def _strict(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return None


def _utf8_of_many_bytes(raw: bytes) -> str | None:
    """The text if it is UTF-8 with characters of three bytes or more: GB bytes hardly ever look so."""
    text = _strict(raw, "utf_8")
    return text if text is not None and _MULTI_BYTE_CHARACTER.search(text) else None


def _guess(raw: bytes, fallback: str) -> Text:
    """Bytes whose label is missing or false: UTF-8 shows itself; else the fallback; else visible U+FFFD."""
    codec = codec_of(fallback) or "gb18030"
    text = _utf8_of_many_bytes(raw) or _strict(raw, codec) or _strict(raw, "gb18030")
    return Text(text if text is not None else raw.decode("ascii", "replace"), doubtful=True)


def _decode_single_byte(raw: bytes, codec: str, fallback: str) -> Text:
    """A Latin label is believed unless the bytes are UTF-8, or Chinese all through in the fallback."""
    if (utf8 := _utf8_of_many_bytes(raw)) is not None:
        return Text(utf8, doubtful=True)
    fallback_codec = codec_of(fallback) or ""
    if fallback_codec in _GB_FAMILY and (chinese := _strict(raw, "gb18030")) and _is_chinese(chinese):
        return Text(chinese, doubtful=True)
    text = _strict(raw, codec)
    return Text(text) if text is not None else _guess(raw, fallback)


def _is_chinese(text: str) -> bool:
    """Whether every part that is not ASCII is wholly Chinese; "J閞鬽e", a misread Jérôme, is not."""
    components = [part for part in re.split(r"[\^=\\ ,]", text) if part and not part.isascii()]
    return all(_HAN.search(part) and _CHINESE_COMPONENT.fullmatch(part) for part in components)


def _decode_escaped(raw: bytes, first_codec: str, fallback: str) -> Text:
    """ISO 2022 code extensions: each run is read by the escape before it, up to the next escape or delimiter."""
    doubtful = False
    parts: list[str] = []
    for escape, run in _runs(raw):
        text = _decode_run(escape, run, first_codec)
        if text is None:
            guessed = _guess(run, fallback)
            text, doubtful = guessed.value, True
        parts.append(text)
    return Text("".join(parts), doubtful)


def _runs(raw: bytes) -> list[tuple[bytes, bytes]]:
    """(escape without ESC, bytes that follow) pairs, in order."""
    runs: list[tuple[bytes, bytes]] = []
    position, escape = 0, b""
    for found in _ESCAPE.finditer(raw):
        runs.append((escape, raw[position : found.start()]))
        escape, position = found.group(1), found.end()
    runs.append((escape, raw[position:]))
    return [(escape, run) for escape, run in runs if run]


def _decode_run(escape: bytes, run: bytes, first_codec: str) -> str | None:
    if not escape:
        return _strict(run, first_codec)
    if (codec := _BY_ESCAPE_G0.get(escape)) is not None:
        return _strict(b"\x1b" + escape + run, codec)
    codec = _BY_ESCAPE.get(escape)
    if codec is None:
        return None
    # (B after a G1 set leaves G1 as the first term set it: high bytes then belong to the first codec.
    return _strict(run, first_codec if codec == "ascii" and not run.isascii() else codec)


def person_name(text: str) -> str:
    """A PN value as one line to show: ideographic group, else alphabetic, else phonetic; PS3.5 6.2.1.

    Chinese, Japanese and Korean names are family and given name joined as written; others by spaces.
    """
    groups = [group.strip(" ^") for group in text.split("\\", maxsplit=1)[0].split("=")]
    groups += [""] * (3 - len(groups))
    chosen = groups[1] or groups[0] or groups[2]
    components = [part.strip() for part in chosen.split("^") if part.strip()]
    joined = "".join(components)
    return joined if joined and all(_HAN.match(letter) or letter == "·" for letter in joined) else " ".join(components)
