"""`python -m recipe.draw`: more problems or documents than are shipped, for `loader: file`."""

import sys
from pathlib import Path

import polars as pl
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

import recipe
from recipe.prose import KINDS
from ssgr.errors import SsgrError


class Draw(BaseSettings):
    """Write problems or documents of one kind and seed as a Parquet file."""

    model_config = SettingsConfigDict(
        cli_prog_name="python -m recipe.draw", env_prefix="SSGR_ABACUS_"
    )

    kind: str = Field(description="stories, easy, medium, hard, choice, or a kind of prose")
    count: int = Field(ge=1, description="problems or documents")
    seed: int = Field(ge=0, description="another seed, other problems")
    out: Path = Field(description="the Parquet file")

    def cli_cmd(self) -> None:
        """Draw and write the file."""
        drawn = recipe.documents if self.kind in KINDS else recipe.problems
        rows = drawn(kind=self.kind, count=self.count, seed=self.seed)
        pl.DataFrame(rows).write_parquet(self.out)


if __name__ == "__main__":
    try:
        CliApp.run(Draw)
    except (SsgrError, SettingsError, ValidationError) as error:
        sys.exit(f"error: {error}")
