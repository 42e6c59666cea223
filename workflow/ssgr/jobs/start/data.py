"""Sources and benchmarks: whether their files hold what the entries say, and what they share."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import polars as pl

from ssgr.config import AbacusSet, FileSet, HubSet, PartsSet, ProblemSet
from ssgr.errors import TableError
from ssgr.jobs.start.entries import Entries
from ssgr.jobs.start.found import Found
from ssgr.problems import load
from ssgr.problems.apart import same
from ssgr.problems.columns import check_columns, local_files
from ssgr.problems.reading import kind_of

SMALL = 8 * 2**20
"""Bytes of a local set up to which all of it is read and checked at the start."""


def data_found(entries: Entries, found: Found) -> None:
    """Look at the sets that are used."""
    tables: dict[str, pl.DataFrame] = {}
    sets: dict[str, ProblemSet] = {
        f"sources.{name}": each.data for name, each in entries.sources.items()
    }
    sets |= {f"benchmarks.{name}": each.data for name, each in entries.benchmarks.items()}
    for place, data in sets.items():
        try:
            table = _looked_at(data)
        except TableError as error:
            found.mistakes.append(f"{place}.data: {error}")
        else:
            if table is not None:
                tables[place] = table
    found.mistakes += _too_few(entries, tables)
    found.warnings += _shared(entries, tables)


def _looked_at(data: ProblemSet) -> pl.DataFrame | None:
    """The table of a small local set; None for others, of which the columns are checked."""
    parts = list(data.parts.values()) if isinstance(data, PartsSet) else [data]
    names = [name for part in parts if isinstance(part, HubSet) for name in part.files]
    found = [(part, local_files(part.path)) for part in parts if isinstance(part, FileSet)]
    paths = [path for _, each in found for path in each]
    for name in (*names, *map(str, paths)):
        kind_of(name)
    if found and len(found) == len(parts) and sum(path.stat().st_size for path in paths) <= SMALL:
        return load(data)[0]
    for part, each in found:
        check_columns(part, each[0])
    return None


def _too_few(entries: Entries, tables: dict[str, pl.DataFrame]) -> Iterator[str]:
    """Calibrations whose source has fewer problems than the budget has sequences."""
    budget, pool = entries.budget, entries.pool
    if budget is None or pool is None or budget.allow_fewer:
        return
    said = set()
    for kind in entries.calibrations.values():
        source = entries.sources.get(kind.source)
        if source is None or kind.length == "text":
            continue
        table, data = tables.get(f"sources.{kind.source}"), source.data
        counts = [len(table)] if table is not None else []
        counts += [data.count] if isinstance(data, AbacusSet) else []
        counts += [data.limit] if isinstance(data, HubSet) and data.limit else []
        counts += [pool.problems] if pool.problems and not kind.is_reference else []
        if counts and min(counts) < budget.sequences and kind.source not in said:
            said.add(kind.source)
            visited = (
                "pool.problems visits" if min(counts) == pool.problems else "are all there are"
            )
            yield (
                f"budget.sequences: {budget.sequences} is more than the {min(counts)} problems of "
                f"sources.{kind.source} that {visited}, and each gives one sequence at most: lower "
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
    parts = list(data.parts.values()) if isinstance(data, PartsSet) else [data]
    found: set[object] = set()
    for part in parts:
        if isinstance(part, AbacusSet):
            found.add((part.kind, part.seed))
        elif isinstance(part, HubSet):
            found |= {(part.repo, file, repr(part.where)) for file in part.files}
        else:
            paths = [part.path] if isinstance(part.path, str) else part.path
            found |= {(str(Path(path).absolute()), repr(part.where)) for path in paths}
    return found
