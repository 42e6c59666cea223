"""What would stop an experiment at its end, found before anything is computed for it."""

from collections.abc import Iterator

from ssgr.config import Config
from ssgr.errors import ConfigError, ReportError, TableError
from ssgr.report.tables.conditions import conditions
from ssgr.report.tables.published import read_published


def check_experiments(config: Config) -> None:
    """Refuse experiments whose table could not be made of what they ask for.

    Raises:
        ConfigError: lists all of them: differences are to be taken against a calibration that is
            not shown; two kinds have one label; the best is to be taken of what is not there;
            there are no such published numbers, or in no such table.
    """
    faults = [fault for name in config.experiments for fault in _faults(config, name)]
    if faults:
        raise ConfigError("\n".join(faults))


def _faults(config: Config, name: str) -> Iterator[str]:
    experiment = config.experiments[name]
    try:
        shown = [
            condition
            for condition in conditions(config, name)
            if condition.is_calibrated or condition.members
        ]
    except ReportError as error:
        yield str(error)
        return
    kinds = list(dict.fromkeys(kind for condition in shown for kind in condition.calibrations))
    if shown and experiment.against and experiment.against not in kinds:
        yield (
            f"experiments.{name}.against: {experiment.against!r} is no row of the experiment, "
            f"so nothing could be compared with it; its rows are {', '.join(kinds)}"
        )
    if experiment.published is not None:
        try:
            read_published(experiment.published)
        except (ReportError, TableError) as error:
            yield f"experiments.{name}.published: {error}"
