"""Statistics: how far a score, an average or a difference can be trusted.

Two things vary when an experiment is done again: the problems that a benchmark happens to hold,
and the calibration draw (its seed) that a pruned model got. Responses to one problem are averaged
first, so that the problem is the unit (Miller 2024, "Adding error bars to evals": clustered
errors); two checkpoints that answered the same problems are compared problem by problem. Every
function takes a table of outcomes as :func:`outcomes` makes it.

With N_b problems in benchmark b of B, D draws, and x_bpd the outcome of problem p under draw d, a
mean over all is theta = mean_b mean_p mean_d x_bpd, and its variance V = V_problems + V_draws:

    V_problems = sum_b s^2(mean_d x_bpd) / (N_b B^2)
    V_draws    = max(0, s^2(mean_b mean_p x_bpd) / D - sum_b s^2(residual_bpd) / (N_b D B^2))

Problems and draws are crossed; the residual of both stands in either term and is taken out once
(Cameron, Gelbach and Miller 2011). With a single draw V_draws is unknown and left out: what is
said is then said of that draw only. The dense model has no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from ssgr.errors import TableError
from ssgr.evaluation.per_problem import ROUNDING, Array, Crossed, crossed, named, outcomes, paired
from ssgr.evaluation.scores import clustered_error

LEVEL = 0.95
TAIL = (1 + LEVEL) / 2
RESAMPLES = 1999
BATCH = 100  # resamples at a time: what fits a processor's cache is three times as fast

__all__ = ["Difference", "Estimate", "adjust", "average", "difference", "estimate", "outcomes"]


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error and the ends of its 95 % interval."""

    value: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """First minus second, and the two-sided p value of there being none."""

    p_value: float

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0; before any adjustment for many comparisons."""
        return self.low > 0 or self.high < 0


def estimate(outcomes: pl.DataFrame, *, most: float = 1.0) -> Estimate:
    """Estimate a checkpoint's mean on one benchmark; see :func:`average`.

    Raises:
        TableError: there is another number of benchmarks than one, or what :func:`average` raises.
    """
    names = outcomes["benchmark"].unique().sort().to_list()
    if len(names) > 1:
        raise TableError(
            f"the outcomes are of {len(names)} benchmarks ({named(names)}), not of one. "
            "Filter them, or take their average."
        )
    return average(outcomes, most=most)


def average(outcomes: pl.DataFrame, *, most: float = 1.0) -> Estimate:
    """Estimate a checkpoint's plain mean over benchmarks (AVG of the paper's tables).

    Each benchmark has Wilson's interval with N_eff = p (1 - p) / SE^2 problems and Student's t with
    N - 1 degrees for the normal quantile; N_eff = N where all problems agree, so that 0 of 60 is
    not taken for certain. Benchmarks, and the draws with t of D - 1 degrees, are independent:
    the distances from the value to either end add up in squares (Zou and Donner 2008).

    Args:
        outcomes: as of :func:`outcomes`; every draw has every benchmark and problem.
        most: the largest possible outcome: 1 for scores, the token limit for lengths.

    Raises:
        TableError: no rows, missing columns, an outcome that is NaN, null or outside [0, most], a
            row twice, or a draw without some problem; names the benchmark and the problems.
    """
    benchmarks = crossed(outcomes, most, "the outcomes")
    parts = [_wilson(each.scores.mean(axis=1)) for each in benchmarks.values()]
    draws = _draws(benchmarks)
    reach = float(stats.t.ppf(TAIL, draws.degrees)) ** 2 * draws.variance
    count = len(parts)
    value = sum(part.value for part in parts) / count
    below = sum((part.value - part.low) ** 2 for part in parts) / count**2 + reach
    above = sum((part.high - part.value) ** 2 for part in parts) / count**2 + reach
    variance = sum(part.standard_error**2 for part in parts) / count**2 + draws.variance
    low, high = max(0.0, value - below**0.5), min(1.0, value + above**0.5)
    return Estimate(most * value, most * variance**0.5, most * low, most * high)


def difference(
    first: pl.DataFrame,
    second: pl.DataFrame,
    *,
    most: float = 1.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two checkpoints problem by problem: the mean over benchmarks of first minus second.

    A percentile bootstrap (Efron and Tibshirani 1993, chapter 13) resamples the problems of each
    benchmark, the same ones for both sides, and each side's draws where there are several.
    Deviations are scaled so that the bootstrap's variance is V (Rao and Wu 1988), and the interval
    is widened by t_df / z with Satterthwaite's degrees: three draws say little about how draws
    spread. The p value is that of theta / sqrt(V) under the same t; resamples do not bound it.

    The largest spread is taken for a benchmark of one problem. Where all problems differ by the
    same, N that agree leave 1 - 0.025^(1/N) open on either side, and p is 2^(1-N) (signs flipped).

    Args:
        first, second: outcomes of the same benchmarks and problems; draws may differ.
        most: the largest possible outcome, as of :func:`average`.
        resamples, seed: of the bootstrap; the same give the same interval.

    Raises:
        TableError: as of :func:`average`, or the two did not answer the same problems.
    """
    sides = crossed(first, most, "the first"), crossed(second, most, "the second")
    gaps = paired(*sides)
    parts = [_problems(each, len(gaps)) for each in gaps] + [_draws(side) for side in sides]
    value = sum(float(each.mean()) for each in gaps) / len(gaps)
    variance = sum(part.variance for part in parts)
    if variance:
        degrees = max(1.0, variance**2 / sum(part.noise for part in parts))
        widen = float(stats.t.ppf(TAIL, degrees) / stats.norm.ppf(TAIL))
        reach = [widen * end for end in _bootstrap(parts, resamples, seed)]
        p_value = 2 * float(stats.t.sf(abs(value) / variance**0.5, degrees))
    else:
        open_ = float(np.mean([1 - (1 - TAIL) ** (1 / len(each)) for each in gaps]))
        reach = [-open_, open_]
        p_value = 1.0 if abs(value) < ROUNDING else 2.0 ** (1 - sum(map(len, gaps)))
    low, high = max(-1.0, value + reach[0]), min(1.0, value + reach[1])
    return Difference(most * value, most * variance**0.5, most * low, most * high, p_value)


