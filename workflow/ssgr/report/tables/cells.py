"""The numbers of an experiment, one a row: measured, with their intervals, and compared.

Everything is in the unit in which it is shown: pass@1 in percent, as the paper prints it.
"""

import math

import dataframely as dy
import polars as pl

from ssgr.config import Config
from ssgr.evaluation.significance import Estimate
from ssgr.report.tables.conditions import conditions
from ssgr.report.tables.costs import costs
from ssgr.report.tables.numbers import ACCURACY, GAINED, Number, compared, count, gains, scores
from ssgr.report.tables.published import Matcher
from ssgr.report.tables.results import Measurements

DECIMALS = {"pass@1": 1, "response_tokens": 0, "calibration_tokens": 0, "tokens_drawn": 0,
            "gpu_hours": 3, "cpu_hours": 3, "points_gained": 1}  # fmt: skip
"""Decimals in which a measure is shown."""
LEVEL = 0.05


class Cells(dy.Schema):
    """One number of an experiment a row, in the unit shown: percent, tokens, hours or points.

    ``calibration`` is the configuration's name ("Dense", "no calibration", or that of a row of the
    best of several), ``label`` what is shown. ``benchmark`` is a key of the configuration, AVG, or
    ``none`` for what belongs to no benchmark. ``low`` and ``high`` are the 95 % interval.
    ``difference`` is the value minus that of ``against`` (a label), ``p_adjusted`` its p value
    adjusted for all comparisons of the experiment, ``mark`` "*" where that is below 0.05; ``best``
    says that no other kind of calibration has a higher number at the decimals shown.
    ``taken_from`` is the calibration that a row of the best of several took here.
    """

    experiment = dy.String(primary_key=True)
    model = dy.String(primary_key=True)
    pruner = dy.String(primary_key=True)
    sparsity = dy.String(primary_key=True)
    calibration = dy.String(primary_key=True)
    label = dy.String()
    benchmark = dy.String(primary_key=True)
    measure = dy.Enum(list(DECIMALS), primary_key=True)
    value = dy.Float64()
    standard_error = dy.Float64(nullable=True, min=0)
    low = dy.Float64(nullable=True)
    high = dy.Float64(nullable=True)
    published = dy.Float64(nullable=True)
    against = dy.String(nullable=True)
    difference = dy.Float64(nullable=True)
    difference_low = dy.Float64(nullable=True)
    difference_high = dy.Float64(nullable=True)
    p_value = dy.Float64(nullable=True, min=0, max=1)
    p_adjusted = dy.Float64(nullable=True, min=0, max=1)
    mark = dy.Enum(["", "*"])
    best = dy.Bool()
    taken_from = dy.String(nullable=True)
    problems = dy.Int64(nullable=True, min=1)


def measure(config: Config, name: str, measurements: Measurements) -> pl.DataFrame:
    """Return the Cells of an experiment: measured, compared, the published numbers beside them.

    Raises:
        ReportError: something that the experiment asks for was not measured; names the point.
        TableError: a file is damaged, or the published numbers are no such table.
        PoolError: what a calibration visited of the pool is gone.
    """
    experiment, found = config.experiments[name], conditions(config, name)
    measured = [
        number for condition in found for number in scores(condition, config, name, measurements)
    ]
    numbers = compared(measured, experiment, DECIMALS[experiment.measure])
    calibrated = [condition for condition in found if condition.is_calibrated]
    if "calibration_tokens" in experiment.beside:
        for each in calibrated:
            tokens = measurements.calibration_tokens(each)
            numbers.append(count(each, "calibration_tokens", tokens))
    if "cost" in experiment.beside:
        numbers += [number for condition in calibrated for number in costs(condition, measurements)]
        numbers += gains(measured)
    matcher = Matcher(config, name)
    rows = [_cell(name, number, matcher) for number in numbers]
    return Cells.validate(pl.DataFrame(rows, schema=Cells.create_empty().schema), cast=True)


def _cell(name: str, number: Number, matcher: Matcher) -> dict[str, object]:
    """A number as a row of the table, in the unit shown."""
    condition, difference = number.condition, number.difference
    scale = 100 if number.measure in (ACCURACY, GAINED) else 1
    match = matcher.find(condition, number.benchmark, number.measure)
    return {
        "experiment": name,
        **dict(zip(("model", "pruner", "sparsity"), condition.setting, strict=True)),
        "calibration": condition.name,
        "label": condition.label,
        "benchmark": number.benchmark,
        "measure": number.measure,
        **_scaled(number.estimate, scale),
        "published": match and match.value,
        "against": number.against and number.against.label,
        **(_scaled(difference, scale, "difference") if difference else {}),
        "p_value": difference and difference.p_value,
        "p_adjusted": number.p_adjusted,
        "mark": "*" if number.p_adjusted is not None and number.p_adjusted < LEVEL else "",
        "best": number.best,
        "taken_from": number.taken_from,
        "problems": None if number.outcomes is None else _problems(number.outcomes),
    }


def _scaled(estimate: Estimate, scale: int, name: str = "value") -> dict[str, float | None]:
    """An estimate's columns: ``name`` and the ends of its interval; null where there is none."""
    ends = {"low": estimate.low, "high": estimate.high}
    if name == "value":
        ends["standard_error"] = estimate.standard_error
    else:
        ends = {f"{name}_{end}": value for end, value in ends.items()}
    known = {key: None if math.isnan(value) else scale * value for key, value in ends.items()}
    return {name: scale * estimate.value, **known}


def _problems(outcomes: pl.DataFrame) -> int:
    return outcomes.select("benchmark", "problem_id").n_unique()
