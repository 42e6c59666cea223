"""`experiment`: one table or figure, as page, LaTeX, CSV, Parquet, SVG and PDF."""

from pathlib import Path

from pydantic import Field

from ssgr.commands.flags import Command
from ssgr.config import Config, Name
from ssgr.config.narrow import narrowed
from ssgr.storage.atomic import whole_folder, write_text
from ssgr.storage.provenance import describe


class ExperimentCommand(Command):
    """Draw one table or figure of the configuration's experiments."""

    config: Config = Field(description="the whole configuration, as JSON")
    name: Name = Field(description="of the experiment")
    out: Path = Field(description="folder to write: index.html, table.*, figure.*, cells.parquet")

    def cli_cmd(self) -> None:
        """Build, export, render, write."""
        from ssgr.report.exhibits import render
        from ssgr.report.tables.build import build
        from ssgr.report.tables.exports import write

        results, pool = Path(self.config.results), Path(self.config.pool.folder)
        exhibit = build(self.config, self.name, results, pool)
        config = narrowed(self.config, self.name)
        with whole_folder(self.out) as folder:
            write(exhibit, folder, describe(experiment=config.experiments[self.name]))
            write_text(folder / "index.html", render([exhibit], config, folder=""))
