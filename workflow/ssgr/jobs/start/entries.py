"""The entries of a configuration that are used by what is made, each read by itself.

A mistake in one entry hides none in another: what does not validate is not here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ssgr.config import Benchmark, Budget, Calibration, Model, Pool, PoolSampling, Sampling, Source
from ssgr.config.base import Folder
from ssgr.config.expand import Raw, mapping

M = TypeVar("M")


@dataclass
class Found:
    """``mistakes`` are refused; ``warnings`` may be meant, and are printed."""

    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Entries:
    """The right entries of a raw configuration.

    Attributes:
        pruned: names of the models that are pruned and scored.
        models: those, and the models that generate calibration data.
        calibrations, sources: what is made, and of what.
        benchmarks: those that are scored, or that a source is kept apart from.
        pool, sampling, evaluation, budget, results: the sections; None if one is wrong.
    """

    def __init__(self, raw: Raw, targets: Iterable[str] = ()) -> None:
        """Read ``raw``, of any shape, for these targets of Snakemake; none is the default."""
        parts = _parts(raw, list(targets))
        self.pool = _valid(Pool, raw.get("pool"))
        self.sampling = _valid(PoolSampling, raw.get("sampling"))
        self.evaluation = _valid(Sampling, raw.get("evaluation"))
        self.budget = _valid(Budget, raw.get("budget"))
        self.results: str | None = _valid(Folder, raw.get("results", "results"))

        used = _named(parts, "calibrations")
        self.calibrations = _registry(raw.get("calibrations"), Calibration, used)
        kinds = self.calibrations.values()
        self.pruned = _named(parts, "models") or set()
        generators = {kind.generator for kind in kinds if kind.generator}
        self.models = _registry(raw.get("models"), Model, self.pruned | generators)
        self.sources = _registry(raw.get("sources"), Source, {kind.source for kind in kinds})
        scored = _named(parts, "benchmarks")
        apart = {name for source in self.sources.values() for name in source.apart_from}
        self.benchmarks = _registry(raw.get("benchmarks"), Benchmark, scored and scored | apart)


def _parts(raw: Raw, targets: list[str]) -> list[Raw]:
    """What is made: the run or all experiments, and the experiments that are named."""
    run, listed = mapping(raw.get("run")), mapping(raw.get("experiments"))
    experiments = {name: mapping(entry) for name, entry in listed.items() if entry is not None}
    whole = "paper" in (targets or [str(raw.get("target"))])
    wanted = experiments if whole else [name for name in targets if name in experiments]
    own: list[Raw] = [
        {**run, **{axis: each for axis, each in experiments[name].items() if each is not None}}
        for name in wanted
    ]
    return own or [run]


def _named(parts: list[Raw], axis: str) -> set[str] | None:
    """Names that are taken of a registry; None is all of it."""
    lists = [part.get(axis) for part in parts]
    if any(each is None for each in lists):
        return None
    return {str(name) for each in lists if isinstance(each, list) for name in each}


def _registry(raw: object, kind: type[M], names: set[str] | None) -> dict[str, M]:
    return {
        str(key): entry
        for key, value in mapping(raw).items()
        if names is None or key in names
        if (entry := _valid(kind, value)) is not None
    }


def _valid(kind: type[M], value: object) -> M | None:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:  # `ssgr.jobs.validation` reports it
        return None
