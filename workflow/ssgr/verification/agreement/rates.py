"""How far grading methods agree: tables of verdicts in, tables out.

What counts is whether a response is correct, for c = k/n counts that. No answer, a time-out and a
gold that a method cannot read are not correct, but no opinion either: a disagreement is a
*contradiction* only if one method says correct and another wrong.
"""

from collections.abc import Iterable, Mapping

import polars as pl

from ssgr.selection.rules import MARGIN
from ssgr.storage.tables import VERDICTS

RESPONSE = ("problem_id", "sample")
OPINIONS = ("correct", "wrong")
EXAMPLES = 3
"""Shown of each way to disagree."""
CORRECT = pl.col("verdict") == "correct"


def _count() -> pl.Expr:
    return pl.len().cast(pl.Int64)


def _counts(conditions: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
    """How many rows fulfil each condition."""
    return {name: holds.sum().cast(pl.Int64) for name, holds in conditions.items()}


def said(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return how often each method says what, methods in the order of ``verdicts``.

    Columns: method, responses, a count for each of VERDICTS, and decides: whether it ever says
    correct or wrong. A method that never does is not made for these problems.
    """
    counts = _counts({name: pl.col("verdict") == name for name in VERDICTS})
    by_method = verdicts.group_by("method", maintain_order=True).agg(responses=_count(), **counts)
    return by_method.with_columns(decides=pl.sum_horizontal(OPINIONS) > 0)


def pairwise(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return how often two methods agree on whether a response is correct.

    A row for each ordered pair: method, other, both (say correct), only_method, only_other,
    neither, and share (in [0, 1]) of the responses on which they agree.
    """
    marked = verdicts.select(*RESPONSE, "method", correct=CORRECT)
    one, other = pl.col("correct"), pl.col("correct_other")
    counts = _counts(
        {
            "both": one & other,
            "only_method": one & ~other,
            "only_other": ~one & other,
            "neither": ~one & ~other,
        }
    )
    order = {name: place for place, name in enumerate(marked["method"].unique(maintain_order=True))}
    return (
        marked.join(marked.rename({"method": "other"}), on=RESPONSE, suffix="_other")
        .group_by("method", "other")
        .agg(**counts, share=(one == other).mean())
        .sort(pl.col("method", "other").replace_strict(order, return_dtype=pl.Int64))
    )


def disagreements(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return who says what of the responses that are correct by some methods and not by others.

    A row for each way to disagree, contradictions first, then the frequent ones: a column of
    verdicts for each method, contradiction, responses, problems, and examples (up to three of
    different problems, as structs of problem_id and sample).
    """
    methods = verdicts["method"].unique(maintain_order=True).to_list()
    wide = verdicts.pivot("method", index=RESPONSE, values="verdict", maintain_order=True)
    correct = [pl.col(method) == "correct" for method in methods]
    disputed = wide.filter(pl.any_horizontal(correct) & ~pl.all_horizontal(correct))
    first = pl.struct(RESPONSE).filter(pl.col("problem_id").is_first_distinct())
    ways = disputed.sort(RESPONSE).group_by(methods, maintain_order=True)
    counted = ways.agg(
        contradiction=pl.any_horizontal(pl.col(method) == "wrong" for method in methods).first(),
        responses=_count(),
        problems=pl.col("problem_id").n_unique().cast(pl.Int64),
        examples=first.head(EXAMPLES),
    )
    return counted.sort("contradiction", "responses", descending=True, maintain_order=True)


def ratios(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return each problem's correctness ratio by each method.

    Columns: method, problem_id, drawn, correct, ratio (of those drawn).
    """
    by_problem = verdicts.group_by("method", "problem_id", maintain_order=True)
    counted = by_problem.agg(drawn=_count(), **_counts({"correct": CORRECT}))
    return counted.with_columns(ratio=pl.col("correct") / pl.col("drawn"))


def sides(
    ratios: pl.DataFrame, configured: str, bands: Iterable[tuple[float, float]]
) -> pl.DataFrame:
    """Return how many problems change the side of a threshold under another method.

    A row for each band (lowest and highest c kept) and method: low, high, method, kept (problems
    with c in the band), entered and left (those that are not, and those that only are, under the
    ``configured`` method of the run).
    """
    schema = dict.fromkeys(("low", "high"), pl.Float64)
    known = ratios.filter(method=configured).select("problem_id", configured="ratio")
    both = ratios.join(known, on="problem_id", maintain_order="left")
    every = pl.DataFrame(list(bands), schema=schema, orient="row").join(both, how="cross")
    low, high = pl.col("low") - MARGIN, pl.col("high") + MARGIN
    here, there = (pl.col(name).is_between(low, high) for name in ("ratio", "configured"))
    counts = _counts({"kept": here, "entered": here & ~there, "left": ~here & there})
    return every.group_by("low", "high", "method", maintain_order=True).agg(**counts)


def times(verdicts: pl.DataFrame, golds: pl.DataFrame) -> pl.DataFrame:
    """Return the time that each method took; ``golds`` holds problem_id and answer.

    Columns: method, responses, pairs (different ones of gold and answer), by_math_verify (of them),
    extraction (milliseconds for all responses), judging (for all pairs), median and longest (of a
    pair; null if no answer was found), and per_response: both together, for a response.
    """
    answers = golds.select("problem_id", "answer")
    own = verdicts.join(answers, on="problem_id", maintain_order="left")
    found = own.filter(pl.col("extracted").is_not_null())
    pairs = found.unique(["method", "answer", "extracted"], maintain_order=True)
    spent = pl.col("milliseconds")
    by_pair = pairs.group_by("method", maintain_order=True).agg(
        pairs=_count(),
        **_counts({"by_math_verify": pl.col("step") == "math-verify"}),
        judging=spent.sum(),
        median=spent.median(),
        longest=spent.max(),
    )
    by_response = own.group_by("method", maintain_order=True).agg(
        responses=_count(), extraction=pl.col("extraction_milliseconds").sum()
    )
    joined = by_response.join(by_pair, on="method", how="left", maintain_order="left")
    joined = joined.with_columns(pl.col("pairs", "by_math_verify", "judging").fill_null(0))
    total = pl.col("extraction") + pl.col("judging")
    return joined.with_columns(per_response=total / pl.col("responses"))
