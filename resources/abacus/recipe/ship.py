"""`python -m recipe.ship`: write the problems and documents that `data: {loader: abacus}` reads."""

import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

import recipe
from recipe.benchmarks import LEVELS
from recipe.prose import KINDS, of_kind
from ssgr.errors import SsgrError

SEEDS = range(5)
USUAL = 100
"""Problems of every kind and seed, unless `MORE` has it; of documents there are all."""
MORE = {
    ("stories", 0): 400,
    ("stories", 1): 15_000,  # as many as the paper's source has
    **{(kind, 2): 1_000 for kind in ("easy", "medium", "hard", "choice")},
}
UNIQUE = ("problem_id", "question", "solution")
"""Columns that gain nothing from a dictionary."""


def shipped_problems() -> pl.DataFrame:
    """Draw the problems that are shipped, with their kind and seed."""
    rows = [
        {"kind": kind, "seed": seed, **row}
        for kind in sorted(LEVELS)
        for seed in SEEDS
        for row in recipe.problems(kind, MORE.get((kind, seed), USUAL), seed)
    ]
    return pl.DataFrame(rows)


def shipped_documents() -> pl.DataFrame:
    """Draw all documents in the order of each seed, with their kind and seed."""
    rows = [
        {"kind": kind, "seed": seed, **row}
        for kind in KINDS
        for seed in SEEDS
        for row in recipe.documents(len(of_kind(kind)), seed, kind=kind)
    ]
    return pl.DataFrame(rows)


class Ship(BaseSettings):
    """Write problems.parquet and documents.parquet, the rows that are shipped with the model."""

    model_config = SettingsConfigDict(cli_prog_name="python -m recipe.ship", env_prefix="SSGR_")

    out: Path = Field(recipe.MODEL, description="folder of the two files")

    def cli_cmd(self) -> None:
        """Write both files; large pages let texts that are alike share their compression."""
        for name, table in (("problems", shipped_problems()), ("documents", shipped_documents())):
            pq.write_table(
                table.to_arrow(),
                self.out / f"{name}.parquet",
                compression="zstd",
                compression_level=19,
                data_page_size=2**24,
                use_dictionary=[each for each in table.columns if each not in UNIQUE],
            )


if __name__ == "__main__":
    try:
        CliApp.run(Ship)
    except (SsgrError, SettingsError, ValidationError) as error:
        sys.exit(f"error: {error}")
