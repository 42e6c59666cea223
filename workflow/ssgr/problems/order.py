"""The seeded order of a set: by a hash of the id, whatever the order of its files."""

from hashlib import blake2b

import polars as pl

from ssgr.errors import TableError


def ordered(table: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return the rows in their seeded order.

    Raises:
        TableError: an id is missing, or occurs twice.
    """
    if table[key].null_count():
        raise TableError(f"{key} is missing in {table[key].null_count()} rows: every row needs one")
    doubled = table.filter(pl.col(key).is_duplicated())[key]
    if len(doubled):
        raise TableError(f"{key} {doubled[0]!r} occurs more than once: ids must be unique")
    return _sorted(table, key)


def first(table: pl.DataFrame, key: str, limit: int) -> pl.DataFrame:
    """Return the ``limit`` rows that come first in the seeded order; rows without an id last."""
    return _sorted(table, key).head(limit)


def _sorted(table: pl.DataFrame, key: str) -> pl.DataFrame:
    order = [_place(value) for value in table[key]]
    return (
        table.with_columns(pl.Series("order", order, dtype=pl.String)).sort("order").drop("order")
    )


def _place(value: str | None) -> str:
    return "~" if value is None else blake2b(value.encode(), digest_size=8).hexdigest()
