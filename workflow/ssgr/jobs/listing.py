"""The jobs that a run asks for, stage by stage: what each makes, and where its log and cost lie.

Enumerated from the configuration alone, as far as it says so; how many shards and tallies a
calibration needs is known when it has its budget, and estimated from what it found until then.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from ssgr.config import RUN, Config
from ssgr.errors import ConfigError
from ssgr.jobs import grid, paths
from ssgr.jobs.waves import Waves, shards, waves

PAPER, REPORT = "paper", "report"
STAGES = {
    "Problems": ("source_problems", "benchmark_problems"),
    "Responses": ("sample",),
    "Grades": ("grade",),
    "Tallies": ("tally",),
    "Calibration sets": ("select",),
    "Checkpoints": ("prune",),
    "Answers": ("sample_benchmark",),
    "Grades of answers": ("grade_benchmark",),
    "Scores": ("score",),
    "Pages": ("experiment", "paper_page", "report"),
}
"""Stages in their order, and the rules that belong to each."""
Keys = Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """A job of a rule: its wildcards, and what a person calls it."""

    rule: str
    name: str
    keys: Keys = field(default_factory=dict)

    @cached_property
    def output(self) -> str:
        """Its first output, below the results."""
        return paths.OUTPUTS[self.rule].format(**self.keys)

    @cached_property
    def place(self) -> str:
        """The name of its log and cost without suffix, below the folders of these."""
        return paths.PLACES[self.rule].format(**self.keys)


@dataclass(frozen=True)
class Wanted:
    """All jobs of a run; ``estimated`` are the rules of which there may be more, or fewer."""

    jobs: tuple[Job, ...]
    estimated: frozenset[str]


def selections(config: Config, targets: Sequence[str]) -> tuple[str, ...]:
    """Return the experiments (or ``run``) that targets ask for; without any, the configured one."""
    names: list[str] = []
    for target in targets or (config.target,):
        whole = {PAPER: tuple(config.experiments), REPORT: (RUN,), "all": config.targeted}
        names += whole.get(target, (target,))
    return tuple(dict.fromkeys(names))


def wanted(config: Config, results: Path, targets: Sequence[str] = ()) -> Wanted:
    """Return the jobs that targets need; without any, what the configuration's own target needs.

    Args:
        config: the whole configuration.
        results: where its files lie; the tallies there say how far the pools must grow.
        targets: of ``all``, ``report``, ``paper`` and the experiments.
    """
    names = selections(config, targets)
    chosen = grid.points(config, *names).unique(
        grid.CHECKPOINT_KEYS, keep="first", maintain_order=True
    )
    sets = chosen.unique(grid.CALIBRATION_KEYS, keep="first", maintain_order=True).filter(
        pl.col("source") != grid.NONE
    )
    found = {
        paths.POINT.format(**row): waves(config, results, row)
        for row in sets.filter(grid.FROM_POOL).iter_rows(named=True)
    }
    settled = all(one.settled for one in found.values())
    jobs = [
        *_problems(config, names, sets),
        *_pools(config, sets, found),
        *_calibrations(sets, found),
        *_checkpoints(chosen),
        *_scores(config, names),
        *_pages(config, targets),
    ]
    unsure = () if settled else ("sample", "grade", "tally")
    return Wanted(tuple({job.output: job for job in jobs}.values()), frozenset(unsure))


def results(config: Config, *names: str) -> dict[str, list[str]]:
    """Return the files that a page about experiments (or the run) reads, below the results.

    By kind: scores, problems, checkpoints, and of the calibration sets the sets, the funnels and
    what was visited.
    """
    points = grid.points(config, *names).drop("label").unique(maintain_order=True)
    sets = {
        paths.CALIBRATION.format(**key)
        for key in points.filter(pl.col("source") != grid.NONE).iter_rows(named=True)
    }
    scores = [job.output for job in _scores(config, names) if job.rule == "score"]
    benchmarks = {each for name in names for each in config.selection(name).benchmarks}
    return {
        "scores": list(dict.fromkeys(scores)),
        "problems": [paths.BENCHMARK.format(benchmark=each) for each in sorted(benchmarks)],
        "checkpoints": [
            paths.CHECKPOINT.format(**key)
            for key in points.filter(pl.col("pruner") != grid.NONE).iter_rows(named=True)
        ],
        "funnels": sorted(f"{each}/{paths.FUNNEL}" for each in sets),
        "sets": sorted(f"{each}/{paths.CALIBRATED}" for each in sets),
        "visited": sorted(f"{each}/{paths.VISITED}" for each in sets),
    }


def graded(config: Config, point: Keys) -> list[str]:
    """Return the receipts of a wave's graded shards, of the model that generates."""
    keys = {
        "model": point["generator"],
        "source": point["source"],
        "sampling": config.sampling.key,
        "verifier": point["verifier"],
    }
    wave = shards(config.pool, int(point["wave"]))
    return [paths.GRADES.format(**keys, shard=shard) for shard in wave]


