"""Numbers on their way into cells: estimated, and compared with those they compete with.

The kinds of calibration of one model, pruner and sparsity compete with each other; where there is
one kind only, the pruners do. Each is compared with the calibration that the experiment names, or
with the best; lengths are compared with the dense model's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ssgr.config import Config, Experiment
from ssgr.evaluation import significance
from ssgr.evaluation.significance import Difference, Estimate
from ssgr.jobs.grid import NONE
from ssgr.report.tables.conditions import Condition
from ssgr.report.tables.published import AVERAGE
from ssgr.report.tables.results import Measurements

ACCURACY = "pass@1"
GAINED = "points_gained"


@dataclass(frozen=True)
class Number:
    """A number of a condition, as pass@1 in [0, 1], tokens, hours or points.

    ``outcomes`` is what a sampled number was computed from, each at most ``most``; None for a
    count. The number of a row of the best of several is that of the calibration ``taken_from``.
    """

    condition: Condition
    benchmark: str
    measure: str
    estimate: Estimate
    outcomes: pl.DataFrame | None = None
    most: float = 1.0
    against: Condition | None = None
    difference: Difference | None = None
    p_adjusted: float | None = None
    best: bool = False
    taken_from: str | None = None


def count(condition: Condition, measure: str, value: float) -> Number:
    """Return a number that nothing was drawn for, of no benchmark."""
    missing = float("nan")
    return Number(condition, NONE, measure, Estimate(value, missing, missing, missing))


def scores(
    condition: Condition, config: Config, name: str, measurements: Measurements
) -> Iterator[Number]:
    """Yield a condition's numbers on the benchmarks of an experiment, and their average."""
    experiment = config.experiments[name]
    benchmarks = list(config.selection(name).benchmarks)
    most = 1.0 if experiment.measure == ACCURACY else float(config.evaluation.max_tokens)
    each = [
        _on(benchmark, condition, experiment.measure, most, measurements)
        for benchmark in benchmarks
    ]
    if experiment.average != "only":
        yield from each
    if experiment.average == "only" or (experiment.average and len(each) > 1):
        outcomes = pl.concat(number.outcomes for number in each if number.outcomes is not None)
        estimate = significance.average(outcomes, most=most)
        yield Number(condition, AVERAGE, experiment.measure, estimate, outcomes, most)


def _on(
    benchmark: str, condition: Condition, measure: str, most: float, measurements: Measurements
) -> Number:
    if condition.members:
        numbers = [
            _on(benchmark, member, measure, most, measurements) for member in condition.members
        ]
        best = max(numbers, key=lambda number: number.estimate.value)
        return replace(best, condition=condition, taken_from=best.condition.label)
    outcomes = measurements.outcomes(condition, benchmark, measure)
    estimate = significance.estimate(outcomes, most=most)
    return Number(condition, benchmark, measure, estimate, outcomes, most)


def compared(numbers: Sequence[Number], experiment: Experiment, decimals: int) -> list[Number]:
    """Return the numbers with what they differ from, and which are best; the order is kept.

    ``decimals`` are those of a percentage that are shown: numbers that look equal are equally best.
    The p values are adjusted for all comparisons of the experiment.
    """
    key = _contest([number.condition for number in numbers])
    rivals: dict[tuple[str, ...], list[Number]] = {}
    for number in numbers:
        rivals.setdefault((*key(number.condition), number.benchmark), []).append(number)
    found = []
    for number in numbers:
        contest = rivals[(*key(number.condition), number.benchmark)]
        reference = _reference(number, contest, numbers, experiment.against)
        best = _is_best(number, contest, decimals)
        found.append(_against(replace(number, best=best), reference))
    return _adjusted(found)


def gains(numbers: Sequence[Number]) -> Iterator[Number]:
    """Yield the mean gain of each calibrated condition over the first of its setting, in points."""
    first: dict[tuple[str, ...], Number] = {}
    for number in numbers:
        if (
            number.measure == ACCURACY
            and number.benchmark == AVERAGE
            and number.condition.is_calibrated
        ):
            base = first.setdefault(number.condition.setting, number)
            gained = _against(number, base)
            if gained.difference is not None:
                yield Number(
                    number.condition, NONE, GAINED, gained.difference, against=base.condition
                )


def _contest(found: Sequence[Condition]) -> Callable[[Condition], tuple[str, ...]]:
    """By what conditions are told apart that do not compete with each other."""
    kinds = {condition.label for condition in found if not condition.is_dense}
    return (
        (lambda condition: condition.setting)
        if len(kinds) > 1
        else (lambda condition: (condition.model, condition.sparsity))
    )


def _reference(
    number: Number, contest: Sequence[Number], numbers: Sequence[Number], against: str | None
) -> Number | None:
    """What a number is compared with."""
    if against:
        return next((rival for rival in contest if against in rival.condition.calibrations), None)
    if number.measure == ACCURACY:
        return max(contest, key=lambda rival: rival.estimate.value)
    of_dense = (each for each in numbers if each.condition.is_dense)
    place = (number.condition.model, number.benchmark)
    return next(
        (each for each in of_dense if (each.condition.model, each.benchmark) == place), None
    )


def _is_best(number: Number, contest: Sequence[Number], decimals: int) -> bool:
    shown = [round(100 * rival.estimate.value, decimals) for rival in contest]
    mine = round(100 * number.estimate.value, decimals)
    return number.measure == ACCURACY and len(contest) > 1 and mine == max(shown)


def _against(number: Number, reference: Number | None) -> Number:
    """The number with its difference to another, paired by problem."""
    if reference is None or reference.condition == number.condition:
        return number
    if number.outcomes is None or reference.outcomes is None:
        return number
    difference = significance.difference(number.outcomes, reference.outcomes, most=number.most)
    return replace(number, against=reference.condition, difference=difference)


def _adjusted(numbers: Sequence[Number]) -> list[Number]:
    """The numbers with p values that bear in mind how many comparisons there are."""
    at = [index for index, number in enumerate(numbers) if number.difference]
    raw = [number.difference.p_value for number in numbers if number.difference]
    found = list(numbers)
    for index, p_value in zip(at, significance.adjust(raw) if raw else [], strict=True):
        found[index] = replace(found[index], p_adjusted=p_value)
    return found
