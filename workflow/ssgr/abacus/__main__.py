"""`python -m ssgr.abacus --out FOLDER`: train the embedded model from nothing."""

from pathlib import Path
from typing import Annotated

import typer

from ssgr.errors import SsgrError


def main(
    out: Annotated[Path, typer.Option(help="Folder for the trained model.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps of 6,144 tokens each.")] = 4000,
    seed: Annotated[int, typer.Option(help="Seed of weights and data.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    precision: Annotated[
        str, typer.Option(help="Matrix products: bfloat16 (fast where the CPU has it) or float32.")
    ] = "bfloat16",
) -> None:
    """Train abacus; an interrupted run resumes when called again."""
    from ssgr.abacus.train import Recipe, train

    try:
        train(out, Recipe(steps=steps, seed=seed, precision=precision), threads=threads)
    except SsgrError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
