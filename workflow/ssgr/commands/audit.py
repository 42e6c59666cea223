"""`verdicts` and `audit`: every grading method over a pool, and what differs between them."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from pydantic import Field

from ssgr.commands.flags import Command
from ssgr.config import Config
from ssgr.grading.spec import Judging
from ssgr.pool import receipts
from ssgr.storage.atomic import write_text
from ssgr.storage.provenance import describe
from ssgr.storage.tables import Problems, Responses, Verdicts, read, write


class VerdictsCommand(Command):
    """Judge the responses that calibrations have visited by every grading method."""

    pool: Path = Field(description="the pool's folder")
    visited: list[Path] = Field(description="what the calibrations visited of it")
    problems: Path = Field(description="Problems table of the source")
    judging: Judging = Field(description="how the run judges; its method is one of all")
    out: Path = Field(description="Verdicts table to write")

    def cli_cmd(self) -> None:
        """Judge and write."""
        from ssgr.verification.agreement.verdicts import judge_by_every_method

        problems = read(self.problems, Problems)
        table = judge_by_every_method(self._responses(), problems, self.judging)
        spec = describe(verdicts=self.judging.model_dump(exclude={"workers"}))
        write(table, Verdicts, self.out, spec)
        print(table.group_by("method", "verdict", maintain_order=True).len())

    def _responses(self) -> Iterator[pl.DataFrame]:
        shards = {name for file in self.visited for name in receipts.read_visited(file)}
        for shard in sorted(shards):
            for part in receipts.read(Path(shard), receipts.GradedShard).parts:
                yield receipts.open_part(self.pool, part.responses, Responses)


class AuditCommand(Command):
    """Say how far grading methods agree on a run's pools, and what would change under each."""

    config: Config = Field(description="the whole configuration, as JSON")
    verdicts: list[Path] = Field(description="Verdicts tables of the pools, by `verdicts`")
    problems: list[Path] = Field(description="Problems tables of their sources")
    visited: list[Path] = Field(description="what each calibration visited (visited.json)")
    out: Path = Field(description="HTML file to write")

    def cli_cmd(self) -> None:
        """Gather, render, write."""
        from ssgr.verification.agreement.gather import gather
        from ssgr.verification.agreement.page import render

        pool = Path(self.config.pool.folder)
        pools = gather(self.config, pool, self.verdicts, self.problems, self.visited)
        write_text(self.out, render(pools, self.config))
