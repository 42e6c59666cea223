r"""Bring the notation of an answer to one form: notation changes, value does not.

Models write the same value with thin spaces, full-width digits, ``½``, doubled backslashes or
``\left``; computer algebra reads ``27\,648`` as 675 and fails at ``74°``. Everything here is
linear in the length of the text.
"""

import re
from functools import lru_cache

from ssgr.config.conventions import Conventions
from ssgr.grading.bounds import with_round_brackets
from ssgr.grading.boxes import joined_boxes, last_box
from ssgr.grading.characters import from_unicode
from ssgr.grading.names import with_equals_signs, with_tuples
from ssgr.grading.structure import without_braces
from ssgr.grading.words import TEXT_COMMAND, from_words
from ssgr.grading.wrapping import unwrapped

_THOUSANDS_GAP = re.compile(r"(?<=\d)(?:\{,\}|,\\! ?|\\[,;:! ]|~)(?=\d{3}(?!\d))")
_MONEY = re.compile(r"(?:US\s*)?(?:\\\$|\\(?:math|text)dollar(?![a-zA-Z])(?:\{\})?)")
_SIGN_IN_TEXT = re.compile(rf"{TEXT_COMMAND}\{{\s*(?:US\s*)?(\\\$|[€£¥₹¢])\s*\}}")
_LONE_DOLLAR = re.compile(r"(\s*-?)\$(?=\s*-?\.?\d)")
_UNESCAPED = re.compile(r"(?<!\\)\$")
_CENTS = re.compile(r"\\(?:text)?cents?(?![a-zA-Z])")
_DELIMITER = re.compile(
    r"(?<!\\)(?:\$+|\\[()\[\]])|(?<![\d}])\\\$(?!\s*(?:-?[\d.]|\\[dt]?frac|[a-zA-Z]))"
)
_THIN_SPACE = re.compile(r"(?<!\\)\\[,;: ]|~")
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=[a-zA-Z])")
_STYLE = re.compile(
    r"\\(?:(?:bf|it|bfseries|underline|displaystyle|textstyle|large|Large|LARGE|huge|Huge|small)(?![a-zA-Z])|(?:text)?color\s*\{\w+\})\s*"
)
_DOTS = re.compile(r"\\(?:[lc]dots|dots[cb])(?![a-zA-Z])|\.\.\.|…")
_COLON = re.compile(rf"\{{:\}}|{TEXT_COMMAND}\{{\s*:\s*\}}")
_SIZE = re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])\s*")
_NUMBERS = re.compile(
    r"\\(?:mathbb|mathds|Bbb)\s*(?:\{\s*([A-Z])\s*\}|([A-Z])(?![a-zA-Z]))|(?<!\\)\\([CNQRZ])(?![a-zA-Z])"
    r"|(?<=\\in)\s*\\(?:mathbf|mathrm|boldsymbol)\s*\{?([CNQRZ])\}?(?![a-zA-Z])"
)
_ROOT_OF = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_SLANTED = re.compile(r"\\(?:nicefrac|sfrac|xfrac)(?![a-zA-Z])")
_CONSTANT_FONT = re.compile(r"\\(?:mathrm|operatorname|text)\s*\{([ie])\}")
_POUNDS = re.compile(r"\\(?:text)?(?:pounds|sterling)(?![a-zA-Z])")
_BOLD_NUMBER = re.compile(r"\\(?:mathbf|boldsymbol|bm)\s*\{\s*(-?[\d.,]+)\s*\}")
_VECTOR_FONT = re.compile(r"\\(?:mathbf|boldsymbol|bm|vec)\s*\{\s*([a-z])\s*\}")
_CROSS_PRODUCT = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|vec)\s*\{\s*(\w)\s*\}\s*\\times\s*"
    r"\\(?:mathbf|boldsymbol|bm|vec)\s*\{\s*(\w)\s*\}"
)
_NUMBER_IN_TEXT = re.compile(rf"{TEXT_COMMAND}\{{\s*([-+]?[.,]?\d[^{{}}]*)\}}")
_ROW_SPACE = re.compile(r"(\\\\)\s*\[[^\[\]]*[a-z]{2}\]")
_STRAY_END = " .,;:\\"
_SUBSCRIPT_FONT = re.compile(rf"_(\{{)?\s*{TEXT_COMMAND}\{{\s*(\w+)\s*\}}(?(1)\s*\}})")
_SUBSCRIPT_SIGN = re.compile(
    r"_\{?\s*\\(odot|oplus|otimes|star|ast|circ|max|min|sup|inf|perp|parallel|infty)(?![a-zA-Z])\s*\}?"
)
_PERCENT = re.compile(
    rf"\s*(?:\\?%|(?:{TEXT_COMMAND}\{{\s*)?\b(?:percent|per cent|pct)\b\.?(?:\s*\}})?)"
)
_DEGREE = re.compile(
    r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree\b|"
    rf"(?:{TEXT_COMMAND}\{{\s*)?(?<![a-zA-Z])degrees?\b(?:\s*\}})?)"
)
_TEMPERATURE = re.compile(
    rf"\s*(?:\{{\s*\}}\s*)?(?:{TEXT_COMMAND}\{{\s*)?(?:\^\s*\{{?\s*\\circ(?![a-zA-Z])|\\(?:text)?degree(?![a-zA-Z])"
    rf"|(?<![a-zA-Z])deg(?:rees?)?\b)(?:\s|[{{}}]|{TEXT_COMMAND}|\\rm(?![a-zA-Z]))*"
    r"(?P<scale>[CFK]|[Cc]elsius|[Ff]ahrenheit)(?![a-zA-Z])(?P<close>[\s}]*)"
)
_NEGATIVE_POWER = re.compile(r"\^\s*-\s*(\d+|[a-zA-Z](?![a-zA-Z])|\\[a-zA-Z]+)")
_APPROXIMATELY = re.compile(r"\\approx(?:eq)?(?![a-zA-Z])|≈|\\simeq(?![a-zA-Z])")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d+),(\d+)(?![\d.,])")
_THOUSANDS = re.compile(r"[1-9]\d{0,2},\d{3}")


