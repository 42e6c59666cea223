"""Whether the conditions of an experiment are ordered: by threshold, length or sparsity."""

from dataclasses import dataclass

from ssgr.config import Config
from ssgr.config.sparsity import Sparsity
from ssgr.report.tables.conditions import Condition, conditions

FEWEST = 3  # with two points, a line says no more than two bars


@dataclass(frozen=True)
class Order:
    """An ordered axis: ``of`` is the axis of the cells (calibration or sparsity), ``title`` its
    name, ``numbers`` the place of each label or key; ``doubling`` asks for a logarithmic scale."""

    of: str
    title: str
    numbers: dict[str, float]
    doubling: bool = False


def order(config: Config, name: str) -> Order | None:
    """Return the ordered axis of an experiment, if its calibrations differ in one number only.

    That is a single threshold tau, or the tokens of a sequence; or sparsities run across, all in
    percent.
    """
    experiment = config.experiments[name]
    pruned = [condition for condition in conditions(config, name) if not condition.is_dense]
    sparsities = config.selection(name).sparsities
    if experiment.columns == "sparsity":
        unstructured = all(Sparsity.parse(key).group is None for key in sparsities)
        numbers = {key: float(key) for key in sparsities} if unstructured else {}
        return Order("sparsity", "sparsity, %", numbers) if len(numbers) >= FEWEST else None
    if not all(condition.is_calibrated for condition in pruned):
        return None
    return _by_tau(pruned) or _by_tokens(pruned, config)


def _by_tau(pruned: list[Condition]) -> Order | None:
    taus = {condition.label: condition.draws[0].checkpoint["tau"] for condition in pruned}
    if not _differ_in("tau", pruned) or any(".." in tau or tau == "none" for tau in taus.values()):
        return None
    numbers = {label: float(tau) for label, tau in taus.items()}
    return Order("calibration", "difficulty threshold τ", numbers)


def _by_tokens(pruned: list[Condition], config: Config) -> Order | None:
    if not _differ_in("budget", pruned):
        return None
    budgets = {
        condition.label: config.budget.of_key(condition.draws[0].checkpoint["budget"])
        for condition in pruned
    }
    numbers = {label: float(budget.tokens) for label, budget in budgets.items()}
    if len(set(numbers.values())) < len(numbers):
        return None
    return Order("calibration", "sequence length, tokens", numbers, doubling=True)


def _differ_in(key: str, pruned: list[Condition]) -> bool:
    """Whether the calibrations differ in one key only, with enough values for a line."""
    kinds = {tuple(condition.draws[0].calibration.items()) for condition in pruned}
    others = {tuple(item for item in kind if item[0] not in (key, "model", "generator"))
              for kind in kinds}  # fmt: skip
    values = {dict(kind)[key] for kind in kinds}
    return len(others) == 1 and len(values) >= FEWEST
