"""Reference answers as the data sets give them: behind GSM8K's hashes, in MATH's last box, several.

A gold is one text, or JSON for `ssgr.grading.golds` where a problem has several answers, a unit or
a tolerance of its own.
"""

import json
import re
from math import isfinite
from typing import Any

import polars as pl

from ssgr.config import Columns
from ssgr.errors import TableError

BESIDE = ("unit", "error")
"""What may stand beside an answer; goes into it."""


def golds(table: pl.DataFrame, spec: Columns, shown: str) -> list[str | None]:
    """Return the gold of each row: problem_id, answer (a list of texts), unit, error.

    All are null where the entry names no ``answer`` column.

    Raises:
        TableError: a problem could not be graded: it has no answer, an empty one among several,
            or a tolerance that is none. Names the file, the column and the problem.
    """
    found = [_gold(row, spec, shown) for row in table.iter_rows(named=True)]
    bare = table.filter(pl.Series([gold is None for gold in found], dtype=pl.Boolean))["problem_id"]
    if spec.answer is not None and len(bare):
        raise TableError(
            f"{shown}: {len(bare)} of {len(table)} problems have no answer in column "
            f"{spec.answer!r} (answer_from: {spec.answer_from}), or an empty one among several; "
            f"first: {bare[0]!r}. Choose another answer_from (whole, after-hashes, last-box), or "
            "remove these rows."
        )
    return found


def _gold(row: dict[str, Any], spec: Columns, shown: str) -> str | None:
    """A row's gold; None for a row with no answer, and for one whose list has an empty place.

    With the rest of its answers a wrong response could be judged correct.
    """
    answers = [_answer(text, spec.answer_from) for text in row["answer"] or ()]
    texts = [answer for answer in answers if answer and answer.strip()]
    if not texts or len(texts) < len(answers):
        return None
    beside = {name: row[name].strip() for name in BESIDE if row[name] and row[name].strip()}
    _require_tolerance(row, beside.get("error"), spec, shown)
    if len(texts) == 1 and not beside:
        return texts[0]
    return json.dumps({"final_answer": texts, **beside}, ensure_ascii=False)


def _answer(text: str | None, answer_from: str) -> str | None:
    """Find the answer in its column: all of it, after GSM8K's ``####``, or in the last box."""
    if text is None or answer_from == "whole":
        return text
    if answer_from == "after-hashes":
        found = re.search(r"####\s*(.+)\s*$", text)
        return found[1].strip().replace(",", "") if found else None
    from ssgr.grading.answers import last_box

    return last_box(text)


def _require_tolerance(row: dict[str, Any], error: str | None, spec: Columns, shown: str) -> None:
    try:
        tolerances = [float(part) for part in (error or "0").split(",")]
    except ValueError:
        tolerances = [-1.0]
    if not all(tolerance >= 0 and isfinite(tolerance) for tolerance in tolerances):
        raise TableError(
            f"{shown}: column {spec.error!r} of problem {row['problem_id']!r} holds {error!r}; "
            "expected a tolerance such as 1e-1, or several with commas between"
        )