def normalise(answer: str) -> str:
    r"""Return the same value in plain LaTeX: no look-alike characters, no ``$``, no thin spaces.

    If the text holds a box (some golds do), its content. Thousands written ``27\,648`` or
    ``10{,}000`` are joined; commas stay, since ``(100,200)`` is a pair.
    """
    return _with_money(answer).replace(r"\$", "").strip()


@lru_cache(maxsize=8192)
def _with_money(answer: str) -> str:
    r"""The same, with ``\$`` for a dollar, which tells it from a cent."""
    text = " ".join(from_unicode(answer).split())  # else a run of spaces costs its square
    if "box" in text:
        text = last_box(text) or text
    text = unwrapped(text)
    if "\\" in text:
        if r"\begin" in text:  # there \\ ends a row
            text = _ROW_SPACE.sub(r"\1", text)
        else:
            text = _DOUBLED_BACKSLASH.sub(r"\\", text)
        text = _SUBSCRIPT_SIGN.sub(r"_{\1}", _SUBSCRIPT_FONT.sub(r"_{\2}", text))
        text = _without_fonts(text)
    if "$" in text or "dollar" in text:
        text = _with_dollars(text)
    text = _DELIMITER.sub("", _THOUSANDS_GAP.sub("", text)).replace(r"\!", "")
    text = _COLON.sub(":", _THIN_SPACE.sub(" ", text).replace("{,}", ","))
    if "circ" in text or "deg" in text:
        text = _TEMPERATURE.sub(_temperature, text)
    text = _DEGREE.sub(r"^\\circ ", _PERCENT.sub(r"\\%", text))
    text = _NEGATIVE_POWER.sub(r"^{-\1}", _DOTS.sub(r"\\dots ", text))
    text = text.replace(r"\varnothing", r"\emptyset").strip().rstrip(_STRAY_END)
    text = text.strip("*") if text.startswith("**") else text
    return text if text.isdigit() else from_words(text)


