"""Find an answer that stands in prose, without a box."""

import re

_LEAD = re.compile(r"(?i)\b(?:answer|result|solution)(?: is|:|\s*\*\*:?)")
# a formula in $, $$, \( or \[, or a number or fraction in the prose; a percent sign may follow
_FINAL = re.compile(
    r"(?s:\$\$(?P<display>[^$]{1,4000}?)\$\$|(?<!\\)\$(?P<dollar>(?:\\\$|[^$]){1,4000}?)(?<!\\)\$(?!\d)"
    r"|\\\((?P<inline>.{1,4000}?)\\\)|\\\[(?P<bracket>.{1,4000}?)\\\])"
    r"(?P<percent>\s*(?:\\?%|percent\b))?"
    r"|(?P<number>(?<![\w.])-?(?:\d[\d,]*\d|\d)?(?:\.\d+|(?<=\d))(?:\s*/\s*\d+)?(?:\s*(?:\\?%|percent\b))?)"
)


_UNDERLINED = re.compile(r"(?<![\w^{}\\)\]|])(_{1,3})(?=[^\s_])([^_\n]{1,200}?)(?<=[^\s_])\1(?!\w)")
_EMPHASISED = re.compile(r"[\s:*]*?(\*\*?)(?=\S)([^*\n$]{1,300}?)(?<=\S)\1[\s.]*")


def final_expression(text: str) -> str | None:
    """Return the last formula or number of a text, after the last "answer is" if there is one."""
    text = _UNDERLINED.sub(r"\2", text)
    leads = list(_LEAD.finditer(text))
    start = leads[-1].end() if leads else 0
    if leads and (whole := _EMPHASISED.fullmatch(text, start)) and "\\" in whole[2]:
        return whole[2].strip(" .")
    found = list(_FINAL.finditer(text, start)) or list(_FINAL.finditer(text))
    if not found:
        return text[start:].strip() or None
    parts = found[-1].groupdict()
    formula = parts["display"] or parts["dollar"] or parts["inline"] or parts["bracket"]
    answer = f"{formula}{parts['percent'] or ''}" if formula else parts["number"] or ""
    return answer.strip() or None
