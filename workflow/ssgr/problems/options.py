"""Multiple choice, as simple-evals shows GPQA: options A) to D), in an order of each problem's own.

The right option's letter follows its place, never its text: two options may read alike.
"""

from hashlib import blake2b

import polars as pl

from ssgr.config import Columns
from ssgr.config.problem_sets import LETTERS
from ssgr.problems.faults import Faults


def with_options(table: pl.DataFrame, spec: Columns, faults: Faults) -> pl.DataFrame:
    """Return the table with the options below each question, and the right letter as ``answer``.

    Args:
        table: problem_id, question and options (a list of texts, the right one first).
        spec: names the columns, and the seed of the order.
        faults: where rows with an empty option go.
    """
    for place, column in enumerate(spec.options or []):
        option = pl.col("options").list.get(place).fill_null("").str.strip_chars()
        faults.add(table.filter(option == ""), f"column {column!r} of `options` is empty or NaN")
    questions, letters = [], []
    for key, question, options in table.select("problem_id", "question", "options").iter_rows():
        texts = [(option or "").strip() for option in options]
        order = order_of(len(texts), spec.options_seed, key)
        lines = [f"{LETTERS[place]}) {texts[k]}" for place, k in enumerate(order)]
        questions.append("\n".join([question.strip(), "", *lines]))
        letters.append(LETTERS[order.index(0)])
    return table.with_columns(
        pl.Series("question", questions, dtype=pl.String),
        pl.Series("answer", letters, dtype=pl.String),
    )


def order_of(count: int, seed: int, key: str) -> list[int]:
    """Return a permutation of ``range(count)`` that depends on the seed and the problem's id only.

    Every one of the ``count!`` orders is equally likely, over the ids.
    """
    return sorted(
        range(count), key=lambda k: blake2b(f"{seed}:{key}:{k}".encode(), digest_size=16).digest()
    )
