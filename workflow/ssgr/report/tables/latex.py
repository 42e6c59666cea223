r"""A table as LaTeX: to ``\input`` into a paper, and complete if it is compiled by itself."""

import re

from ssgr.report.tables.table import MINUS, MISSING, Entry, Row, Table

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#",
    "_": r"\_", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "\u00a0": "~", MINUS: r"\ensuremath{-}",
    MISSING: "--", "—": "---", "±": r"\ensuremath{\pm}", "\u00d7": r"\ensuremath{\times}",
    "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "τ": r"\ensuremath{\tau}",
    "\u2019": "'", "“": "``", "”": "''", "…": r"\dots{}",
}  # fmt: skip
HEAD = r"""% \input this file; it needs \usepackage{booktabs} and \usepackage{xcolor}.
% Compiled by itself, it is a page with the table.
\makeatletter
\ifx\documentclass\@twoclasseserror\else
  \documentclass[10pt]{article}
  \usepackage[margin=1.5cm,landscape]{geometry}
  \usepackage{booktabs}
  \usepackage{xcolor}
  \pagestyle{empty}
  \begin{document}
  \def\ssgralone{}
\fi
\makeatother
"""
TAIL = r"""\ifdefined\ssgralone\def\ssgrend{\end{document}}\else\let\ssgrend\relax\fi
\ssgrend
"""


def to_latex(table: Table) -> str:
    r"""Return a table as a ``table`` environment with caption, label ``tab:NAME`` and notes.

    The best number of a group is bold, a mark a superscript; a row of published numbers stands
    grey under each of ours that has some.
    """
    levels = len(table.levels)
    heading = map(escaped, (*table.levels, *(column.heading for column in table.columns)))
    body = "".join(_rows(table, at) for at in range(len(table.rows)))
    lines = [
        r"\begin{table}[t]", r"\centering", r"\small", rf"\caption{{{escaped(table.title)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9:-]', '-', table.name)}}}",
        rf"\begin{{tabular}}{{{'l' * levels}{'r' * len(table.columns)}}}", r"\toprule",
        " & ".join(heading) + r" \\", r"\midrule",
    ]  # fmt: skip
    notes = [rf"\par\smallskip\footnotesize {escaped(' '.join(table.notes))}"] * bool(table.notes)
    ending = [r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}"]
    return HEAD + "\n".join(lines) + "\n" + body + "\n".join(ending) + "\n" + TAIL


def escaped(text: str) -> str:
    """Text in which LaTeX finds no commands."""
    return "".join(SPECIAL.get(character, character) for character in text)


def _rows(table: Table, at: int) -> str:
    row = table.rows[at]
    spans = table.spans(at)
    headings = [
        escaped(text) if span else "" for text, span in zip(row.headings, spans, strict=True)
    ]
    lines = [r"\midrule"] * table.starts_group(at)
    lines.append(" & ".join([*headings, *map(_set, row.entries)]) + r" \\")
    if any(entry and entry.published is not None for entry in row.entries):
        lines.append(_published(row))
    return "\n".join(lines) + "\n"


def _set(entry: Entry | None) -> str:
    """A number, bold if it is the best, with its mark and half its interval."""
    if entry is None:
        return "--"
    text = escaped(entry.text)
    number = (rf"\textbf{{{text}}}" if entry.best else text) + (
        rf"\textsuperscript{{{entry.mark}}}" if entry.mark else "")  # fmt: skip
    return number + (rf" {{\scriptsize \ensuremath{{\pm}}{entry.error}}}" if entry.error else "")


def _published(row: Row) -> str:
    """The published numbers of a row, grey."""
    cells = [""] * (len(row.headings) - 1) + [r"\quad published"]
    cells += [escaped(entry.published_text) if entry else "" for entry in row.entries]
    return " & ".join(rf"\textcolor{{gray}}{{{cell}}}" if cell else "" for cell in cells) + r" \\"
