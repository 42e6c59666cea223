"""Pruning: input statistics, pruners that see one matrix at a time, and the walk over blocks.

Importing this package is light; torch comes with the modules that need it. A pruner is one module
in ``pruners``, named as the configuration names it.
"""

import pkgutil
import re
from pathlib import Path


def pruner_names() -> tuple[str, ...]:
    """Return the names of all pruners, without importing them (and torch)."""
    folder = str(Path(__file__).parent / "pruners")
    return tuple(sorted(module.name for module in pkgutil.iter_modules([folder])))


def needs_calibration(name: str) -> bool:
    """Return whether a pruner reads input statistics, from its source: torch is not imported."""
    source = (Path(__file__).parent / "pruners" / f"{name}.py").read_text()
    return not re.search(r"""@register\([^)]*needs=["']none["']""", source)
