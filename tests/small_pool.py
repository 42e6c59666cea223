"""Small real pools, made as the pipeline makes them but for the model: rows as the test says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ssgr.config import Filters, Model, Sampling
from ssgr.pool import receipts, store
from ssgr.selection.early_stop import Demand, Needs
from ssgr.storage.tables import Grades, Responses

SAMPLING = Sampling(n=4, max_tokens=100)
HUB_MODEL = Model(path="org/small", gpu=0)
JUDGE = "a judge"
EVERY = Needs(demands=None, filters=Filters())
PARTLY = Needs(demands=(Demand(tau="0.75", length="median"),), filters=Filters())
"""What a part settles that holds fewer responses than every one."""


@dataclass(frozen=True)
class SmallPool:
    """One (model, source, sampling) of a pool, to which parts are added."""

    pool: Path
    model: str = "small"
    source: str = "stories"
    sampling: Sampling = SAMPLING
    entry: Model = HUB_MODEL

    @property
    def key(self) -> str:
        return f"model={self.model}/source={self.source}/sampling={self.sampling.key}"

    @property
    def folder(self) -> Path:
        return self.pool / "responses" / self.key

    def grader(self, name: str = "0a1b2c3d") -> Path:
        return self.pool / "grades" / self.key / f"grader={name}"

    def graded_part(self, part: Path, grades: Path) -> receipts.GradedPart:
        """What a receipt says of a part and its grades."""
        drawn = store.read_receipt(part, store.ResponsesReceipt)
        judged = store.read_receipt(grades, store.GradesReceipt)
        return receipts.GradedPart(
            responses=receipts.refer(self.pool, part, drawn),
            grades=receipts.refer(self.pool, grades, judged),
        )

    def write_graded(self, receipt: Path, *parts: receipts.GradedPart) -> None:
        """Write the receipt of a shard with these graded parts."""
        receipts.write(receipts.GradedShard(parts=parts), receipt)

    def draw(
        self,
        shard: str,
        rows: Sequence[tuple[str, int, int]],
        *,
        number: int = 0,
        seconds: float = 36.0,
        resumed: int = 0,
        gpus: int = 0,
        needs: Needs | None = None,
        judge: str = JUDGE,
        texts: Sequence[str] | None = None,
    ) -> Path:
        """Publish a part with rows of (problem_id, sample, tokens), and their ``texts``."""
        digest = store.claim(self.folder, store.manifest(self.entry, self.sampling))
        table = responses(rows)
        if texts is not None:
            table = table.with_columns(text=pl.Series(texts))
        first = self.folder / f"{shard}.parquet"
        part = store.numbered(first, number)
        asked = table["problem_id"].n_unique()
        if number and first.is_file():
            asked = store.read_receipt(first, store.ResponsesReceipt).asked
        store.publish(
            table,
            Responses,
            part,
            "{}",
            store.ResponsesReceipt,
            problems=table["problem_id"].n_unique(),
            tokens=table["tokens"].sum(),
            manifest=digest,
            asked=asked,
            questions="questions of " + shard,
            answers="answers of " + shard,
            complete_for=needs or (EVERY if len(table) == asked * self.sampling.n else PARTLY),
            judge=judge,
            seconds=seconds,
            resumed=resumed,
            gpus=gpus,
            versions={"ssgr": "0"},
        )
        return part

    def grade(
        self,
        part: Path,
        correct: Sequence[bool] | None = None,
        grader: str = "0a1b2c3d",
        of: str | None = None,
        measured: Mapping[str, Sequence[object]] | None = None,
    ) -> Path:
        """Publish the grades of a part.

        ``correct`` says of each row, in order, whether it is; ``measured`` replaces columns.
        """
        rows = pl.read_parquet(part)
        of = of or store.read_receipt(part, store.ResponsesReceipt).sha256
        path = self.grader(grader) / part.name
        table = grades(rows, correct).with_columns(
            **{name: pl.Series(values) for name, values in (measured or {}).items()}
        )
        store.publish(table, Grades, path, "{}", store.GradesReceipt, of=of, answers="answers")
        return path


def rows(problems: range, samples: int = 4, tokens: int = 10) -> list[tuple[str, int, int]]:
    """``samples`` responses of equal length to each of the problems."""
    return [(f"p{p:04d}", sample, tokens) for p in problems for sample in range(samples)]


def responses(rows: Sequence[tuple[str, int, int]]) -> pl.DataFrame:
    """A table of the Responses schema, of rows (problem_id, sample, tokens)."""
    return pl.DataFrame(
        {
            "problem_id": [row[0] for row in rows],
            "sample": [row[1] for row in rows],
            "prompt_token_ids": [[1, 2]] * len(rows),
            "token_ids": [[3] * row[2] for row in rows],
            "text": ["."] * len(rows),
            "finish_reason": ["stop"] * len(rows),
            "tokens": [row[2] for row in rows],
            "mean_logprob": [-1.0] * len(rows),
        }
    )


def grades(rows: pl.DataFrame, correct: Sequence[bool] | None = None) -> pl.DataFrame:
    """A table of the Grades schema for responses; all of good quality."""
    right = pl.Series([True] * len(rows) if correct is None else correct)
    return rows.select(
        "problem_id",
        "sample",
        "tokens",
        prompt_tokens=pl.col("prompt_token_ids").list.len(),
        extracted=pl.lit("1"),
        verdict=pl.Series(["correct" if one else "wrong" for one in right]),
        correct=right,
        method=pl.lit("exact"),
        milliseconds=pl.lit(0.0),
        finished=pl.lit(True),
        closed=pl.lit(True),
        has_thinking=pl.lit(True),
        has_answer=pl.lit(True),
        thinking_tokens=pl.lit(1),
        different_boxes=pl.lit(1),
        tokens_after_box=pl.lit(0),
        tokens_after_end=pl.lit(0),
        rep_20=pl.lit(0.0),
        loop_share=pl.lit(0.0),
    )
