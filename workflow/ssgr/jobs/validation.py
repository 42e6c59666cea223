"""Configuration in, checked :class:`Config` out, or one message that lists every mistake.

Pydantic finds what is wrong inside an entry; what one entry says of another (a calibration's
source, a run's pruners) is checked here. Both are told at once, with place and nearest valid name.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ssgr.config import REFERENCE_LENGTHS, RUN, Config
from ssgr.config.expand import Raw, expand, mapping
from ssgr.config.narrow import AXES
from ssgr.errors import ConfigError, PruningError
from ssgr.jobs.wording import nearest, told
from ssgr.pruning import pruner_names
from ssgr.pruning.allocation import allocation_names
from ssgr.pruning.names import check_own, own_file
from ssgr.sampling.engines import ENGINES
from ssgr.selection.length_rules import LENGTH_RULES


def load_config(raw: Raw, found: Iterable[str] = ()) -> Config:
    """Validate a whole configuration.

    Args:
        raw: what the configuration files say.
        found: mistakes that are known already, to be told with the others.

    Raises:
        ConfigError: lists all mistakes, each with its place and the nearest valid name.
    """
    config = None
    try:
        raw = expand(raw)
        mistakes = [*_references(raw), *found]
    except ValueError:  # said below
        mistakes = [*found]
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        mistakes = [*told(error.errors()), *mistakes]
    if config is not None and not mistakes:
        mistakes += [*_uneven(config), *_doubled(config)]
    if config is None or mistakes:
        listed = "\n".join(f"  - {mistake}" for mistake in mistakes)
        plural = "mistake" if len(mistakes) == 1 else "mistakes"
        raise ConfigError(f"the configuration has {len(mistakes)} {plural}:\n{listed}")
    return config


def _references(raw: Raw) -> Iterator[str]:
    """Mistakes between entries; tolerant of any shape, since pydantic judges the shapes."""
    registry = {
        name: mapping(raw.get(name)) if isinstance(raw.get(name), Mapping) else _Anything()
        for name in ("models", "sources", "benchmarks", "calibrations", "pruners")
    }
    run = mapping(raw.get("run"))
    known = [*pruner_names(), *registry["pruners"]]
    experiments = mapping(raw.get("experiments"))
    asked = {f"experiments.{name}": mapping(entry) for name, entry in experiments.items()}
    for place, part in {"run": run, **asked}.items():
        for kind in ("models", "benchmarks", "calibrations"):
            yield from _unknown(f"{place}.{kind}", part.get(kind), registry[kind], kind[:-1])
        yield from _unknown(f"{place}.pruners", part.get("pruners"), known, "pruner")
    yield from _unknown("keep_experiments", raw.get("keep_experiments"), experiments, "experiment")
    for name, entry in asked.items():
        yield from _experiment(name, entry, registry["calibrations"])
    recipes = {f"pruners.{name}": entry for name, entry in registry["pruners"].items()}
    for place, entry in {"pruning": raw.get("pruning"), **recipes}.items():
        yield from _recipe(place, mapping(entry))
    for name, model in registry["models"].items():
        for key in ("engine", "evaluation_engine"):
            engine = mapping(model).get(key) or "transformers"
            yield from _unknown(f"models.{name}.{key}", [engine], ENGINES, "engine")
    for name, entry in registry["calibrations"].items():
        yield from _calibration(name, mapping(entry), registry["sources"])
        names = [mapping(entry).get("generator")]
        yield from _unknown(f"calibrations.{name}.generator", names, registry["models"], "model")
    for name, entry in registry["sources"].items():
        apart_from = mapping(entry).get("apart_from")
        place = f"sources.{name}.apart_from"
        yield from _unknown(place, apart_from, registry["benchmarks"], "benchmark")
    for name, entry in registry["benchmarks"].items():
        data = mapping(mapping(entry).get("data"))
        if _lacks(data, "answer", "options"):
            yield f"benchmarks.{name}.data: has no `answer` column, so nothing can be scored"
        if _is_text(data):
            yield f"benchmarks.{name}.data: is plain text; a benchmark needs problems with answers"


def _experiment(place: str, entry: Raw, known: Collection[str]) -> Iterator[str]:
    """Mistakes in the calibrations that an experiment names beside its list."""
    yield from _unknown(f"{place}.against", [entry.get("against")], known, "calibration")
    for label, names in mapping(entry.get("best_of")).items():
        yield from _unknown(f"{place}.best_of.{label}", names, known, "calibration")


def _uneven(config: Config) -> Iterator[str]:
    """Recipes that cannot make a pattern that is asked of them."""
    for selection, wanted in config.selections.items():
        place = RUN if selection == RUN else f"experiments.{selection}"
        patterns = [key for key in wanted.sparsities if "-" in key]
        for name in wanted.pruners if patterns else ():
            allocation = config.recipe(name).allocation
            if allocation != "uniform":
                yield (
                    f"{place}.pruners: {name!r} spreads sparsity unevenly (allocation: "
                    f"{allocation}), which the pattern {patterns[0]} does not allow: every matrix "
                    "has the same N:M"
                )


def _doubled(config: Config) -> Iterator[str]:
    """Entries of a list that stand in it twice, however they are written."""
    asked = {f"experiments.{name}": each for name, each in config.experiments.items()}
    for place, part in {RUN: config.run, **asked}.items():
        for axis in (*AXES, "seeds"):
            entries = getattr(part, axis, None) or []
            for entry in dict.fromkeys(each for each in entries if entries.count(each) > 1):
                yield f"{place}.{axis}: {entry!r} stands twice"


def _recipe(place: str, entry: Raw) -> Iterator[str]:
    method = entry.get("method")
    if isinstance(method, str) and own_file(method):
        try:
            check_own(method)
        except PruningError as error:
            yield f"{place}.method: {error}"
    else:
        yield from _unknown(f"{place}.method", [method], pruner_names(), "pruner")
    searching = mapping(entry.get("search")).get("method")
    yield from _unknown(f"{place}.search.method", [searching], pruner_names(), "pruner")
    known = allocation_names()
    yield from _unknown(f"{place}.allocation", [entry.get("allocation")], known, "allocation")


def _calibration(name: str, entry: Raw, sources: Raw) -> Iterator[str]:
    place = f"calibrations.{name}"
    source, length = entry.get("source"), entry.get("length")
    yield from _unknown(f"{place}.source", [source], sources, "source")
    rules = [*LENGTH_RULES, *REFERENCE_LENGTHS]
    yield from _unknown(f"{place}.length", [length], rules, "length rule")
    if not isinstance(source, str) or sources.get(source) is None or length not in rules:
        return
    data = mapping(mapping(sources[source]).get("data"))
    if _is_text(data) != (length == "text"):
        kind = "plain text" if _is_text(data) else "problems"
        wanted = "`length: text`" if _is_text(data) else "another length rule than text"
        yield f"{place}: source {source!r} holds {kind}: it takes {wanted}"
    elif length == "solution" and _lacks(data, "solution"):
        yield f"{place}: source {source!r} names no `solution` column"
    elif length in LENGTH_RULES and _lacks(data, "answer", "options"):
        yield f"{place}: source {source!r} names no `answer` column, so nothing can be graded"


class _Anything(dict[str, Any]):
    """A registry that is no mapping: pydantic says so, and no name in it is unknown besides."""

    def __contains__(self, name: object) -> bool:
        return True


def _unknown(place: str, names: Any, valid: Collection[str], what: str) -> Iterator[str]:
    for name in names if isinstance(names, list) else []:
        if isinstance(name, str) and name not in valid:
            yield f"{place}: unknown {what} {name!r}{nearest(name, valid)}"


def _parts(data: Raw) -> list[Raw]:
    return [mapping(part) for part in mapping(data.get("parts")).values()] or [data]


def _lacks(data: Raw, *columns: str) -> bool:
    """Whether a set, or a part of it, is read from files and names none of these columns."""
    return any(
        part.get("loader") in ("file", "hub") and not any(part.get(column) for column in columns)
        for part in _parts(data)
    )


def _is_text(data: Raw) -> bool:
    return any(
        str(part.get("kind")).startswith("prose") or bool(part.get("text")) for part in _parts(data)
    )
