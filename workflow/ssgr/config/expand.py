"""Shorthands of a configuration, spelled out before it is checked.

A calibration whose ``tau`` or ``tokens`` is a list stands for one calibration of each value: a
table's columns. ``Tau: {tau: [0.25, 0.50]}`` is Tau-0.25 and Tau-0.50, labelled 0.25 and 0.5, and
wherever ``Tau`` is named, both are meant.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

LISTS = ("tau", "tokens")
Raw = Mapping[str, Any]


def mapping(value: Any) -> Raw:
    """Return a part of a raw configuration; empty if it is no mapping."""
    return value if _is(value) else {}


def expand(raw: Raw) -> Raw:
    """Return a configuration without lists in calibrations and without experiments not kept.

    Whatever is of another shape than it should be is left as it is, to be refused where shapes are
    checked.

    Raises:
        ValueError: a calibration has two lists, or lists of unequal lengths.
    """
    calibrations, experiments = raw.get("calibrations"), raw.get("experiments")
    kept = raw.get("keep_experiments")
    if isinstance(kept, list) and _is(experiments):
        experiments = {name: entry for name, entry in experiments.items() if name in kept}
        raw = {**raw, "experiments": experiments}
    if not _is(calibrations):
        return raw
    spelled = {name: dict(_entries(name, entry)) for name, entry in calibrations.items()}
    columns = {name: list(each) for name, each in spelled.items() if list(each) != [name]}
    if not columns:
        return raw
    every = {name: entry for each in spelled.values() for name, entry in each.items()}
    parts: dict[str, Raw] = {"calibrations": every}
    if _is(raw.get("run")):
        parts["run"] = _named(raw["run"], columns)
    if _is(experiments):
        parts["experiments"] = {
            name: _named(entry, columns) if _is(entry) else entry
            for name, entry in experiments.items()
        }
    return {**raw, **parts}


def _is(part: Any) -> TypeGuard[Raw]:
    return isinstance(part, Mapping)


def _entries(name: str, entry: Any) -> Iterator[tuple[str, Any]]:
    """The calibrations that an entry stands for, by name."""
    lists = {key for key in entry if isinstance(entry[key], list)} if _is(entry) else set()
    [key, *more] = lists.intersection(LISTS) or [None]
    if key is None:
        yield name, entry
        return
    if more:
        raise ValueError(f"calibrations.{name}: tau and tokens are lists: only one may be")
    values, along = entry[key], lists.intersection(("label", "role"))
    for other in along:
        if len(entry[other]) != len(values):
            raise ValueError(
                f"calibrations.{name}: {other} has {len(entry[other])} values, {key} {len(values)}"
            )
    for place, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        spelled = f"{value:.2f}" if number and key == "tau" else str(value)
        own = {other: entry[other][place] for other in along}
        label = f"{value:g}" if number else str(value)
        yield f"{name}-{spelled}", {"label": label, **entry, key: value, **own}


def _named(selection: Raw, columns: Mapping[str, list[str]]) -> Raw:
    """A run or an experiment that names every column."""
    names = selection.get("calibrations")
    if not isinstance(names, list):
        return selection
    spelled = [one for name in names for one in columns.get(str(name), [name])]
    return {**selection, "calibrations": spelled}
