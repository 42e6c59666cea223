"""The jobs that a run asks for, stage by stage: what each makes, and where its log and cost lie.

Enumerated from the configuration alone, as far as it says so; how many shards and tallies a
calibration needs is known when it has its budget, and estimated from what it found until then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ssgr.config import RUN, Config
from ssgr.jobs import grid
from ssgr.monitor.status.waves import Waves, waves

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
    """A job of a rule.

    ``output`` is its first output and ``place`` the name of its log and cost without suffix, both
    below the results; ``name`` is what a person calls it. ``keys`` are its wildcards.
    """

    rule: str
    output: str
    place: str
    name: str
    keys: Keys = field(default_factory=dict)


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
        _path(row, grid.CALIBRATION_KEYS): waves(config, results, row)
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


def _path(keys: Keys, names: Iterable[str]) -> str:
    """The ``key=value`` folders of a point."""
    return "/".join(f"{name}={keys[name]}" for name in names)


def _problems(config: Config, names: Sequence[str], sets: pl.DataFrame) -> Iterator[Job]:
    sources = sets["source"].unique(maintain_order=True).to_list()
    benchmarks = {one for name in names for one in config.selection(name).benchmarks}
    benchmarks |= {one for name in sources for one in config.sources[name].apart_from}
    for kind, found in (("source", sources), ("benchmark", sorted(benchmarks))):
        for name in found:
            place = f"problems/{kind}={name}"
            yield Job(f"{kind}_problems", f"{place}/problems.parquet", place, name, {kind: name})


def _pools(config: Config, sets: pl.DataFrame, found: Mapping[str, Waves]) -> Iterator[Job]:
    """Shards of responses, and their grades by each verifier that a calibration names."""
    for row in sets.filter(grid.FROM_POOL).iter_rows(named=True):
        model, source, verifier = row["generator"], row["source"], row["verifier"]
        keys = {"model": model, "source": source, "sampling": config.sampling.key}
        drawn, name = _path(keys, keys), f"{model} · {source}"
        for shard in found[_path(row, grid.CALIBRATION_KEYS)].shards:
            at, of = f"{drawn}/{shard}", keys | {"shard": shard}
            yield Job("sample", f"receipts/responses/{at}.json", f"sample/{at}",
                      f"{name} · {shard}", of)  # fmt: skip
            at = f"{drawn}/verifier={verifier}/{shard}"
            yield Job("grade", f"receipts/grades/{at}.json", f"grade/{at}",
                      f"{name} · {shard} by {verifier}", of | {"verifier": verifier})  # fmt: skip


def _calibrations(sets: pl.DataFrame, found: Mapping[str, Waves]) -> Iterator[Job]:
    for row in sets.iter_rows(named=True):
        point = _path(row, grid.CALIBRATION_KEYS)
        name = f"{row['model']} · {row['label']}"
        for number in range(found[point].count if point in found else 0):
            at = f"tally/{point}/wave={number:04d}"
            yield Job("tally", f"{at}/candidates.parquet", at, f"{name} · wave {number}", row)
        yield Job(
            "select", f"calibration/{point}/calibration.parquet", f"select/{point}", name, row
        )


def _checkpoints(chosen: pl.DataFrame) -> Iterator[Job]:
    for row in chosen.filter(pl.col("pruner") != grid.NONE).iter_rows(named=True):
        point = _path(row, grid.CHECKPOINT_KEYS)
        yield Job("prune", f"checkpoints/{point}", f"prune/{point}", _called(row), row)


def _scores(config: Config, names: Sequence[str]) -> Iterator[Job]:
    for name in names:
        for row in grid.points(config, name).iter_rows(named=True):
            for benchmark in config.selection(name).benchmarks:
                keys = row | {"benchmark": benchmark}
                point = _path(keys, (*grid.CHECKPOINT_KEYS, "benchmark"))
                called = f"{_called(row)} · {benchmark}"
                for rule, table in (
                    ("sample_benchmark", "responses"),
                    ("grade_benchmark", "grades"),
                    ("score", "scores"),
                ):
                    output = f"scores/{point}/{table}.parquet"
                    yield Job(rule, output, f"{rule}/{point}", called, keys)


def _called(row: Keys) -> str:
    """A checkpoint in words."""
    if row["pruner"] == grid.NONE:
        return f"{row['model']} · {row['label']}"
    return f"{row['model']} · {row['pruner']} {row['sparsity']} · {row['label']}"


def _pages(config: Config, targets: Sequence[str]) -> Iterator[Job]:
    asked = {config.target if target == "all" else target for target in targets or ("all",)}
    for name in config.experiments:
        if asked & {PAPER, name}:
            yield Job("experiment", f"experiments/{name}", f"experiment/{name}", name)
    for page, rule in ((PAPER, "paper_page"), (REPORT, "report")):
        if page in asked:
            yield Job(rule, f"{page}/index.html", page, f"the {page}'s page")
