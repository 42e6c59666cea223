"""What a run would take, before anything runs: jobs, tokens, hours, GPUs, memory and disk by stage.

Prices are what earlier work has measured (`ssgr.monitor.plan.rates`); else what a model's size
and a known kind of GPU imply (`ssgr.cluster.sizing`), marked as estimated; else null.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from ssgr.cluster.sizing.configs import Lookup, at_hand
from ssgr.config import Config
from ssgr.jobs import grid
from ssgr.jobs.fit import require_fit
from ssgr.jobs.pools import problems_of
from ssgr.monitor.plan import rates, stages
from ssgr.monitor.plan.forecast import EXPECTED
from ssgr.monitor.plan.rows import PLAN, Known, Row
from ssgr.pool import inventory

__all__ = ["EXPECTED", "PLAN", "plan", "problems_of"]
STAGES = ("sample", "grade", "select", "prune", "answer")


def plan(config: Config, results: Path, pool: Path, lookup: Lookup = at_hand) -> pl.DataFrame:
    """Return what a run would take: the PLAN columns, stage by stage.

    ``jobs`` counts all of them, ``done`` those whose work is there already; ``responses``,
    ``tokens`` and hours are of the rest. Sampling and grading have three scopes: the first wave, as
    many waves as the measured retention lets expect, and the whole source (or ``pool.problems``).
    ``at_most`` marks upper bounds and ``estimated`` hours that no work has measured; null is what
    is not known yet, or what a stage has none of. Hours are wall time times GPUs; without a GPU
    wall time, in ``cpu_hours``.

    Args:
        config: the whole configuration.
        results: folder of the experiment's files.
        pool: folder of the pool.
        lookup: how models' sizes are found; by default without a network.

    Raises:
        ConfigError: a job cannot fit its GPUs; says what would.
        PoolError: the pool holds something else under these names.
        TableError: a table that is read for a measurement is damaged.
    """
    require_fit(config, lookup)
    parts = inventory.parts(pool) if pool.is_dir() else pl.DataFrame(schema=inventory.PARTS)
    known = Known(config, results, pool, parts, rates.costs(results), lookup)
    of_stages: Sequence[Callable[[Known, str], Iterator[Row]]] = (
        *(stages.pools, stages.select, stages.prune, stages.answer),
    )
    asked = grid.pools(config, *config.targeted)
    models = grid.points(config, *config.targeted)["model"].to_list()
    names = dict.fromkeys([*models, *(name for name, _ in asked)])
    rows = [row for stage in of_stages for name in names for row in stage(known, name)]
    rows.sort(key=lambda row: STAGES.index(str(row["stage"])))
    return pl.DataFrame(rows, schema=PLAN)
