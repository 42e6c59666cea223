"""How pruners and sparsities are called in a report or on a card."""

from ssgr.config.sparsity import Sparsity

PRUNERS = {
    "sparsegpt": "SparseGPT", "wanda": "Wanda", "magnitude": "Magnitude", "ria": "RIA",
    "thanos": "Thanos", "admm": "ADMM", "alps": "ALPS", "dsnot": "DSnoT",
}  # fmt: skip


def pruner_name(pruner: str) -> str:
    """The pruner as its authors write it; a recipe has its own name."""
    return PRUNERS.get(pruner, pruner)


def sparsity_name(key: str) -> str:
    """A sparsity key as read: ``50`` -> "50 %", ``2-4`` -> "2:4"."""
    pattern = Sparsity.parse(key)
    return key.replace("-", ":") if pattern.group else f"{key}\u00a0%"


def setting_name(pruner: str, sparsity: str) -> str:
    """A pruner at a sparsity, e.g. "SparseGPT, 50 %"."""
    return f"{pruner_name(pruner)}, {sparsity_name(sparsity)}"
