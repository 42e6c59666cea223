"""Errors that a user can act on: the command line prints their message and no traceback."""


class SsgrError(Exception):
    """Base of all errors whose message says what was wrong, where, and what to do."""


class ConfigError(SsgrError):
    """The configuration is wrong; the message lists every mistake with its place."""


class TableError(SsgrError):
    """A Parquet or problem file is missing, truncated, foreign or breaks its schema."""


class ModelError(SsgrError):
    """A model folder cannot be used: no tokenizer, unknown structure, unreadable weights."""


class SelectionError(SsgrError):
    """Too few calibration candidates are left; the message shows the funnel."""


class PruningError(SsgrError):
    """A matrix cannot be pruned: its statistics hold NaN or Inf, or it is not understood."""


class PoolError(SsgrError):
    """The shared pool holds something else than what is wanted, is damaged or cannot be written."""


class ReportError(SsgrError):
    """The report cannot be built: a table that the configuration asks for is missing."""
