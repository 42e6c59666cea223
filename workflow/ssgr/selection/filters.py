"""Quality filters: thresholds on the measured quality of responses.

They stand apart from the measures: another threshold must not make grades anew.
"""

import polars as pl

from ssgr.config import Filters

REQUIRED = {
    "require_finished": "finished",
    "require_closed": "closed",
    "require_thinking": "has_thinking",
    "require_answer": "has_answer",
}
"""The column of each filter that requires something."""
THINKING_SHARE = "min_thinking_share"


def quality(filters: Filters) -> pl.Expr:
    """Return which responses pass all filters; of a table with all responses of each problem."""
    return pl.all_horizontal(pl.lit(True), *checks(filters).values())


def checks(filters: Filters) -> dict[str, pl.Expr]:
    """Return what lets a response pass, for each filter that is on, by its name."""
    found: dict[str, pl.Expr] = {}
    for name, threshold in filters:
        measure = pl.col(measure_of(name))
        if threshold is None or threshold is False or (name == THINKING_SHARE and not threshold):
            continue
        if name in REQUIRED:
            found[name] = measure
        elif name == THINKING_SHARE:
            found[name] = measure >= threshold * measure.median().over("problem_id")
        else:  # max_<column>
            found[name] = measure.fill_null(0) <= threshold
    return found


def measure_of(name: str) -> str:
    """Return the column of the grades that a filter looks at."""
    others = REQUIRED | {THINKING_SHARE: "thinking_tokens"}
    return others.get(name, name.removeprefix("max_"))
