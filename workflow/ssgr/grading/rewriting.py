r"""Rewrite LaTeX that math-verify's parser misreads, in a form that it reads.

It takes the degree sign in ``\sin 30^\circ`` off unseen, the prime of ``f'``, the exponent of
``2^T`` and the product ``d a`` (for a differential), knows ``\binom`` with braces only, reads
``\frac\pi4`` as something else, and makes all letters small, so that ``R-r`` is nothing to it.
"""

import re

_SYMBOL = r"\\(?:pi|alpha|beta|gamma|theta|lambda|mu|phi)(?![a-zA-Z])"
_GROUP = r"(\{(?:[^{}]|\{[^{}]*\})*\}|\d|[a-zA-Z]|\\[a-zA-Z]+)"
_BINOMIAL = re.compile(rf"\\[dt]?binom\s*{_GROUP}\s*{_GROUP}")
_TIMES_BINOMIAL = re.compile(rf"((?:(?<![a-zA-Z\\])[a-zA-Z]|[\d)}}!]|{_SYMBOL})\s*)(?=\\binom)")
_MIXED = re.compile(
    r"(?<![\w.,})^\\])(?P<whole>\d+)\s*\\[dtc]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
)
_LOG_OF_DECIMAL = re.compile(
    r"(?P<log>\\(?:log\s*(?:_\s*(?:\{[^{}]*\}|\w))?|ln|lg)(?![a-zA-Z])\s*(?:\\left\s*)?[({]?\s*)"
    r"(?P<whole>\d*)\.(?P<decimals>\d+)"
)
_FACTORIAL_POWER = re.compile(r"([a-zA-Z]|\d+|\([^()]*\))\s*!\s*\^")
_CHOSEN = r"([^\s{}+\-=,]+|\{[^{}]*\})"
_CHOOSE = re.compile(rf"\{{?\s*{_CHOSEN}\s*\\choose\s+{_CHOSEN}\s*\}}?")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_DEGREES = re.compile(
    r"(\d+(?:\.\d+)?|\\[dt]?frac\{[^{}]*\}\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z]|\([^()]*\)|\{[^{}]*\})"
    r"\s*\^\\circ ?"
)
_NEGATIVE_ROOT = re.compile(r"\\sqrt\s*\[([3579])\]\s*\{\s*-\s*(\d+)\s*\}")
_FUNCTION = re.compile(
    r"\\operatorname\*?\s*\{\s*((?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|ln|log|lg|exp|max|min|gcd)\s*\}"
)
_OVER_SYMBOL = re.compile(rf"(\\[dtc]?frac\s*(?:\d|\{{[^{{}}]*\}}))\s*({_SYMBOL})")
_SYMBOL_OVER = re.compile(rf"(\\[dtc]?frac|\\sqrt)\s*({_SYMBOL})")
_ARGUMENT = re.compile(r"\s*[a-zA-Z]\s*\(\s*([a-zA-Z])\s*\)\s*=")
_LOGARITHM = re.compile(r"\\lg(?![a-zA-Z])")
_NATURAL = re.compile(r"\\log\s*_\s*(?:e|\{\s*e\s*\})(?![a-zA-Z])")
_TRANSPOSED = re.compile(r"\^\s*(?:T|\\top(?![a-zA-Z])|\{\s*(?:T|\\top)\s*\})")
_PRIMES = re.compile(r"(?<=[a-zA-Z])(?:'+|\^\s*(?:\\prime|\{(?:\s*\\prime)+\s*\}))(?!\s*_)")
_DIFFERENTIAL = re.compile(
    r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+|(?<!\{)d(?=\s*(?:[a-zA-Z]|\\cdot))"
)
_DERIVATIVE = re.compile(r"\\i*nt(?![a-zA-Z])|[{/]\s*d")
_OF_LETTERS = re.compile(r"\\(gcd|lcm)\s*(?=\([^()]*[a-zA-Z])")
_D = r"(?:d|\\partial(?![a-zA-Z])|\\mathrm\s*\{d\})\s*"
_RATE = re.compile(
    rf"\\[dt]?frac\s*\{{\s*{_D}(?:\^\s*\{{?(?P<order>\d)\}}?)?\s*(?P<of>[a-zA-Z])\s*\}}"
    rf"\s*\{{\s*{_D}(?P<by>[a-zA-Z])\s*(?:\^\s*\{{?\d\}}?)?\s*\}}"
)
_LETTER = re.compile(r"\\(?:text|mathrm|mathbf|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z]")
_GREEK = (r"\gamma", r"\delta", r"\theta", r"\lambda", r"\sigma", r"\phi", r"\omega")
"""Those that LaTeX has as capitals too, and the parser has as letters."""
_CURRENT = re.compile(r"(?:^|[,;])\s*([Ii])(?:_\w|_\{\w+\})?\s*=")
_SPARE = (r"\zeta", r"\eta", r"\iota", r"\kappa", r"\xi", r"\upsilon", r"\chi", r"\psi")


def has_trigonometry(normal: str) -> bool:
    """Whether a degree sign may belong to the argument of a function."""
    return bool(_TRIGONOMETRIC.search(normal))


def for_parser(normal: str) -> str:
    """Return a normalised answer in LaTeX that the parser reads."""
    text = _PRIMES.sub(_indexed, normal) if "'" in normal or "prime" in normal else normal
    if "!" in text:
        text = _FACTORIAL_POWER.sub(r"{(\1!)}^", text)
    text = _TRANSPOSED.sub("^t", text)  # it takes ^T alone for a transposition
    if "d" in text and not _DERIVATIVE.search(text):
        text = _DIFFERENTIAL.sub(lambda one: "{d}" if one[0] == "d" else one[0], text)
    if "\\" not in text:
        return text
    text = _RATE.sub(_name_of_rate, text.replace("\\$", ""))
    text = _OF_LETTERS.sub(r"\\text{\1}", text)  # it takes all letters for coprime
    text = _MIXED.sub(_sum_of_mixed, text) if "frac" in text else text
    if "binom" in text:
        text = _TIMES_BINOMIAL.sub(r"\1\\cdot ", _BINOMIAL.sub(_braced_binomial, text))
    text = _LOG_OF_DECIMAL.sub(_log_of_fraction, text) if "." in text else text
    text = _LOGARITHM.sub(r"\\log_{10}", _NATURAL.sub(r"\\ln ", _FUNCTION.sub(r"\\\1 ", text)))
    text = _OVER_SYMBOL.sub(r"\1{\2}", _SYMBOL_OVER.sub(r"\1{\2}", text))
    text = _NEGATIVE_ROOT.sub(r"(-\\sqrt[\1]{\2})", text)  # else a complex one
    if "\\choose" in text:
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    if has_trigonometry(text):
        text = _DEGREES.sub(r"{(\1 \\cdot \\frac{\\pi}{180})}", text)
    return text


def _name_of_rate(match: re.Match[str]) -> str:
    """A derivative as a name: of one that is not known as a function, the parser makes 0."""
    return rf"\text{{{'d' * int(match['order'] or 1)}{match['of']}by{match['by']}}}"


def _sum_of_mixed(match: re.Match[str]) -> str:
    """A mixed number as a sum in brackets: a factor after it multiplies the whole."""
    top, bottom = match[2] or match[3], match[4] or match[5]
    if int(top) >= int(bottom):
        return match[0]
    return rf"({match['whole']}+\frac{{{top}}}{{{bottom}}})"


def _braced_binomial(match: re.Match[str]) -> str:
    upper, lower = (part if part[0] == "{" else f"{{{part}}}" for part in match.groups())
    return rf"\binom{upper}{lower}"


def _log_of_fraction(match: re.Match[str]) -> str:
    """A decimal whose logarithm is taken as a fraction: it is exact, and no tolerance is meant."""
    top, bottom = int(match["whole"] + match["decimals"]), 10 ** len(match["decimals"])
    return rf"{match['log']}{{\frac{{{top}}}{{{bottom}}}}}"


def _indexed(primes: re.Match[str]) -> str:
    return "_{" + "p" * (primes[0].count("'") + primes[0].count("prime")) + "}"


def with_current(gold: str, answer: str) -> tuple[str, str]:
    """Return both with another letter for an I (or i) that is a name, not the imaginary unit.

    It is one left of ``=``, and a capital is one beside other letters, if there is no i.
    """
    spare = next((name for name in reversed(_SPARE) if name not in gold and name not in answer), "")
    letters = _letters(gold), _letters(answer)
    named = {one[1] for text in (gold, answer) for one in _CURRENT.finditer(text)}
    beside = any("I" in of and len(of) > 1 for of in letters) and "i" not in letters[0] | letters[1]
    if not spare or not (named or beside):
        return gold, answer
    other = dict.fromkeys(named or {"I"}, spare)
    return _exchanged(gold, other), _exchanged(answer, other)


def with_case(gold: str, answer: str) -> tuple[str, str]:
    """Return both with other letters for those capitals that one of them also has as small.

    Of Greek ones, for those that one of them has as capital and either as small.
    """
    letters = [_letters(text) for text in (gold, answer)]
    greek = {one for of in letters for one in of if one[0] == "\\"}
    doubled = sorted(
        {
            one
            for of in (*letters, greek)
            for one in of
            if one != (small := one.lower()) and small in of
        }
    )
    spare = [name for name in _SPARE if name not in gold and name not in answer]
    other = dict(zip(doubled, spare, strict=False))
    if not other:
        return gold, answer
    return _exchanged(gold, other), _exchanged(answer, other)


def with_argument(gold: str, answer: str) -> str:
    """Return the answer ``f(t) = t^2`` with the variable of the gold ``f(x) = x^2``."""
    one, other = _ARGUMENT.match(gold), _ARGUMENT.match(answer)
    if one is None or other is None or one[1] == other[1] or one[1] in _letters(answer):
        return answer
    return _exchanged(answer, {other[1]: one[1]})


def _letters(text: str) -> set[str]:
    return {one for one in _LETTER.findall(text) if len(one) == 1 or one.lower() in _GREEK}


def _exchanged(text: str, other: dict[str, str]) -> str:
    return _LETTER.sub(lambda one: f"{other[one[0]]} " if one[0] in other else one[0], text)
