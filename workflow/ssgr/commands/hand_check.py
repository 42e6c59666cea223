"""`hand-check` and `hand-checked`: a page on which a person confirms verdicts; what they said."""

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from ssgr.commands.flags import Command
from ssgr.commands.terminal import aligned, whole
from ssgr.config import Strict
from ssgr.errors import SsgrError
from ssgr.grading.verdict import VerdictName
from ssgr.pool import receipts
from ssgr.storage.atomic import write_text
from ssgr.storage.confidential import link, place
from ssgr.storage.tables import Grades, Problems, Responses, read

if TYPE_CHECKING:  # scipy
    from ssgr.verification.hand_check.error_rates import Row
    from ssgr.verification.hand_check.population import Graded

LARGEST = 1000
"""Verdicts on a page; its table of exact limits grows with the square."""
THREE_WAYS = (
    "name what was graded in one of three ways: --pool, --model and --source; --pool and "
    "--visited; --responses and --grades"
)


class HandCheckCommand(Command):
    """Write a page that shows a random sample of verdicts, for a person to confirm."""

    pool: Path | None = Field(None, description="the pool's folder")
    model: str | None = Field(None, description="of a pool: whose responses")
    source: str | None = Field(None, description="of a pool: to which source")
    sampling: str | None = Field(None, description="of a pool: its key, if there are several")
    grader: str | None = Field(None, description="of a pool: its digest, if there are several")
    visited: list[Path] = Field(
        [], description="of a pool, instead of these: what calibrations visited (visited.json)"
    )
    responses: Path | None = Field(None, description="of an evaluation: Responses table")
    grades: Path | None = Field(None, description="of an evaluation: its Grades table")
    problems: Path = Field(description="Problems table of the source or benchmark")
    size: int = Field(100, ge=1, le=LARGEST, description="verdicts shown; all if there are fewer")
    seed: int = Field(0, description="another seed, another sample")
    verdict: list[VerdictName] = Field([], description="draw only from these verdicts")
    stratified: bool = Field(
        False,
        description="one half from accepted, one half from rejected answers: false accepts and "
        "false rejects are known equally well, the overall rate less well",
    )
    title: str | None = Field(None, description="title of the page")
    out: Path = Field(Path("hand_check.html"), description="HTML file to write")

    def cli_cmd(self) -> None:
        """Draw and write."""
        from ssgr.verification.hand_check.page import render
        from ssgr.verification.hand_check.sample import draw

        problems = read(self.problems, Problems)
        sample = draw(
            self._graded(problems),
            problems,
            title=self._title(),
            size=self.size,
            seed=self.seed,
            stratified=self.stratified,
            verdicts=self.verdict,
        )
        out = place(self.out, like=self.problems)
        write_text(out, render(sample))
        link(self.out, out)
        there = sum(cell.count for cell in sample.population)
        print(
            f"{self.out} shows {len(sample.items)} of {whole(there)} verdicts. Label them in a "
            f"browser, download the labels, then: ssgr hand-checked --page {self.out} --labels FILE"
        )

    def _title(self) -> str:
        named = f"{self.model} on {self.source}" if self.model else str(self.responses or self.pool)
        return self.title or named

    def _graded(self, problems: pl.DataFrame) -> "Graded":
        from ssgr.verification.hand_check.population import of_evaluation, of_parts

        of_pool = any((self.model, self.source, self.sampling, self.grader, self.visited))
        if self.pool and not (self.responses or self.grades):
            return of_parts(self.pool, self._parts(self.pool), problems)
        if self.responses and self.grades and not (self.pool or of_pool):
            return of_evaluation(read(self.grades, Grades), read(self.responses, Responses))
        raise SsgrError(THREE_WAYS)

    def _parts(self, pool: Path) -> list[receipts.GradedPart]:
        from ssgr.verification.hand_check.population import graded_parts

        keys = (self.model, self.source, self.sampling, self.grader)
        if self.visited and not any(keys):
            graded = sorted(
                {Path(one) for file in self.visited for one in receipts.read_visited(file)}
            )
            shards = [receipts.read(path, receipts.GradedShard) for path in graded]
            return [part for shard in shards for part in shard.parts]
        if self.model and self.source and not self.visited:
            return graded_parts(pool, self.model, self.source, self.sampling, self.grader)
        raise SsgrError(THREE_WAYS)


class HandCheckedCommand(Strict):
    """Print the error rates that a person's labels show, and the wrong verdicts as test cases."""

    page: Path = Field(description="the page that `hand-check` wrote")
    labels: Path = Field(description="the labels that its button downloaded")

    def cli_cmd(self) -> None:
        """Read and print."""
        from ssgr.verification.hand_check import error_rates
        from ssgr.verification.hand_check.page import read as read_page

        sample = read_page(self.page)
        labels = error_rates.read_labels(self.labels, sample)
        print(f"{sample.title}: {len(labels)} of {len(sample.items)} labelled, "
              f"sample {sample.digest}\n")  # fmt: skip
        print(rates_table(error_rates.rates(sample, labels)))
        print(f"\n{error_rates.interval_note(sample)}")
        if wrong := error_rates.cases(sample, labels):
            print("\nVerdicts that are wrong, as cases for a test of the grader:", *wrong, sep="\n")


def rates_table(rows: "list[Row]") -> str:
    """Return error rates as a table for a terminal."""
    header = ("verdicts", "there are", "labelled", "wrong", "unsure", "error rate", "95 % interval")
    lines = [
        (
            row.group,
            *map(whole, (row.counts.population, row.counts.labelled)),
            *map(str, (row.counts.wrong, row.counts.unsure)),
            "-" if row.rate.estimate is None else f"{row.rate.estimate:.1%}",
            f"{row.rate.low:.1%} to {row.rate.high:.1%}",
        )
        for row in rows
    ]
    return aligned(header, lines, numbers=1)
