"""What the scores amount to: averages, which calibration came out best, and whether that is real.

Two calibrations differ when their scores lie further apart than 1.96 standard errors of the
difference, sqrt(a^2 + b^2). Both checkpoints answer the same problems, which tends to make the
true error of a difference smaller: this calls a difference real rather too seldom.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from ssgr.config import Config
from ssgr.labels import pruner_name, sparsity_name
from ssgr.points import CHECKPOINT_KEYS, DENSE
from ssgr.report.appearance import AVERAGE

Z_95 = 1.96
BLOCK = ("model", "pruner", "sparsity")
SHOWN = 3  # decimals of a share that are shown: 0.1 points


def with_average(scores: pl.DataFrame) -> pl.DataFrame:
    """Append each checkpoint's mean over benchmarks as one more benchmark, AVG.

    As in the paper's tables, every benchmark weighs the same; the standard error of the mean of
    B independent benchmarks is sqrt(sum of squares) / B. Lengths and shares are averaged too.
    """
    keys = ["label", *CHECKPOINT_KEYS]
    means = ("pass_at_1", "mean_tokens", "truncated", "with_thinking")
    average = scores.group_by(keys, maintain_order=True).agg(
        pl.lit(AVERAGE).alias("benchmark"),
        pl.col("problems", "responses", "timed_out").sum(),
        pl.col(*means).mean(),
        (pl.col("standard_error").pow(2).sum().sqrt() / pl.len()).alias("standard_error"),
    )
    return pl.concat([scores, average.select(scores.columns)])


def compare(averaged: pl.DataFrame) -> pl.DataFrame:
    """Add ``best`` and ``close``: per model, pruner, sparsity and benchmark.

    ``best``: no other calibration's score is higher, at the 0.1 points that are shown.
    ``close``: not best, but within the error of the highest. Both are false where there is
    nothing to compare: the dense model, and a pruner with a single calibration.
    """
    cell = [*BLOCK, "benchmark"]
    top = pl.col("pass_at_1").arg_max()
    gap = pl.col("highest") - pl.col("pass_at_1")
    error = (pl.col("standard_error").pow(2) + pl.col("highest_error").pow(2)).sqrt()
    contest = pl.len().over(cell) > 1
    shown = pl.col("pass_at_1").round(SHOWN)
    return (
        averaged.with_columns(
            highest=pl.col("pass_at_1").max().over(cell),
            highest_error=pl.col("standard_error").get(top).over(cell),
        )
        .with_columns(best=contest & (shown == pl.col("highest").round(SHOWN)))
        .with_columns(close=contest & ~pl.col("best") & (gap <= Z_95 * error))
        .drop("highest", "highest_error")
    )


@dataclass(frozen=True)
class Finding:
    """The best calibration of one pruner at one sparsity; scores in [0, 1].

    ``gap`` is the lead over ``rival``: the plain-text calibration if there is one and it did not
    win, else the runner-up; None if there was no contest. ``error`` is 1.96 standard errors.
    """

    model: str
    pruner: str
    sparsity: str
    best: str
    score: float
    dense: float
    rival: str | None
    rival_is_text: bool
    gap: float
    error: float

    @property
    def is_real(self) -> bool:
        """Whether the lead lies outside the error."""
        return self.gap > self.error


def findings(averaged: pl.DataFrame) -> list[Finding]:
    """Return what came out, per model, pruner and sparsity, in the report's order."""
    overall = averaged.filter(pl.col("benchmark") == AVERAGE)
    dense = dict(overall.filter(pl.col("label") == DENSE).select("model", "pass_at_1").iter_rows())
    pruned = overall.filter(pl.col("label") != DENSE)
    return [
        _finding(block, dense[block["model"][0]])
        for block in pruned.partition_by(*BLOCK, maintain_order=True)
    ]


def _finding(block: pl.DataFrame, dense: float) -> Finding:
    ranked = block.sort("pass_at_1", descending=True, maintain_order=True)
    best, *others = ranked.iter_rows(named=True)
    texts = [row for row in others if row["length"] == "text"]
    is_text = bool(texts) and best["length"] != "text"
    rival: dict[str, Any] | None = (texts[0] if is_text else others[0]) if others else None
    return Finding(
        **{key: best[key] for key in BLOCK},
        best=best["label"],
        score=best["pass_at_1"],
        dense=dense,
        rival=rival["label"] if rival else None,
        rival_is_text=is_text,
        gap=best["pass_at_1"] - rival["pass_at_1"] if rival else 0.0,
        error=Z_95 * (best["standard_error"] ** 2 + rival["standard_error"] ** 2) ** 0.5
        if rival
        else 0.0,
    )


def headline(averaged: pl.DataFrame, config: Config) -> list[str]:
    """Say what came out in plain words: one sentence for each model and sparsity."""
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings(averaged):
        grouped.setdefault((finding.model, finding.sparsity), []).append(finding)
    several = len(config.run.models) > 1
    return [
        _sentence(found, f"{model} at" if several else "At", sparsity)
        for (model, sparsity), found in grouped.items()
    ]


def _sentence(found: list[Finding], opening: str, sparsity: str) -> str:
    clauses = "; ".join(_clause(finding) for finding in found)
    dense = f"{100 * found[0].dense:.1f}\u00a0%"
    return (
        f"{opening} {sparsity_name(sparsity)} sparsity, where the dense model averages {dense}: "
        f"{clauses}."
    )


def _clause(finding: Finding) -> str:
    pruner, score = pruner_name(finding.pruner), f"{100 * finding.score:.1f}\u00a0%"
    if finding.rival is None:
        return f"{pruner} with {finding.best} averages {score}"
    if round(100 * finding.gap, 1) == 0:
        return f"{finding.best} and {finding.rival} are level for {pruner} with {score}"
    lead = f"{100 * finding.gap:.1f}\u00a0points above {finding.rival}"
    verdict = "more than" if finding.is_real else "within"
    error = f"the error of ±{100 * finding.error:.1f}"
    return f"{finding.best} is best for {pruner} with {score}, {lead}, {verdict} {error}"
