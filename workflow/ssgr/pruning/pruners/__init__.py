"""The registry of pruners, filled by importing every module of this folder.

To add a pruner, add one module here whose function is decorated with ``@register("its_name")``,
the name being the module's; or keep it in a file of your own, and name that.
"""

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path

from ssgr.errors import PruningError
from ssgr.pruning.names import check_own, name_of, own_file, pruner_names
from ssgr.pruning.pruner import PRUNERS, Pruner

for _name in pruner_names():
    importlib.import_module(f"{__name__}.{_name}")

__all__ = ["PRUNERS", "pruner_of"]


def pruner_of(method: str) -> Pruner:
    """Return a pruner by its name, or the one that a file of the user's own registers.

    Args:
        method: a name of ``pruner_names()``, or the path of a Python file.

    Raises:
        PruningError: there is no such pruner, or the file does not register one of a new name.
    """
    file = own_file(method)
    if file is not None:
        check_own(method)
        _import(file.resolve())
        return PRUNERS[name_of(method)]
    if method not in PRUNERS:
        raise PruningError(
            f"unknown pruner {method!r}: expected one of {', '.join(pruner_names())}, or a .py file"
        )
    return PRUNERS[method]


@cache
def _import(file: Path) -> None:
    """Import a file of the user's own, once."""
    spec = importlib.util.spec_from_file_location(f"own_pruner_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise PruningError(f"{file}: is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look for it there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise PruningError(f"{file}: fails at import: {type(error).__name__}: {error}") from error