def _temperature(match: re.Match[str]) -> str:
    text, scale = match[0], match["scale"][0].upper()
    extra = text.count("}") - text.count("{")  # those of a group around it
    return rf"\text{{ {'' if scale == 'K' else 'deg'}{scale}}}" + "}" * extra


def _with_dollars(text: str) -> str:
    r"""Return the text with ``\$`` for each dollar sign that is none around a formula."""
    text = _MONEY.sub(r"\\$", text)
    if text.startswith("\\$") and text.endswith("\\$") and len(text) > 4:
        return text[2:-2]
    if len(_UNESCAPED.findall(text)) == 1:
        return _LONE_DOLLAR.sub(r"\1\\$", text, count=1)
    return text


def _without_fonts(text: str) -> str:
    """Return the text without commands that change its looks only."""
    text = _SIZE.sub("", text) if "ig" in text else text
    text = _NUMBERS.sub(r"\\mathbb{\1\2\3\4}", _STYLE.sub("", text))
    text = _ROOT_OF.sub(r"\\sqrt{\1}", _SLANTED.sub(r"\\frac", text))
    if "\\$" in text or "cent" in text or not text.isascii():
        text = _CENTS.sub("¢", _SIGN_IN_TEXT.sub(r"\1", text))
    if "times" in text:
        text = _CROSS_PRODUCT.sub(r"W(\1,\2)", text)  # one that does not commute
    text = _POUNDS.sub("£", _BOLD_NUMBER.sub(r"\1", text))
    text = _CONSTANT_FONT.sub(r"\1", _VECTOR_FONT.sub(r"\1", text))
    number = _NUMBER_IN_TEXT.fullmatch(text)
    return number[1] if number else text


def read(answer: str, conventions: Conventions) -> str:
    """Return the normalised answer as the conventions read it (decimal comma, approximate tail)."""
    joined = joined_boxes(answer) if conventions.boxes == "joined" else None
    text = _with_usual_signs(joined or answer, conventions.approximate_tail)
    return _DECIMAL_COMMA.sub(_decimal_point, text) if conventions.decimal_comma else text


@lru_cache(maxsize=8192)
def _with_usual_signs(answer: str, approximate_tail: bool) -> str:
    text = with_equals_signs(without_braces(_with_money(answer)))
    if mark := _APPROXIMATELY.search(text):
        before, after = text[: mark.start()].strip(), text[mark.end() :].strip()
        text = before if before and approximate_tail else after or before
    return with_tuples(with_round_brackets(text))


def _decimal_point(match: re.Match[str]) -> str:
    return match[0] if _THOUSANDS.fullmatch(match[0]) else f"{match[1]}.{match[2]}"


_LAYOUT = re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SPACE = re.compile(r"(?<![0-9a-zA-Z]) | (?![0-9a-zA-Z])")
_SHORT_GROUP = re.compile(r"([\^_])\{(\w)\}")
_MODULUS = re.compile(r"\\p?mod\s*(?:\{\s*(\w+)\s*\}|(\w+))")
_WHOLE_TEXT = re.compile(rf"{TEXT_COMMAND}\{{\s*([^{{}}]*?)\s*\}}")


@lru_cache(maxsize=8192)
def spelling(normal: str) -> str:
    r"""Return a normalised answer without layout: two answers spelled alike are equal.

    Layout is ``\left``, the size of a fraction, ``\text{}`` around the whole, and spaces, except
    between two letters or digits (``1 1/2`` is not ``11/2``).
    """
    text = _FRACTION.sub(r"\\frac", _LAYOUT.sub("", normal)).replace(r"\$", "")
    text = _MODULUS.sub(r"\\bmod{\1\2}", text)
    text = _SHORT_GROUP.sub(r"\1\2", _SPACE.sub("", " ".join(text.split())))
    whole = _WHOLE_TEXT.fullmatch(text)
    return whole[1].rstrip(". ") if whole else text
