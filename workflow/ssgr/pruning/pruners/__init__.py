"""The registry of pruners, filled by importing every module of this folder.

To add a pruner, add one module here whose function is decorated with ``@register("its_name")``,
the name being the module's.
"""

import importlib

from ssgr.pruning import pruner_names
from ssgr.pruning.pruner import PRUNERS

for _name in pruner_names():
    importlib.import_module(f"{__name__}.{_name}")

__all__ = ["PRUNERS"]
