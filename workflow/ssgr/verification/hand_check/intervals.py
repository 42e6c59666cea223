"""Exact binomial intervals on an error rate, of one random sample or of several strata.

Clopper and Pearson (1934): for k of n, the rates that a two-sided test would not reject. A sample
drawn without replacement varies less than a binomial one, so that the interval errs on the safe
side; that several responses answer one problem does not matter, since responses are drawn, not
problems.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Count:
    """Labels of one stratum: of ``population`` verdicts, ``labelled`` were drawn and looked at.

    ``labelled`` includes the ``wrong`` ones and those of which the person is ``unsure``.
    """

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


def upper_limits(largest: int, strata: int = 1) -> list[list[float]]:
    """Return the upper limits of all samples up to a size: ``[n][k]`` for k of n.

    The lower limit for k of n is 1 minus the upper limit for n - k of n.

    Args:
        largest: n at most.
        strata: how many intervals are combined; each then has the confidence 1 - 0.05 / strata,
            so that all hold together with 95 % (Bonferroni).
    """
    return [upper_limits_of(n, strata) for n in range(largest + 1)]


def upper_limits_of(n: int, strata: int = 1) -> list[float]:
    """Return the upper limits of 0 to n wrong ones of n, see :func:`upper_limits`."""
    tail, wrong = 1 - (1 - CONFIDENCE) / strata / 2, np.arange(n)
    return [*map(float, betaincinv(wrong + 1, n - wrong, tail)), 1.0]


def rate(strata: Sequence[Count]) -> Rate:
    """Return the error rate of a population that was sampled stratum by stratum.

    The estimate weighs each stratum's rate, among what the person decided, by its share of the
    population. The interval is the exact one if there is one stratum; of several, the weighted sum
    of their exact intervals at 1 - 0.05 / strata, which is conservative. It holds whichever way
    the unsure ones fall: the lower limit takes them for right, the upper one for wrong.
    """
    parts = [one for one in strata if one.population]
    total = sum(one.population for one in parts)
    estimate, low, high = 0.0 if parts else None, 0.0, 0.0 if parts else 1.0
    for one in parts:
        weight, n = one.population / total, one.labelled
        limits = upper_limits_of(n, len(parts))
        low += weight * (1 - limits[n - one.wrong])
        high += weight * limits[one.wrong + one.unsure]
        decided = n - one.unsure
        if estimate is not None:
            estimate = estimate + weight * one.wrong / decided if decided else None
    return Rate(estimate, low, high)
