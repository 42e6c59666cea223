r"""Take an answer out of what it is wrapped in: Markdown emphasis, an environment of one value."""

import re

_EMPHASIS = re.compile(
    r"(?P<mark>\*{1,3}|_{1,3}|`)(?P<inside>[^\s*_`](?:.*[^\s*_`])?)(?P=mark)", re.DOTALL
)
_ENVIRONMENT = re.compile(
    r"(?:\\displaystyle\s*)?\\begin\s*\{(?P<name>aligned|align\*?|alignedat|alignat\*?|array|"
    r"eqnarray\*?|gather\*?|gathered|split|equation\*?|multline\*?|displaymath|math|center)\}"
    r"\s*(?:\[[tbc]\])?(?P<inside>(?:(?!\\(?:begin|end)\s*\{).)*)\\end\s*\{(?P=name)\}",
    re.DOTALL,
)
_COLUMNS = re.compile(r"\s*\{(?:[^{}]|\{[^{}]*\})*\}")
_WITH_COLUMNS = ("array", "alignedat", "alignat", "alignat*")
_ALIGNED = re.compile(
    r"^\s*&|&\s*(?=[=<>]|\\(?:approx|equiv|leq?|geq?|in)(?![a-z]))|(?<==)\s*&|&\s*$"
)
"""A mark at which an equation is aligned; any other parts two values."""
_ROW_END = re.compile(r"\\\\(?:\s*\[[^\]]*\])?")


def unwrapped(answer: str) -> str:
    r"""Return an answer without emphasis around it, and without an environment of one value.

    ``__73__`` is ``73``, ``\begin{aligned}x&=3+4\\&=7\end{aligned}`` is ``x=3+4 =7``. ``*2*3*``
    and an environment of several values stay.
    """
    text = answer.strip()
    if text[:1] in ("*", "_", "`"):
        found = _EMPHASIS.fullmatch(text.rstrip(". "))
        if found and found["mark"] not in found["inside"]:
            text = found["inside"]
    if r"\begin" in text:
        found = _ENVIRONMENT.fullmatch(text.strip("$ "))
        text = (_one_value(found["name"], found["inside"]) if found else None) or text
    return text


def _one_value(name: str, inside: str) -> str | None:
    """The rows as one line, if each goes on with the equation of the one before."""
    if name in _WITH_COLUMNS:
        inside = inside[found.end() :] if (found := _COLUMNS.match(inside)) else inside
    rows = [row.strip() for row in _ROW_END.split(inside)]
    plain = [row if name == "array" else _ALIGNED.sub("", row).strip() for row in rows if row]
    if not plain or any("&" in row for row in plain):
        return None
    return " ".join(plain) if all(row.startswith("=") for row in plain[1:]) else None
