"""Everything a report shows, as tables, and nothing that the configuration does not ask for.

A results folder outlives many configurations. The points of this one are listed first, and only
files whose ``key=value`` folders match a point are read; a point without its file is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dataframely as dy
import polars as pl

from ssgr.config import Config
from ssgr.evaluation.per_problem import outcomes
from ssgr.jobs.grid import CALIBRATION_KEYS, CHECKPOINT_KEYS, NONE, points
from ssgr.pruning.output.summary import MATRICES
from ssgr.report import pruning
from ssgr.report.breakdowns import breakdowns
from ssgr.report.comparison import Finding, findings
from ssgr.report.files import locate
from ssgr.report.samples import Sample, samples
from ssgr.report.visited import costs, removed, responses, visited
from ssgr.storage import tables


@dataclass(frozen=True)
class ReportTables:
    """What a report is made of. Shares and scores in [0, 1], lengths in tokens.

    ``scores``: a checkpoint and benchmark a row: the columns of ``ssgr.jobs.grid.points``, in its
    order, ``benchmark`` and the Scores columns.
    ``calibrations``: a calibration set a row: model, label, keys, sequences, tokens,
    mean_tokens, problems, correctness_ratio (mean; null if it is not known of every sequence, as
    for text and solutions), unknown_ratios (sequences of which it is not known).
    ``funnel``: model, label and the Funnel columns, steps in order.
    ``blocks``: a pruned block a row: the points' columns and those of BlockReport.
    ``checkpoints``: a pruned checkpoint a row: the points' columns and those of
    `ssgr.report.pruning.CHECKPOINT`.
    ``pool``: a drawn response of a visited problem a row: model (that generated it), source,
    verifier, problem_id, sample, correct, tokens; empty when no calibration is of responses.
    ``costs``: a pool a row: model, source, verifier, source_problems (how many there are to
    visit), and of the visited shards tokens, seconds (of jobs, engine loaded to last response),
    gpu_seconds (times GPUs), cpu_seconds (of jobs without a GPU), timed_tokens (drawn in those
    seconds) and resumed (responses that were not: drawn by runs that were cut off).
    ``removed``: a quality filter of a pool a row: model, source, verifier and the columns of
    `ssgr.report.filters.removed`.
    ``breakdowns``: a group of problems that a checkpoint answered a row: see
    `ssgr.report.breakdowns.breakdowns`.
    ``samples``: a benchmark's problem with the responses of some checkpoints each.
    ``findings``: which calibration came out best, for each model, pruner and sparsity.
    """

    scores: pl.DataFrame
    calibrations: pl.DataFrame
    funnel: pl.DataFrame
    blocks: pl.DataFrame
    checkpoints: pl.DataFrame
    pool: pl.DataFrame
    costs: pl.DataFrame
    removed: pl.DataFrame
    breakdowns: pl.DataFrame
    samples: list[Sample]
    findings: list[Finding]

    def called(self, names: Mapping[str, str]) -> "ReportTables":
        """Return the same with other labels, as they are to be shown."""
        tables = {
            name: table.with_columns(pl.col("label").replace(names))
            for name, table in vars(self).items()
            if isinstance(table, pl.DataFrame) and "label" in table.columns
        }
        found = [one.called(names) for one in self.findings]
        return replace(
            self, **tables, samples=[one.called(names) for one in self.samples], findings=found
        )


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
    looked_at = visited(wanted, graded, config)
    pruned = wanted.filter(pl.col("pruner") != NONE)
    sets = pruned.filter(pl.col("source") != NONE).select("label", *CALIBRATION_KEYS)
    sets = sets.unique(maintain_order=True)
    calibration = results / "calibration"
    keys = pruned.select(CHECKPOINT_KEYS)
    folders = [path.parent for path in locate(results / "checkpoints", MATRICES, keys)]
    benchmarks = list(config.run_benchmarks)
    scored = scores(results, wanted, benchmarks)
    return ReportTables(
        scores=scored,
        calibrations=_collect(
            calibration, "calibration.parquet", sets, tables.Calibration, _calibration_set
        ),
        funnel=_collect(calibration, "funnel.parquet", sets, tables.Funnel, lambda table: table),
        blocks=pruning.blocks(pruned, folders),
        checkpoints=pruning.checkpoints(pruned, folders),
        pool=responses(pool, looked_at),
        costs=costs(results, pool, looked_at),
        removed=removed(pool, looked_at, config),
        breakdowns=breakdowns(results, wanted, benchmarks),
        samples=samples(results, config, wanted, benchmarks),
        findings=findings(scored, lambda checkpoint: _outcomes(results, checkpoint, benchmarks)),
    )


def _outcomes(
    results: Path, checkpoint: Mapping[str, str], benchmarks: Sequence[str]
) -> pl.DataFrame:
    """What every problem came to for a checkpoint."""
    keys = pl.DataFrame([{**checkpoint, "benchmark": benchmark} for benchmark in benchmarks])
    files = locate(results / "scores", "grades.parquet", keys)
    read = (tables.read(file, tables.Grades) for file in files)
    return pl.concat(map(outcomes, read, benchmarks))


def scores(results: Path, points: pl.DataFrame, benchmarks: Sequence[str]) -> pl.DataFrame:
    """Return the scores of every point on every benchmark: see ``ReportTables.scores``.

    Raises: as ``gather``.
    """
    crossed = points.join(
        pl.DataFrame({"benchmark": list(benchmarks)}), how="cross", maintain_order="left_right"
    )
    return _collect(
        results / "scores", "scores.parquet", crossed, tables.Scores, lambda table: table
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
        wanted.iter_rows(named=True), locate(root, name, wanted.select(keys)), strict=True
    ):
        columns = [pl.lit(value).alias(key) for key, value in row.items()]
        parts.append(summary(tables.read(path, schema)).select(*columns, pl.all()))
    if parts:
        return pl.concat(parts)
    empty = summary(schema.create_empty())
    return wanted.clear().join(empty.clear(), how="cross")


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
