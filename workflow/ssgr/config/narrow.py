"""What some experiments of a configuration rest on: a change elsewhere is none of theirs."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from ssgr.config.experiments import RUN, Experiment
from ssgr.config.run import Config, Run

Entry = TypeVar("Entry")
AXES = ("models", "calibrations", "benchmarks", "pruners", "sparsities")


def narrowed(config: Config, *names: str) -> Config:
    """Return what experiments rest on: their entries of the registries, spelled out.

    ``run`` of the result holds every model, calibration, benchmark, pruner and sparsity of theirs.

    Args:
        config: the whole configuration.
        names: of ``config.experiments``, or ``run``.
    """
    wanted = [config.selection(name) for name in names]
    run = {
        axis: list(dict.fromkeys(name for each in wanted for name in getattr(each, axis)))
        for axis in AXES
    }
    entries = [config.calibrations[name] for name in run["calibrations"]]
    generators = [entry.generator for entry in entries if entry.generator]
    return config.model_copy(
        update={
            "run": Run.model_validate(run),
            "models": _only(config.models, [*run["models"], *generators]),
            "sources": _only(config.sources, [entry.source for entry in entries]),
            "benchmarks": _only(config.benchmarks, run["benchmarks"]),
            "calibrations": _only(config.calibrations, run["calibrations"]),
            "pruners": _only(config.pruners, run["pruners"]),
            "experiments": {name: _spelled_out(config, name) for name in names if name != RUN},
        }
    )


def _spelled_out(config: Config, name: str) -> Experiment:
    """An experiment that leaves nothing to the run."""
    selection = config.selection(name)
    lists = {axis: list(getattr(selection, axis)) for axis in AXES}
    return config.experiments[name].model_copy(update=lists)


def _only(entries: Mapping[str, Entry], names: Iterable[str]) -> dict[str, Entry]:
    asked = set(names)
    return {name: entry for name, entry in entries.items() if name in asked}
