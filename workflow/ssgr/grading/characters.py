"""Unicode characters that stand for plain LaTeX: full-width forms, spaces, signs, fractions."""

import re
import unicodedata

_ROOT_SIGN = re.compile(r"√\s*(\d+|[a-zA-Z]|\([^()]*\))")
_POWER_SIGN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_INDEX_SIGN = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")

_SYMBOLS = {
    "\N{MULTIPLICATION SIGN}": r"\times ",
    "·⋅": r"\cdot ",
    "÷": "/",
    "\N{DIVISION SLASH}": "/",
    "±": r"\pm ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "\N{UNION}": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "\N{DOUBLE-STRUCK CAPITAL C}": r"\mathbb{C}",
    "\N{DOUBLE-STRUCK CAPITAL N}": r"\mathbb{N}",
    "\N{DOUBLE-STRUCK CAPITAL Q}": r"\mathbb{Q}",
    "\N{DOUBLE-STRUCK CAPITAL R}": r"\mathbb{R}",
    "\N{DOUBLE-STRUCK CAPITAL Z}": r"\mathbb{Z}",
    "\N{DEGREE CELSIUS}": r"^\circ C",
    "\N{DEGREE FAHRENHEIT}": r"^\circ F",
    "°º": r"^\circ ",
    "“”": '"',
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}": "'",
}


def _greek() -> dict[int, str]:
    names = {code: unicodedata.name(chr(code), "") for code in range(0x391, 0x3CA)}
    return {
        code: f"\\{name.rpartition(' ')[2].lower().replace('lamda', 'lambda')} "
        for code, name in names.items()
        if name.startswith("GREEK SMALL LETTER ") and "FINAL" not in name and "OMICRON" not in name
    }


def _character_table() -> dict[int, str]:
    """Unicode look-alikes of plain LaTeX: full-width forms, spaces, minus signs, fractions."""
    table = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    table |= {code: str((code - 0x1D7CE) % 10) for code in range(0x1D7CE, 0x1D800)}
    table |= dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"), "")
    table |= dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
    table |= dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")
    for character in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞":
        top, bottom = unicodedata.normalize("NFKC", character).split("\u2044")
        table[ord(character)] = rf"\frac{{{top}}}{{{bottom}}}"
    for characters, latex in _SYMBOLS.items():
        table |= dict.fromkeys(map(ord, characters), latex)
    return table | _greek()


CHARACTERS = _character_table()


def _raised(match: re.Match[str]) -> str:
    return "^{" + unicodedata.normalize("NFKC", match[0]).replace("\u2212", "-") + "}"


def _lowered(match: re.Match[str]) -> str:
    return "_{" + unicodedata.normalize("NFKC", match[0]) + "}"


def from_unicode(text: str) -> str:
    """Return the text in LaTeX's own characters where it uses look-alikes of them."""
    if text.isascii():
        return text
    text = _POWER_SIGN.sub(_raised, _INDEX_SIGN.sub(_lowered, text))
    return _ROOT_SIGN.sub(r"\\sqrt{\1}", text).translate(CHARACTERS)
