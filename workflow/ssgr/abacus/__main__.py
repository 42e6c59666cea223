"""`python -m ssgr.abacus --out FOLDER`: train the embedded model from nothing."""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

from ssgr.errors import SsgrError


class Train(BaseSettings):
    """Train abacus; an interrupted run resumes when called again."""

    model_config = SettingsConfigDict(
        cli_prog_name="python -m ssgr.abacus", env_prefix="SSGR_ABACUS_"
    )

    out: Path = Field(description="folder for the trained model")
    steps: int = Field(
        2500, ge=1, description="optimiser steps of about 7,000 tokens before polish"
    )
    seed: int = Field(0, ge=0, description="seed of weights and data")
    threads: int = Field(1, ge=1, description="CPU threads")
    precision: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="of the matrix products; bfloat16 is fast where the CPU has it"
    )

    def cli_cmd(self) -> None:
        """Train and write the folder."""
        from ssgr.abacus.train import Recipe, train

        recipe = Recipe(steps=self.steps, seed=self.seed, precision=self.precision)
        train(self.out, recipe, threads=self.threads)


if __name__ == "__main__":
    try:
        CliApp.run(Train)
    except (SsgrError, SettingsError, ValidationError) as error:
        sys.exit(f"error: {error}")
