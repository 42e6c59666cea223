"""Everything a report shows, as tables, and nothing that the configuration does not ask for.

A results folder outlives many configurations. The points of this one are listed first, and only
files whose ``key=value`` folders match a point are read; a point without its file is an error.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl

from ssgr import tables
from ssgr.config import Config
from ssgr.errors import ReportError
from ssgr.points import CALIBRATION_KEYS, CHECKPOINT_KEYS, FROM_POOL, NONE, keys_of, points
from ssgr.pool import receipts, store
from ssgr.pruning.output.summary import MATRICES
from ssgr.report import filters, pruning

Visited = dict[tuple[str, str], list[receipts.GradedShard]]
"""The graded shards that calibrations have visited, by (model, source)."""


@dataclass(frozen=True)
class ReportTables:
    """What a report is made of. Shares and scores in [0, 1], lengths in tokens.

    ``scores``: a checkpoint and benchmark a row: the columns of ``ssgr.points.points``, in its
    order, ``benchmark`` and the Scores columns.
    ``calibrations``: a calibration set a row: model, label, keys, sequences, tokens,
    mean_tokens, problems, correctness_ratio (mean; null if it is not known of every sequence, as
    for text and solutions), unknown_ratios (sequences of which it is not known).
    ``funnel``: model, label and the Funnel columns, steps in order.
    ``blocks``: a pruned block a row: the points' columns and those of BlockReport.
    ``checkpoints``: a pruned checkpoint a row: the points' columns and those of
    `ssgr.report.pruning.CHECKPOINT`.
    ``pool``: a drawn response of a visited problem a row: model, source, problem_id, sample,
    correct, tokens; empty when no calibration is taken from responses.
    ``costs``: a pool a row: model, source, source_problems (how many there are to visit), and of
    the visited shards tokens, seconds (of jobs, engine loaded to last response), gpu_seconds
    (times GPUs), cpu_seconds (of jobs without a GPU), timed_tokens (drawn in those seconds) and
    resumed (responses that were not: drawn by runs that were cut off).
    ``removed``: a quality filter of a pool a row: model, source and the columns of
    `ssgr.report.filters.removed`.
    """

    scores: pl.DataFrame
    calibrations: pl.DataFrame
    funnel: pl.DataFrame
    blocks: pl.DataFrame
    checkpoints: pl.DataFrame
    pool: pl.DataFrame
    costs: pl.DataFrame
    removed: pl.DataFrame


def gather(results: Path, pool: Path, config: Config, graded: Sequence[Path] = ()) -> ReportTables:
    """Read every table that the report of ``config`` needs.

    Args:
        results: folder of the experiment, with ``scores``, ``calibration`` and ``checkpoints``.
        pool: folder of the sampled responses.
        config: what was run.
        graded: receipts of the pool's graded shards that the calibrations visited.

    Raises:
        ReportError: a wanted table does not exist, or no shard of a wanted pool is among
            ``graded``; names its keys and how many more there are.
        TableError: a wanted table is truncated or of another schema; names the file.
        PoolError: a part of the pool is gone or has changed; names the file.
    """
    wanted = points(config)
    visited = _visited(wanted, graded, config)
    benchmarks = pl.DataFrame({"benchmark": list(config.run_benchmarks)})
    pruned = wanted.filter(pl.col("pruner") != NONE)
    sets = pruned.filter(pl.col("source") != NONE).select("label", *CALIBRATION_KEYS)
    sets = sets.unique(maintain_order=True)
    calibration = results / "calibration"
    keys = pruned.select(CHECKPOINT_KEYS)
    folders = [path.parent for path in _locate(results / "checkpoints", MATRICES, keys)]
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
        blocks=pruning.blocks(pruned, folders),
        checkpoints=pruning.checkpoints(pruned, folders),
        pool=_pool(pool, visited),
        costs=_costs(results, pool, visited),
        removed=_removed(pool, visited, config),
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
    found = {
        frozenset(keys_of(path.relative_to(root)).items()): path
        for path in sorted(root.rglob(name))
    }
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


def _calibration_set(table: pl.DataFrame) -> pl.DataFrame:
    lengths, ratio = pl.col("token_ids").list.len().cast(pl.Int64), pl.col("correctness_ratio")
    return table.select(
        sequences=pl.len().cast(pl.Int64),
        tokens=lengths.sum(),
        mean_tokens=lengths.mean(),
        problems=pl.col("problem_id").n_unique().cast(pl.Int64),
        correctness_ratio=pl.when(ratio.is_not_null().all()).then(ratio.mean()),
        unknown_ratios=ratio.null_count().cast(pl.Int64),
    )


def _visited(wanted: pl.DataFrame, graded: Sequence[Path], config: Config) -> Visited:
    """The parts that the receipts name, of the pools that calibrations are taken from."""
    asked = wanted.filter(FROM_POOL).select("model", "source").unique(maintain_order=True)
    found: Visited = {}
    for path in graded:
        keys = keys_of(path)
        if keys.get("sampling") == config.sampling.key:
            shards = found.setdefault((keys["model"], keys["source"]), [])
            shards.append(receipts.read(path, receipts.GradedShard))
    for model, source in asked.iter_rows():
        if (model, source) not in found:
            raise ReportError(
                f"no graded shard of model={model}, source={source}, "
                f"sampling={config.sampling.key} was named, but calibrations are taken from it: "
                "name the receipts of what they visited (--visited)."
            )
    return {key: found[key] for key in asked.iter_rows()}


def _parts(shards: Sequence[receipts.GradedShard]) -> Iterator[receipts.GradedPart]:
    return (part for shard in shards for part in shard.parts)


def _pool(pool: Path, visited: Visited) -> pl.DataFrame:
    """The graded responses of what was visited."""
    columns = ("problem_id", "sample", "correct", "tokens")
    keyed = pl.Schema({"model": pl.String, "source": pl.String})
    graded = tables.Grades.create_empty().select(columns).schema
    found = [pl.DataFrame(schema=pl.Schema({**keyed, **graded}))]
    for (model, source), shards in visited.items():
        named = (pl.lit(model).alias("model"), pl.lit(source).alias("source"))
        for part in _parts(shards):
            grades = receipts.open_part(pool, part.grades, tables.Grades)
            found.append(grades.select(*named, *columns))
    return pl.concat(found)


def _removed(pool: Path, visited: Visited, config: Config) -> pl.DataFrame:
    """What the quality filters drop of what was visited."""
    keys = pl.Schema({"model": pl.String, "source": pl.String})
    found = [pl.DataFrame(schema=pl.Schema({**keys, **filters.REMOVED}))]
    for (model, source), shards in visited.items():
        named = (pl.lit(model).alias("model"), pl.lit(source).alias("source"))
        found.append(filters.removed(pool, shards, config.filters).select(*named, pl.all()))
    return pl.concat(found)


_COSTS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("model", "source"), pl.String),
    **dict.fromkeys(("source_problems", "tokens", "timed_tokens", "resumed"), pl.Int64),
    **dict.fromkeys(("seconds", "gpu_seconds", "cpu_seconds"), pl.Float64),
}


def _costs(results: Path, pool: Path, visited: Visited) -> pl.DataFrame:
    """What was drawn of each pool, in which time, by the receipts of its parts."""
    rows = []
    for (model, source), shards in visited.items():
        problems = tables.count_rows(results / "problems" / f"source={source}" / "problems.parquet")
        for part in _parts(shards):
            drawn = store.read_receipt(pool / part.responses.path, store.ResponsesReceipt)
            timed = round(drawn.tokens * (1 - drawn.resumed / max(drawn.rows, 1)))
            on_gpu, without = drawn.seconds * drawn.gpus, drawn.seconds * (drawn.gpus == 0)
            rows.append((model, source, problems, drawn.tokens, timed, drawn.resumed,
                         drawn.seconds, on_gpu, without))  # fmt: skip
    spent = pl.DataFrame(rows, schema=_COSTS, orient="row")
    keys = ("model", "source", "source_problems")
    return spent.group_by(keys, maintain_order=True).agg(pl.all().sum())
