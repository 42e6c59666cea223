"""A random sample of verdicts.

Simple by default: every verdict is drawn with the same probability, and one exact interval holds
for the error rate. Stratified: one half of the sample is of accepted answers and one half of
rejected ones. False accepts and false rejects are then known equally well; the overall rate is
weighted.
"""

from collections.abc import Sequence
from hashlib import blake2b

import polars as pl

from ssgr.config import Strict
from ssgr.errors import TableError
from ssgr.grading.verdict import VerdictName
from ssgr.verification.hand_check.excerpt import around_answer
from ssgr.verification.hand_check.population import KEY, Graded

ACCEPTED, REJECTED, ALL = "accepted", "rejected", "all"
ASKED = ("problem_id", "sample", "question", "gold", "answer", "verdict", "method")


class Cell(Strict):
    """How many verdicts of the population a method gave."""

    verdict: VerdictName
    method: str
    count: int


class Item(Strict):
    """One verdict, and what a person needs to confirm it; ``sample`` numbers the response."""

    problem_id: str
    sample: int
    question: str
    gold: str
    answer: str | None
    verdict: VerdictName
    method: str
    # as `around_answer` returns them
    before: str
    marked: str
    after: str
    cut_before: int
    cut_after: int


class Sample(Strict):
    """The verdicts drawn, in the random order in which they are labelled."""

    title: str
    seed: int
    stratified: bool
    population: tuple[Cell, ...]
    items: tuple[Item, ...]

    @property
    def digest(self) -> str:
        """What labels name, so that they are never read with another sample."""
        return blake2b(self.model_dump_json().encode(), digest_size=8).hexdigest()

    def strata(self) -> tuple[str, ...]:
        """The strata that have verdicts."""
        sides = {self.stratum(cell.verdict) for cell in self.population}
        return tuple(side for side in (ALL, ACCEPTED, REJECTED) if side in sides)

    def stratum(self, verdict: VerdictName) -> str:
        """The stratum from which a verdict is drawn."""
        return side(verdict) if self.stratified else ALL


def side(verdict: VerdictName) -> str:
    """Whether a verdict counts an answer as correct: ``accepted`` or ``rejected``."""
    return ACCEPTED if verdict == "correct" else REJECTED


def draw(
    graded: Graded,
    problems: pl.DataFrame,
    *,
    title: str,
    size: int,
    seed: int = 0,
    stratified: bool = False,
    verdicts: Sequence[VerdictName] = (),
) -> Sample:
    """Draw ``size`` verdicts at random, without replacement; the order of rows does not matter.

    Args:
        graded: the verdicts.
        problems: Problems table of their questions and golds.
        title: what the page is called.
        size: verdicts drawn, or all if there are fewer.
        seed: another seed, another sample.
        stratified: one half from accepted and one half from rejected answers; where one side has
            too few, the other fills up.
        verdicts: draw only from these; empty: from all.

    Raises:
        TableError: there is nothing to draw from, or a problem or response is missing.
    """
    population = graded.verdicts.with_columns(pl.col("verdict").cast(pl.String))
    if verdicts:
        population = population.filter(pl.col("verdict").is_in(list(verdicts)))
    if population.is_empty():
        wanted = f" that is {' or '.join(verdicts)}" if verdicts else ""
        raise TableError(f"{title}: there is no verdict{wanted} to draw from")
    counts = population.group_by("verdict", "method").agg(count=pl.len()).sort("verdict", "method")
    drawn = graded.texts(_drawn(population, size, seed, stratified))
    return Sample(
        title=title,
        seed=seed,
        stratified=stratified,
        population=tuple(Cell(**row) for row in counts.iter_rows(named=True)),
        items=_items(drawn, problems),
    )


def _drawn(population: pl.DataFrame, size: int, seed: int, stratified: bool) -> pl.DataFrame:
    """The rows whose keys hash lowest with the seed (of each side, if stratified), shuffled."""
    drawn = _shuffled(population, f"{seed}/draw")
    if stratified:
        accepted = pl.col("verdict") == "correct"
        right, wrong = drawn.filter(accepted), drawn.filter(~accepted)
        half = max(size // 2, size - len(wrong))
        drawn = pl.concat([right.head(half), wrong.head(size - min(half, len(right)))])
    return _shuffled(drawn.head(size), f"{seed}/show")


def _shuffled(rows: pl.DataFrame, salt: str) -> pl.DataFrame:
    keys = [f"{salt}/{sample}/{key}".encode() for key, sample in rows.select(KEY).iter_rows()]
    order = [blake2b(key, digest_size=8).digest() for key in keys]
    return (
        rows.with_columns(__order=pl.Series(order, dtype=pl.Binary))
        .sort("__order", *KEY)
        .drop("__order")
    )


def _items(drawn: pl.DataFrame, problems: pl.DataFrame) -> tuple[Item, ...]:
    asked = problems.select("problem_id", "question", gold=pl.col("answer").fill_null(""))
    lost = drawn.join(asked, on="problem_id", how="anti")["problem_id"].unique().sort()
    if len(lost):
        raise TableError(
            f"{len(lost)} of the drawn verdicts' problems are not in the table of problems, the "
            f"first is {lost[0]}: name the problems that these responses answer"
        )
    rows = drawn.rename({"extracted": "answer"}).join(asked, on="problem_id", maintain_order="left")
    return tuple(
        Item(
            **{name: row[name] for name in ASKED},
            **around_answer(row["text"], row["answer"])._asdict(),
        )
        for row in rows.iter_rows(named=True)
    )
