"""What a kind of calibration cost: the tokens and hours that sampled what it looked at.

A pool is shared: what two kinds visited of it was drawn once and counts in full for each of them.
What is written by people (solutions, text) costs nothing here.
"""

from ssgr.report.tables.conditions import Condition
from ssgr.report.tables.numbers import Number, count
from ssgr.report.tables.results import Measurements

SECONDS = 3600


def costs(condition: Condition, measurements: Measurements) -> list[Number]:
    """Return the tokens drawn for a condition's calibration, and GPU and CPU hours.

    GPU-hours are a job's hours times its GPUs. The time of responses that runs drew which were cut
    off is not known and not counted.

    Raises:
        ReportError: the calibration does not say what it visited.
        PoolError: a part of the pool that it visited has no receipt any more.
    """
    drawn = measurements.responses_drawn(condition)
    tokens = sum(part.tokens for part in drawn)
    gpu_seconds = sum(part.gpu_seconds for part in drawn)
    cpu_seconds = sum(part.cpu_seconds for part in drawn)
    return [
        count(condition, "tokens_drawn", tokens),
        count(condition, "gpu_hours", gpu_seconds / SECONDS),
        count(condition, "cpu_hours", cpu_seconds / SECONDS),
    ]
