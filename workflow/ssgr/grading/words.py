r"""Words and plain text that stand for mathematics: ``seven``, ``2 million``, ``pi/4``.

Computer algebra reads them as products of letters, or not at all. Linear in the length of the text.
"""

import re

_NUMERALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_WHOLE = {
    "infinity": r"\infty",
    "positive infinity": r"\infty",
    "negative infinity": r"-\infty",
    "minus infinity": r"-\infty",
    "empty set": r"\emptyset",
    "the empty set": r"\emptyset",
    "real numbers": r"\mathbb{R}",
    "the real numbers": r"\mathbb{R}",
    "all real numbers": r"\mathbb{R}",
    "all reals": r"\mathbb{R}",
} | {name: str(number) for number, name in enumerate(_NUMERALS.split())}
_LONGEST = max(map(len, _WHOLE))
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}

_TEXT_COMMAND = r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|hbox)\s*"
_WHOLE_TEXT = re.compile(rf"(?P<sign>-?)\s*(?:{_TEXT_COMMAND}\{{)?(?P<words>[a-zA-Z ]+)\}}?")
_LEAD = re.compile(
    rf"{_TEXT_COMMAND}\{{(?!\(?[A-Z][).:]|[^{{}}]*\bnot\b)[^{{}}]*(?:\b(?:is|are|equals)|[:=])\s*\}}\s*(?=[^\s=<>\\]|\\[a-zA-Z(])"
)
_SCALE = re.compile(
    rf"(?<=\d)\s*(?P<text>{_TEXT_COMMAND}\{{)?\s*\b(?P<scale>{'|'.join(_SCALES)})\b(?P<rest>[^{{}}]*\}})?"
)
_OPTION = re.compile(rf"(?:{_TEXT_COMMAND}\{{\s*)?\(?([A-Z])\)?\s*\}}?")
_OPTION_AND_TEXT = re.compile(
    rf"(?:{_TEXT_COMMAND}\{{\s*\(?([A-Z])[).:]*\s*\}}"
    rf"|(?:{_TEXT_COMMAND}\{{\s*)?\(([A-Z])\)[ :]|([A-Z])[).:] )"
    r"\s*\}?\s*(?:\\text|\\d?frac|\\sqrt|[\w$-])"
)
_PI = re.compile(r"(?<![a-zA-Z\\])pi(?![a-zA-Z])")
_ROOT = re.compile(r"(?<![a-zA-Z\\])sqrt\s*(\d+|[a-zA-Z])(?![a-zA-Z])")
_POWER = re.compile(r"(?<=[\w)}])\*\*(?=[\w({-])")


def from_words(normal: str) -> str:
    """Return an otherwise normalised answer with symbols for such words."""
    if len(normal) <= _LONGEST + 30 and (whole := _WHOLE_TEXT.fullmatch(normal)):
        symbol = _WHOLE.get(" ".join(whole["words"].lower().split()))
        if symbol is not None:
            return f"{whole['sign']}{symbol}".replace("--", "")
    text = _POWER.sub("^", normal) if "**" in normal else normal
    if "pi" in text:
        text = _PI.sub(r"\\pi ", text)
    if "sqrt" in text:
        text = _ROOT.sub(r"\\sqrt{\1}", text)
    if "illion" in text or "thousand" in text:
        text = _SCALE.sub(_scaled, text)
    if lead := _LEAD.match(text):
        text = text[lead.end() :]
    return text.strip()


def names_option(gold: str, answer: str) -> bool:
    r"""Whether the gold is the letter of an option, and the answer that and what it says."""
    one, other = _OPTION.fullmatch(gold), _OPTION_AND_TEXT.match(answer)
    return bool(one and other and one[1] == (other[1] or other[2] or other[3]))


def _scaled(match: re.Match[str]) -> str:
    power = rf"\times 10^{{{_SCALES[match['scale']]}}}"
    rest = (match["rest"] or "").strip()
    if not match["text"]:
        return power + (match["rest"] or "")
    unit = rest.removesuffix("}").strip()
    return rf"{power}\text{{ {unit}}}" if unit else power
