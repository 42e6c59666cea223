"""The key space: which checkpoints, calibration sets and shards a configuration asks for.

A point is a checkpoint: (model, source, tau, length, budget, pruner, sparsity). The paper's names
(C4, MathR, SGR, SSGR) are labels on points. A key that means nothing at a point is ``none``.
"""

import polars as pl

from ssgr.config import Config, Model, Pool
from ssgr.provenance import fingerprint
from ssgr.pruning import needs_calibration

NONE = "none"
DENSE = "Dense"
UNCALIBRATED = "no calibration"
CALIBRATION_KEYS = ("model", "source", "tau", "length", "budget")
CHECKPOINT_KEYS = (*CALIBRATION_KEYS, "pruner", "sparsity")
SOURCE_OF_MODEL = {"path", "revision", "dtype", "trust_remote_code"}
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
                if not needs_calibration(pruner):
                    rows.append((UNCALIBRATED, model, *no_calibration, pruner, sparsity))
                    continue
                for label, entry in config.run_calibrations.items():
                    key = (entry.source, entry.tau or NONE, entry.length, config.budget.key)
                    rows.append((label, model, *key, pruner, sparsity))
    schema = dict.fromkeys(("label", *CHECKPOINT_KEYS), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def shards(pool: Pool) -> list[str]:
    """Return the shards of a source, as ranges of its rows: ``000000-000064`` … Whole shards.

    The last may reach beyond ``pool.problems`` and beyond the source's end, where it is cut: its
    name does not depend on either, so that a pool grows without sampling anything again.
    """
    return [
        f"{first:06d}-{first + pool.shard_size:06d}"
        for first in range(0, pool.problems, pool.shard_size)
    ]


def source_of_model(model: Model) -> str:
    """Return, as JSON, where a model comes from: what pruning and tokenizing depend on."""
    return model.model_dump_json(include=SOURCE_OF_MODEL)


def model_asked(model: Model) -> str:
    """Return, as JSON, where a model comes from and how it is asked: what a pool depends on."""
    return model.model_dump_json(include=SAMPLED_BY)


def pool_spec(model: Model) -> dict[str, object]:
    """Return what a pool must agree on: the model's source and how it is asked."""
    spec = model.model_dump(include=SAMPLED_BY)
    found = fingerprint(model.location)
    return {**spec, "path": None, "fingerprint": found} if found else spec


def weights(model: Model) -> str:
    """Return a readable fingerprint of a local model's files, so that retraining is noticed."""
    return f"weights {fingerprint(model.location) or 'of the hub'}"