def tally_before(point: Keys) -> str | None:
    """Return what was found up to the wave before; None before the first."""
    before = int(point["wave"]) - 1
    keys = {**point, "wave": f"{before:04d}"}
    return None if before < 0 else paths.OUTPUTS["tally"].format(**keys)


def visited_of_pool(config: Config, model: str, source: str) -> list[str]:
    """Return what the run's calibrations visited of a model's responses to a source."""
    return [
        f"{paths.CALIBRATION.format(**key)}/{paths.VISITED}"
        for key in _calibrated_on_pools(config)
        if (key["generator"], key["source"]) == (model, source)
    ]


def audited(config: Config) -> dict[str, list[str]]:
    """Return the verdicts on every pool of the run, its problems, and what was visited of it."""
    keys = _calibrated_on_pools(config)
    return {
        "verdicts": each_pool(config, paths.VERDICTS),
        "problems": sorted({paths.SOURCE.format(**key) for key in keys}),
        "visited": [f"{paths.CALIBRATION.format(**key)}/{paths.VISITED}" for key in keys],
    }


def each_pool(config: Config, pattern: str) -> list[str]:
    """Return a file for every model and source whose responses calibrations are taken from."""
    pools = {(key["generator"], key["source"]) for key in _calibrated_on_pools(config)}
    return sorted(pattern.format(model=model, source=source) for model, source in pools)


def _calibrated_on_pools(config: Config) -> list[dict[str, str]]:
    """The keys of the run's calibration sets of responses that the source's method judged."""
    wanted = grid.judged_by_source(config, grid.points(config))
    keys = wanted.select(grid.CALIBRATION_KEYS).unique(maintain_order=True).to_dicts()
    if not keys:
        raise ConfigError(
            "no calibration of this run is taken from a model's responses, judged by the source's "
            "own method: there are no verdicts to verify. Name one with a tau and without a "
            "verifier in `calibrations`. A benchmark's verdicts are checked by `ssgr hand-check "
            "--responses … --grades … --problems …`"
        )
    return keys


def _problems(config: Config, names: Sequence[str], sets: pl.DataFrame) -> Iterator[Job]:
    sources = sets["source"].unique(maintain_order=True).to_list()
    benchmarks = {one for name in names for one in config.selection(name).benchmarks}
    benchmarks |= {one for name in sources for one in config.sources[name].apart_from}
    for kind, found in (("source", sources), ("benchmark", sorted(benchmarks))):
        for name in found:
            yield Job(f"{kind}_problems", name, {kind: name})


def _pools(config: Config, sets: pl.DataFrame, found: Mapping[str, Waves]) -> Iterator[Job]:
    """Shards of responses, and their grades by each verifier that a calibration names."""
    for row in sets.filter(grid.FROM_POOL).iter_rows(named=True):
        model, source, verifier = row["generator"], row["source"], row["verifier"]
        pool = {"model": model, "source": source, "sampling": config.sampling.key}
        for shard in found[paths.POINT.format(**row)].shards:
            name, keys = f"{model} · {source} · {shard}", pool | {"shard": shard}
            yield Job("sample", name, keys)
            yield Job("grade", f"{name} by {verifier}", keys | {"verifier": verifier})


def _calibrations(sets: pl.DataFrame, found: Mapping[str, Waves]) -> Iterator[Job]:
    for row in sets.iter_rows(named=True):
        point, name = paths.POINT.format(**row), f"{row['model']} · {row['label']}"
        for wave in range(found[point].count if point in found else 0):
            yield Job("tally", f"{name} · wave {wave}", row | {"wave": f"{wave:04d}"})
        yield Job("select", name, row)


def _checkpoints(chosen: pl.DataFrame) -> Iterator[Job]:
    for row in chosen.filter(pl.col("pruner") != grid.NONE).iter_rows(named=True):
        yield Job("prune", _called(row), row)


def _scores(config: Config, names: Sequence[str]) -> Iterator[Job]:
    for name in names:
        for row in grid.points(config, name).iter_rows(named=True):
            for benchmark in config.selection(name).benchmarks:
                for rule in ("sample_benchmark", "grade_benchmark", "score"):
                    keys = row | {"benchmark": benchmark}
                    yield Job(rule, f"{_called(row)} · {benchmark}", keys)


def _called(row: Keys) -> str:
    """A checkpoint in words."""
    if row["pruner"] == grid.NONE:
        return f"{row['model']} · {row['label']}"
    return f"{row['model']} · {row['pruner']} {row['sparsity']} · {row['label']}"


def _pages(config: Config, targets: Sequence[str]) -> Iterator[Job]:
    asked = {config.target if target == "all" else target for target in targets or ("all",)}
    for name in config.experiments:
        if asked & {PAPER, name}:
            yield Job("experiment", name, {"experiment": name})
    for page, rule in ((PAPER, "paper_page"), (REPORT, "report")):
        if page in asked:
            yield Job(rule, f"the {page}'s page")
