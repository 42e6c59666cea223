"""`publish`: a pruned checkpoint with its card complete, as a folder to upload."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from ssgr.config import Strict


class PublishCommand(Strict):
    """Make a folder to publish of a checkpoint: its files, linked, and a card with its scores."""

    checkpoint: CliPositionalArg[Path] = Field(description="folder that `prune` wrote")
    out: CliPositionalArg[Path] = Field(description="folder to write")
    scores: Path | None = Field(
        None, description="folder with scores.parquet in key=value folders, such as results/scores"
    )

    def cli_cmd(self) -> None:
        """Publish."""
        from ssgr.publish.cards.facts import facts_of, scores_of
        from ssgr.publish.cards.model import publish

        keys = facts_of(self.checkpoint).origin.keys
        publish(self.checkpoint, self.out, scores_of(self.scores, keys) if self.scores else None)
        print(f"{self.out} is ready to publish; read its README.md first.")
