"""What a pool that grows on demand and stops early draws, against the full pool. On abacus.

    python tests/benchmarks/early_stop.py [--sequences 128] [--kind stories] [--seed 1]

Runs the pipeline's own commands (`sample-shard`, `grade-shard`, `tally`, `select`) in this process,
wave by wave as the DAG does, for SSGR (tau 0.75, median) and SGR (tau 1.00, first): once on demand
with early stop, then with every response of the problems that were visited. Checks that both
select the same sequences, token by token, and prints what each drew. No GPU; several minutes.
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl

from ssgr import problems
from ssgr.__main__ import main as ssgr
from ssgr.config import AbacusSet, Budget, Filters, Model, Pool, Sampling
from ssgr.grading.spec import Judging
from ssgr.jobs.waves import is_last, shards
from ssgr.problems.embedded import FOLDER
from ssgr.selection.early_stop import needs
from ssgr.storage.tables import Problems, count_rows, write

MODEL = Model(path=str(FOLDER), prompt="{question}", gpu=0, batch_size=160)
POINTS = {"SSGR": ("0.75", "median"), "SGR": ("1.00", "first")}
ALL = 15_000
"""Problems of the paper's pool."""


@dataclass(frozen=True)
class Run:
    """A pool in ``folder``, as one experiment uses it: the commands, job by job."""

    folder: Path
    problems: Path
    early_stop: bool
    sampling: Sampling
    budget: Budget
    pool: Pool

    @property
    def parts(self) -> Path:
        """The folder of the responses."""
        return self.folder / "pool" / "responses" / self._key

    def grow(self) -> int:
        """Sample, grade and tally wave after wave, then select; returns how many waves it took."""
        waves = [self._until_found(*point) for point in POINTS.values()]
        for (tau, length), last in zip(POINTS.values(), waves, strict=True):
            out = self._point(tau, length)
            self._command(
                *("select", "--length", length, "--model", MODEL.path),
                *("--budget", self.budget.model_dump_json(), "--pool", self.folder / "pool"),
                *("--problems", self.problems, "--candidates", self._tally(tau, length, last - 1)),
                *("--out", out / "calibration.parquet", "--funnel", out / "funnel.parquet"),
            )
        return max(waves)

    def drawn(self) -> pl.DataFrame:
        """Problem, sample and tokens of every response drawn."""
        columns = ["problem_id", "sample", "tokens"]
        return pl.concat(pl.read_parquet(p, columns=columns) for p in self.parts.glob("*.parquet"))

    def calibration(self, label: str) -> pl.DataFrame:
        """What was selected for a point."""
        return pl.read_parquet(self._point(*POINTS[label]) / "calibration.parquet")

    def funnel(self, label: str) -> pl.DataFrame:
        """How a point's selection went, step by step."""
        return pl.read_parquet(self._point(*POINTS[label]) / "funnel.parquet")

    @property
    def _key(self) -> str:
        return f"model=abacus/source=problems/sampling={self.sampling.key}"

    def _point(self, tau: str, length: str) -> Path:
        return self.folder / "results" / f"tau={tau}-length={length}"

    def _tally(self, tau: str, length: str, wave: int) -> Path:
        return self._point(tau, length) / f"{wave:04d}" / "candidates.parquet"

    def _command(self, *arguments: str | Path) -> None:
        with contextlib.redirect_stdout(None):
            if ssgr([str(argument) for argument in arguments]):
                raise SystemExit(f"{arguments[0]} failed")

    def _until_found(self, tau: str, length: str) -> int:
        """Visit waves until this point has its budget, or no problem is left."""
        wave = 0
        while True:
            graded = [self._graded(shard) for shard in shards(self.pool, wave)]
            out = self._tally(tau, length, wave)
            self._command(
                *("tally", "--length", length, "--tau", tau, "--samples", str(self.sampling.n)),
                *("--budget", self.budget.model_dump_json(), "--pool", self.folder / "pool"),
                "--early-stop" if self.early_stop else "--no-early-stop",
                *(word for receipt in graded for word in ("--graded", receipt)),
                *(("--before", self._tally(tau, length, wave - 1)) if wave else ()),
                *("--out", out),
            )
            enough = count_rows(out) >= self.budget.sequences
            if enough or is_last(self.pool, wave, count_rows(self.problems)):
                return wave + 1
            wave += 1

    def _graded(self, shard: str) -> Path:
        """Sample and grade a shard, unless that was done; returns the receipt of its grades."""
        sampled, graded = (
            self.folder / "results" / stage / f"{shard}.json" for stage in ("responses", "grades")
        )
        if graded.is_file():
            return graded
        first, last = shard.split("-")
        rows = ("--first", str(int(first)), "--last", str(int(last)))
        judging = Judging().model_dump_json()
        asked = needs(POINTS.values(), Filters(), self.early_stop).model_dump_json()
        self._command(
            *("sample-shard", "--problems", self.problems, "--model", MODEL.model_dump_json()),
            *("--sampling", self.sampling.model_dump_json(), "--needs", asked),
            *(*rows, "--judging", judging),
            *("--pool", self.folder / "pool", "--shard", self.parts / f"{shard}.parquet"),
            *("--out", sampled),
        )
        self._command(
            *("grade-shard", "--pool", self.folder / "pool", "--responses", sampled),
            *("--problems", self.problems, *rows, "--judging", judging),
            *("--grades", self.folder / "pool" / "grades" / self._key / "grader=one"),
            *("--out", graded),
        )
        return graded


