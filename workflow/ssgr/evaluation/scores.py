"""Scores: what a benchmark's verdicts amount to, with an error that knows how they cluster.

Responses to one problem are not independent, so the error is that of the per-problem means.
"""

import math
from typing import Any, Literal

import polars as pl
from numpy.typing import NDArray

from ssgr.errors import TableError

NOT_GIVEN = "not given"
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
        pl.lit(clustered_error(accuracy.to_numpy())).alias("standard_error"),
        pl.all(),
    )


def clustered_error(means: NDArray[Any]) -> float:
    """Return the standard error of the mean of per-problem means (N,): s / sqrt(N), clustered.

    Source: Miller 2024, "Adding error bars to evals": the responses to a problem are
    a cluster. With one problem s is taken as 0.5, the largest there is for means in [0, 1].
    """
    deviation = float(means.std(ddof=1)) if len(means) > 1 else LARGEST_DEVIATION
    return deviation / math.sqrt(len(means))


def breakdown(
    grades: pl.DataFrame, problems: pl.DataFrame, by: Literal["subject", "level"]
) -> pl.DataFrame:
    """Score one checkpoint on each subject or level of a benchmark.

    Args:
        grades: a Grades table.
        problems: the benchmark's Problems table.
        by: the column of ``problems`` that makes the groups.

    Returns:
        One row a group, in order of level or name: ``group`` and the Scores schema. Problems that
        give none are the group "not given", at the end.

    Raises:
        TableError: there are no responses, or one to a problem that is not in ``problems``.
    """
    unknown = grades.join(problems, on="problem_id", how="anti")["problem_id"].unique().sort()
    if len(unknown):
        raise TableError(
            f"{len(unknown)} graded problems are not in the problem set "
            f"({', '.join(unknown[:5])}): the grades are of another one. Grade again."
        )
    if grades.is_empty():
        score(grades)  # raises, and says why
    groups = problems.select("problem_id", group=pl.col(by).cast(pl.String).fill_null(NOT_GIVEN))
    rows = grades.join(groups, on="problem_id", how="left", maintain_order="left")
    number = pl.col("group").str.extract(r"(\d+)").cast(pl.Int64)
    return pl.concat(
        score(part).select(pl.lit(group).alias("group"), pl.all())
        for (group,), part in rows.group_by("group", maintain_order=True)
    ).sort(pl.col("group") == NOT_GIVEN, number, "group")
