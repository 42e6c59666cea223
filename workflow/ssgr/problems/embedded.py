"""The problems and documents of the embedded model abacus, as they are shipped beside it."""

from functools import cache
from pathlib import Path

import polars as pl

from ssgr.config import AbacusSet
from ssgr.errors import TableError
from ssgr.root import ROOT

FOLDER = ROOT / "resources" / "abacus"
COLUMNS = ("question", "answer", "solution", "subject", "level")


def read_rows(part: AbacusSet) -> pl.DataFrame:
    """Return the first ``part.count`` problems or documents of its kind and seed.

    Raises:
        TableError: as `check_shipped`.
    """
    check_shipped(part)
    shipped = pl.scan_parquet(_file(part), glob=False).filter(kind=part.kind, seed=part.seed)
    return shipped.head(part.count).drop("kind", "seed").collect()


def check_shipped(part: AbacusSet) -> None:
    """Check that as many rows of this kind and seed are shipped as are asked for.

    Raises:
        TableError: there are fewer, or the file cannot be read.
    """
    counts = {seed: count for kind, seed, count in _counts(_file(part)) if kind == part.kind}
    if part.count > counts.get(part.seed, 0):
        there = ", ".join(f"{count} with seed {seed}" for seed, count in counts.items())
        columns = ("text",) if part.is_text else COLUMNS
        keys = [f"{name}: {name}" for name in columns]
        key = "document_id" if part.is_text else "problem_id"
        raise TableError(
            f"{part.count} rows of abacus of kind {part.kind!r} with seed {part.seed} asked for, "
            f"but there are {there}. Ask for at most as many, or make others in a checkout: "
            f"`PYTHONPATH=resources/abacus python -m recipe.draw --kind {part.kind} --count "
            f"{part.count} --seed {part.seed} --out mine.parquet` and "
            f"`data: {{loader: file, path: mine.parquet, {', '.join(keys)}, id: {key}}}`"
        )


def _file(part: AbacusSet) -> Path:
    return FOLDER / ("documents.parquet" if part.is_text else "problems.parquet")


@cache
def _counts(file: Path) -> list[tuple[str, int, int]]:
    """The number of rows of each kind and seed."""
    try:
        kinds = (
            pl.scan_parquet(file, glob=False).group_by("kind", "seed", maintain_order=True).len()
        )
        return kinds.collect().rows()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{file}: cannot be read ({error}); restore it from git") from error
