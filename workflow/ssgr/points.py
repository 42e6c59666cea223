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
EXECUTION = {"gpu", "mem_mb", "threads", "batch_size"}


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
    """Return the shards of a source, as ranges of its rows: ``000000-000064`` …"""
    return [
        f"{first:06d}-{min(first + pool.shard_size, pool.problems):06d}"
        for first in range(0, pool.problems, pool.shard_size)
    ]


def identity(model: Model) -> str:
    """Return, as JSON, what of a registry entry changes its responses: no execution settings."""
    return model.model_dump_json(exclude=EXECUTION)


def weights(model: Model) -> str:
    """Return a readable fingerprint of a local model's files, so that retraining is noticed."""
    return f"weights {fingerprint(model.path) or 'of the hub'}"
