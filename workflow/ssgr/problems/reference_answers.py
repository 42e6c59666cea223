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
from ssgr.problems.faults import Faults

BESIDE = ("unit", "error")
"""What may stand beside an answer; goes into it."""


def golds(table: pl.DataFrame, spec: Columns, faults: Faults) -> list[str | None]:
    """Return the gold of each row: problem_id, answer (a list of texts), unit, error.

    All are null where the entry names no ``answer`` column. A problem that could not be graded is
    among the faults: it has no answer, an empty one among several, or a tolerance that is none.
    """
    found = [_gold(row, spec) for row in table.iter_rows(named=True)]
    if spec.answer is not None:
        bare = table.filter(pl.Series([gold is None for gold in found], dtype=pl.Boolean))
        faults.add(
            bare,
            f"{len(bare)} of {len(table)} problems have no answer in column {spec.answer!r} "
            f"(answer_from: {spec.answer_from}), or an empty one among several; null, NaN and "
            "what answer_from (whole, after-hashes, last-box) does not find are none",
        )
    wrong = table.filter(
        pl.Series([_no_tolerance(text) for text in table["error"]], dtype=pl.Boolean)
    )
    faults.add(
        wrong,
        f"column {spec.error!r} holds {wrong['error'].head(3).to_list()}, expected a tolerance "
        "such as 1e-1, or several with commas between",
    )
    return found


def _gold(row: dict[str, Any], spec: Columns) -> str | None:
    """A row's gold; None for a row with no answer, and for one whose list has an empty place.

    With the rest of its answers a wrong response could be judged correct.
    """
    answers = [_answer(text, spec.answer_from) for text in row["answer"] or ()]
    texts = [answer for answer in answers if answer and answer.strip()]
    if not texts or len(texts) < len(answers):
        return None
    beside = {name: row[name].strip() for name in BESIDE if row[name] and row[name].strip()}
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
    from ssgr.grading.extraction import last_box

    return last_box(text)


def _no_tolerance(error: str | None) -> bool:
    try:
        tolerances = [float(part) for part in ((error or "").strip() or "0").split(",")]
    except ValueError:
        return True
    return not all(tolerance >= 0 and isfinite(tolerance) for tolerance in tolerances)
