"""Fitness: the thresholds that turn measured quality into responses kept and dropped.

Kept apart from the measures, whose code decides which grades are made again: a threshold decides
over grades that are there.
"""

import polars as pl

from ssgr.config import Filters

REQUIRED = {
    "require_finished": "finished",
    "require_closed": "closed",
    "require_thinking": "has_thinking",
    "require_answer": "has_answer",
}
"""The column that each of these filters looks at."""


def quality(filters: Filters) -> pl.Expr:
    """Which responses are fit to calibrate on: not repetitive, with reasoning, right format.

    To be evaluated on a table with all responses of a problem, whose median thinking may count.
    """
    return pl.all_horizontal(pl.lit(True), *checks(filters).values())


def checks(filters: Filters) -> dict[str, pl.Expr]:
    """Return what lets a response pass, for each filter that is on, by its name."""
    thinking = pl.col("thinking_tokens")
    median_thinking = thinking.median().over("problem_id")
    found: dict[str, pl.Expr] = {}
    for name, threshold in filters:
        if threshold is None or threshold is False:
            continue
        if name in REQUIRED:
            found[name] = pl.col(measure_of(name))
        elif name == "min_thinking_share":
            if threshold:
                found[name] = thinking >= threshold * median_thinking
        else:  # max_<column>
            found[name] = pl.col(measure_of(name)).fill_null(0) <= threshold
    return found


def measure_of(name: str) -> str:
    """Return the column of the grades that a filter looks at."""
    return REQUIRED.get(name) or (
        "thinking_tokens" if name == "min_thinking_share" else name.removeprefix("max_")
    )
