"""How far grading methods agree: tables of verdicts in, tables out.

What counts is whether a response is correct, for that is what c = k/n counts. No answer, a time-out
and a gold that a method cannot read are not correct, but they are no opinion either: a
disagreement is a *contradiction* only if one method says correct and another wrong.
"""

from collections.abc import Iterable

import polars as pl

from ssgr.selection.rules import MARGIN
from ssgr.storage.tables import VERDICTS

RESPONSE = ("problem_id", "sample")
OPINIONS = ("correct", "wrong")
EXAMPLES = 3
"""Shown of each way to disagree."""
CORRECT = pl.col("verdict") == "correct"


def said(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return how often each method says what.

    Args:
        verdicts: Verdicts columns, methods in the order in which they are shown.

    Returns:
        method, responses, a column of counts for each of VERDICTS, and decides: whether it ever
        says correct or wrong. A method that never does is not made for these problems.
    """
    counts = [(pl.col("verdict") == name).sum().cast(pl.Int64).alias(name) for name in VERDICTS]
    by_method = verdicts.group_by("method", maintain_order=True)
    return by_method.agg(pl.len().cast(pl.Int64).alias("responses"), *counts).with_columns(
        decides=pl.sum_horizontal(OPINIONS) > 0
    )


def pairwise(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return how often two methods agree on whether a response is correct.

    Returns:
        A row for each ordered pair of methods: method, other, both (say correct), only_method,
        only_other, neither, and share (in [0, 1]) of the responses on which they agree.
    """
    marked = verdicts.select(*RESPONSE, "method", correct=CORRECT)
    one, other = pl.col("correct"), pl.col("correct_other")
    counts = {
        "both": one & other,
        "only_method": one & ~other,
        "only_other": ~one & other,
        "neither": ~one & ~other,
    }
    order = {name: place for place, name in enumerate(marked["method"].unique(maintain_order=True))}
    return (
        marked.join(marked.rename({"method": "other"}), on=RESPONSE, suffix="_other")
        .group_by("method", "other")
        .agg(**{name: is_so.sum().cast(pl.Int64) for name, is_so in counts.items()},
             share=(one == other).mean())
        .sort(pl.col("method", "other").replace_strict(order, return_dtype=pl.Int64))
    )  # fmt: skip


def disagreements(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return who says what of the responses that are correct by some methods and not by others.

    Returns:
        A row for each way to disagree, contradictions first, then the frequent ones: a column of
        verdicts for each method, contradiction, responses, problems, and examples: up to three of
        different problems, as structs of problem_id and sample.
    """
    methods = verdicts["method"].unique(maintain_order=True).to_list()
    wide = verdicts.pivot("method", index=RESPONSE, values="verdict", maintain_order=True)
    says = [pl.col(method) for method in methods]
    correct = [one == "correct" for one in says]
    disputed = wide.filter(pl.any_horizontal(correct) & ~pl.all_horizontal(correct))
    ways = disputed.sort(RESPONSE).group_by(methods, maintain_order=True)
    counted = ways.agg(
        contradiction=pl.any_horizontal(one == "wrong" for one in says).first(),
        responses=pl.len().cast(pl.Int64),
        problems=pl.col("problem_id").n_unique().cast(pl.Int64),
        examples=pl.struct(RESPONSE).filter(pl.col("problem_id").is_first_distinct())
        .head(EXAMPLES),
    )  # fmt: skip
    return counted.sort("contradiction", "responses", descending=True, maintain_order=True)


def ratios(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return each problem's correctness ratio, of the responses that were drawn, by each method.

    Returns:
        method, problem_id, drawn, correct, ratio.
    """
    return (
        verdicts.group_by("method", "problem_id", maintain_order=True)
        .agg(drawn=pl.len().cast(pl.Int64), correct=CORRECT.sum().cast(pl.Int64))
        .with_columns(ratio=pl.col("correct") / pl.col("drawn"))
    )


def sides(
    ratios: pl.DataFrame, configured: str, bands: Iterable[tuple[float, float]]
) -> pl.DataFrame:
    """Return how many problems change the side of a threshold under another method.

    Args:
        ratios: as of :func:`ratios`.
        configured: the method of the run.
        bands: lowest and highest c that calibrations keep.

    Returns:
        A row for each band and method: low, high, method, kept (problems with c in the band),
        entered and left (those that are not, and those that only are, under ``configured``).
    """
    known = ratios.filter(method=configured).select("problem_id", configured="ratio")
    both = ratios.join(known, on="problem_id", maintain_order="left")
    found = []
    for low, high in bands:
        here, there = (pl.col(name).is_between(low - MARGIN, high + MARGIN)
                       for name in ("ratio", "configured"))  # fmt: skip
        counts = {"kept": here, "entered": here & ~there, "left": ~here & there}
        found.append(
            both.group_by("method", maintain_order=True)
            .agg(**{name: is_so.sum().cast(pl.Int64) for name, is_so in counts.items()})
            .select(pl.lit(low).alias("low"), pl.lit(high).alias("high"), pl.all())
        )
    schema = dict.fromkeys(("low", "high"), pl.Float64) | {"method": pl.String}
    empty = pl.DataFrame(schema=schema | dict.fromkeys(("kept", "entered", "left"), pl.Int64))
    return pl.concat([empty, *found])


def times(verdicts: pl.DataFrame, golds: pl.DataFrame) -> pl.DataFrame:
    """Return the time that each method took.

    Args:
        verdicts: Verdicts columns.
        golds: problem_id and answer.

    Returns:
        method, responses, pairs (different ones of gold and answer), by_math_verify (of them),
        extraction (milliseconds for all responses), judging (for all pairs), median and longest
        (of a pair; null if no answer was found), and per_response: both together, for a response.
    """
    own = verdicts.join(
        golds.select("problem_id", "answer"), on="problem_id", maintain_order="left"
    )
    found = own.filter(pl.col("extracted").is_not_null())
    pairs = found.unique(["method", "answer", "extracted"], maintain_order=True)
    spent = pl.col("milliseconds")
    by_pair = pairs.group_by("method", maintain_order=True).agg(
        pairs=pl.len().cast(pl.Int64),
        by_math_verify=(pl.col("step") == "math-verify").sum().cast(pl.Int64),
        judging=spent.sum(),
        median=spent.median(),
        longest=spent.max(),
    )
    by_response = own.group_by("method", maintain_order=True).agg(
        responses=pl.len().cast(pl.Int64), extraction=pl.col("extraction_milliseconds").sum()
    )
    joined = by_response.join(by_pair, on="method", how="left", maintain_order="left")
    joined = joined.with_columns(pl.col("pairs", "by_math_verify", "judging").fill_null(0))
    total = pl.col("extraction") + pl.col("judging")
    return joined.with_columns(per_response=total / pl.col("responses"))
