r"""Words and plain text that stand for mathematics: ``seven``, ``2 million``, ``pi/4``.

Computer algebra reads them as products of letters, or not at all. Linear in the length of the text.
"""

import re

_NUMERALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
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
_WHOLE |= {ten: str(10 * number) for number, ten in enumerate(_TENS.split(), 3)}
_WHOLE |= {
    f"{ten}-{name}": str(int(_WHOLE[ten]) + number)
    for ten in ("twenty", *_TENS.split())
    for number, name in enumerate(_NUMERALS.split()[1:10], 1)
}
_LONGEST = max(map(len, _WHOLE))
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}

TEXT_COMMAND = r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|hbox)\s*"
_WHOLE_TEXT = re.compile(rf"(?P<sign>-?)\s*(?:{TEXT_COMMAND}\{{)?(?P<words>[a-zA-Z -]+)\}}?")
_LEAD = re.compile(
    rf"{TEXT_COMMAND}\{{(?!\(?[A-Z][).:]|[^{{}}]*\bnot\b)[^{{}}]*(?:\b(?:is|are|equals)|[:=])\s*\}}\s*(?=[^\s=<>\\]|\\[a-zA-Z(])"
)
_SCALE = re.compile(
    rf"(?<=\d)\s*(?P<text>{TEXT_COMMAND}\{{)?\s*\b(?P<scale>{'|'.join(_SCALES)})\b(?P<rest>[^{{}}]*\}})?"
)
_OPTION = re.compile(rf"(?:{TEXT_COMMAND}\{{\s*)?\(?([A-Z])\)?\s*\}}?")
_OPTION_AND_TEXT = re.compile(
    rf"(?:{TEXT_COMMAND}\{{\s*\(?([A-Z])[).:]*\s*\}}"
    rf"|(?:{TEXT_COMMAND}\{{\s*)?\(([A-Z])\)[ :]|([A-Z])[).:] )"
    r"\s*\}?\s*(?:\\text|\\d?frac|\\sqrt|\\?[\w$-])"
)
_PI = re.compile(r"(?<![a-zA-Z\\])pi(?![a-zA-Z])")
_ROOT = re.compile(r"(?<![a-zA-Z\\])sqrt\s*(\d+|[a-zA-Z])(?![a-zA-Z])")
_CALL = re.compile(
    r"(?<![a-zA-Z\\])(sqrt|cbrt|exp|(?:arc|a)?(?:sin|cos|tan)h?|cot|sec|csc|ln|log|lg)\s*(?=\()"
)
_CALLED = {"sqrt": r"\sqrt", "cbrt": r"\sqrt[3]", "exp": "e^"}
"""Plain names of functions whose argument is in braces in LaTeX."""
_POWER = re.compile(r"(?<=[\w)}])\*\*(?=[\w({-])")
_FUNCTIONS = (
    "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot log ln lg exp sqrt "
    "frac cis gcd lcm max min sup inf lim det dim ker deg arg mod sgn sign pi and or"
)
_NO_WORDS = frozenset(_FUNCTIONS.split())
_TOGETHER = frozenset("abcdkxyzuvw")
"""Letters that a product is made of, though one is a vowel: abx, xyz, uvw."""
_CHUNK = re.compile(
    rf"([,;]|{TEXT_COMMAND}\{{\s*(?:and|or)\s*\}}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z]))"
)
_PHRASE = re.compile(
    r"(?P<before>(?:[^=]*=)?[\s({\[\\]*)(?P<phrase>[a-zA-Z]+(?: +[a-zA-Z]+)*)(?P<after>[\s)}\]\\]*)"
)
_RUN = re.compile(
    rf"{TEXT_COMMAND}\{{\s*(?P<font>[a-zA-Z]{{2,}}(?:[ '-]+[a-zA-Z]+)*)[ .]*\}}"
    r"|\\(?:begin|end|math[a-z]+|operatorname\*?)\s*\{[^{}]*\}|\\[a-zA-Z]+|[_^]\s*\{[^{}]*\}"
    r"|(?<![a-zA-Z\d_^])(?P<bare>[a-zA-Z][a-z]{3,})(?![a-zA-Z(])"
)
_RUN_OF_LETTERS = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]{2}")
_NUMBERS_AND_NAMES = re.compile(r"[\d.]+(?:\s*\\text\{[a-z]+\}\s*[\d.]+)+(?:\s*\\text\{[a-z]+\})?")
_NAMED = re.compile(r"\s*(\\text\{[a-z]+\})\s*")
_SINGLE = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z](?![a-zA-Z])")


