"""What an experiment compares: a model pruned at one setting with one kind of calibration data.

Calibrations of an experiment that are shown under the same label and differ in nothing but the seed
of their draw are draws of one condition. The dense model is a condition too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ssgr.config import Config, Experiment
from ssgr.errors import ReportError
from ssgr.jobs.grid import CALIBRATION_KEYS, CHECKPOINT_KEYS, DENSE, NONE, points


@dataclass(frozen=True)
class Draw:
    """A checkpoint of a condition: the seed of its calibration's draw, and its CHECKPOINT_KEYS."""

    seed: int
    keys: tuple[str, ...]

    @property
    def checkpoint(self) -> dict[str, str]:
        """The checkpoint's keys by name."""
        return dict(zip(CHECKPOINT_KEYS, self.keys, strict=True))

    @property
    def calibration(self) -> dict[str, str]:
        """The keys of its calibration set."""
        return {key: self.checkpoint[key] for key in CALIBRATION_KEYS}


@dataclass(frozen=True)
class Condition:
    """A condition: ``calibrations`` are the configuration's names of its draws, ``label`` is shown.

    A condition that takes the best of several on each benchmark has ``members`` and no draws.
    """

    model: str
    pruner: str
    sparsity: str
    label: str
    calibrations: tuple[str, ...]
    draws: tuple[Draw, ...] = ()
    members: tuple["Condition", ...] = field(default=(), compare=False)

    @property
    def is_dense(self) -> bool:
        """Whether this is the model before pruning."""
        return self.pruner == NONE

    @property
    def is_calibrated(self) -> bool:
        """Whether it has a calibration set of its own: no dense model, no best of several."""
        return bool(self.draws) and self.draws[0].checkpoint["source"] != NONE

    @property
    def name(self) -> str:
        """The first of its calibrations' names, by which the tables know it."""
        return self.calibrations[0]

    @property
    def setting(self) -> tuple[str, str, str]:
        """Model, pruner and sparsity."""
        return self.model, self.pruner, self.sparsity


def conditions(config: Config, name: str) -> list[Condition]:
    """Return what an experiment compares, in the order of its points.

    Raises:
        ReportError: two of its calibrations have one label but are not draws of one kind; or the
            best is to be taken of a calibration that is not in the experiment.
    """
    experiment, entries = config.experiments[name], config.selection(name).calibrations
    found: dict[tuple[str, ...], Condition] = {}
    for row in points(config, name).iter_rows(named=True):
        if row["label"] == DENSE and not experiment.dense:
            continue
        entry = entries.get(row["label"])
        shown = (entry.label if entry else None) or row["label"]
        condition = Condition(row["model"], row["pruner"], row["sparsity"], shown, (row["label"],),
                  (_draw(config, row),))  # fmt: skip
        place = (*condition.setting, shown)
        found[place] = _joined(found[place], condition, name) if place in found else condition
    return _with_best(list(found.values()), experiment, name)


def _draw(config: Config, row: Mapping[str, str]) -> Draw:
    budget = row["budget"]
    seed = 0 if budget == NONE else config.budget.of_key(budget).seed
    return Draw(seed, tuple(row[key] for key in CHECKPOINT_KEYS))


def _joined(first: Condition, other: Condition, name: str) -> Condition:
    """A condition with one more draw."""
    kinds = {_but_for_seed(draw) for draw in (*first.draws, *other.draws)}
    seeds = [draw.seed for draw in (*first.draws, *other.draws)]
    if len(kinds) > 1 or len(set(seeds)) < len(seeds):
        raise ReportError(
            f"experiments.{name}: the calibrations {first.name} and {other.name} are both shown as "
            f"{first.label!r}, but they are not draws of one kind of data, which differ in their "
            "`seed` alone: give one of them another `label`"
        )
    both = (*first.calibrations, *other.calibrations)
    return replace(first, calibrations=both, draws=(*first.draws, *other.draws))


def _but_for_seed(draw: Draw) -> tuple[str, ...]:
    keys = draw.checkpoint
    return tuple((keys | {"budget": keys["budget"].rpartition("-s")[0]}).values())


def _with_best(found: list[Condition], experiment: Experiment, name: str) -> list[Condition]:
    """Put each row of the best of several in the place of its first member, for every setting."""
    for label, members in experiment.best_of.items():
        there = {calibration for condition in found for calibration in condition.calibrations}
        if absent := [member for member in members if member not in there]:
            raise ReportError(
                f"experiments.{name}.best_of.{label}: {', '.join(absent)} is not among the "
                "experiment's calibrations: name it in experiments."
                f"{name}.calibrations too"
            )
        found = list(_folded(found, label, set(members)))
    return found


def _folded(found: Iterable[Condition], label: str, members: set[str]) -> Iterable[Condition]:
    taken: dict[tuple[str, ...], list[Condition]] = {}
    for condition in found:
        if members & set(condition.calibrations):
            taken.setdefault(condition.setting, []).append(condition)
    for condition in found:
        group = taken.get(condition.setting, [])
        if condition not in group:
            yield condition
        elif condition == group[0]:
            yield Condition(*condition.setting, label, (label,), members=tuple(group))
