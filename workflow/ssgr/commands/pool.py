"""`pool list`, `pool verify`, `pool purge`: what a pool holds, whether it is whole, what may go."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from ssgr.commands.terminal import aligned, hours, size, whole
from ssgr.config import Strict
from ssgr.errors import PoolError
from ssgr.jobs import paths
from ssgr.pool.inventory import inventory
from ssgr.pool.purge import Purge, purge
from ssgr.pool.verification import verify

THE_POOL = "the pool's folder (pool.path of the configuration)"


class PoolListCommand(Strict):
    """Show what a pool holds, without reading its responses: at once, whatever its size."""

    pool: CliPositionalArg[Path] = Field(description=THE_POOL)
    as_json: bool = Field(False, alias="json", description="one JSON object a line, all columns")

    def cli_cmd(self) -> None:
        """Look and print."""
        held = inventory(self.pool)
        print(held.write_ndjson().rstrip() if self.as_json else shown(held.to_dicts()))


class PoolVerifyCommand(Strict):
    """Read a whole pool and compare it with its receipts; exit code 1 if something is wrong."""

    pool: CliPositionalArg[Path] = Field(description=THE_POOL)
    shallow: bool = Field(False, description="compute no checksums")

    def cli_cmd(self) -> None:
        """Verify and print every finding."""
        findings = verify(self.pool, shallow=self.shallow, progress=True)
        for finding in findings:
            print("error:" if finding.wrong else "note: ", finding)
        wrong = sum(finding.wrong for finding in findings)
        if wrong:
            raise PoolError(f"{self.pool} is not what its receipts say: {wrong} x error, see above")
        checked = "but for the checksums, " if self.shallow else ""
        print(f"{self.pool} is whole: {checked}everything is what its receipts say.")


class PoolPurgeCommand(Strict):
    """Delete from a pool what is named exactly; without --yes only show what would go."""

    pool: CliPositionalArg[Path] = Field(description=THE_POOL)
    model: str | None = Field(None, description="whose responses and grades; must be named")
    source: str | None = Field(None, description="only those to this source")
    sampling: str | None = Field(None, description="only those of this sampling (its key)")
    grader: str | None = Field(None, description="only this grader's grades, no responses")
    yes: bool = Field(False, description="delete")

    def cli_cmd(self) -> None:
        """Show what goes, or delete it."""
        if self.model is None:
            held = inventory(self.pool)["model"].unique().sort().to_list()
            raise PoolError(
                f"--model must be named: {self.pool} holds {', '.join(held) or 'nothing'}. "
                "Nothing was deleted."
            )
        held = inventory(self.pool).to_dicts()
        found = purge(
            self.pool,
            model=self.model,
            source=self.source,
            sampling=self.sampling,
            grader=self.grader,
            yes=self.yes,
        )
        print(purged(found, held, self.yes))


class PoolCommand(Strict):
    """What a pool holds, whether it is whole, and what of it may go."""

    list: CliSubCommand[PoolListCommand] = Field(description="what it holds")
    verify: CliSubCommand[PoolVerifyCommand] = Field(description="whether it is whole")
    purge: CliSubCommand[PoolPurgeCommand] = Field(description="delete what is named")

    def cli_cmd(self) -> None:
        """Run what was named."""
        CliApp.run_subcommand(self)


def shown(held: Sequence[Mapping[str, Any]]) -> str:
    """Return an inventory as a table, and below it what is being drawn and what broke off."""
    header = ("model", "source", "sampling", "engine", "shards", "parts", "problems", "responses",
              "tokens", "hours", "bytes", "graded by")  # fmt: skip
    rows = [
        (
            *(row["model"], row["source"], row["sampling"], row["engine"] or "?"),
            *(whole(row[name]) for name in header[4:9]),
            hours(row["gpu_hours"], row["cpu_hours"]),
            size(row["bytes"]),
            ", ".join(f"{one['grader']} {one['coverage']:.0%}" for one in row["graders"]),
        )
        for row in held
    ]
    notes = [note for row in held for note in _notes(row)]
    return "\n".join([aligned(header, rows, numbers=4), *notes]) if rows else "The pool is empty."


def _notes(row: Mapping[str, Any]) -> Iterator[str]:
    key = paths.SAMPLED.format(**row)
    for one in row["in_progress"]:
        who = f"pid {one['pid']} of {one['user']} on {one['host']} since {one['since']}"
        orphan = ", its Snakemake is gone" if one["orphaned"] else ""
        yield f"now: {one['what']} ({key}, {one['shard']}), {who}{orphan}"
    if row["journals"]:
        yield (
            f"to be continued: {', '.join(row['journals'])} of {key}: drawing broke off, and the "
            "next run that asks for these shards goes on from their journals"
        )
    if row["unreadable"]:
        yield f"not counted: {row['unreadable']} parts of {key} lack a receipt: ssgr pool verify"


def purged(found: Purge, held: Sequence[Mapping[str, Any]], yes: bool) -> str:
    """Return what goes or went, folder by folder, with what it took to make it."""
    spent = {
        f"responses/{paths.SAMPLED.format(**row)}": hours(row["gpu_hours"], row["cpu_hours"])
        for row in held
    }
    files = Counter(path.parent for path in found.files)
    rows = [
        (str(folder), whole(files[folder]), size(found.bytes[folder]), took)
        for folder in found.folders
        for took in [next((t for key, t in spent.items() if folder.as_posix().endswith(key)), "")]
    ]
    lines = [aligned(("folder", "files", "bytes", "took to draw"), rows, numbers=1)]
    lines += [f"stays, for it is no file of this pipeline: {path}" for path in found.foreign]
    lines.append("Deleted." if yes else "Nothing was deleted: add --yes to delete all of this.")
    return "\n".join(lines)
