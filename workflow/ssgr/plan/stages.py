"""What a run would take, before anything runs: jobs, responses, tokens and hours of each stage.

Prices are what earlier work has measured (`ssgr.measured`); what nothing has measured is null.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ssgr import measured, points
from ssgr.config import Config, ProblemSet
from ssgr.growth import EXPECTED, Growth, growth
from ssgr.measured import Rate
from ssgr.pool import inventory

PLAN: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("stage", "model", "of", "scope"), pl.String),
    **dict.fromkeys(("jobs", "done", "responses", "tokens"), pl.Int64),
    "at_most": pl.Boolean,
    **dict.fromkeys(("gpu_hours", "cpu_hours"), pl.Float64),
    "basis": pl.String,
}
"""Columns of :func:`plan`."""

__all__ = ["EXPECTED", "PLAN", "plan"]
STAGES = ("sample", "grade", "select", "prune", "answer")
Row = dict[str, object]


@dataclass(frozen=True)
class Of:
    """What a row of a plan is about; ``gpus`` of a job, and ``why`` its scope is what it is."""

    stage: str
    model: str
    of: str
    scope: str = ""
    gpus: int = 0
    why: str = ""

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
            **{name: getattr(self, name) for name in ("stage", "model", "of", "scope")},
            "jobs": jobs,
            "done": done,
            "responses": _whole(responses),
            "tokens": _whole(tokens),
            "at_most": any(rate.at_most for rate in rates),
            "gpu_hours": hours.value if self.gpus else 0.0,
            "cpu_hours": 0.0 if self.gpus else hours.value,
            "basis": "; ".join(dict.fromkeys(filter(None, [self.why, *basis]))),
        }


@dataclass(frozen=True)
class Known:
    """What a plan is made from: the configuration, and what earlier work has left."""

    config: Config
    results: Path
    pool: Path
    parts: pl.DataFrame
    costs: pl.DataFrame

    def keys(self, model: str, columns: Sequence[str], *names: str) -> pl.DataFrame:
        """Return what is asked of a model: keys of points, each once."""
        asked = points.points(self.config, *(names or self.config.targeted))
        return asked.filter(model=model).select(columns).unique(maintain_order=True)


def plan(config: Config, results: Path, pool: Path) -> pl.DataFrame:
    """Return what a run would take: the PLAN columns, stage by stage.

    ``jobs`` counts all of them, ``done`` those whose work is there already; ``responses``,
    ``tokens`` and hours are of the rest. Sampling and grading have three scopes: the first wave, as
    many waves as the measured retention lets expect, and the whole source (or ``pool.problems``).
    ``at_most`` marks upper bounds; null is what is not known yet, or what a stage has none of.
    Hours are wall time times GPUs; without a GPU wall time, in ``cpu_hours``.

    Raises:
        PoolError: the pool holds something else under these names.
        TableError: a table that is read for a measurement is damaged.
    """
    parts = inventory.parts(pool) if pool.is_dir() else pl.DataFrame(schema=inventory.PARTS)
    known = Known(config, results, pool, parts, measured.costs(results))
    of_stages: Sequence[Callable[[Known, str], Iterator[Row]]] = (_pools, _select, _prune, _answer)
    asked = points.pools(config, *config.targeted)
    models = points.points(config, *config.targeted)["model"].to_list()
    names = dict.fromkeys([*models, *(name for name, _ in asked)])
    rows = [row for stage in of_stages for name in names for row in stage(known, name)]
    rows.sort(key=lambda row: STAGES.index(str(row["stage"])))
    return pl.DataFrame(rows, schema=PLAN)


def problems_of(results: Path, kind: str, name: str, data: ProblemSet) -> int | None:
    """Return the number of problems of a source or benchmark; None for files not counted yet."""
    table = results / "problems" / f"{kind}={name}" / "problems.parquet"
    if table.is_file():
        return int(pl.scan_parquet(table).select(pl.len()).collect().item())
    return data.count if data.loader == "abacus" else None


def _pools(known: Known, model: str) -> Iterator[Row]:
    """Sampling and grading of a model's pools."""
    config = known.config
    asked = points.pools(config, *config.targeted)
    for source in (source for name, source in asked if name == model):
        problems = problems_of(known.results, "source", source, config.sources[source].data)
        grown = growth(config, known.pool, model, source, problems)
        for scope, (shards, why) in grown.scopes.items():
            yield _sample(known, grown, scope, shards, why)
            yield _grade(known, grown, scope, shards, why)


