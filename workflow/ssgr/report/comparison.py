"""What the scores amount to: averages, which calibration came out best, and whether that is real.

The headline compares the best with its nearest rival problem by problem, as tables do. The marks of
the main table are simpler: two scores are close where they lie within 1.96 standard errors of the
difference, sqrt(a^2 + b^2), which takes no account of the problems being the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from ssgr.config import Config
from ssgr.config.labels import pruner_name, sparsity_name
from ssgr.evaluation import significance
from ssgr.jobs.grid import CHECKPOINT_KEYS, DENSE
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
class Lead:
    """How far the best calibration is ahead of another: mean difference of pass@1, in [-1, 1].

    ``low`` and ``high`` are the ends of its 95 % interval, paired by problem.
    """

    rival: str
    gap: float
    low: float
    high: float

    @property
    def is_real(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Finding:
    """The best calibration of one pruner at one sparsity; scores in [0, 1].

    ``leads`` are over the nearest rival, and over plain text where that is neither of the two.
    """

    model: str
    pruner: str
    sparsity: str
    best: str
    score: float
    dense: float
    leads: list[Lead]

    def called(self, names: Mapping[str, str]) -> "Finding":
        """Return the same with other labels, as they are to be shown."""
        leads = [replace(one, rival=names.get(one.rival, one.rival)) for one in self.leads]
        return replace(self, best=names.get(self.best, self.best), leads=leads)


Outcomes = Callable[[Mapping[str, str]], pl.DataFrame]
"""Of a checkpoint, by its keys: what each problem of each benchmark came to."""


def findings(scores: pl.DataFrame, outcomes: Outcomes) -> list[Finding]:
    """Return what came out, per model, pruner and sparsity, in the report's order.

    Args:
        scores: as of ``ReportTables.scores``.
        outcomes: called with CHECKPOINT_KEYS; returns the columns of
            `ssgr.evaluation.per_problem.outcomes`.
    """
    overall = with_average(scores).filter(pl.col("benchmark") == AVERAGE)
    dense = dict(overall.filter(pl.col("label") == DENSE).select("model", "pass_at_1").iter_rows())
    pruned = overall.filter(pl.col("label") != DENSE)
    return [
        _finding(block, dense[block["model"][0]], outcomes)
        for block in pruned.partition_by(*BLOCK, maintain_order=True)
    ]


def _finding(block: pl.DataFrame, dense: float, outcomes: Outcomes) -> Finding:
    ranked = block.sort("pass_at_1", descending=True, maintain_order=True)
    best, *others = ranked.iter_rows(named=True)
    texts = [row for row in others[1:] if row["length"] == "text"]
    nearest = [*others[:1], *texts[:1]]
    if best["length"] == "text" or (others and others[0]["length"] == "text"):
        nearest = others[:1]
    own = outcomes(_keys(best)) if nearest else None
    return Finding(
        **{key: best[key] for key in BLOCK},
        best=best["label"],
        score=best["pass_at_1"],
        dense=dense,
        leads=[_lead(own, row, outcomes) for row in nearest if own is not None],
    )


def _keys(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: row[key] for key in CHECKPOINT_KEYS}


def _lead(best: pl.DataFrame, rival: Mapping[str, Any], outcomes: Outcomes) -> Lead:
    gap = significance.difference(best, outcomes(_keys(rival)))
    return Lead(rival["label"], gap.value, gap.low, gap.high)


def headline(found: list[Finding], config: Config) -> list[str]:
    """Say what came out in plain words: one sentence for each model and sparsity."""
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for finding in found:
        grouped.setdefault((finding.model, finding.sparsity), []).append(finding)
    several = len(config.run.models) > 1
    return [
        _sentence(some, f"{model} at" if several else "At", sparsity)
        for (model, sparsity), some in grouped.items()
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
    if not finding.leads:
        return f"{pruner} with {finding.best} averages {score}"
    nearest, *more = finding.leads
    if round(100 * nearest.gap, 1) == 0:
        first = f"{finding.best} and {nearest.rival} are level for {pruner} with {score}"
    else:
        first = f"{finding.best} is best for {pruner} with {score}, {_said(nearest)}"
    return ", and ".join([first, *map(_said, more)])


def _said(lead: Lead) -> str:
    chance = "more than chance" if lead.is_real else "within chance"
    ends = " to ".join(f"{100 * end:.1f}".replace("-", "\u2212") for end in (lead.low, lead.high))
    return (
        f"{100 * lead.gap:.1f}\u00a0points above {lead.rival} (95\u00a0% interval {ends}: {chance})"
    )
