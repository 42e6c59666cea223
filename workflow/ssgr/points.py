"""The key space: which checkpoints, calibration sets and shards a configuration asks for.

A point is a checkpoint: (model, source, tau, length, budget, pruner, sparsity). The paper's names
(C4, MathR, SGR, SSGR) are labels on points. A key that means nothing at a point is ``none``.
"""

from pathlib import Path

import polars as pl

from ssgr.config import Benchmark, Config, Model, Pool, Source
from ssgr.grading.judging import Judging
from ssgr.pool.store import SOURCE_OF_MODEL
from ssgr.provenance import fingerprint
from ssgr.pruning import needs_calibration
from ssgr.pruning.allocation import needs_sequences
from ssgr.settling import Needs, needs

NONE = "none"
DENSE = "Dense"
UNCALIBRATED = "no calibration"
CALIBRATION_KEYS = ("model", "source", "tau", "length", "budget")
CHECKPOINT_KEYS = (*CALIBRATION_KEYS, "pruner", "sparsity")
FROM_POOL = pl.col("tau") != NONE
"""Which points are calibrated on the pool's responses."""
SAMPLED_BY = SOURCE_OF_MODEL | {"engine", "prompt"}


def points(config: Config) -> pl.DataFrame:
    """Return every checkpoint of a config: ``label`` and CHECKPOINT_KEYS, all strings.

    The dense model of each comes first, then pruner by pruner, sparsity by sparsity, the
    calibrations in their order. A pruner that needs no calibration has one checkpoint for all.
    """
    no_calibration = (NONE,) * 4
    rows: list[tuple[str, ...]] = []
    for model in config.run.models:
        rows.append((DENSE, model, *no_calibration, NONE, "0"))
        for pruner in config.run.pruners:
            for sparsity in config.run.sparsities:
                recipe = config.recipe(pruner)
                calibrated = needs_calibration(recipe.method) or needs_sequences(recipe.allocation)
                if not calibrated and recipe.objective.target != "dense-output":
                    rows.append((UNCALIBRATED, model, *no_calibration, pruner, sparsity))
                    continue
                for label, entry in config.run_calibrations.items():
                    key = (entry.source, entry.tau or NONE, entry.length, config.budget.key)
                    rows.append((label, model, *key, pruner, sparsity))
    schema = dict.fromkeys(("label", *CHECKPOINT_KEYS), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def keys_of(path: Path) -> dict[str, str]:
    """Return the ``key=value`` folders of a file's path."""
    folders = path.parts[:-1]
    return {key: value for key, found, value in (part.partition("=") for part in folders) if found}


def wave(pool: Pool, number: int) -> list[str]:
    """Return the shards of a wave, as ranges of a source's rows: ``000000-000064`` …

    A wave may reach beyond the source's end, where shards are cut or empty; it does not reach
    beyond ``pool.problems``, but for the rest of a shard. A shard's name depends on neither, so
    that a pool grows without sampling anything again.
    """
    first = number * pool.wave
    rows = [(k * pool.shard_size, (k + 1) * pool.shard_size) for k in
            range(first, first + pool.wave)]  # fmt: skip
    return [f"{a:06d}-{b:06d}" for a, b in rows if pool.problems is None or a < pool.problems]


def is_last(pool: Pool, number: int, problems: int) -> bool:
    """Whether no wave follows ``number``, for a source of so many problems."""
    end = (number + 1) * pool.wave * pool.shard_size
    return end >= min(problems, pool.problems or problems)


def source_of_model(model: Model) -> str:
    """Return, as JSON, where a model comes from: what pruning and tokenizing depend on."""
    return model.model_dump_json(include=SOURCE_OF_MODEL)


def model_asked(model: Model) -> str:
    """Return, as JSON, where a model comes from and how it is asked: what a pool depends on."""
    return model.model_dump_json(include=SAMPLED_BY)


def model_pruned(model: Model) -> str:
    """Return, as JSON, where a model comes from, and the tag that an objective may look for."""
    return model.model_dump_json(include=SOURCE_OF_MODEL | {"think_close"})


def weights(model: Model) -> str:
    """Return a readable fingerprint of a local model's files, so that retraining is noticed."""
    return f"weights {fingerprint(model.location) or 'of the hub'}"


def needs_of(config: Config, source: str) -> Needs:
    """Return what this run's calibrations ask of a source's pool."""
    asked = [
        (entry.tau, entry.length)
        for entry in config.run_calibrations.values()
        if entry.source == source and entry.tau is not None
    ]
    return needs(asked, config.filters, config.sampling.early_stop)


def judging(config: Config, model: str, problems: Source | Benchmark) -> Judging:
    """Return how a model's responses to a source's or benchmark's problems are judged."""
    entry = config.models[model]
    return Judging(
        method=problems.method,
        conventions=problems.conventions,
        think_open=entry.think_open,
        think_close=entry.think_close,
        time_limit=config.grading.time_limit,
    )
