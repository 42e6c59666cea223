"""`score` and `report`: what came out of it."""

from pathlib import Path

from pydantic import Field

from ssgr.config import Config, Strict
from ssgr.provenance import describe
from ssgr.tables import Grades, Scores, read, write


class ScoreCommand(Strict):
    """Turn the grades of one benchmark into its scores."""

    grades: Path = Field(description="Grades table")
    out: Path = Field(description="Scores table to write")

    def cli_cmd(self) -> None:
        """Score and write."""
        from ssgr.scores import score

        write(score(read(self.grades, Grades)), Scores, self.out, describe(grades=self.grades))


class ReportCommand(Strict):
    """Draw the report: one page that works offline."""

    config: Config = Field(description="the whole configuration, as JSON")
    graded: list[Path] = Field([], description="receipts of the pool's shards that were visited")
    out: Path = Field(description="HTML file to write")

    def cli_cmd(self) -> None:
        """Gather, render, write."""
        from ssgr.report import write_report

        results, pool = Path(self.config.results), Path(self.config.pool.path)
        write_report(results, pool, self.config, self.out, self.graded)
