"""A results tree with made-up but realistic numbers, for tests of the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from small_pool import SmallPool
from ssgr.config import REFERENCE_LENGTHS, RUN, AbacusSet, Config
from ssgr.evaluation.scores import score
from ssgr.jobs.grid import CALIBRATION_KEYS, CHECKPOINT_KEYS, NONE, needs_of, points
from ssgr.jobs.waves import shards
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import BLOCKS, MATRICES, Perplexity, Summary
from ssgr.selection import early_stop
from ssgr.storage import tables
from synthetic_answers import write_answers, write_benchmark, write_source

BASE: dict[str, Any] = {
    "title": "Pruning abacus",
    "pool": {"problems": 96, "shard_size": 48},
    "run": {"models": ["abacus"], "pruners": ["sparsegpt", "wanda"], "sparsities": [50]},
    "models": {"abacus": {"path": "resources/abacus"}},
    "sources": {
        "stories": {"data": {"loader": "abacus", "kind": "stories", "count": 400}},
        "prose": {"data": {"loader": "abacus", "kind": "prose", "count": 100}},
    },
    "benchmarks": {
        kind: {"data": {"loader": "abacus", "kind": kind, "count": 60}, "role": role}
        for kind, role in [
            ("easy", "GSM8K"),
            ("medium", "MATH500"),
            ("hard", "AIME"),
            ("choice", "GPQA"),
        ]
    },
    "calibrations": {
        "C4": {"source": "prose", "length": "text"},
        "MathR": {"source": "stories", "length": "solution"},
        "SGR": {"source": "stories", "tau": 1.0, "length": "first"},
        "SSGR": {"source": "stories", "tau": 0.75, "length": "median"},
    },
    "sampling": {"n": 16, "max_tokens": 512},
    "evaluation": {"n": 4, "max_tokens": 512},
    "budget": {"sequences": 48, "tokens": 512},
}
EASE = {"easy": 3.0, "medium": 1.0, "hard": -0.8, "choice": 0.2}
LOSS = {"C4": 1.9, "MathR": 1.2, "SGR": 0.7, "SSGR": 0.45}


def make_config(**changes: Any) -> Config:
    """Return the base config with whole top-level entries replaced."""
    return Config.model_validate(BASE | changes)


def folder(root: Path, row: Mapping[str, str], keys: tuple[str, ...]) -> Path:
    """Return the ``key=value`` folder of a point."""
    return root.joinpath(*(f"{key}={row[key]}" for key in keys))


def make_grades(rng: np.random.Generator, ability: float, problems: int, n: int) -> pl.DataFrame:
    """Return graded responses of a model of some ability (log odds) on problems that differ."""
    odds = np.repeat(ability + rng.normal(0, 1.6, problems), n)
    correct = rng.random(problems * n) < 1 / (1 + np.exp(-odds))
    tokens = rng.gamma(7, 16 + 6 * (1 - np.tanh(odds / 3)), problems * n).astype(int) + 12
    tokens = tokens.clip(12, 512)
    finished = tokens < 512
    correct &= finished
    return pl.DataFrame(
        {
            "problem_id": [f"p{index:05d}" for index in np.repeat(np.arange(problems), n)],
            "sample": np.tile(np.arange(n), problems),
            "tokens": tokens,
            "extracted": ["42" if done else None for done in finished],
            "verdict": np.where(correct, "correct", np.where(finished, "wrong", "no-answer")),
            "correct": correct,
            "method": ["exact"] * problems * n,
            "milliseconds": rng.random(problems * n),
            "finished": finished,
            "closed": finished,
            "has_thinking": [True] * problems * n,
            "has_answer": finished,
            "thinking_tokens": tokens - 8,
            "different_boxes": finished.astype(int),
            "tokens_after_box": [0 if done else None for done in finished],
            "tokens_after_end": np.zeros(problems * n, dtype=int),
            "rep_20": rng.random(problems * n) * 0.1,
            "loop_share": np.zeros(problems * n),
        }
    )


def write_results(results: Path, pool: Path, config: Config, seed: int = 0, hold: int = 60) -> None:
    """Write every file that the pages of ``config`` read; ``hold`` problems a benchmark."""
    rng = np.random.default_rng(seed)
    for benchmark in config.run_benchmarks:
        write_benchmark(results, benchmark, hold)
    for row in points(config, RUN, *config.experiments).iter_rows(named=True):
        harder = 0.6 * (row["pruner"] != "sparsegpt") + 0.9 * (row["sparsity"] == "2-4")
        loss = 0.0 if row["pruner"] == NONE else LOSS.get(row["label"], 2.5) + harder
        for benchmark in config.run_benchmarks:
            grades = make_grades(rng, EASE.get(benchmark, 0.0) - loss, hold, config.evaluation.n)
            place = folder(results / "scores", row, CHECKPOINT_KEYS) / f"benchmark={benchmark}"
            tables.write(score(grades), tables.Scores, place / "scores.parquet")
            write_answers(place, grades)
        if row["pruner"] != NONE:
            place = folder(results / "checkpoints", row, CHECKPOINT_KEYS)
            write_checkpoint(rng, place, row, loss)
        if row["source"] != NONE:
            _write_calibration(folder(results / "calibration", row, CALIBRATION_KEYS), row, config)
    write_pools(results, pool, config, rng)


def write_checkpoint(
    rng: np.random.Generator, place: Path, row: Mapping[str, str], loss: float
) -> None:
    """Write what a checkpoint says of itself; without calibration nothing is measured."""
    measured = row["source"] != NONE
    blocks = [
        {"block": block, "relative_error": 0.02 * (block + 1) * (1 + loss) * rng.uniform(0.9, 1.1)
         if measured else None, "seconds": 0.75, "peak_mb": 300.0 + block}
        for block in range(6)
    ]  # fmt: skip
    matrices = [
        {"block": block, "matrix": f"model.layers.{block}.{matrix}", "rows": 128, "columns": 128,
         "achieved_sparsity": 0.5, "relative_error": 0.01 * (1 + loss) * rng.uniform(0.9, 1.1)
         if measured else None, "seconds": 0.25, "condition": 1e4 if measured else None,
         "damping": 0.01 if measured else None, "dead_inputs": 0, "tokens": 9000 * measured,
         "warnings": "only 100 tokens for 128 inputs" if row["length"] == "text" else ""}
        for block in range(6) for matrix in ("q_proj", "o_proj", "down_proj")
    ]  # fmt: skip
    told = [f"{one['matrix']}: {one['warnings']}" for one in matrices if one["warnings"]]
    summary = Summary(
        recipe={"method": row["pruner"]},
        sparsity=row["sparsity"],
        perplexity=Perplexity(dense=1.3, pruned=1.3 + loss, tokens=1536) if measured else None,
        warnings=told[:3],
    )
    table = pl.DataFrame(matrices, infer_schema_length=None)
    tables.write(table, tables.PruningReport, place / MATRICES)
    tables.write(pl.DataFrame(blocks), tables.BlockReport, place / BLOCKS)
    (place / SUMMARY).write_text(summary.model_dump_json())


def _write_calibration(place: Path, row: Mapping[str, str], config: Config) -> None:
    sequences = config.budget.sequences
    responses = row["length"] not in REFERENCE_LENGTHS
    calibration = pl.DataFrame(
        {
            "sequence": range(sequences),
            "problem_id": [f"p{index:05d}" for index in range(sequences)],
            "sample": [0 if responses else None] * sequences,
            "question": ["What is 6 times 7?"] * sequences,
            "response": ["42"] * sequences,
            "token_ids": [list(range(100 + index)) for index in range(sequences)],
            "prompt_tokens": [20] * sequences,
            "response_tokens": [80 + index for index in range(sequences)],
            "correctness_ratio": [
                0.5 if responses and (row["length"] != "first" or index % 2) else None
                for index in range(sequences)
            ],
        }
    )
    steps = [("source", 400, 400), ("drawn", sequences, sequences)]
    if responses:
        steps = [("pool", 96, 1536), (f"c <= {row['tau']}", 71, 1136), ("correct", 66, 611),
                 ("good quality", 64, 590), (f"length rule: {row['length']}", 64, 64),
                 ("drawn", sequences, sequences)]  # fmt: skip
    funnel = pl.DataFrame(steps, schema=["step", "problems", "responses"], orient="row")
    tables.write(calibration, tables.Calibration, place / "calibration.parquet")
    tables.write(funnel, tables.Funnel, place / "funnel.parquet")


def write_pools(results: Path, pool: Path, config: Config, rng: np.random.Generator) -> None:
    """Write the pools that calibrations are taken from, a wave of each, and their receipts."""
    entries = config.run_calibrations.values()
    sources = {entry.source for entry in entries if entry.length not in REFERENCE_LENGTHS}
    for model in config.run.models:
        for source in sorted(sources):
            for shard in shards(config.pool, 0):
                first, last = (int(end) for end in shard.split("-"))
                grades = make_grades(rng, 1.2, last - first, config.sampling.n)
                named = grades.with_columns(problem_id=f"{shard}/" + pl.col("problem_id"))
                drawn = draw(named, settling_needs(config, source), config.sampling.n)
                write_shard(results, pool, config, (model, source, shard), drawn)


def settling_needs(config: Config, source: str) -> early_stop.Needs:
    """What the run asks of a pool, by verdicts alone: made-up responses fit every filter."""
    lenient = {"max_rep_20": 1} | dict.fromkeys(
        ("require_finished", "require_closed", "require_answer"), False
    )
    needs = needs_of(config, source)
    return needs.model_copy(update={"filters": needs.filters.model_copy(update=lenient)})


def draw(grades: pl.DataFrame, needs: early_stop.Needs, n: int) -> pl.DataFrame:
    """Return the responses that are drawn of a full pool: of each problem what settles needs."""
    prefixes = {
        problem_id: needs.prefix(known)
        for problem_id, known in early_stop.outcomes(grades, needs.filters, n).items()
    }
    return grades.filter(
        pl.col("sample") < pl.col("problem_id").replace_strict(prefixes, return_dtype=pl.Int64)
    )


def write_shard(
    results: Path,
    pool: Path,
    config: Config,
    place: tuple[str, str, str],
    grades: pl.DataFrame,
    *,
    seconds: float = 36.0,
    gpus: int = 0,
    resumed: int = 0,
) -> Path:
    """Publish the part of a (model, source, shard) with its grades; return its local receipt.

    ``grades`` hold problem_id, sample, tokens and correct; the source's problems are written too.
    """
    model, source, shard = place
    small = SmallPool(pool, model, source, config.sampling.drawn)
    rows = grades.select("problem_id", "sample", "tokens").rows()
    part = small.draw(shard, rows, seconds=seconds, gpus=gpus, resumed=resumed)
    graded = small.grade(part, grades["correct"].to_list())
    judged_by = f"verifier={config.sources[source].method}"
    receipt = results / "receipts" / "grades" / small.key / judged_by / f"{shard}.json"
    small.write_graded(receipt, small.graded_part(part, graded))
    data = config.sources[source].data
    assert isinstance(data, AbacusSet)
    write_source(results, source, data.count)
    return receipt


def graded_shards(results: Path) -> Sequence[Path]:
    """The receipts of all graded shards of a results folder, in order."""
    return sorted((results / "receipts" / "grades").rglob("*.json"))