def both(
    folder: Path, table: pl.DataFrame, sampling: Sampling, budget: Budget, pool: Pool
) -> tuple[Run, Run]:
    """Grow a pool on demand with early stop, and the full pool beside it; return both."""
    path = folder / "problems.parquet"
    write(table, Problems, path, "{}")
    runs = (
        Run(folder / "on demand", path, True, sampling, budget, pool),
        Run(folder / "full", path, False, sampling, budget, pool),
    )
    for run in runs:
        start, processor = time.perf_counter(), time.process_time()
        waves = run.grow()
        drawn = run.drawn()
        print(
            f"{run.folder.name}: {waves} waves, {drawn['problem_id'].n_unique()} problems, "
            f"{len(drawn)} responses, {drawn['tokens'].sum()} tokens; "
            f"{time.perf_counter() - start:.0f} s, {time.process_time() - processor:.0f} cpu-s",
            flush=True,
        )
    return runs


def same_selection(runs: Sequence[Run]) -> dict[str, int]:
    """Return how many sequences each point selected; raise if the runs selected differently."""
    selected = {}
    columns = ["problem_id", "sample", "token_ids"]
    for label in POINTS:
        one, other = (run.calibration(label).select(columns) for run in runs)
        if not one.equals(other):
            raise SystemExit(f"{label}: the two pools give different calibration sets")
        selected[label] = len(one)
    return selected


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=128)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--kind", default="stories")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard-size", type=int, default=40)
    parser.add_argument("--wave", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the pools here (default: temporary)")
    asked = parser.parse_args()
    table, _ = problems.load(AbacusSet(kind=asked.kind, count=ALL, seed=asked.seed))
    with contextlib.ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stopped, full = both(
            folder,
            table,
            Sampling(n=asked.samples, max_tokens=512),
            Budget(sequences=asked.sequences, tokens=512),
            Pool(shard_size=asked.shard_size, wave=asked.wave),
        )
        print(f"the same sequences, token by token: {same_selection([stopped, full])}")
        few, many = (int(run.drawn()["tokens"].sum()) for run in (stopped, full))
        visited = full.drawn()["problem_id"].n_unique()
        print(
            f"tokens drawn: {few / many:.1%} of the full pool of the {visited} problems visited, "
            f"{few / (many / visited * ALL):.2%} of {asked.samples} responses to all {ALL} "
            f"(about {many / visited * ALL / 1e6:.1f} M tokens, estimated from those visited)"
        )
        print(pl.concat(run.funnel("SSGR") for run in (stopped, full)))


if __name__ == "__main__":
    main()
