"""Sources and benchmarks: whether their files hold what the entries say, and what they share."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import polars as pl

from ssgr.config import AbacusSet, FileSet, HubSet, PartsSet, ProblemSet
from ssgr.errors import TableError
from ssgr.jobs.start.entries import Entries, Found
from ssgr.problems import load
from ssgr.problems.apart import same
from ssgr.problems.columns import check_columns, local_files
from ssgr.problems.reading import kind_of

SMALL = 8 * 2**20
"""Bytes of a local set up to which all of it is read and checked at the start."""


def data_found(entries: Entries, found: Found) -> None:
    """Look at the sets that are used."""
    tables: dict[str, pl.DataFrame] = {}
    for registry in ("sources", "benchmarks"):
        for name, entry in getattr(entries, registry).items():
            try:
                table = _looked_at(entry.data)
            except TableError as error:
                found.mistakes.append(f"{registry}.{name}.data: {error}")
            else:
                if table is not None:
                    tables[f"{registry}.{name}"] = table
    found.mistakes += _too_few(entries, tables)
    found.warnings += _shared(entries, tables)


def _looked_at(data: ProblemSet) -> pl.DataFrame | None:
    """The table of a small local set; None for others, of which the columns are checked."""
    parts = _parts(data)
    names = [name for part in parts if isinstance(part, HubSet) for name in part.files]
    local = [(part, local_files(part.path)) for part in parts if isinstance(part, FileSet)]
    paths = [path for _, each in local for path in each]
    for name in (*names, *map(str, paths)):
        kind_of(name)
    if len(local) == len(parts) and sum(path.stat().st_size for path in paths) <= SMALL:
        return load(data)[0]
    for part, each in local:
        check_columns(part, each[0])
    return None


def _parts(data: ProblemSet) -> list[AbacusSet | FileSet | HubSet]:
    return list(data.parts.values()) if isinstance(data, PartsSet) else [data]


def _too_few(entries: Entries, tables: dict[str, pl.DataFrame]) -> Iterator[str]:
    """Calibrations whose source has fewer problems than the budget has sequences."""
    budget, pool = entries.budget, entries.pool
    if budget is None or pool is None or budget.allow_fewer:
        return
    few: dict[str, int] = {}
    for kind in entries.calibrations.values():
        source = entries.sources.get(kind.source)
        if source is None or kind.length == "text":
            continue
        table, data = tables.get(f"sources.{kind.source}"), source.data
        counts = [
            None if table is None else len(table),
            data.count if isinstance(data, AbacusSet) else None,
            data.limit if isinstance(data, HubSet) else None,
            None if kind.is_reference else pool.problems,
        ]
        least = min((each for each in counts if each is not None), default=budget.sequences)
        if least < budget.sequences:
            few.setdefault(kind.source, least)
    for name, least in few.items():
        visited = "pool.problems visits" if least == pool.problems else "are all there are"
        yield (
            f"budget.sequences: {budget.sequences} is more than the {least} problems of "
            f"sources.{name} that {visited}, and each gives one sequence at most: lower "
            "it, set budget.allow_fewer: true, or take more problems"
        )


def _shared(entries: Entries, tables: dict[str, pl.DataFrame]) -> Iterator[str]:
    """Benchmarks whose problems a source holds too, and is not kept apart from."""
    asked = {
        place: {same(question) for question in table["question"]}
        for place, table in tables.items()
        if "question" in table.columns
    }
    for (source, one), (benchmark, other) in product(
        entries.sources.items(), entries.benchmarks.items()
    ):
        if benchmark in one.apart_from:
            continue
        ours, theirs = f"sources.{source}", f"benchmarks.{benchmark}"
        common = len(asked.get(ours, set()) & asked.get(theirs, set()))
        if common:
            what = f"holds {common} of the {len(asked[theirs])} questions of {theirs}"
        elif _files(one.data) & _files(other.data) and not (ours in asked and theirs in asked):
            what = f"is read from the same data as {theirs}"
        else:
            continue
        yield f"{ours} {what}: name it in {ours}.apart_from, or its scores are flattered"


def _files(data: ProblemSet) -> set[object]:
    """What a set is read from."""
    found: set[object] = set()
    for part in _parts(data):
        if isinstance(part, AbacusSet):
            found.add((part.kind, part.seed))
        elif isinstance(part, HubSet):
            found |= {(part.repo, file, repr(part.where)) for file in part.files}
        else:
            paths = [part.path] if isinstance(part.path, str) else part.path
            found |= {(str(Path(path).absolute()), repr(part.where)) for path in paths}
    return found
