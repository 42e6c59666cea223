"""`python -m recipe --out FOLDER`: train abacus, or its sibling, from nothing."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

from ssgr.errors import SsgrError


class Train(BaseSettings):
    """Train abacus or abacus-qwen3; an interrupted run resumes when called again."""

    model_config = SettingsConfigDict(cli_prog_name="python -m recipe", env_prefix="SSGR_ABACUS_")

    out: Path = Field(description="folder for the trained model")
    model: Literal["abacus", "abacus-qwen3"] = Field("abacus", description="whose recipe")
    steps: int | None = Field(
        None, ge=1, description="optimiser steps before polish instead of the recipe's"
    )
    seed: int | None = Field(
        None, ge=0, description="seed of weights and data instead of the recipe's"
    )
    threads: int = Field(1, ge=1, description="CPU threads")
    precision: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="of the matrix products; bfloat16 is fast where the CPU has it"
    )

    def cli_cmd(self) -> None:
        """Train and write the folder."""
        from recipe.train import RECIPES, train

        recipe = RECIPES[self.model]
        recipe = replace(
            recipe,
            steps=recipe.steps if self.steps is None else self.steps,
            seed=recipe.seed if self.seed is None else self.seed,
            precision=self.precision,
        )
        train(self.out, recipe, threads=self.threads)


if __name__ == "__main__":
    try:
        CliApp.run(Train)
    except (SsgrError, SettingsError, ValidationError) as error:
        sys.exit(f"error: {error}")
