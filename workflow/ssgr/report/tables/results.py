"""What was measured of a condition: read from the results folder by the keys of its draws.

A results folder outlives many configurations: only files whose ``key=value`` folders match what an
experiment asks for are read, and one that is missing is an error that says how it is made.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import polars as pl

from ssgr.errors import ReportError
from ssgr.evaluation import significance
from ssgr.jobs.paths import files_by_keys
from ssgr.pool import receipts, store
from ssgr.report.tables.conditions import Condition, Draw
from ssgr.storage import tables

Keys = frozenset[tuple[str, str]]
TOKENS = "response_tokens"


class Measurements:
    """The files of a results folder and of the pool that an experiment is made of."""

    def __init__(self, results: Path, pool: Path, experiment: str) -> None:
        self.results, self.pool, self.experiment = results, pool, experiment
        self._read: dict[tuple[Draw, str, str], pl.DataFrame] = {}

    def outcomes(self, condition: Condition, benchmark: str, measure: str) -> pl.DataFrame:
        """Return what every problem came to: benchmark, problem_id, draw and score.

        ``score`` is the mean over a problem's responses, of 0 and 1 for pass@1 and of their tokens
        for response_tokens.

        Raises:
            ReportError: a draw of the condition has no grades of the benchmark.
            TableError: its grades are damaged.
        """
        return pl.concat(self._outcomes(draw, benchmark, measure) for draw in condition.draws)

    def _outcomes(self, draw: Draw, benchmark: str, measure: str) -> pl.DataFrame:
        place = (draw, benchmark, measure)
        if place not in self._read:
            file = self._file(self._grades, "grades", draw.checkpoint | {"benchmark": benchmark})
            grades = tables.read(file, tables.Grades)
            averaged = "tokens" if measure == TOKENS else "correct"
            self._read[place] = significance.outcomes(grades, benchmark, draw.seed, averaged)
        return self._read[place]

    def calibration_tokens(self, condition: Condition) -> float:
        """Return the mean tokens of a condition's calibration sequences, as the pruner sees them.

        Raises:
            ReportError: a draw has no calibration set.
            TableError: its calibration set is damaged.
        """
        means = []
        for draw in condition.draws:
            file = self._file(self._sets, "calibration set", draw.calibration)
            lengths = tables.read(file, tables.Calibration)["token_ids"].list.len()
            means.append(float(lengths.to_numpy().mean()))
        return sum(means) / len(means)

    def responses_drawn(self, condition: Condition) -> list[store.ResponsesReceipt]:
        """Return the receipts of the pool's parts that a condition's calibration visited, once.

        Raises:
            ReportError: a draw's calibration does not say what it visited.
            PoolError: a part of the pool has no receipt any more.
        """
        graded = {
            name
            for draw in condition.draws
            for name in receipts.read_visited(
                self._file(self._visited, "list of visited shards", draw.calibration)
            )
        }
        shards = [receipts.read(Path(name), receipts.GradedShard) for name in sorted(graded)]
        parts = {part.responses.path for shard in shards for part in shard.parts}
        return [
            store.read_receipt(self.pool / part, store.ResponsesReceipt) for part in sorted(parts)
        ]

    @cached_property
    def _grades(self) -> dict[Keys, Path]:
        return files_by_keys(self.results / "scores", "grades.parquet")

    @cached_property
    def _sets(self) -> dict[Keys, Path]:
        return files_by_keys(self.results / "calibration", "calibration.parquet")

    @cached_property
    def _visited(self) -> dict[Keys, Path]:
        return files_by_keys(self.results / "calibration", "visited.json")

    def _file(self, found: Mapping[Keys, Path], what: str, keys: Mapping[str, str]) -> Path:
        path = found.get(frozenset(keys.items()))
        if path is None:
            place = ", ".join(f"{key}={value}" for key, value in keys.items())
            raise ReportError(
                f"experiments.{self.experiment}: {self.results} holds no {what} of {place}. Run "
                f"`snakemake {self.experiment}`, which makes what is missing, or take the point "
                f"out of experiments.{self.experiment}."
            )
        return path
