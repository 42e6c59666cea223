"""What a plan is made from, and how one of its rows is put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ssgr.cluster.sizing.configs import Found, Lookup
from ssgr.cluster.sizing.peak import JOBS
from ssgr.cluster.sizing.requests import Job
from ssgr.config import Config
from ssgr.jobs import grid
from ssgr.monitor.plan import rates
from ssgr.monitor.plan.rates import Rate

PLAN: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("stage", "model", "of", "scope"), pl.String),
    **dict.fromkeys(("jobs", "done", "responses", "tokens"), pl.Int64),
    **dict.fromkeys(("at_most", "estimated"), pl.Boolean),
    **dict.fromkeys(("gpu_hours", "cpu_hours"), pl.Float64),
    **dict.fromkeys(("gpus", "gpu_mb", "mem_mb", "disk_mb"), pl.Int64),
    "basis": pl.String,
}
"""Columns of a plan. The last four before the basis are of one job, memory and disk at its peak."""

Row = dict[str, object]


@dataclass(frozen=True)
class Of:
    """What a row of a plan is about.

    ``job`` is what one of its jobs needs, ``why`` says why its scope is what it is, ``remarks``
    what its model's size implies.
    """

    stage: str
    model: str
    of: str
    scope: str = ""
    job: Job | None = None
    why: str = ""
    remarks: Sequence[str] = ()

    @property
    def gpus(self) -> int:
        """GPUs of one job."""
        return self.job.gpus if self.job else 0

    def row(
        self,
        jobs: int | None,
        done: int | None,
        hours: Rate,
        responses: Rate | None = None,
        tokens: Rate | None = None,
    ) -> Row:
        """Return the row with these numbers of what is left."""
        rates = [rate for rate in (responses, tokens, hours) if rate]
        basis = [part for rate in rates for part in rate.basis.split("; ")]
        return {
            **{name: getattr(self, name) for name in ("stage", "model", "of", "scope", "gpus")},
            "jobs": jobs,
            "done": done,
            "responses": whole(responses),
            "tokens": whole(tokens),
            "at_most": any(rate.at_most for rate in rates),
            "estimated": any(rate.estimated for rate in rates),
            "gpu_hours": hours.value if self.gpus else 0.0,
            "cpu_hours": 0.0 if self.gpus else hours.value,
            "gpu_mb": self.job.gpu_mb if self.job and self.gpus else None if self.gpus else 0,
            "mem_mb": self.job.mem_mb if self.job else JOBS.get(self.stage),
            "disk_mb": self.job.disk_mb if self.job else None,
            "basis": "; ".join(dict.fromkeys(filter(None, [self.why, *basis, *self.remarks]))),
        }


@dataclass(frozen=True)
class Known:
    """What a plan is made from: the configuration, what earlier work has left, models' sizes."""

    config: Config
    results: Path
    pool: Path
    parts: pl.DataFrame
    costs: pl.DataFrame
    lookup: Lookup

    def found(self, model: str) -> Found:
        """Return the size of a model."""
        return self.lookup(self.config.models[model])

    def keys(self, model: str, columns: Sequence[str], *names: str) -> pl.DataFrame:
        """Return what is asked of a model: keys of points, each once."""
        asked = grid.points(self.config, *(names or self.config.targeted))
        return asked.filter(model=model).select(columns).unique(maintain_order=True)

    def of_jobs(
        self, stage: str, levels: Sequence[Mapping[str, str]], left: int, gpus: int = 0
    ) -> Rate:
        """Return the hours of jobs that are left, by what a job has taken."""
        one = rates.seconds_per_job(self.costs, stage, levels)
        return one.times(left * max(gpus, 1) / 3600)


def whole(rate: Rate | None) -> int | None:
    """Return a rate's number without its fraction."""
    return None if rate is None or rate.value is None else round(rate.value)