def from_words(normal: str) -> str:
    """Return an otherwise normalised answer with symbols for such words."""
    if len(normal) <= _LONGEST + 30 and (whole := _WHOLE_TEXT.fullmatch(normal)):
        symbol = _WHOLE.get(" ".join(whole["words"].lower().split()))
        if symbol is not None:
            return f"{whole['sign']}{symbol}".replace("--", "")
    text = _POWER.sub("^", normal) if "**" in normal else normal
    if "pi" in text:
        text = _PI.sub(r"\\pi ", text)
    if "(" in text and _CALL.search(text):
        text = _with_calls(text)
    if "sqrt" in text:
        text = _ROOT.sub(r"\\sqrt{\1}", text)
    if "illion" in text or "thousand" in text:
        text = _SCALE.sub(_scaled, text)
    if lead := _LEAD.match(text):
        text = text[lead.end() :]
    return text.strip()


def names_option(gold: str, answer: str) -> bool:
    r"""Whether the gold is the letter of an option, and the answer that and what it says."""
    one, alone = _OPTION.fullmatch(gold), _OPTION.fullmatch(answer)
    other = alone or _OPTION_AND_TEXT.match(answer)
    return bool(one and other and one[1] in other.groups())


def _scaled(match: re.Match[str]) -> str:
    power = rf"\times 10^{{{_SCALES[match['scale']]}}}"
    rest = (match["rest"] or "").strip()
    if not match["text"]:
        return power + (match["rest"] or "")
    unit = rest.removesuffix("}").strip()
    return rf"{power}\text{{ {unit}}}" if unit else power


def _with_calls(text: str) -> str:
    r"""Return the text with ``\sqrt{3}`` for ``sqrt(3)`` and ``\sin(x)`` for ``sin(x)``."""
    done, start = [], 0
    while match := _CALL.search(text, start):
        end = closing(text, match.end())
        if end is None:
            break
        name, inside = match[1], text[match.end() + 1 : end]
        called = _CALLED.get(name)
        plain = re.sub(r"^a(?=sin|cos|tan)", "arc", name)
        done.append(text[start : match.start()])
        argument = _with_calls(inside)
        done.append(f"{called}{{{argument}}}" if called else rf"\{plain}({argument})")
        start = end + 1
    return "".join([*done, text[start:]])


def closing(text: str, opening: int) -> int | None:
    """Return where the round bracket at ``opening`` is closed; None if it is not."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    return None


def is_word(run: str) -> bool:
    """Whether letters in a row are a word, and neither a function nor a product as abc or mgh."""
    letters = run.lower()
    distinct = set(letters)
    if letters in ("no", "on"):
        return True
    if len(run) < 3 or letters in _NO_WORDS or letters.removesuffix("x") in _NO_WORDS:
        return False
    in_a_row = len(distinct) == len(run) == ord(max(letters)) - ord(min(letters)) + 1
    if in_a_row or distinct <= _TOGETHER:
        return False
    return bool(distinct & (set("aeiou") if distinct & {"x", "z"} else set("aeiouy")))


def with_names(gold: str, answer: str) -> tuple[str, str]:
    r"""Return both with each word as one name, ``\text{listen}``, and not a product of letters.

    A word whose letters all stand alone somewhere is their product: ``rate`` beside ``r a t e``.
    Within an expression, where a product is likelier, a word has four letters at least.
    """
    if not any(_RUN_OF_LETTERS.search(text) for text in (gold, answer)):
        return gold, answer
    single = {letter.lower() for text in (gold, answer) for letter in _SINGLE.findall(text)}
    return _named(gold, single), _named(answer, single)


def _named(text: str, single: set[str]) -> str:
    def name(match: re.Match[str]) -> str:
        if match["font"]:
            return match[0] if match["font"].lower() in _NO_WORDS else _name(match["font"])
        run = match["bare"]
        said = run and is_word(run) and not set("eiou").isdisjoint(run) and not set(run) <= single
        return _name(run) if said else match[0]

    chunks = _CHUNK.split(text)
    for index, chunk in enumerate(chunks[::2]):
        whole = _PHRASE.fullmatch(chunk)
        runs = whole["phrase"].split() if whole else []
        if whole and any(is_word(run) and not set(run.lower()) <= single for run in runs):
            chunks[2 * index] = f"{whole['before']}{_name(whole['phrase'])}{whole['after']}"
        else:
            chunks[2 * index] = _RUN.sub(name, chunk)
    text = "".join(chunks)
    if _NUMBERS_AND_NAMES.fullmatch(text):  # 7 remainder 3, or 3 hours 20 minutes
        parts = _NAMED.sub(r",\1,", text)
        return f"({parts.strip(',')})"
    return text


def _name(phrase: str) -> str:
    return rf"\text{{{''.join(filter(str.isalpha, phrase)).lower()}}}"
