"""The rows of a plan, stage by stage, for one model at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from ssgr.cluster.sizing.requests import Job, answering_job, pruning_job, sampling_job
from ssgr.config import Config
from ssgr.jobs import grid, paths
from ssgr.jobs.pools import problems_of
from ssgr.monitor.plan import estimates, rates
from ssgr.monitor.plan.forecast import Growth, growth
from ssgr.monitor.plan.rates import Rate
from ssgr.monitor.plan.rows import Known, Of, Row


def pools(known: Known, model: str) -> Iterator[Row]:
    """Sampling and grading of a model's pools."""
    config = known.config
    asked = grid.pools(config, *config.targeted)
    for source in (source for name, source in asked if name == model):
        problems = problems_of(config, known.results, "source", source)
        grown = growth(config, known.pool, model, source, problems)
        for scope, (shards, why) in grown.scopes.items():
            yield _sample(known, grown, scope, shards, why)
            yield _grade(known, grown, scope, shards, why)


def _sample(known: Known, grown: Growth, scope: str, shards: Sequence[str] | None, why: str) -> Row:
    model, source, sampling = grown.model, grown.source, known.config.sampling
    entry, found = known.config.models[model], known.found(model)
    job = sampling_job(known.config, model, found.shape)
    drawn = rates.responses_per_problem(known.parts, model, source, sampling, sampling.early_stop)
    length = rates.tokens_per_response(known.parts, model, source, sampling)
    speed = rates.throughput(known.parts, model, sampling.max_tokens, job.gpus)
    responses = grown.missing(shards, drawn)
    tokens = responses.by(length)
    hours = tokens.over(estimates.throughput(speed, entry, found, job)).times(1 / 3600)
    done = None if shards is None else len(grown.complete.intersection(shards))
    remarks = estimates.remarks(entry, found, sampling.max_tokens)
    of = Of("sample", model, source, scope, job, why, remarks)
    return of.row(None if shards is None else len(shards), done, hours, responses, tokens)


def _grade(known: Known, grown: Growth, scope: str, shards: Sequence[str] | None, why: str) -> Row:
    of = Of("grade", grown.model, grown.source, scope, None, why)
    if shards is None:
        return of.row(None, None, Rate(None, ""))
    done = len(grown.graded.intersection(shards))
    levels = [{"model": grown.model, "source": grown.source}, {"model": grown.model}, {}]
    return of.row(len(shards), done, known.of_jobs("grade", levels, len(shards) - done))


def select(known: Known, model: str) -> Iterator[Row]:
    """Calibration sets of a model."""
    chosen = known.keys(model, grid.CALIBRATION_KEYS).filter(pl.col("source") != grid.NONE)
    done = sum(_there(known.results, "select", chosen))
    hours = known.of_jobs("select", [{"model": model}, {}], len(chosen) - done)
    yield Of("select", model, "").row(len(chosen), done, hours)


def prune(known: Known, model: str) -> Iterator[Row]:
    """Checkpoints of a model, pruner by pruner."""
    entry, found = known.config.models[model], known.found(model)
    checkpoints = known.keys(model, grid.CHECKPOINT_KEYS).filter(pl.col("pruner") != grid.NONE)
    for pruner in checkpoints["pruner"].unique(maintain_order=True):
        mine = checkpoints.filter(pruner=pruner)
        there = _there(known.results, "prune", mine)
        jobs = [_pruning_job(known, model, keys) for keys in mine.iter_rows(named=True)]
        left = [job for job, done in zip(jobs, there, strict=True) if not done]
        levels = [{"model": model, "pruner": pruner}, {"model": model}]
        hours = known.of_jobs("prune", levels, len(left), jobs[0].gpus)
        hours = estimates.pruning(hours, entry, left) if left else hours
        remarks = estimates.remarks(entry, found)
        of = Of("prune", model, pruner, job=_largest(jobs), remarks=remarks)
        yield of.row(len(jobs), sum(there), hours)


def _pruning_job(known: Known, model: str, keys: Mapping[str, str]) -> Job:
    config = known.config
    budget = None if keys["budget"] == grid.NONE else config.budget.of_key(keys["budget"])
    shape = known.found(model).shape
    return pruning_job(config, model, shape, config.recipe(keys["pruner"]), budget)


def _largest(jobs: Sequence[Job]) -> Job:
    """A job that needs as much of everything as any of these."""
    on_gpu = [job.gpu_mb for job in jobs if job.gpu_mb is not None]
    return replace(
        jobs[0],
        gpu_mb=max(on_gpu, default=None),
        mem_mb=max(job.mem_mb for job in jobs),
        disk_mb=max(job.disk_mb for job in jobs),
    )


def answer(known: Known, model: str) -> Iterator[Row]:
    """Responses of a model's checkpoints, the dense one too, to the benchmarks."""
    config, sampling = known.config, known.config.evaluation
    entry, found = config.models[model].for_evaluation(), known.found(model)
    for name, names in _asking(config).items():
        mine = known.keys(model, grid.CHECKPOINT_KEYS, *names)
        if mine.is_empty():
            continue
        done = sum(_there(known.results, "sample_benchmark", mine, benchmark=name))
        left = len(mine) - done
        problems = problems_of(config, known.results, "benchmark", name)
        job = answering_job(config, model, found.shape, problems)
        responses = Rate(problems, "" if problems else "problems not counted yet")
        responses = responses.times(sampling.n * left)
        length = rates.answer_length(known.results, known.parts, model, name, sampling)
        tokens = responses.by(length)
        levels = [{"model": model, "benchmark": name}]
        hours = known.of_jobs("sample_benchmark", levels, left, job.gpus)
        if hours.value is None:
            speed = rates.throughput(known.parts, model, sampling.max_tokens, job.gpus)
            speed = estimates.throughput(speed, entry, found, job)
            hours = tokens.over(speed).times(1 / 3600)
        remarks = estimates.remarks(entry, found, sampling.max_tokens)
        of = Of("answer", model, name, job=job, remarks=remarks)
        yield of.row(len(mine), done, hours, responses, tokens)


def _asking(config: Config) -> dict[str, list[str]]:
    """The experiments that ask for each benchmark."""
    asking: dict[str, list[str]] = {}
    for name in config.targeted:
        for benchmark in config.selection(name).benchmarks:
            asking.setdefault(benchmark, []).append(name)
    return asking


def _there(results: Path, rule: str, points: pl.DataFrame, **keys: str) -> list[bool]:
    """Which points have what a rule makes of them."""
    made = (paths.OUTPUTS[rule].format(**row, **keys) for row in points.iter_rows(named=True))
    return [(results / path).exists() for path in made]
