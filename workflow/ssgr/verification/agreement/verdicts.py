"""Every grading method on every response of a pool: what it says, and the time that it takes.

Each method judges as `ssgr.grading.grade` does: with its own extraction, and identical pairs judged
once. For fair times each starts with empty caches and fresh child processes.
"""

import sys
import time
from collections.abc import Iterable, Iterator

import polars as pl

from ssgr.errors import TableError
from ssgr.grading.judge import extract
from ssgr.grading.methods import METHODS
from ssgr.grading.spec import Judging
from ssgr.grading.workers import close, judge_pairs
from ssgr.storage.tables import Verdicts

_FOUND = {
    "problem_id": pl.String,
    "sample": pl.Int32,
    "extracted": pl.String,
    "extraction_milliseconds": pl.Float64,
    "gold": pl.String,
}


def judge_by_every_method(
    responses: Iterable[pl.DataFrame], problems: pl.DataFrame, judging: Judging
) -> pl.DataFrame:
    """Return a Verdicts table: each response judged by each of ``ssgr.grading.METHODS``.

    One of the Responses tables is in memory at a time; ``judging.method`` is one of all.

    Raises:
        TableError: a response's problem is unknown, or has no answer; names one.
    """
    golds = problems.select("problem_id", gold="answer")
    found = {method: [pl.DataFrame(schema=_FOUND)] for method in METHODS}
    for part in responses:
        rows = part.select("problem_id", "sample", "text").join(
            golds, on="problem_id", how="left", maintain_order="left"
        )
        _check_golds(rows)
        for method, of_method in found.items():
            of_method.append(_extracted(rows, method, judging))
    judged = [_judged(pl.concat(parts), method, judging) for method, parts in found.items()]
    return pl.concat(judged).select(Verdicts.column_names())


def _check_golds(rows: pl.DataFrame) -> None:
    without = rows.filter(pl.col("gold").fill_null("").str.strip_chars() == "")
    if len(without):
        raise TableError(
            f"{without['problem_id'].n_unique()} problem(s) with responses, such as "
            f"{without['problem_id'][0]}, have no answer in the table of problems: these responses "
            "are of another problem set, or cannot be graded"
        )


def _extracted(rows: pl.DataFrame, method: str, judging: Judging) -> pl.DataFrame:
    """Return the answers that a method finds in texts, with the time for each: columns _FOUND."""

    def each() -> Iterator[tuple[str, int, str | None, float, str]]:
        for problem_id, sample, text, gold in rows.iter_rows():
            start = time.perf_counter()
            answer = extract(text, method, judging.think_close, judging.conventions)
            yield problem_id, sample, answer, (time.perf_counter() - start) * 1000, gold

    return pl.DataFrame(list(each()), schema=_FOUND, orient="row")


def _judged(found: pl.DataFrame, method: str, judging: Judging) -> pl.DataFrame:
    """Add a method's verdicts to the answers that it found."""
    _start_afresh(judging.workers if METHODS[method].math_verify else 0)
    pairs = list(found.select("gold", "extracted").iter_rows())
    verdicts = judge_pairs(
        pairs,
        method=method,
        conventions=judging.conventions,
        time_limit=judging.time_limit,
        workers=judging.workers,
    )
    close()
    given = [verdicts[pair] for pair in pairs]
    return found.with_columns(
        method=pl.lit(method),
        verdict=pl.Series([verdict.verdict for verdict in given], dtype=pl.String),
        step=pl.Series([verdict.method for verdict in given], dtype=pl.String),
        milliseconds=pl.Series([verdict.milliseconds for verdict in given], dtype=pl.Float64),
    )


def _start_afresh(workers: int) -> None:
    """End the judging children, empty the grading modules' caches, and start ``workers`` children.

    Each child judges one pair, for its first verdict takes a tenth of a second longer.
    """
    close()
    for name, module in list(sys.modules.items()):
        if name.startswith("ssgr.grading."):
            for function in vars(module).values():
                if hasattr(function, "cache_clear"):
                    function.cache_clear()
    pairs = [(f"x + {number}", f"{number} + x") for number in range(workers)]
    judge_pairs(pairs, method="math-verify", workers=max(workers, 1))
