"""Everything a report shows, as tables, and nothing that the configuration does not ask for.

A results folder outlives many configurations. The points of this one are listed first, and only
files whose ``key=value`` folders match a point are read; a point without its file is an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl

from ssgr import tables
from ssgr.config import REFERENCE_LENGTHS, Config
from ssgr.errors import SsgrError
from ssgr.points import CALIBRATION_KEYS, NONE, points, shards


class ReportError(SsgrError):
    """The report cannot be built: a table that the configuration asks for is missing."""


@dataclass(frozen=True)
class ReportTables:
    """What a report is made of. Shares and scores in [0, 1], lengths in tokens.

    ``scores``: a checkpoint and benchmark a row: the columns of ``ssgr.points.points``, in its
    order, ``benchmark`` and the Scores columns.
    ``calibrations``: a calibration set a row: model, label, keys, sequences, tokens,
    mean_tokens, problems, correctness_ratio (mean, null for text and solutions).
    ``funnel``: model, label and the Funnel columns, steps in order.
    ``blocks``: a pruned block a row: the points' columns, block, relative_error (mean over the
    block's matrices, null if unmeasured), weights, zeros, seconds.
    ``pool``: a pool's response a row: model, source, problem_id, correct, tokens, finished;
    empty when no calibration is taken from responses.
    """

    scores: pl.DataFrame
    calibrations: pl.DataFrame
    funnel: pl.DataFrame
    blocks: pl.DataFrame
    pool: pl.DataFrame


def gather(results: Path, pool: Path, config: Config) -> ReportTables:
    """Read every table that the report of ``config`` needs.

    Args:
        results: folder of the experiment, with ``scores``, ``calibration`` and ``checkpoints``.
        pool: folder of the sampled responses, with ``grades``.
        config: what was run.

    Raises:
        ReportError: a wanted table does not exist; names its keys and how many more there are.
        TableError: a wanted table is truncated or of another schema; names the file.
    """
    wanted = points(config)
    benchmarks = pl.DataFrame({"benchmark": list(config.run_benchmarks)})
    pruned = wanted.filter(pl.col("pruner") != NONE)
    sets = pruned.filter(pl.col("source") != NONE).select("label", *CALIBRATION_KEYS)
    sets = sets.unique(maintain_order=True)
    calibration = results / "calibration"
    return ReportTables(
        scores=_collect(
            results / "scores",
            "scores.parquet",
            wanted.join(benchmarks, how="cross", maintain_order="left_right"),
            tables.Scores,
            lambda table: table,
        ),
        calibrations=_collect(
            calibration, "calibration.parquet", sets, tables.Calibration, _calibration_set
        ),
        funnel=_collect(calibration, "funnel.parquet", sets, tables.Funnel, lambda table: table),
        blocks=_collect(
            results / "checkpoints", "pruning.parquet", pruned, tables.PruningReport, _blocks
        ),
        pool=_pool(pool / "grades", sets, config),
    )


def _collect(
    root: Path,
    name: str,
    wanted: pl.DataFrame,
    schema: type[dy.Schema],
    summary: Callable[[pl.DataFrame], pl.DataFrame],
) -> pl.DataFrame:
    """Summaries of the ``name`` files of ``wanted``, one after another, with its columns."""
    keys = [column for column in wanted.columns if column != "label"]
    parts = []
    for row, path in zip(
        wanted.iter_rows(named=True), _locate(root, name, wanted.select(keys)), strict=True
    ):
        columns = [pl.lit(value).alias(key) for key, value in row.items()]
        parts.append(summary(tables.read(path, schema)).select(*columns, pl.all()))
    if parts:
        return pl.concat(parts)
    empty = summary(schema.create_empty())
    return wanted.clear().join(empty.clear(), how="cross")


def _locate(root: Path, name: str, wanted: pl.DataFrame) -> Sequence[Path]:
    """The file of every row of ``wanted``, in order."""
    found = {frozenset(_keys(path, root).items()): path for path in sorted(root.rglob(name))}
    rows = [frozenset(row.items()) for row in wanted.iter_rows(named=True)]
    missing = [
        row for row, key in zip(wanted.iter_rows(named=True), rows, strict=True) if key not in found
    ]
    if missing:
        keys = ", ".join(f"{key}={value}" for key, value in missing[0].items())
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ReportError(
            f"{root} holds no {name} for {keys}{others}, which the configuration asks for. "
            "Run the workflow to the end, or take the point out of the configuration's `run`."
        )
    return [found[key] for key in rows]


def _keys(path: Path, root: Path) -> dict[str, str]:
    """The ``key=value`` folders between ``root`` and the file."""
    folders = path.relative_to(root).parts[:-1]
    return {key: value for key, found, value in (part.partition("=") for part in folders) if found}


def _calibration_set(table: pl.DataFrame) -> pl.DataFrame:
    lengths = pl.col("token_ids").list.len().cast(pl.Int64)
    return table.select(
        sequences=pl.len().cast(pl.Int64),
        tokens=lengths.sum(),
        mean_tokens=lengths.mean(),
        problems=pl.col("problem_id").n_unique().cast(pl.Int64),
        correctness_ratio=pl.col("correctness_ratio").mean(),
    )


def _blocks(table: pl.DataFrame) -> pl.DataFrame:
    weights = pl.col("rows").cast(pl.Int64) * pl.col("columns")
    return (
        table.group_by("block")
        .agg(
            relative_error=pl.col("relative_error").mean(),
            weights=weights.sum(),
            zeros=(pl.col("sparsity") * weights).sum(),
            seconds=pl.col("seconds").sum(),
        )
        .sort("block")
    )


def _pool(root: Path, sets: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Graded responses of every (model, source) that a calibration is taken from."""
    taken = sets.filter(~pl.col("length").is_in(REFERENCE_LENGTHS))
    columns = ("problem_id", "sample", "correct", "tokens", "finished")
    parts = []
    for model, source in taken.select("model", "source").unique(maintain_order=True).iter_rows():
        keys = {"model": model, "source": source, "sampling": config.sampling.key}
        wanted = pl.DataFrame([keys])
        paths = [_locate(root, f"{shard}.parquet", wanted)[0] for shard in shards(config.pool)]
        grades = pl.concat(tables.read(path, tables.Grades).select(columns) for path in paths)
        named = (pl.lit(model).alias("model"), pl.lit(source).alias("source"))
        parts.append(grades.select(*named, pl.all()))
    if parts:
        return pl.concat(parts)
    keyed = {"model": pl.String, "source": pl.String}
    return pl.DataFrame(schema={**keyed, **tables.Grades.create_empty().select(columns).schema})
