"""The key space: which checkpoints, calibration sets and shards a configuration asks for.

A point is a checkpoint: (model, source, generator, verifier, tau, length, thinking, budget, pruner,
sparsity). The paper's names (C4, MathR, SGR, SSGR) are labels on points. A key that means nothing
at a point is ``none``.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import polars as pl

from ssgr.config import RUN, Benchmark, Calibration, Config, Model, Selection, Source
from ssgr.config.conventions import MethodName
from ssgr.grading.spec import Judging
from ssgr.pruning import needs_calibration
from ssgr.pruning.allocation import needs_sequences
from ssgr.selection.early_stop import Needs, needs
from ssgr.storage.provenance import fingerprint

NONE = "none"
DENSE = "Dense"
UNCALIBRATED = "no calibration"
CALIBRATION_KEYS = (
    "model",
    "source",
    "generator",
    "verifier",
    "tau",
    "length",
    "thinking",
    "budget",
)
CHECKPOINT_KEYS = (*CALIBRATION_KEYS, "pruner", "sparsity")
KEYS = dict.fromkeys(
    (*CHECKPOINT_KEYS, "benchmark", "wave", "sampling", "grader", "experiment"), pl.String
)
"""Every key of a path, as polars' ``hive_schema``: all are text, whatever values a run holds."""
FROM_POOL = pl.col("tau") != NONE
"""Which points are calibrated on the pool's responses."""


def points(config: Config, *names: str) -> pl.DataFrame:
    """Return every checkpoint of experiments: ``label`` and CHECKPOINT_KEYS, all strings.

    The dense model of each comes first, then pruner by pruner, sparsity by sparsity, the
    calibrations in their order. A pruner that needs no calibration has one checkpoint for all.
    A point that several experiments share is there once.

    Args:
        config: the whole configuration.
        names: of ``config.experiments``, or ``run``; default is the run alone.
    """
    rows = [row for name in names or (RUN,) for row in _rows(config, config.selection(name))]
    schema = dict.fromkeys(("label", *CHECKPOINT_KEYS), pl.String)
    return pl.DataFrame(list(dict.fromkeys(rows)), schema=schema, orient="row")


def _rows(config: Config, wanted: Selection) -> Iterator[tuple[str, ...]]:
    no_calibration = (NONE,) * (len(CALIBRATION_KEYS) - 1)
    for model in wanted.models:
        yield (DENSE, model, *no_calibration, NONE, "0")
        for pruner, sparsity in product(wanted.pruners, wanted.sparsities):
            recipe = config.recipe(pruner)
            calibrated = needs_calibration(recipe.method) or needs_sequences(recipe.allocation)
            if not calibrated and recipe.objective.target != "dense-output":
                yield (UNCALIBRATED, model, *no_calibration, pruner, sparsity)
                continue
            for label, entry in wanted.calibrations.items():
                for drawn in draws(entry, wanted.seeds):
                    yield (label, *calibration_keys(config, model, drawn), pruner, sparsity)


def draws(entry: Calibration, seeds: Sequence[int]) -> list[Calibration]:
    """Return a kind of calibration once for each seed of the draw; as it is without any."""
    return [entry.model_copy(update={"seed": seed}) for seed in seeds] or [entry]


def calibration_keys(config: Config, model: str, entry: Calibration) -> tuple[str, ...]:
    """Return the CALIBRATION_KEYS of a kind of calibration; what is left to a default is named."""
    own = (NONE,) * 4 if entry.is_reference else (
        entry.generator or model, verifier(config, entry), entry.tau or NONE,
        "kept" if entry.thinking else "dropped",
    )  # fmt: skip
    generator, method, tau, thinking = own
    budget = config.budget.of_calibration(entry).key
    return (model, entry.source, generator, method, tau, entry.length, thinking, budget)


def verifier(config: Config, entry: Calibration) -> str:
    """Return the grading method that says what is correct for a kind of calibration."""
    return entry.verifier or config.sources[entry.source].method


def judged_by_source(config: Config, points: pl.DataFrame) -> pl.DataFrame:
    """Return the points calibrated on responses that the source's own method has judged."""
    own = pl.col("source").replace({name: one.method for name, one in config.sources.items()})
    return points.filter(FROM_POOL & (pl.col("verifier") == own))


def calibrations(config: Config) -> list[Calibration]:
    """Return every kind of calibration that the run or an experiment asks for, once."""
    names = {name for each in config.selections.values() for name in each.calibrations}
    return [entry for name, entry in config.calibrations.items() if name in names]


def pools(config: Config, *names: str) -> list[tuple[str, str]]:
    """Return the (model, source) pairs whose responses are asked for; by any experiment if none."""
    asked = {
        (entry.generator or model, entry.source)
        for each in map(config.selection, names or config.selections)
        for entry in each.calibrations.values()
        for model in each.models
        if not entry.is_reference
    }
    return sorted(asked)


def weights(model: Model) -> str:
    """Return a readable fingerprint of a local model's files, so that retraining is noticed."""
    return f"weights {fingerprint(model.location) or 'of the hub'}"


def needs_of(config: Config, source: str) -> Needs:
    """Return what the calibrations of the run and of all experiments ask of a source's pool.

    A pool whose responses are judged by several methods is drawn whole: what one of them is
    certain about another is not.
    """
    asked = [
        entry for entry in calibrations(config) if entry.source == source and not entry.is_reference
    ]
    own = config.sources[source].method
    early = config.sampling.early_stop and {verifier(config, entry) for entry in asked} <= {own}
    demanded = [(entry.tau, entry.length) for entry in asked if entry.tau is not None]
    return needs(demanded, config.filters, early)


def judging(
    config: Config, model: str, problems: Source | Benchmark, method: MethodName | None = None
) -> Judging:
    """Return how a model's responses to a source's or benchmark's problems are judged."""
    entry = config.models[model]
    return Judging(
        method=method or problems.method,
        conventions=problems.conventions,
        think_open=entry.think_open,
        think_close=entry.think_close,
        time_limit=config.grading.time_limit,
    )
