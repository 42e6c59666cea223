"""Pruning: input statistics, pruners that see one matrix at a time, and the walk over blocks.

Importing this package is light; torch comes with the modules that need it. A pruner is one module
in ``pruners``, named as the configuration names it, or a file of the user's own.
"""

from ssgr.pruning.names import modules_of, name_of, needs_calibration, pruner_names, statistics_of

__all__ = ["modules_of", "name_of", "needs_calibration", "pruner_names", "statistics_of"]
