"""`status`: how far a run is, in the terminal, on a page, or as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import CliPositionalArg

from ssgr.config import Config, Strict
from ssgr.errors import ConfigError

if TYPE_CHECKING:
    from ssgr.monitor.status.asked import Asked


class StatusCommand(Strict):
    """Show how far a run is: stages, jobs at work, tokens/s, estimated end, failures.

    `ssgr status` in the working directory follows the run at work there, else the last one; `ssgr
    status --configfile mine.yaml more.yaml table1` names the files, and the targets, as Snakemake
    is given them.
    Only files are read: nothing is written and no job is disturbed.
    """

    words: CliPositionalArg[list[str]] = Field(
        [], description="further configuration files (*.yaml, *.json), and targets: all, paper, "
        "an experiment; default: those of the last run"
    )  # fmt: skip
    configfile: list[Path] = Field(
        [], description="what differs from the default configuration; default: the last run's"
    )
    section: str | None = Field(
        None, description="entry of the files that is this workflow's, used as a module"
    )
    config: Config | None = Field(None, description="the whole configuration, as JSON")
    directory: Path = Field(Path(), description="where Snakemake runs; default: here")
    watch: bool = Field(False, description="look again and again, until Ctrl-C")
    interval: float = Field(5.0, ge=0.5, description="seconds between two looks")
    html: Path | None = Field(None, description="write a page that needs no network")
    as_json: bool = Field(False, alias="json", description="one JSON object a look")

    def cli_cmd(self) -> None:
        """Look and show; with `--watch` until it is interrupted."""
        from ssgr.monitor.status.showing import Showing

        if not self.directory.is_dir():
            raise ConfigError(f"--directory {self.directory}: there is no such folder")
        showing = Showing(self._asked(), self.directory, self.interval, self.watch, self.html,
                          self.as_json)  # fmt: skip
        showing.show()

    def _asked(self) -> "Asked":
        from ssgr.monitor.status.asked import Asked, asked, check_targets
        from ssgr.monitor.status.look import STAGE_OF
        from ssgr.monitor.status.run import last_run

        if self.config is None:
            run = last_run(self.directory, frozenset(STAGE_OF))
            return asked(self.directory, self.words, self.configfile, self.section, run)
        if self.configfile:
            raise ConfigError("--config is the whole configuration: leave --configfile out")
        check_targets(self.config, self.words)
        return Asked(self.config, tuple(self.words), not self.words)
