"""`score`, `report` and `paper`: what came out of it."""

from pathlib import Path

from pydantic import Field

from ssgr.commands.flags import Command
from ssgr.config import Config
from ssgr.pool import receipts
from ssgr.storage.provenance import describe
from ssgr.storage.tables import Grades, Scores, read, write


class ScoreCommand(Command):
    """Turn the grades of one benchmark into its scores."""

    grades: Path = Field(description="Grades table")
    out: Path = Field(description="Scores table to write")

    def cli_cmd(self) -> None:
        """Score and write."""
        from ssgr.evaluation.scores import score

        write(score(read(self.grades, Grades)), Scores, self.out, describe(grades=self.grades))


class ReportCommand(Command):
    """Draw the report: one page that works offline."""

    config: Config = Field(description="the whole configuration, as JSON")
    visited: list[Path] = Field([], description="what the calibrations visited of the pool")
    out: Path = Field(description="HTML file to write")

    def cli_cmd(self) -> None:
        """Gather, render, write."""
        from ssgr.report.write import write_report

        graded = {Path(name) for file in self.visited for name in receipts.read_visited(file)}
        results, pool = Path(self.config.results), Path(self.config.pool.folder)
        write_report(results, pool, self.config, self.out, sorted(graded))


class PaperCommand(Command):
    """Draw all tables and figures as one page that works offline."""

    config: Config = Field(description="the whole configuration, as JSON")
    out: Path = Field(description="HTML file to write; exports lie in ../experiments beside it")

    def cli_cmd(self) -> None:
        """Build, render, write."""
        from ssgr.report.paper import write_paper

        write_paper(Path(self.config.results), Path(self.config.pool.folder), self.config, self.out)
