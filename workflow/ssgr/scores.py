"""Scores: what a benchmark's verdicts amount to, with an error that knows how they cluster.

Responses to one problem are not independent, so the error is that of the per-problem means.
"""

import math

import polars as pl

from ssgr.errors import TableError

# No variable in [0, 1] has a larger standard deviation: the error when one problem tells none.
LARGEST_DEVIATION = 0.5


def score(grades: pl.DataFrame) -> pl.DataFrame:
    """Score one checkpoint on one benchmark.

    pass@1 is the mean over problems of the share of correct responses (section 3.1: four
    responses per problem); its standard error is clustered by problem, s / sqrt(N) with s the
    sample standard deviation of the N per-problem means (0.5 if N = 1, the largest possible).

    Args:
        grades: a Grades table, one row a response.

    Returns:
        One row of the Scores schema; pass@1, error and shares in [0, 1], lengths in tokens.

    Raises:
        TableError: there are no responses.
    """
    if grades.is_empty():
        raise TableError(
            "no graded responses to score: the benchmark's grades are empty. "
            "Check that its problem set is not empty and sample it again."
        )
    accuracy = grades.group_by("problem_id", maintain_order=True).agg(
        pl.col("correct").cast(pl.Float64).mean()
    )["correct"]
    deviation = float(accuracy.to_numpy().std(ddof=1)) if len(accuracy) > 1 else LARGEST_DEVIATION
    shares = grades.select(
        mean_tokens=pl.col("tokens").cast(pl.Float64).mean(),
        truncated=(~pl.col("finished")).cast(pl.Float64).mean(),
        with_thinking=pl.col("has_thinking").cast(pl.Float64).mean(),
        timed_out=(pl.col("verdict").cast(pl.String) == "timed-out").sum().cast(pl.Int64),
    )
    return shares.select(
        pl.lit(len(accuracy), dtype=pl.Int64).alias("problems"),
        pl.lit(len(grades), dtype=pl.Int64).alias("responses"),
        pl.lit(min(math.fsum(accuracy) / len(accuracy), 1.0)).alias("pass_at_1"),
        pl.lit(deviation / math.sqrt(len(accuracy))).alias("standard_error"),
        pl.all(),
    )
