"""`check`: whether a pruned checkpoint has the zeros that it claims."""

from pathlib import Path

import polars as pl
from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from ssgr.commands.terminal import aligned, whole
from ssgr.config import Strict
from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError, SsgrError

SHOWN = 20


class CheckCommand(Strict):
    """Count the zeros of every pruned matrix in the files; exit code 1 if some are missing."""

    folder: CliPositionalArg[Path] = Field(
        description="checkpoint that `prune` wrote, or a results folder: all checkpoints in it"
    )
    pattern: str | None = Field(
        None, description="N:M that every matrix must have, such as 2:4; default: as it was pruned"
    )
    trust_remote_code: bool = Field(False, description="run Python code that the folder brings")

    @field_validator("pattern", mode="before")
    @classmethod
    def _known(cls, value: object) -> str | None:
        return None if value is None else Sparsity.parse(str(value)).key

    def cli_cmd(self) -> None:
        """Count, and name every matrix that is not what it claims to be."""
        faults = []
        for checkpoint in checkpoints(self.folder):
            try:
                print(f"{checkpoint}: {self._checked(checkpoint)}")
            except SsgrError as fault:
                faults.append(str(fault))
        if faults:
            raise PruningError("\n".join(faults))

    def _checked(self, checkpoint: Path) -> str:
        """Return in words what a good checkpoint has."""
        from ssgr.pruning.output.patterns import check
        from ssgr.pruning.output.summary import read_summary

        said = Sparsity.parse(self.pattern) if self.pattern else None
        pattern = said or read_summary(checkpoint).pattern
        found = check(checkpoint, pattern, trust_remote_code=self.trust_remote_code)
        wrong = found.filter(pl.col("wrong") > 0)
        if len(wrong):
            raise PruningError(f"{checkpoint}: {told(wrong, len(found), pattern)}")
        what = f"{pattern.zeros}:{pattern.group}" if pattern.group else "the zeros of its report"
        return f"all {len(found)} matrices have {what}."


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a results folder, whole or not; any other folder is one itself."""
    inside = folder / "checkpoints"
    if not inside.is_dir():
        return [folder]
    found = [path for path in inside.rglob("sparsity=*") if path.is_dir()]
    if not found:
        raise PruningError(f"{inside} holds no checkpoint yet")
    return sorted(found)


def told(wrong: pl.DataFrame, of: int, pattern: Sparsity) -> str:
    """Return which of ``of`` matrices are wrong, and by how much, as lines."""
    what = f"groups without {pattern.zeros}:{pattern.group}" if pattern.group else "zeros missing"
    rows = [
        (f"{row['block']}", row["matrix"], f"{row['found']:.4%}", whole(row["wrong"]))
        for row in wrong.head(SHOWN).to_dicts()
    ]
    table = aligned(("block", "matrix", "zeros", what), rows, numbers=2)
    more = f"\n… and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return f"{len(wrong)} of {of} matrices are not what they should be:\n{table}{more}"