def adjust(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of one table for their number (Benjamini and Hochberg 1995).

    Of the differences with an adjusted p value of at most 0.05, 5 % are expected to be none.

    Raises:
        TableError: a value is NaN or outside [0, 1].
    """
    wrong = [value for value in p_values if not 0 <= value <= 1]
    if wrong:
        raise TableError(f"p values must lie in [0, 1], but there are {wrong[:5]}.")
    return [float(value) for value in stats.false_discovery_control(list(p_values))]


@dataclass(frozen=True)
class _Part:
    """A part of V: what is resampled (mean 0), its variance, and that variance's own error.

    ``noise`` is the term of Satterthwaite's formula, (mean square)^2 / degrees.
    """

    deviations: Array  # (n,)
    variance: float
    noise: float
    degrees: int


def _part(values: Array, variance: float, unadjusted: float) -> _Part:
    """Scale the deviations of ``values`` so that the bootstrap variance of their mean is right."""
    deviations = values - values.mean()
    squares = float(np.square(deviations).sum())
    scale = len(values) * (variance / squares) ** 0.5 if variance else 0.0
    degrees = max(1, len(values) - 1)
    return _Part(deviations * scale, variance, unadjusted**2 / degrees, degrees)


def _problems(gaps: Array, benchmarks: int) -> _Part:
    """The part of one benchmark's problems; ``gaps`` are first minus second, (N,)."""
    if len(gaps) == 1:
        gaps = np.array([-1.0, 1.0])
    shares = gaps / benchmarks
    variance = 0.0 if np.ptp(gaps) < ROUNDING else float(shares.var(ddof=1)) / len(shares)
    return _part(shares, variance, variance)


def _draws(benchmarks: Mapping[str, Crossed]) -> _Part:
    """The part of one side's draws."""
    arrays = [each.scores for each in benchmarks.values()]  # (N_b, D)
    means = np.mean([scores.mean(axis=0) for scores in arrays], axis=0)  # (D,)
    if np.ptp(means) < ROUNDING:  # a single draw, or none that differs
        return _part(means, 0.0, 0.0)
    between = float(means.var(ddof=1)) / len(means)
    residual = sum(_residual(scores) for scores in arrays) / len(arrays) ** 2
    return _part(means, max(0.0, between - residual), between)


def _residual(scores: Array) -> float:
    """s^2(residual) / (N D): what neither the problem nor the draw explains of (N, D) outcomes."""
    problems, draws = scores.shape
    if problems == 1:
        return 0.0
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    return float(np.square(rest).sum() / ((problems - 1) * (draws - 1) * scores.size))


def _bootstrap(parts: list[_Part], resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentiles of the resampled deviation from the value."""

    def total(*samples: Any, axis: int) -> Any:
        return sum(sample.mean(axis=axis) for sample in samples)

    interval = stats.bootstrap(
        [part.deviations for part in parts if part.variance],
        total,
        n_resamples=resamples,
        batch=BATCH,
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _wilson(means: Array) -> Estimate:
    """Wilson's interval of the mean of per-problem means (N,) in [0, 1]."""
    value, error, count = min(1.0, float(means.mean())), clustered_error(means), len(means)
    if count == 1:
        return Estimate(value, error, 0.0, 1.0)
    spread = value * (1 - value)
    effective = spread / error**2 if np.ptp(means) >= ROUNDING else count
    squared = float(stats.t.ppf(TAIL, count - 1)) ** 2 / effective
    centre = (value + squared / 2) / (1 + squared)
    half = (squared * spread + squared**2 / 4) ** 0.5 / (1 + squared)
    return Estimate(value, error, max(0.0, centre - half), min(1.0, centre + half))
