"""Exact binomial intervals (Clopper and Pearson, 1934) on an error rate.

They hold for one random sample or for several strata. Sampling without replacement varies less
than a binomial, so the intervals are on the safe side. Responses are drawn, not problems: it does
not matter that several answer one problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Count:
    """Labels of one stratum: ``labelled`` of ``population`` verdicts, wrong and unsure included."""

    population: int
    labelled: int
    wrong: int
    unsure: int


@dataclass(frozen=True)
class Rate:
    """An error rate in [0, 1] and its interval; ``estimate`` is None where nothing is decided."""

    estimate: float | None
    low: float
    high: float


def upper_limits(n: int, strata: int = 1) -> list[float]:
    """Return the upper limits for 0 to n wrong ones of n; the lower for k is 1 - upper[n - k].

    If several strata are combined, each has the confidence 1 - 0.05 / strata, so that all hold
    together with 95 % (Bonferroni).
    """
    tail, wrong = 1 - (1 - CONFIDENCE) / strata / 2, np.arange(n)
    return [*map(float, betaincinv(wrong + 1, n - wrong, tail)), 1.0]


def rate(strata: Sequence[Count]) -> Rate:
    """Return the error rate of a population that was sampled stratum by stratum.

    The estimate weighs each stratum's rate, among what the person decided, by its share of the
    population. The interval of one stratum is exact; that of several is the weighted sum of their
    intervals at 1 - 0.05 / strata, which is conservative. The unsure ones count as right for the
    lower limit and as wrong for the upper one.
    """
    parts = [one for one in strata if one.population]
    total = sum(one.population for one in parts)
    estimate, low, high = 0.0 if parts else None, 0.0, 0.0 if parts else 1.0
    for one in parts:
        weight, n = one.population / total, one.labelled
        limits = upper_limits(n, len(parts))
        low += weight * (1 - limits[n - one.wrong])
        high += weight * limits[one.wrong + one.unsure]
        decided = n - one.unsure
        if estimate is not None:
            estimate = estimate + weight * one.wrong / decided if decided else None
    return Rate(estimate, low, high)
