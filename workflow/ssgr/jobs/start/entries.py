"""The entries of a configuration that are used by what is made, each read by itself.

A mistake in one entry hides none in another: what does not validate is not here.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from ssgr.config import Benchmark, Budget, Calibration, Model, Pool, PoolSampling, Sampling, Source
from ssgr.config.base import Folder

M = TypeVar("M", bound=BaseModel)


class Entries:
    """What a raw configuration holds, as far as it is right."""

    def __init__(self, raw: Mapping[str, Any], targets: Iterable[str] = ()) -> None:
        """Read ``raw``, of any shape, for these targets of Snakemake; none is the default."""
        self._raw = raw
        self._targets = list(targets)

    @cached_property
    def models(self) -> dict[str, Model]:
        """Models that are pruned or generate."""
        generators = {entry.generator for entry in self.calibrations.values()}
        return self._registry("models", Model, self.pruned | generators)

    @cached_property
    def pruned(self) -> set[str]:
        """Names of the models that are pruned and scored."""
        return self._named("models") or set()

    @cached_property
    def calibrations(self) -> dict[str, Calibration]:
        """Kinds of calibration that are made."""
        return self._registry("calibrations", Calibration, self._named("calibrations"))

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Sources of those."""
        used = {entry.source for entry in self.calibrations.values()}
        return self._registry("sources", Source, used)

    @cached_property
    def benchmarks(self) -> dict[str, Benchmark]:
        """Benchmarks that are scored, or that a source is kept apart from."""
        apart = {name for entry in self.sources.values() for name in entry.apart_from}
        named = self._named("benchmarks")
        return self._registry("benchmarks", Benchmark, named and named | apart)

    @cached_property
    def pool(self) -> Pool | None:
        """The section of this name; None if it is wrong."""
        return self._section("pool", Pool)

    @cached_property
    def sampling(self) -> PoolSampling | None:
        """The section of this name."""
        return self._section("sampling", PoolSampling)

    @cached_property
    def evaluation(self) -> Sampling | None:
        """The section of this name."""
        return self._section("evaluation", Sampling)

    @cached_property
    def budget(self) -> Budget | None:
        """The section of this name."""
        return self._section("budget", Budget)

    @cached_property
    def results(self) -> str | None:
        """Folder of the results."""
        try:
            return TypeAdapter(Folder).validate_python(self._raw.get("results", "results"))
        except ValidationError:
            return None

    @cached_property
    def _parts(self) -> list[Mapping[str, Any]]:
        """What is made: the run or all experiments, and the experiments that are named."""
        raw = _mapping(self._raw.get("experiments")).items()
        experiments = {name: _mapping(entry) for name, entry in raw if entry is not None}
        whole = "paper" in (self._targets or [str(self._raw.get("target"))])
        wanted = experiments if whole else [name for name in self._targets if name in experiments]
        run = _mapping(self._raw.get("run"))
        own: list[Mapping[str, Any]] = [
            {**run, **{axis: said for axis, said in experiments[name].items() if said is not None}}
            for name in wanted
        ]
        return own or [run]

    def _named(self, axis: str) -> set[str] | None:
        """Names that are taken of a registry; None is all of it."""
        lists = [part.get(axis) for part in self._parts]
        if any(each is None for each in lists):
            return None
        return {name for each in lists if isinstance(each, list) for name in map(str, each)}

    def _section(self, name: str, kind: type[M]) -> M | None:
        return next(_valid(kind, self._raw.get(name)), None)

    def _registry(self, name: str, kind: type[M], names: set[Any] | None = None) -> dict[str, M]:
        raw = self._raw.get(name)
        return {
            str(key): entry
            for key, value in (raw.items() if isinstance(raw, Mapping) else ())
            if names is None or key in names
            for entry in _valid(kind, value)
        }


def _valid(kind: type[M], value: object) -> Iterator[M]:
    try:
        yield kind.model_validate(value)
    except ValidationError:  # `ssgr.jobs.validation` tells it
        return


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