def _sample(known: Known, grown: Growth, scope: str, shards: Sequence[str] | None, why: str) -> Row:
    model, source, sampling = grown.model, grown.source, known.config.sampling
    gpus = known.config.models[model].gpu
    drawn = measured.responses_per_problem(
        known.parts, model, source, sampling, sampling.early_stop
    )
    length = measured.tokens_per_response(known.parts, model, source, sampling)
    speed = measured.throughput(known.parts, model, sampling.max_tokens, gpus)
    responses = grown.missing(shards, drawn)
    tokens = responses.by(length)
    hours = tokens.over(speed).times(1 / 3600)
    done = None if shards is None else len(grown.complete.intersection(shards))
    of = Of("sample", model, source, scope, gpus, why)
    return of.row(None if shards is None else len(shards), done, hours, responses, tokens)


def _grade(known: Known, grown: Growth, scope: str, shards: Sequence[str] | None, why: str) -> Row:
    of = Of("grade", grown.model, grown.source, scope, 0, why)
    if shards is None:
        return of.row(None, None, Rate(None, ""))
    done = len(grown.graded.intersection(shards))
    levels = [{"model": grown.model, "source": grown.source}, {"model": grown.model}, {}]
    return of.row(len(shards), done, _of_jobs(known, "grade", levels, len(shards) - done))


def _select(known: Known, model: str) -> Iterator[Row]:
    """Calibration sets of a model."""
    chosen = known.keys(model, points.CALIBRATION_KEYS).filter(pl.col("source") != points.NONE)
    folders = _folders(known.results / "calibration", chosen)
    done = sum((folder / "calibration.parquet").is_file() for folder in folders)
    hours = _of_jobs(known, "select", [{"model": model}, {}], len(folders) - done)
    yield Of("select", model, "").row(len(folders), done, hours)


def _prune(known: Known, model: str) -> Iterator[Row]:
    """Checkpoints of a model, pruner by pruner."""
    gpus = known.config.models[model].gpu
    checkpoints = known.keys(model, points.CHECKPOINT_KEYS).filter(pl.col("pruner") != points.NONE)
    for pruner in checkpoints["pruner"].unique(maintain_order=True):
        mine = checkpoints.filter(pruner=pruner)
        folders = _folders(known.results / "checkpoints", mine)
        done = sum(folder.is_dir() for folder in folders)
        levels = [{"model": model, "pruner": pruner}, {"model": model}]
        hours = _of_jobs(known, "prune", levels, len(folders) - done, gpus)
        yield Of("prune", model, pruner, gpus=gpus).row(len(folders), done, hours)


def _answer(known: Known, model: str) -> Iterator[Row]:
    """Responses of a model's checkpoints, the dense one too, to the benchmarks."""
    config, sampling = known.config, known.config.evaluation
    gpus = config.models[model].gpu
    for name, names in _asking(config).items():
        entry = config.benchmarks[name]
        mine = known.keys(model, points.CHECKPOINT_KEYS, *names)
        folders = _folders(known.results / "scores", mine)
        done = sum((folder / f"benchmark={name}/responses.parquet").is_file() for folder in folders)
        left = len(folders) - done
        problems = problems_of(known.results, "benchmark", name, entry.data)
        responses = Rate(problems, "" if problems else "problems not counted yet")
        responses = responses.times(sampling.n * left)
        length = measured.answer_length(known.results, known.parts, model, name, sampling)
        tokens = responses.by(length)
        hours = _of_jobs(
            known, "sample_benchmark", [{"model": model, "benchmark": name}], left, gpus
        )
        if hours.value is None:
            speed = measured.throughput(known.parts, model, sampling.max_tokens, gpus)
            hours = tokens.over(speed).times(1 / 3600)
        yield Of("answer", model, name, gpus=gpus).row(len(folders), done, hours, responses, tokens)


def _asking(config: Config) -> dict[str, list[str]]:
    """The experiments that ask for each benchmark."""
    asking: dict[str, list[str]] = {}
    for name in config.targeted:
        for benchmark in config.selection(name).benchmarks:
            asking.setdefault(benchmark, []).append(name)
    return asking


def _folders(top: Path, keys: pl.DataFrame) -> list[Path]:
    """The folders of points: ``key=value`` below ``key=value``."""
    return [
        top.joinpath(*(f"{key}={value}" for key, value in row.items()))
        for row in keys.iter_rows(named=True)
    ]


def _of_jobs(
    known: Known, stage: str, levels: Sequence[Mapping[str, str]], left: int, gpus: int = 0
) -> Rate:
    """Hours of jobs that are left, by what a job has taken."""
    one = measured.seconds_per_job(known.costs, stage, levels)
    return one.times(left * max(gpus, 1) / 3600)


def _whole(rate: Rate | None) -> int | None:
    return None if rate is None or rate.value is None else round(rate.value)
