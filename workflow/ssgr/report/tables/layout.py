"""Cells laid out as a table: one axis across, all others that vary down.

The axes are model, pruner, sparsity, calibration and what is measured (a benchmark, the average, or
a measure that belongs to none). The dense model stands in a row of its own; where calibrations run
across it is a column, and where pruners or sparsities do, its number is the same in each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import polars as pl

from ssgr.config import Config
from ssgr.config.labels import pruner_name, sparsity_name
from ssgr.jobs.grid import DENSE, NONE
from ssgr.report.tables.cells import DECIMALS
from ssgr.report.tables.table import Column, Entry, Row, Table

AXES = ("model", "pruner", "sparsity", "calibration", "benchmark")
LEVELS = {"model": "Model", "pruner": "Method", "sparsity": "Sparsity",
          "calibration": "Calibration", "benchmark": "Measure"}  # fmt: skip
UNITS = {"pass@1": "%", "response_tokens": "tokens", "calibration_tokens": "tokens",
         "tokens_drawn": "tokens", "gpu_hours": "h", "cpu_hours": "h",
         "points_gained": "points"}  # fmt: skip
HEADINGS = {"calibration_tokens": "Token length", "tokens_drawn": "Tokens drawn",
            "gpu_hours": "GPU-hours", "cpu_hours": "CPU-hours",
            "points_gained": "Points gained"}  # fmt: skip
Key = tuple[str, ...]
Cell = Mapping[str, Any]


def lay_out(cells: pl.DataFrame, config: Config, name: str, notes: Sequence[str] = ()) -> Table:
    """Return the table of an experiment.

    Args:
        cells: its Cells.
        config: the whole configuration.
        name: of the experiment.
        notes: sentences to stand under the table.
    """
    experiment = config.experiments[name]
    across = experiment.columns
    down = [axis for axis in AXES if axis != across]
    rows: dict[Key, dict[str, Cell]] = {}
    columns: dict[str, str] = {}
    for cell in _placed(_told(cells), across):
        columns.setdefault(_key(cell, across), cell["measure"])
        row = rows.setdefault(tuple(_key(cell, axis) for axis in down), {})
        row[_key(cell, across)] = cell
    names = {axis: _names(config, name, axis) for axis in AXES}
    levels = _levels([dict(zip(down, key, strict=True)) for key in rows])
    same = len({UNITS[cell["measure"]] for row in rows.values() for cell in row.values()}) == 1
    return Table(
        name=name,
        title=experiment.title,
        levels=tuple(LEVELS[axis] for axis in levels),
        columns=tuple(
            Column(key, names[across].get(key) or _shown(across, key),
                   UNITS[measure] if same or across == "benchmark" else None)
            for key, measure in columns.items()
        ),
        rows=tuple(_row(key, row, list(columns), down, levels, names)
                   for key, row in rows.items()),
        notes=tuple(notes),
    )  # fmt: skip


def _told(cells: pl.DataFrame) -> list[Cell]:
    """The cells as rows, without hours of a kind that no job took."""
    hours = cells.filter(pl.col("measure").cast(pl.String).str.ends_with("_hours"))
    spent = hours.group_by("measure").agg(pl.col("value").sum())
    idle = spent.filter(pl.col("value") == 0)["measure"].cast(pl.String).to_list()
    return [cell for cell in cells.iter_rows(named=True) if cell["measure"] not in idle]


def _placed(cells: Sequence[Cell], across: str) -> Iterator[Cell]:
    """The cells, and the dense model's again wherever it stands for every setting."""
    settings = {
        axis: list(dict.fromkeys(c[axis] for c in cells if c["pruner"] != NONE)) for axis in AXES
    }
    for cell in cells:
        if cell["pruner"] != NONE or across in ("benchmark", "model"):
            yield cell
        elif across == "calibration":
            for pruner in settings["pruner"]:
                for sparsity in settings["sparsity"]:
                    yield {**cell, "pruner": pruner, "sparsity": sparsity}
        else:
            yield from ({**cell, across: value, "dense": True} for value in settings[across])


def _key(cell: Cell, axis: str) -> str:
    """Where a cell stands on an axis."""
    if axis == "benchmark":
        return str(cell["benchmark"] if cell["benchmark"] != NONE else cell["measure"])
    return str(cell["label" if axis == "calibration" else axis])


def _levels(places: Sequence[Mapping[str, str]]) -> list[str]:
    """The axes that make row headings: calibration, and those on which the pruned differ."""
    pruned = [place for place in places if place.get("calibration") != DENSE]
    several = [axis for axis in places[0] if len({place[axis] for place in pruned}) > 1]
    wanted = [axis for axis in places[0] if axis in several or axis == "calibration"]
    return wanted or ["benchmark"]


def _row(
    key: Key,
    cells: Mapping[str, Cell],
    columns: Sequence[str],
    down: Sequence[str],
    levels: Sequence[str],
    names: Mapping[str, Mapping[str, str]],
) -> Row:
    place = dict(zip(down, key, strict=True))
    is_dense = place.get("calibration") == DENSE
    headings = [names[axis].get(place[axis]) or _shown(axis, place[axis]) for axis in levels]
    if is_dense:  # said once, after the model
        first = 1 if levels[0] == "model" and len(levels) > 1 else 0
        headings[first:] = [DENSE] + [""] * (len(levels) - first - 1)
    entries = tuple(_entry(cells[column]) if column in cells else None for column in columns)
    return Row(tuple(headings), entries, place.get("calibration", ""), is_dense)


def _entry(cell: Cell) -> Entry:
    """A cell as an entry, in its unit."""
    measure = str(cell["measure"])
    told = {field.name: cell[field.name] for field in fields(Entry) if field.name in cell}
    return Entry(unit=UNITS[measure], decimals=DECIMALS[measure], **told)


def _names(config: Config, name: str, axis: str) -> dict[str, str]:
    """Displayed names on an axis that the configuration or this module gives."""
    if axis != "benchmark":
        return {}
    benchmarks = config.selection(name).benchmarks
    return {**HEADINGS, **{key: entry.label or key for key, entry in benchmarks.items()}}


def _shown(axis: str, key: str) -> str:
    shown = {"pruner": pruner_name, "sparsity": sparsity_name}.get(axis)
    return shown(key) if shown and key not in (NONE, "0") else key
